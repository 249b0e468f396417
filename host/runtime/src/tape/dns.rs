//! A question to the DNS on a tape.

use serde::{Deserialize, Serialize};

use super::Deck;
use crate::bindings::blitz::plugin::dns::{Answer, Error, Question, ResourceRecord};

const IMPORT: &str = "dns.lookup";

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
    if let Some(heard) = deck.replay::<Heard>(IMPORT, &asked)? {
        return Ok(heard.into());
    }
    let answer = live.await?;
    deck.record(IMPORT, &asked, &Heard::from(&answer))?;
    Ok(answer)
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

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Heard {
    Answer { server: String, code: u16, answers: Vec<Row>, authorities: Vec<Row>, elapsed_us: u64 },
    Denied(String),
    Limit(String),
    Failed(String),
}

/// Name, type, seconds to live, text.
#[derive(Serialize, Deserialize)]
struct Row(String, u16, u32, String);

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

impl From<&Result<Answer, Error>> for Heard {
    fn from(heard: &Result<Answer, Error>) -> Self {
        match heard {
            Ok(answer) => Self::Answer {
                server: answer.server.clone(),
                code: answer.code,
                answers: answer.answers.iter().map(Row::from).collect(),
                authorities: answer.authorities.iter().map(Row::from).collect(),
                elapsed_us: answer.elapsed_us,
            },
            Err(Error::Denied(text)) => Self::Denied(text.clone()),
            Err(Error::Limit(text)) => Self::Limit(text.clone()),
            Err(Error::Failed(text)) => Self::Failed(text.clone()),
        }
    }
}

impl From<Heard> for Result<Answer, Error> {
    fn from(heard: Heard) -> Self {
        match heard {
            Heard::Answer { server, code, answers, authorities, elapsed_us } => Ok(Answer {
                server,
                code,
                answers: answers.into_iter().map(Into::into).collect(),
                authorities: authorities.into_iter().map(Into::into).collect(),
                elapsed_us,
            }),
            Heard::Denied(text) => Err(Error::Denied(text)),
            Heard::Limit(text) => Err(Error::Limit(text)),
            Heard::Failed(text) => Err(Error::Failed(text)),
        }
    }
}
