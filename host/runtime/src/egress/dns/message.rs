//! Questions as bytes, and what bytes from the network say to them. Here is what every question has, and those for
//! addresses; `records` reads the answers of all other types.

use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};

use super::super::Family;
use super::super::limits::DNS_ALIASES_MAX;
use super::DnsError;

/// A question on its way, with the id that its answer must have.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) id: u16,
    pub(super) name: Name,
    pub(super) record_type: RecordType,
    bytes: Vec<u8>,
}

/// A question that can read its answer.
pub(super) trait Ask {
    type Answer;

    fn asked(&self) -> &Asked;

    /// Reads a message that has our id and is whole.
    fn read_whole(&self, bytes: &[u8], server: SocketAddr) -> Reply<Self::Answer>;

    fn bytes(&self) -> &[u8] {
        &self.asked().bytes
    }

    /// Reads what came from the server.
    fn read(&self, bytes: &[u8], server: SocketAddr) -> Reply<Self::Answer> {
        match bytes {
            [first, second, flags, ..]
                if u16::from_be_bytes([*first, *second]) == self.asked().id =>
            {
                // Before the message as a whole: what is cut off cannot always be decoded to its end.
                if flags & TRUNCATED != 0 {
                    return Reply::Truncated;
                }
                self.read_whole(bytes, server)
            }
            _ => Reply::Stray,
        }
    }
}

/// What a message is to a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply<T> {
    /// Not its answer: another id, another question, or no DNS message.
    Stray,
    /// Its answer did not fit.
    Truncated,
    Answer(Result<T, DnsError>),
}

impl Asked {
    /// `None` when DNS cannot carry the name.
    pub(super) fn new(id: u16, name: &str, record_type: RecordType) -> Option<Self> {
        if name.is_empty() {
            return None;
        }
        let mut name = Name::from_ascii(name).ok()?;
        // No search lists: the name is what it is.
        name.set_fqdn(true);
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(name.clone(), record_type));
        let bytes = message.to_vec().ok()?;
        Some(Self { id, name, record_type, bytes })
    }
}

/// Which records are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddressType {
    A,
    Aaaa,
}

/// A question for addresses.
#[derive(Debug)]
pub(super) struct Question {
    wanted: AddressType,
    asked: Asked,
}

impl Question {
    /// `None` when DNS cannot carry the name, or it is the root, which has no address.
    pub(super) fn new(id: u16, name: &str, wanted: AddressType) -> Option<Self> {
        let asked = Asked::new(id, name, wanted.record_type())?;
        (!asked.name.is_root()).then_some(Self { wanted, asked })
    }
}

impl Ask for Question {
    type Answer = Vec<IpAddr>;

    fn asked(&self) -> &Asked {
        &self.asked
    }

    fn read_whole(&self, bytes: &[u8], server: SocketAddr) -> Reply<Vec<IpAddr>> {
        let Ok(message) = Message::from_vec(bytes) else { return Reply::Stray };
        let metadata = &message.metadata;
        let is_ours = metadata.id == self.asked.id
            && metadata.message_type == MessageType::Response
            && metadata.op_code == OpCode::Query;
        let is_answered = match message.queries.as_slice() {
            [query] => {
                query.name == self.asked.name
                    && query.query_type == self.asked.record_type
                    && query.query_class == DNSClass::IN
            }
            // Servers that refuse or cannot read a question may leave it out.
            [] => metadata.response_code != ResponseCode::NoError,
            _ => false,
        };
        if !is_ours || !is_answered {
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
}

impl Question {
    /// Follows the aliases inside the answer, and takes the addresses at their end.
    fn addresses(&self, message: &Message, server: SocketAddr) -> Result<Vec<IpAddr>, DnsError> {
        let mut name = &self.asked.name;
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
