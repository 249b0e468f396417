//! The words of one exchange with a DNS server, as a plugin, the frames of a native one and a tape have them. The WIT
//! text is `interface dns`.

use serde::{Deserialize, Serialize};

use crate::web::Family;

/// How a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// One datagram each way. A truncated answer comes as it is.
    #[default]
    Udp,
    /// A connection of its own.
    Tcp,
    /// DNS over TLS. Source: RFC 7858.
    Tls,
    /// DNS over HTTPS, by POST. Source: RFC 8484.
    Https,
}

/// One message to a server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Message {
    /// Whole, without the length that TCP puts before it: a query of one question in at most 4096 bytes, whose records
    /// are all in its additional section (EDNS). An answer must match its id and its question.
    pub bytes: Vec<u8>,
    /// How it travels.
    pub transport: Transport,
    /// `IP`, a name, either with `:port`; for [`Transport::Https`] a URL or what stands between `https://` and
    /// `/dns-query`. `None` asks the engine's own resolver, by UDP or TCP, for anything but a zone transfer.
    pub server: Option<String>,
    /// Which address of a server's name is asked.
    pub family: Family,
    /// True accepts any certificate.
    pub is_insecure: bool,
    /// How long to wait for the answer.
    pub timeout_ms: Option<u64>,
}

/// What a server sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// Who answered, as `IP:port`.
    pub server: String,
    /// Whole.
    pub bytes: Vec<u8>,
    /// Until the way to the server stood: its name was looked up, TCP connected, TLS agreed on.
    pub connect_us: u64,
    /// From there to the answer.
    pub elapsed_us: u64,
}
