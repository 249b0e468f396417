//! The import `events`: structured records beside stdout. Needs no grant.

use blitz_contract::Stream;
use blitz_contract::frame::{EVENT_KIND_BYTES_MAX, is_event_kind};
use blitz_contract::load::{OPENING_EVENT, TICK_EVENT};
use serde::de::IgnoredAny;

use crate::bindings::blitz::plugin::events::{Error, Host};
use crate::bindings::blitz::plugin::types;
use crate::job::Job;
use crate::limits::EVENT_MAX_BYTES;

/// Kinds that no plugin makes: whoever reads them relies on the host's word.
const HOSTS_OWN: [&str; 2] = [TICK_EVENT, OPENING_EVENT];

impl types::Host for Job {}

impl Host for Job {
    async fn emit(&mut self, kind: String, body: String) -> wasmtime::Result<Result<(), Error>> {
        if let Err(error) = check(&kind, &body) {
            return Ok(Err(error));
        }
        self.outlet.give(&Stream::Event(kind), body.as_bytes()).await?;
        Ok(Ok(()))
    }
}

fn check(kind: &str, body: &str) -> Result<(), Error> {
    if HOSTS_OWN.contains(&kind) {
        return Err(Error::Denied(format!(
            "events of the kind {kind:?} are the host's own: they say what a load test did"
        )));
    }
    if !is_event_kind(kind) {
        return Err(Error::Failed(format!(
            "an event's kind is 1 to {EVENT_KIND_BYTES_MAX} of a-z, 0-9 and -, not {:?}",
            kind.chars().take(EVENT_KIND_BYTES_MAX).collect::<String>()
        )));
    }
    if body.len() > EVENT_MAX_BYTES {
        return Err(Error::Limit(format!(
            "an event has at most {EVENT_MAX_BYTES} bytes, {kind:?} has {}",
            body.len()
        )));
    }
    match serde_json::from_str::<IgnoredAny>(body) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::Failed(format!("the event {kind:?} is not JSON: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_checked() {
        let long_kind = "k".repeat(EVENT_KIND_BYTES_MAX + 1);
        let long_body = format!("\"{}\"", "x".repeat(EVENT_MAX_BYTES));
        for (kind, body, wanted) in [
            ("hop", "{\"ttl\": 1}", ""),
            ("http-phase2", "null", ""),
            ("", "1", "an event's kind"),
            ("Hop", "1", "an event's kind"),
            ("a:b", "1", "an event's kind"),
            (long_kind.as_str(), "1", "an event's kind"),
            ("hop", "", "the event \"hop\" is not JSON"),
            ("hop", "{} {}", "the event \"hop\" is not JSON"),
            ("load-tick", "{}", "events of the kind \"load-tick\" are the host's own"),
            ("load-open", "{}", "events of the kind \"load-open\" are the host's own"),
            ("hop", long_body.as_str(), "an event has at most 65536 bytes"),
        ] {
            let text = match check(kind, body) {
                Ok(()) => String::new(),
                Err(Error::Limit(text) | Error::Failed(text) | Error::Denied(text)) => text,
            };
            assert!(
                text.starts_with(wanted) && text.is_empty() == wanted.is_empty(),
                "{kind}: {text}"
            );
        }
    }
}
