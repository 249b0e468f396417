//! The small words of an HTTP exchange, as everyone who writes them down has them: a plugin, the frames of a native
//! one, a tape.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which protocol an exchange may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VersionChoice {
    /// What TLS negotiates: HTTP/2, else HTTP/1.1.
    #[default]
    Any,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 or nothing; without TLS by prior knowledge.
    Http2,
    /// HTTP/3 or nothing.
    Http3,
}

/// Which addresses of a name are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Both.
    #[default]
    Any,
    /// Those of IPv4.
    Ipv4,
    /// Those of IPv6.
    Ipv6,
}

/// The protocol of an answer. Displays as `1.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
    /// HTTP/3.
    Http3,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2",
            Self::Http3 => "3",
        })
    }
}

/// Instants in microseconds since the exchange began, in the order in which they pass. A phase that did
/// not happen has the instant of the one before it. In a failure, a phase that was not passed is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Phases {
    /// The name was resolved.
    pub dns_us: u64,
    /// TCP was connected.
    pub connect_us: u64,
    /// The handshake was done.
    pub tls_us: u64,
    /// The request was sent.
    pub sent_us: u64,
    /// The first byte of the answer came.
    pub first_byte_us: u64,
}

/// The classes of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The grant is missing, or the target policy refuses an address.
    Denied,
    /// A limit of the host was reached.
    Limit,
    /// This engine cannot do what was asked for.
    Unsupported,
    /// The URL is not one that can be fetched.
    Url,
    /// The name does not resolve.
    Resolve,
    /// No address accepted a connection.
    Connect,
    /// A time limit of the request passed.
    Timeout,
    /// The TLS handshake failed.
    Tls,
    /// The certificate was not trusted.
    Certificate,
    /// The peer closed without an answer.
    EmptyReply,
    /// The connection failed while data was sent.
    Send,
    /// The connection failed, or the framing broke, while data was received.
    Receive,
    /// The peer closed before the body was whole.
    Partial,
    /// The peer spoke something that is not HTTP.
    Protocol,
    /// The peer's answer is HTTP, but broken.
    Malformed,
}

/// Both ways between these words and those of the generated bindings, for a carrier that has a module of them in
/// scope: one list, so that no side can lack a word.
#[doc(hidden)]
#[macro_export]
macro_rules! web_words {
    ($bindings:ident) => {
        $crate::web_words!($bindings VersionChoice { Any, Http1, Http2, Http3 });
        $crate::web_words!($bindings Version { Http10, Http11, Http2, Http3 });
        $crate::web_words!($bindings Family { Any, Ipv4, Ipv6 });
        $crate::web_words!($bindings FailureKind {
            Denied, Limit, Unsupported, Url, Resolve, Connect, Timeout, Tls, Certificate, EmptyReply, Send, Receive,
            Partial, Protocol, Malformed
        });

        impl From<$bindings::Phases> for $crate::web::Phases {
            fn from(phases: $bindings::Phases) -> Self {
                let $bindings::Phases { dns_us, connect_us, tls_us, sent_us, first_byte_us } = phases;
                Self { dns_us, connect_us, tls_us, sent_us, first_byte_us }
            }
        }

        impl From<$crate::web::Phases> for $bindings::Phases {
            fn from(phases: $crate::web::Phases) -> Self {
                let $crate::web::Phases { dns_us, connect_us, tls_us, sent_us, first_byte_us } = phases;
                Self { dns_us, connect_us, tls_us, sent_us, first_byte_us }
            }
        }
    };
    ($bindings:ident $name:ident { $($word:ident),+ }) => {
        $crate::web_words!($bindings (web) $name { $($word),+ });
    };
    ($bindings:ident ($module:ident) $name:ident { $($word:ident),+ }) => {
        impl From<$bindings::$name> for $crate::$module::$name {
            fn from(word: $bindings::$name) -> Self {
                match word {
                    $($bindings::$name::$word => Self::$word,)+
                }
            }
        }

        impl From<$crate::$module::$name> for $bindings::$name {
            fn from(word: $crate::$module::$name) -> Self {
                match word {
                    $($crate::$module::$name::$word => Self::$word,)+
                }
            }
        }
    };
}
