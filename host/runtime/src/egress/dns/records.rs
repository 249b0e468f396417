//! Answers of any type, record by record. Read here and not by the library: a type that it does not know, or one
//! record that it cannot read, must not cost the others.

use std::net::SocketAddr;

use hickory_proto::rr::{Name, RecordType};
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder, DecodeError};

use super::super::limits::DNS_ANSWER_TEXT_MAX_BYTES;
use super::DnsError;
use super::message::{Ask, Asked, Reply};
use super::text::{name_text, record_text};

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Records {
    /// IANA's RCODE.
    pub(crate) code: u16,
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
}

/// One record of the class IN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) record_type: u16,
    pub(crate) ttl_s: u32,
    /// As in a zone file.
    pub(crate) text: String,
}

/// A question of any type.
#[derive(Debug)]
pub(super) struct AnyQuestion(Asked);

/// The class of the Internet.
const IN: u16 = 1;
/// QR, that this is an answer, and OPCODE, which is 0 for a query. Source: RFC 1035, section 4.1.1.
const RESPONSE_AND_OPCODE: u8 = 0b1111_1000;
const RESPONSE_TO_QUERY: u8 = 0b1000_0000;

impl AnyQuestion {
    /// `None` when DNS cannot carry the name.
    pub(super) fn new(id: u16, name: &str, record_type: u16) -> Option<Self> {
        Asked::new(id, name, RecordType::from(record_type)).map(Self)
    }

    /// `None` for what does not answer this question.
    fn message(&self, bytes: &[u8]) -> Result<Option<Records>, Unreadable> {
        let mut decoder = BinDecoder::new(bytes);
        let mut number = || decoder.read_u16().map(|number| number.unverified());
        let (_id, flags) = (number()?, number()?);
        let [questions, answers, authorities, _additional] =
            [number()?, number()?, number()?, number()?];
        let [high, low] = flags.to_be_bytes();
        let code = u16::from(low & 0b1111);
        let is_ours = match questions {
            1 => {
                let name = Name::read(&mut decoder)?;
                let record_type = decoder.read_u16()?.unverified();
                let class = decoder.read_u16()?.unverified();
                name == self.0.name && record_type == u16::from(self.0.record_type) && class == IN
            }
            // Servers that refuse or cannot read a question may leave it out.
            0 => code != 0,
            _ => false,
        };
        if !is_ours || high & RESPONSE_AND_OPCODE != RESPONSE_TO_QUERY {
            return Ok(None);
        }
        let mut room = DNS_ANSWER_TEXT_MAX_BYTES;
        let answers = section(bytes, &mut decoder, answers, &mut room)?;
        let authorities = section(bytes, &mut decoder, authorities, &mut room)?;
        Ok(Some(Records { code, answers, authorities }))
    }
}

impl Ask for AnyQuestion {
    type Answer = Records;

    fn asked(&self) -> &Asked {
        &self.0
    }

    fn read_whole(&self, bytes: &[u8], server: SocketAddr) -> Reply<Records> {
        match self.message(bytes) {
            Ok(Some(records)) => Reply::Answer(Ok(records)),
            Ok(None) | Err(Unreadable::Broken) => Reply::Stray,
            Err(Unreadable::Long) => Reply::Answer(Err(DnsError::Long(server))),
        }
    }
}

/// Why a message gives no records.
enum Unreadable {
    Broken,
    Long,
}

impl From<DecodeError> for Unreadable {
    fn from(_: DecodeError) -> Self {
        Self::Broken
    }
}

fn section(
    message: &[u8],
    decoder: &mut BinDecoder<'_>,
    count: u16,
    room: &mut usize,
) -> Result<Vec<Record>, Unreadable> {
    let mut records = Vec::new();
    for _ in 0..count {
        let name = Name::read(decoder)?;
        let record_type = decoder.read_u16()?.unverified();
        let class = decoder.read_u16()?.unverified();
        let ttl_s = decoder.read_u32()?.unverified();
        let length = usize::from(decoder.read_u16()?.unverified());
        let start = decoder.index();
        decoder.read_slice(length)?;
        if class != IN {
            continue;
        }
        let name = name_text(&name);
        let text = record_text(message, record_type, start..start + length);
        *room = room.checked_sub(name.len() + text.len()).ok_or(Unreadable::Long)?;
        records.push(Record { name, record_type, ttl_s, text });
    }
    Ok(records)
}
