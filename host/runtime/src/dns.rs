//! The import `dns`: one question to the DNS, of any type. Needs the grant `dns`.
//!
//! The question is asked by [`crate::egress`], as every connection is made there.

use std::time::Duration;

use blitz_contract::Capability;

use crate::bindings::blitz::plugin::dns::{Answer, Error, Host, Question, ResourceRecord};
use crate::doing::Activity;
use crate::egress::{EgressError, Found, Query, Record};
use crate::job::Job;
use crate::tape;

impl Host for Job {
    async fn lookup(&mut self, question: Question) -> wasmtime::Result<Result<Answer, Error>> {
        if let Err(denial) = self.granted(&Capability::Dns) {
            return Ok(Err(Error::Denied(denial)));
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
            elapsed_us: u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
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
