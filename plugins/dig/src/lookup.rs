//! One question: what is asked, of whom and how, and what is shown of the answer.

use std::net::IpAddr;
use std::time::Duration;

use blitz_plugin::dns::Transport;
use blitz_plugin::web::Family;

use crate::numbers;

/// One question, where it goes and what is shown of the answer.
#[derive(Debug, Clone)]
pub(crate) struct Lookup {
    /// As in a zone file.
    pub(crate) name: String,
    pub(crate) kind: u16,
    pub(crate) class: u16,
    /// As typed; none is the engine's own resolver.
    pub(crate) server: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) family: Family,
    /// None when nobody says: UDP, and TCP for all types at once, as in dig.
    pub(crate) chosen: Option<Transport>,
    pub(crate) https_path: Option<String>,
    /// Of the header, without those of a reply.
    pub(crate) flags: u16,
    pub(crate) edns: Option<Edns>,
    /// Whether a server's certificate must be trusted; as in dig it need not be.
    pub(crate) is_verified: bool,
    /// A truncated answer is taken as it is.
    pub(crate) ignores_truncation: bool,
    pub(crate) timeout: Duration,
    pub(crate) tries: u32,
    pub(crate) is_trace: bool,
    pub(crate) shows: Shows,
}

/// What the query's OPT record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edns {
    pub(crate) version: u8,
    /// A version that the server does not know is asked for no more.
    pub(crate) negotiates: bool,
    pub(crate) udp_bytes: u16,
    pub(crate) wants_dnssec: bool,
    pub(crate) wants_nsid: bool,
    pub(crate) sends_cookie: bool,
    /// In place of random bytes.
    pub(crate) cookie: Option<Vec<u8>>,
    pub(crate) subnet: Option<(IpAddr, u8)>,
}

/// What is printed.
#[derive(Debug, Clone)]
pub(crate) struct Shows {
    pub(crate) command: bool,
    pub(crate) comments: bool,
    pub(crate) question: bool,
    pub(crate) sections: [bool; 3],
    pub(crate) stats: bool,
    pub(crate) ttl: bool,
    pub(crate) class: bool,
    pub(crate) short: bool,
    pub(crate) identity: bool,
    pub(crate) query: bool,
    pub(crate) microseconds: bool,
}

pub(crate) const FLAG_AA: u16 = 0x0400;
pub(crate) const FLAG_RD: u16 = 0x0100;
pub(crate) const FLAG_AD: u16 = 0x0020;
pub(crate) const FLAG_CD: u16 = 0x0010;

impl Default for Edns {
    fn default() -> Self {
        Self {
            version: 0,
            negotiates: true,
            udp_bytes: 1232,
            wants_dnssec: false,
            wants_nsid: false,
            sends_cookie: true,
            cookie: None,
            subnet: None,
        }
    }
}

impl Default for Lookup {
    fn default() -> Self {
        Self {
            name: ".".to_owned(),
            kind: numbers::A,
            class: 1,
            server: None,
            port: None,
            family: Family::Any,
            chosen: None,
            https_path: None,
            flags: FLAG_RD | FLAG_AD,
            edns: Some(Edns::default()),
            is_verified: false,
            ignores_truncation: false,
            timeout: Duration::from_secs(5),
            tries: 3,
            is_trace: false,
            shows: Shows {
                command: true,
                comments: true,
                question: true,
                sections: [true; 3],
                stats: true,
                ttl: true,
                class: true,
                short: false,
                identity: false,
                query: false,
                microseconds: false,
            },
        }
    }
}

impl Lookup {
    /// Sets a flag of the header, or takes it away.
    pub(crate) fn flag(&mut self, flag: u16, is_on: bool) {
        self.flags = if is_on { self.flags | flag } else { self.flags & !flag };
    }

    /// How it travels.
    pub(crate) fn transport(&self) -> Transport {
        let all_types = self.kind == numbers::ANY;
        self.chosen.unwrap_or(if all_types { Transport::Tcp } else { Transport::Udp })
    }

    /// `+TRANSPORT` and `+noTRANSPORT`.
    pub(crate) fn travel(&mut self, transport: Transport, is_on: bool) {
        if is_on {
            self.chosen = Some(transport);
        } else if self.transport() == transport || self.chosen.is_none() {
            self.chosen = Some(Transport::Udp);
        }
    }

    /// What asks for EDNS brings it back after `+noedns`.
    pub(crate) fn edns(&mut self) -> &mut Edns {
        self.edns.get_or_insert_default()
    }
}
