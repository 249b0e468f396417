//! What happened so far, for `-w` and the records: sizes, times and the latest answer.

use std::time::Duration;

use blitz_plugin::web::{Answer, Connection, Headers, Phases, Request, Version};

use crate::exit::Problem;
use crate::request::Hop;
use crate::url::Url;

/// The whole transfer, over all hops.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// The request of the latest hop; `None` when none was made.
    pub(crate) asked: Option<Asked>,
    /// The answer to it; `None` when there was none.
    pub(crate) answered: Option<Answered>,
    /// Sums over the hops, as curl counts them.
    pub(crate) times: Times,
    pub(crate) redirects_count: u64,
    /// Where the latest answer points to, followed or not.
    pub(crate) redirect_url: Option<Url>,
    /// Heads of all answers.
    pub(crate) header_bytes: u64,
    /// Of the latest body.
    pub(crate) body_bytes: u64,
    /// The latest hop alone, to the end of its body.
    pub(crate) hop_total_us: u64,
    pub(crate) problem: Option<Problem>,
}

/// A request that was made.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) url: Url,
    pub(crate) method: String,
    pub(crate) referer: Option<String>,
    pub(crate) head_bytes: u64,
    pub(crate) body_bytes: u64,
}

/// The head of an answer.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) version: Version,
    pub(crate) headers: Headers,
    pub(crate) phases: Phases,
    pub(crate) connection: Connection,
}

/// Microseconds, each from the start of its hop, added over the hops.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Times {
    pub(crate) name_lookup_us: u64,
    pub(crate) connect_us: u64,
    pub(crate) app_connect_us: u64,
    pub(crate) pre_transfer_us: u64,
    pub(crate) start_transfer_us: u64,
    pub(crate) redirect_us: u64,
    pub(crate) total_us: u64,
}

impl Stats {
    /// A hop begins: what the one before it left is history.
    pub(crate) fn ask(&mut self, hop: &Hop, request: &Request) {
        let line = request.method.len() + hop.url.target().len() + " HTTP/1.1\r\n ".len();
        let body_bytes = request.body.as_ref().map_or(0, Vec::len);
        self.answered = None;
        self.redirect_url = None;
        self.body_bytes = 0;
        self.hop_total_us = 0;
        self.asked = Some(Asked {
            url: hop.url.clone(),
            method: request.method.clone(),
            referer: hop.referer.clone(),
            head_bytes: count(line + headers_length(&request.headers)),
            body_bytes: count(body_bytes),
        });
    }

    /// The head of its answer came; `head_bytes` as printed.
    pub(crate) fn hear(&mut self, answer: &Answer, head_bytes: usize) {
        let phases = answer.phases;
        self.times.name_lookup_us += phases.dns_us;
        self.times.connect_us += phases.connect_us;
        if answer.connection.tls.is_some() {
            self.times.app_connect_us += phases.tls_us;
        }
        self.times.pre_transfer_us += phases.tls_us;
        self.times.start_transfer_us += phases.first_byte_us;
        self.header_bytes += count(head_bytes);
        self.answered = Some(Answered {
            status: answer.status,
            version: answer.version,
            headers: answer.headers.clone(),
            phases,
            connection: answer.connection.clone(),
        });
    }

    /// The hop ended with an answer.
    pub(crate) fn end(&mut self, total_us: u64) {
        self.hop_total_us = total_us;
        self.times.total_us += total_us;
    }

    /// The hop ended without an answer.
    pub(crate) fn end_early(&mut self, elapsed: Duration) {
        self.times.total_us += u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    }

    /// The latest answer sent the transfer on.
    pub(crate) fn redirect(&mut self) {
        self.redirects_count += 1;
        self.times.redirect_us = self.times.total_us;
    }

    /// A header of the latest answer.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let headers = &self.answered.as_ref()?.headers;
        let (_, value) = headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(String::from_utf8_lossy(value).into_owned())
    }
}

/// `Name: value` and a line end each, and the empty line.
fn headers_length(headers: &Headers) -> usize {
    headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>() + 2
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
