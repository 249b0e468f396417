//! Questions to the DNS on a tape, and messages to its servers.

use blitz_contract::web::Family;
use serde::{Deserialize, Serialize};

use super::Deck;
use super::bytes::Piece;
use super::heard::Heard;
use crate::bindings::blitz::plugin::dns::{
    Answer, Error, Message, Question, Reply, ResourceRecord,
};

const LOOKUP: &str = "dns.lookup";
const EXCHANGE: &str = "dns.exchange";

/// One lookup, by `live` or from the tape.
pub(crate) async fn lookup(
    deck: &Deck,
    question: &Question,
    live: impl Future<Output = wasmtime::Result<Result<Answer, Error>>>,
) -> wasmtime::Result<Result<Answer, Error>> {
    if deck.is_live() {
        return live.await;
    }
    let asked = Asked::from(question);
    if let Some(heard) = deck.replay::<Heard<Found>>(LOOKUP, &asked)? {
        return Ok(heard.back(Into::into));
    }
    let answer = live.await?;
    deck.record(LOOKUP, &asked, &Heard::of(&answer, Found::from))?;
    Ok(answer)
}

/// One message, by `live` or from the tape.
pub(crate) async fn exchange(
    deck: &Deck,
    asked: &AskedMessage,
    live: impl Future<Output = wasmtime::Result<Result<Reply, Error>>>,
) -> wasmtime::Result<Result<Reply, Error>> {
    if deck.is_live() {
        return live.await;
    }
    if let Some(heard) = deck.replay::<Heard<HeardReply>>(EXCHANGE, asked)? {
        return Ok(heard.back(Into::into));
    }
    let reply = live.await?;
    deck.record(EXCHANGE, asked, &Heard::of(&reply, HeardReply::from))?;
    Ok(reply)
}

#[derive(Serialize)]
struct Asked {
    name: String,
    record_type: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolver: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
}

/// The answer to a question.
#[derive(Serialize, Deserialize)]
struct Found {
    server: String,
    code: u16,
    answers: Vec<Row>,
    authorities: Vec<Row>,
    elapsed_us: u64,
}

/// Name, type, seconds to live, text.
#[derive(Serialize, Deserialize)]
struct Row(String, u16, u32, String);

/// A message that goes out.
#[derive(Serialize)]
pub(crate) struct AskedMessage {
    bytes: Piece,
    transport: blitz_contract::dns::Transport,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    family: Family,
    verify: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
}

/// The one that answers it.
#[derive(Serialize, Deserialize)]
struct HeardReply {
    server: String,
    bytes: Piece,
    connect_us: u64,
    elapsed_us: u64,
}

impl From<&Question> for Asked {
    fn from(question: &Question) -> Self {
        let Question { name, record_type, resolver, timeout_ms } = question.clone();
        Self { name, record_type, resolver, timeout_ms }
    }
}

impl From<&ResourceRecord> for Row {
    fn from(record: &ResourceRecord) -> Self {
        let ResourceRecord { name, record_type, ttl_s, text } = record.clone();
        Self(name, record_type, ttl_s, text)
    }
}

impl From<Row> for ResourceRecord {
    fn from(Row(name, record_type, ttl_s, text): Row) -> Self {
        Self { name, record_type, ttl_s, text }
    }
}

impl From<&Answer> for Found {
    fn from(answer: &Answer) -> Self {
        Self {
            server: answer.server.clone(),
            code: answer.code,
            answers: answer.answers.iter().map(Row::from).collect(),
            authorities: answer.authorities.iter().map(Row::from).collect(),
            elapsed_us: answer.elapsed_us,
        }
    }
}

impl From<Found> for Answer {
    fn from(found: Found) -> Self {
        let Found { server, code, answers, authorities, elapsed_us } = found;
        Self {
            server,
            code,
            answers: answers.into_iter().map(Into::into).collect(),
            authorities: authorities.into_iter().map(Into::into).collect(),
            elapsed_us,
        }
    }
}

impl From<&Message> for AskedMessage {
    fn from(message: &Message) -> Self {
        Self {
            bytes: Piece::of_question(&message.bytes),
            transport: message.transport.into(),
            server: message.server.clone(),
            family: message.family.into(),
            verify: message.verify,
            timeout_ms: message.timeout_ms,
        }
    }
}

impl From<&Reply> for HeardReply {
    fn from(reply: &Reply) -> Self {
        Self {
            server: reply.server.clone(),
            bytes: Piece::new(&reply.bytes),
            connect_us: reply.connect_us,
            elapsed_us: reply.elapsed_us,
        }
    }
}

impl From<HeardReply> for Reply {
    fn from(heard: HeardReply) -> Self {
        let HeardReply { server, bytes, connect_us, elapsed_us } = heard;
        Self { server, bytes: bytes.bytes(), connect_us, elapsed_us }
    }
}
