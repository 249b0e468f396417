//! The JSON of exchanges, lookups and what else a native plugin asks, as it writes and reads it.
//!
//! Bytes that are mostly text (header values, reasons, certificates) are strings whose characters are U+0000 to
//! U+00FF, one for each byte: lossless, and readable where it is text.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use crate::web::{FailureKind, Family, Phases, Version, VersionChoice};

/// Bytes as a string of as many characters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ByteText(pub Vec<u8>);

impl Serialize for ByteText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.iter().copied().map(char::from).collect::<String>())
    }
}

impl<'de> Deserialize<'de> for ByteText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
        bytes.map(Self).map_err(|_| serde::de::Error::custom("a character beyond U+00FF"))
    }
}

/// One HTTP request; its body travels beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the WIT has the words: interface web, record request")]
pub struct Request {
    #[serde(default = "get")]
    pub method: String,
    pub url: String,
    #[serde(default)]
    pub headers: Vec<(String, ByteText)>,
    #[serde(default)]
    pub version: VersionChoice,
    #[serde(default = "yes")]
    pub verify: bool,
    #[serde(default)]
    pub roots: Option<ByteText>,
    #[serde(default)]
    pub family: Family,
    #[serde(default)]
    pub connect_to: Option<(String, u16)>,
    #[serde(default)]
    pub addresses: Vec<String>,
    #[serde(default)]
    pub resolver: Option<String>,
    #[serde(default)]
    pub connect_timeout_ms: Option<u64>,
    #[serde(default)]
    pub timeout_ms: Option<u64>,
}

fn get() -> String {
    "GET".to_owned()
}

fn yes() -> bool {
    true
}

/// The head of an answer; `body` is the handle that its body is read by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the WIT has the words: interface web, record answer")]
pub struct Answer {
    pub status: u16,
    pub reason: ByteText,
    pub version: Version,
    pub headers: Vec<(String, ByteText)>,
    pub phases: Phases,
    pub connection: Connection,
    pub body: u64,
}

/// The way to a server, as far as it was gone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the WIT has the words: interface web, record connection")]
pub struct Connection {
    pub resolver: Option<String>,
    pub addresses: Vec<String>,
    pub remote: Option<String>,
    pub local: Option<String>,
    pub tls: Option<Tls>,
}

/// What a handshake showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the WIT has the words: interface web, record tls")]
pub struct Tls {
    pub protocol: String,
    pub cipher: String,
    pub alpn: Option<String>,
    pub verdict: String,
    pub certificates: Vec<ByteText>,
}

/// Where an exchange ended too early.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the WIT has the words: interface web, record failure")]
pub struct Failure {
    pub kind: FailureKind,
    pub text: String,
    pub phases: Phases,
    pub connection: Connection,
}

/// One question to the DNS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the WIT has the words: interface dns, record question")]
pub struct Question {
    pub name: String,
    pub record_type: u16,
    #[serde(default)]
    pub resolver: Option<String>,
    #[serde(default)]
    pub timeout_ms: Option<u64>,
}

/// What a DNS server said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the WIT has the words: interface dns, record answer")]
pub struct Answers {
    pub server: String,
    pub code: u16,
    pub answers: Vec<ResourceRecord>,
    pub authorities: Vec<ResourceRecord>,
    pub elapsed_us: u64,
}

/// One record of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the WIT has the words: interface dns, record resource-record")]
pub struct ResourceRecord {
    pub name: String,
    pub record_type: u16,
    pub ttl_s: u32,
    pub text: String,
}

/// The imports that [`ask`](crate::native::HostTable::ask) reaches, with their questions and answers.
pub mod ask {
    use std::net::IpAddr;

    use serde::{Deserialize, Serialize};

    use crate::probes::Probe;

