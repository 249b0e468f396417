//! The import `dns`: one question to the DNS, of any type, and whole messages of a plugin's own. Needs the grant `dns`.
//!
//! The question is asked by [`crate::egress`], as every connection is made there. A message is an `ask` to a `server`;
//! `exchange` carries it over UDP, TCP and TLS, `https` over HTTP.

mod ask;
mod exchange;
mod https;
mod limits;
mod server;
#[cfg(test)]
mod tests;

use std::time::Duration;

use blitz_contract::Capability;

use crate::bindings::blitz::plugin::dns as words;
use crate::bindings::blitz::plugin::dns::{
    Answer, Error, Host, Message, Question, Reply, ResourceRecord,
};
use crate::doing::Activity;
use crate::egress::{EgressError, Found, Query, Record};
use crate::http::Failure;
use crate::job::Job;
use crate::tape;

impl Host for Job {
    async fn lookup(&mut self, question: Question) -> wasmtime::Result<Result<Answer, Error>> {
        if let Err(denial) = self.granted(&Capability::Dns) {
            return Ok(Err(Error::Denied(denial)));
        }
        if question.resolver.is_none()
            && let Err(refused) = ask::check_own(question.record_type)
        {
            return Ok(Err(refused));
        }
        let query = Query {
            name: &question.name,
            record_type: question.record_type,
            resolver: question.resolver.as_deref(),
            timeout: question.timeout_ms.map(Duration::from_millis),
        };
        let asking = async {
            // A large future, which lives on the heap and not on the guest's stack.
            let asking = Box::pin(self.http.egress().query(query));
            let found = self.doing.during(Activity::Lookup, asking).await;
            Ok(found.map(Into::into).map_err(Into::into))
        };
        tape::dns::lookup(&self.tape, &question, asking).await
    }

    async fn exchange(&mut self, message: Message) -> wasmtime::Result<Result<Reply, Error>> {
        if let Err(denial) = self.granted(&Capability::Dns) {
            return Ok(Err(Error::Denied(denial)));
        }
        let asked = tape::dns::AskedMessage::from(&message);
        let asking = async {
            // On the heap, as above.
            let asking = Box::pin(exchange::exchange(&self.http, message));
            Ok(self.doing.during(Activity::Lookup, asking).await)
        };
        tape::dns::exchange(&self.tape, &asked, asking).await
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Why there is no TLS, or no answer by HTTP.
fn refusal(failure: Failure) -> Error {
    match failure {
        Failure::Denied(text) => Error::Denied(text),
        Failure::Limit(text) => Error::Limit(text),
        failure => Error::Failed(failure.to_string()),
    }
}

// For the frames of native plugins, and for tapes.
blitz_contract::web_words!(words (dns) Transport { Udp, Tcp, Tls, Https });

impl From<blitz_contract::dns::Message> for Message {
    fn from(message: blitz_contract::dns::Message) -> Self {
        let blitz_contract::dns::Message {
            bytes,
            transport,
            server,
            family,
            is_insecure,
            timeout_ms,
        } = message;
        Self {
            bytes,
            transport: transport.into(),
            server,
            family: family.into(),
            verify: !is_insecure,
            timeout_ms,
        }
    }
}

impl From<Reply> for blitz_contract::dns::Reply {
    fn from(reply: Reply) -> Self {
        let Reply { server, bytes, connect_us, elapsed_us } = reply;
        Self { server, bytes, connect_us, elapsed_us }
    }
}

impl From<Found> for Answer {
    fn from(found: Found) -> Self {
        let Found { server, records, elapsed } = found;
        let section = |records: Vec<Record>| records.into_iter().map(Into::into).collect();
        Self {
            server: server.to_string(),
            code: records.code,
            answers: section(records.answers),
            authorities: section(records.authorities),
            elapsed_us: microseconds(elapsed),
        }
    }
}

impl From<Record> for ResourceRecord {
    fn from(record: Record) -> Self {
        let Record { name, record_type, ttl_s, text } = record;
        Self { name, record_type, ttl_s, text }
    }
}

impl From<EgressError> for Error {
    fn from(error: EgressError) -> Self {
        match error {
            EgressError::Denied(denied) => Self::Denied(denied.to_string()),
            EgressError::Resolve(text)
            | EgressError::Connect(text)
            | EgressError::Malformed(text) => Self::Failed(text),
        }
    }
}
