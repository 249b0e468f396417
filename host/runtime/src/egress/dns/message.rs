//! The question for addresses as bytes, and what bytes from the network say to it.

use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};

use super::super::Family;
use super::super::limits::DNS_ALIASES_MAX;
use super::DnsError;

/// Which records are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddressType {
    A,
    Aaaa,
}

/// One question, with the id that its answer must have.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) wanted: AddressType,
    id: u16,
    name: Name,
    bytes: Vec<u8>,
}

/// What a message is to a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Not its answer: another id, another question, or no DNS message.
    Stray,
    /// Its answer did not fit.
    Truncated,
    Answer(Result<Vec<IpAddr>, DnsError>),
}

impl Question {
    /// `None` when DNS cannot carry the name.
    pub(super) fn new(id: u16, name: &str, wanted: AddressType) -> Option<Self> {
        let mut name = Name::from_ascii(name).ok().filter(|name| !name.is_root())?;
        // No search lists: the name is what it is.
        name.set_fqdn(true);
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(name.clone(), wanted.record_type()));
        let bytes = message.to_vec().ok()?;
        Some(Self { wanted, id, name, bytes })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads what came from the server.
    pub(super) fn read(&self, bytes: &[u8], server: SocketAddr) -> Reply {
        // Before the message as a whole: what is cut off cannot always be decoded to its end.
        match bytes {
            [first, second, flags, ..]
                if u16::from_be_bytes([*first, *second]) == self.id && flags & TRUNCATED != 0 =>
            {
                return Reply::Truncated;
            }
            _ => {}
        }
        let Ok(message) = Message::from_vec(bytes) else { return Reply::Stray };
        let metadata = &message.metadata;
        let is_ours = metadata.id == self.id
            && metadata.message_type == MessageType::Response
            && metadata.op_code == OpCode::Query;
        let asked = match message.queries.as_slice() {
            [query] => {
                query.name == self.name
                    && query.query_type == self.wanted.record_type()
                    && query.query_class == DNSClass::IN
            }
            // Servers that refuse or cannot read a question may leave it out.
            [] => metadata.response_code != ResponseCode::NoError,
            _ => false,
        };
        if !is_ours || !asked {
            return Reply::Stray;
        }
        Reply::Answer(match metadata.response_code {
            ResponseCode::NoError => self.addresses(&message, server),
            ResponseCode::NXDomain => Err(DnsError::NoName(server)),
            ResponseCode::ServFail => Err(DnsError::Failed(server)),
            ResponseCode::Refused => Err(DnsError::Refused(server)),
            code => Err(DnsError::Code { server, code: code.to_string() }),
        })
    }

    /// Follows the aliases inside the answer, and takes the addresses at their end.
    fn addresses(&self, message: &Message, server: SocketAddr) -> Result<Vec<IpAddr>, DnsError> {
        let mut name = &self.name;
        for _ in 0..=DNS_ALIASES_MAX {
            let mut alias = None;
            let mut addresses = Vec::new();
            let records = message.answers.iter().filter(|record| record.dns_class == DNSClass::IN);
            for record in records.filter(|record| record.name == *name) {
                match (&record.data, self.wanted) {
                    (RData::A(a), AddressType::A) => addresses.push(IpAddr::V4(a.0)),
                    (RData::AAAA(aaaa), AddressType::Aaaa) => addresses.push(IpAddr::V6(aaaa.0)),
                    (RData::CNAME(target), _) => alias = alias.or(Some(&target.0)),
                    _ => {}
                }
            }
            match alias {
                _ if !addresses.is_empty() => return Ok(addresses),
                None => return Err(DnsError::NoData { server, family: self.wanted.family() }),
                Some(target) => name = target,
            }
        }
        Err(DnsError::Aliases(server))
    }
}

/// The flag TC in the third byte of a message. Source: RFC 1035, section 4.1.1.
const TRUNCATED: u8 = 0b10;

impl AddressType {
    fn record_type(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
        }
    }

    fn family(self) -> Family {
        match self {
            Self::A => Family::Ipv4,
            Self::Aaaa => Family::Ipv6,
        }
    }
}