    /// A [`Message`](crate::dns::Message), answered with a [`Reply`](crate::dns::Reply). Needs the grant `dns`.
    pub const DNS_EXCHANGE: &str = "dns.exchange";
    /// A list of IP addresses, answered with a list of [`Network`](crate::probes::Network) or null.
    pub const NETWORKS_WHOSE: &str = "networks.whose";
    /// A [`Target`](crate::probes::Target), answered with an [`Opened`]. Needs the grant `probes`.
    pub const PROBES_OPEN: &str = "probes.open";
    /// A [`Send`], answered with null.
    pub const PROBES_SEND: &str = "probes.send";
    /// A [`Next`], answered with a list of [`Answer`](crate::probes::Answer).
    pub const PROBES_NEXT: &str = "probes.next";
    /// A [`Names`], answered with a list of texts or null.
    pub const PROBES_NAMES: &str = "probes.names";
    /// An [`Of`], answered with the microseconds since the session was opened.
    pub const PROBES_ELAPSED: &str = "probes.elapsed";
    /// An [`Of`], answered with null.
    pub const PROBES_CLOSE: &str = "probes.close";

    /// A [`Plan`](crate::load::Plan), answered with a [`Started`] when the test has begun. Needs the grant `load`.
    pub const LOAD_START: &str = "load.start";
    /// An [`OfTest`], answered with an [`Opening`](crate::load::Opening).
    pub const LOAD_OPENING: &str = "load.opening";
    /// A [`NextTicks`], answered with a list of [`Tick`](crate::load::Tick).
    pub const LOAD_NEXT: &str = "load.next";
    /// An [`OfTest`], answered with null: nothing more is sent, and the last ticks follow.
    pub const LOAD_STOP: &str = "load.stop";
    /// An [`OfTest`], answered with null: the test is stopped and given back.
    pub const LOAD_CLOSE: &str = "load.close";

    /// All of them.
    pub const IMPORTS: [&str; 13] = [
        DNS_EXCHANGE,
        NETWORKS_WHOSE,
        PROBES_OPEN,
        PROBES_SEND,
        PROBES_NEXT,
        PROBES_NAMES,
        PROBES_ELAPSED,
        PROBES_CLOSE,
        LOAD_START,
        LOAD_OPENING,
        LOAD_NEXT,
        LOAD_STOP,
        LOAD_CLOSE,
    ];

    /// A session of probes; its number is known to this plugin alone, until it closes it.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[expect(missing_docs, reason = "the WIT has the words: interface probes, resource session")]
    pub struct Opened {
        pub session: u64,
        pub address: IpAddr,
        pub source: IpAddr,
        pub mtu: u32,
    }

    /// What concerns a session, and nothing else.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[expect(missing_docs, reason = "its type has them")]
    pub struct Of {
        pub session: u64,
    }

    /// Probes of a session.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[expect(missing_docs, reason = "the WIT has the words: session.send")]
    pub struct Send {
        pub session: u64,
        pub probes: Vec<Probe>,
    }

    /// A wait for answers.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[expect(missing_docs, reason = "the WIT has the words: session.next")]
    pub struct Next {
        pub session: u64,
        pub wait_us: u64,
    }

    /// A wait for names.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[expect(missing_docs, reason = "the WIT has the words: session.names")]
    pub struct Names {
        pub session: u64,
        pub addresses: Vec<String>,
        pub wait_ms: u64,
    }

    /// A load test that has begun; its number is known to this plugin alone, until it closes it.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[expect(missing_docs, reason = "its type has them")]
    pub struct Started {
        pub test: u64,
    }

    /// What concerns a load test, and nothing else.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[expect(missing_docs, reason = "its type has them")]
    pub struct OfTest {
        pub test: u64,
    }

    /// A wait for ticks.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[expect(missing_docs, reason = "the WIT has the words: test.next")]
    pub struct NextTicks {
        pub test: u64,
        pub wait_ms: u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_as_a_character() {
        let all = ByteText((0..=255).collect());
        let json = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<ByteText>(&json).unwrap(), all);
        assert!(serde_json::from_str::<ByteText>("\"\u{100}\"").is_err());
    }

    #[test]
    fn a_url_is_a_whole_request() {
        let request: Request = serde_json::from_str(r#"{"url":"http://h/"}"#).unwrap();
        assert_eq!((request.method.as_str(), request.verify), ("GET", true));
    }
}
