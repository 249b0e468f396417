//! The words of one question to the DNS, and of a whole message of one's own.

use std::time::Duration;

pub use blitz_contract::dns::{Message, Reply, Transport};

/// IANA's numbers of the record types that are asked for every day.
pub mod record_type {
    /// An IPv4 address.
    pub const A: u16 = 1;
    /// A name server.
    pub const NS: u16 = 2;
    /// Another name.
    pub const CNAME: u16 = 5;
    /// The start of a zone.
    pub const SOA: u16 = 6;
    /// A name for an address.
    pub const PTR: u16 = 12;
    /// A mail exchanger.
    pub const MX: u16 = 15;
    /// Text.
    pub const TXT: u16 = 16;
    /// An IPv6 address.
    pub const AAAA: u16 = 28;
    /// A service's host and port.
    pub const SRV: u16 = 33;
    /// Which authorities may certify.
    pub const CAA: u16 = 257;
}

/// IANA's numbers of the answers that are met every day.
pub mod code {
    /// The name is there, though perhaps not with the type that was asked for.
    pub const NOERROR: u16 = 0;
    /// The server could not find out.
    pub const SERVFAIL: u16 = 2;
    /// There is no such name.
    pub const NXDOMAIN: u16 = 3;
    /// The server does not want to answer.
    pub const REFUSED: u16 = 5;
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The name, with or without its last dot.
    pub name: String,
    /// IANA's number; see [`record_type`].
    pub record_type: u16,
    /// `IP` or `IP:port` of the DNS server; none asks the engine's own resolver.
    pub resolver: Option<String>,
    /// How long to wait for an answer.
    pub timeout: Option<Duration>,
}

impl Question {
    /// A question to the engine's own resolver.
    #[must_use]
    pub fn new(name: &str, record_type: u16) -> Self {
        Self { name: name.to_owned(), record_type, resolver: None, timeout: None }
    }
}

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Who answered, as `IP:port`.
    pub server: String,
    /// IANA's RCODE; see [`code`].
    pub code: u16,
    /// The answer section.
    pub answers: Vec<Record>,
    /// The authority section.
    pub authorities: Vec<Record>,
    /// From the question to the answer.
    pub elapsed: Duration,
}

impl Answer {
    /// The texts of the answers of this type. A name that stands for another one is answered with a `CNAME` too.
    pub fn texts(&self, record_type: u16) -> impl Iterator<Item = &str> {
        let fits = move |record: &&Record| record.record_type == record_type;
        self.answers.iter().filter(fits).map(|record| record.text.as_str())
    }
}

/// One record of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose record it is.
    pub name: String,
    /// IANA's number.
    pub record_type: u16,
    /// How long it may be kept, in seconds.
    pub ttl_s: u32,
    /// As in a zone file: `10 mail.example.com.`
    pub text: String,
}
