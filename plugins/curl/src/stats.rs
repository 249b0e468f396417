//! What happened so far, for `-w`, `--timing` and the records: sizes, times and the latest answer.

use std::time::Duration;

use blitz_plugin::web::{
    Answer, Connection, Failure, FailureKind, Headers, Phases, Request, Version,
};

use crate::exit::Problem;
use crate::request::Hop;
use crate::spans::Spans;
use crate::url::{Scheme, Url};

/// Hops whose spans are kept for `--timing`; sums go on beyond. As many as curl follows by itself, and then some.
const HOPS_KEPT_MAX: usize = 64;

/// The whole transfer, over all hops of its latest attempt.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// The request of the latest hop; `None` when none was made.
    pub(crate) asked: Option<Asked>,
    /// The answer to it; `None` when there was none.
    pub(crate) answered: Option<Answered>,
    /// The answer before it, which curl's variables tell of when the latest hop has none.
    pub(crate) answered_before: Option<Answered>,
    /// The way to the latest hop, as far as it was gone.
    pub(crate) connection: Connection,
    /// The connection before it, for the same reason.
    pub(crate) connection_before: Connection,
    /// Of the latest hop, as the host gave them.
    pub(crate) phases: Phases,
    /// Sums over the hops, as curl counts them.
    pub(crate) times: Times,
    /// Of the latest hop.
    pub(crate) hop_spans: Spans,
    /// Sums over the hops.
    pub(crate) spans: Spans,
    /// The first hops.
    pub(crate) hops: Vec<PassedHop>,
    pub(crate) hops_count: u64,
    pub(crate) redirects_count: u64,
    /// Attempts after the first one.
    pub(crate) retries_count: u64,
    /// Where the latest answer points to, followed or not.
    pub(crate) redirect_url: Option<String>,
    /// A redirect was to be followed and could not be: where it leads, when that is a URL at all.
    pub(crate) refused_redirect: Option<RefusedRedirect>,
    /// As typed, with what `-G` and `-T` add to it.
    pub(crate) url: Option<String>,
    /// Connections that were made.
    pub(crate) connects_count: u64,
    /// The latest request went out.
    pub(crate) is_sent: bool,
    /// Heads and bodies of all requests that went out.
    pub(crate) request_bytes: u64,
    /// Heads of all answers.
    pub(crate) header_bytes: u64,
    /// Of the latest body, as it came.
    pub(crate) body_bytes: u64,
    /// Of the latest body, as it was shown: decoded, and cut.
    pub(crate) shown_bytes: u64,
    /// The rest of the latest body was left unread.
    pub(crate) body_truncated: bool,
    pub(crate) problem: Option<Problem>,
}

/// A redirect that was not followed though it should have been.
#[derive(Debug, Clone)]
pub(crate) struct RefusedRedirect {
    /// A URL of a scheme that may not be used; `None` for what is no URL.
    pub(crate) url: Option<String>,
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
}

/// A hop that is over.
#[derive(Debug, Clone)]
pub(crate) struct PassedHop {
    pub(crate) url: String,
    /// `None` when there was no answer.
    pub(crate) status: Option<u16>,
    pub(crate) spans: Spans,
}

/// Microseconds, each from the start of its hop, added over the hops.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Times {
    pub(crate) name_lookup_us: u64,
    pub(crate) connect_us: u64,
    pub(crate) app_connect_us: u64,
    pub(crate) pre_transfer_us: u64,
    pub(crate) post_transfer_us: u64,
    pub(crate) start_transfer_us: u64,
    pub(crate) redirect_us: u64,
    pub(crate) total_us: u64,
}

impl Stats {
    /// A hop begins: what the one before it left is history.
    pub(crate) fn ask(&mut self, hop: &Hop, request: &Request) {
        let line = request.method.len() + hop.url.target().len() + " HTTP/1.1\r\n ".len();
        let body_bytes = request.body.as_ref().map_or(0, Vec::len);
        self.answered_before = self.answered.take().or(self.answered_before.take());
        let before = std::mem::take(&mut self.connection);
        if before.remote.is_some() {
            self.connection_before = before;
        }
        self.phases = Phases::default();
        self.hop_spans = Spans::default();
        self.redirect_url = None;
        self.body_bytes = 0;
        self.shown_bytes = 0;
        self.body_truncated = false;
        self.is_sent = false;
        self.hops_count += 1;
        self.asked = Some(Asked {
            url: hop.url.clone(),
            method: request.method.clone(),
            referer: hop.referer.clone(),
            head_bytes: count(line + headers_length(&request.headers)),
            body_bytes: count(body_bytes),
        });
    }

    /// The head of its answer came, `head_bytes` as printed. Takes the way to the server, which may carry a whole
    /// chain of certificates, out of it.
    pub(crate) fn hear(&mut self, answer: &mut Answer, head_bytes: usize) {
        if let Some(asked) = &mut self.asked
            && matches!(answer.version, Version::Http2 | Version::Http3)
        {
            // curl counts a line that says `HTTP/2`.
            asked.head_bytes -= 2;
        }
        self.pass(answer.phases, std::mem::take(&mut answer.connection));
        self.send();
        self.header_bytes += count(head_bytes);
        self.answered = Some(Answered {
            status: answer.status,
            version: answer.version,
            headers: answer.headers.clone(),
        });
    }

    /// The hop ended with an answer.
    pub(crate) fn end(&mut self, total_us: u64) {
        let total_us = total_us.max(self.phases.first_byte_us);
        self.close(Spans::whole(self.phases, self.has_tls(), total_us));
    }

    /// The hop ended without an answer.
    pub(crate) fn end_early(&mut self, failure: &Failure, elapsed: Duration) {
        let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let mut phases = failure.phases;
        if phases.first_byte_us == 0 && was_answered(failure.kind) {
            // curl's clock stops at the end of an empty answer as at the first byte of another.
            phases.first_byte_us = elapsed_us;
        }
        self.pass(phases, (*failure.connection).clone());
        if was_sent(failure, self.has_tls()) {
            self.send();
        }
        self.close(Spans::broken(failure, self.has_tls(), elapsed_us));
    }

    /// The latest answer was to send the transfer on, and could not: counted as followed, as in curl.
    pub(crate) fn count_refused_redirect(&mut self) {
        let Some(refused) = &self.refused_redirect else { return };
        self.redirects_count += 1;
        if refused.url.is_some() {
            self.times.redirect_us = self.times.total_us;
        }
        self.redirect_url = None;
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

    fn send(&mut self) {
        self.is_sent = true;
        if let Some(asked) = &self.asked {
            self.request_bytes += asked.head_bytes + asked.body_bytes;
        }
    }

    pub(crate) fn has_tls(&self) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.url.scheme == Scheme::Https)
    }

    fn pass(&mut self, phases: Phases, connection: Connection) {
        self.times.add(phases, self.has_tls());
        self.connects_count += u64::from(connection.remote.is_some());
        self.phases = phases;
        self.connection = connection;
    }

    fn close(&mut self, spans: Spans) {
        self.times.total_us += spans.total_us();
        self.spans.add(spans);
        self.hop_spans = spans;
        if self.hops.len() < HOPS_KEPT_MAX
            && let Some(asked) = &self.asked
        {
            let status = self.answered.as_ref().map(|answered| answered.status);
            self.hops.push(PassedHop { url: asked.url.to_string(), status, spans });
        }
    }
}

impl Times {
    /// Adds a hop. What it did not pass stands, in a sum that earlier hops began, at the end of what it
    /// did: sums stay in the order of their phases.
    fn add(&mut self, phases: Phases, has_tls: bool) {
        let mut latest = 0;
        let mut add = |sum: &mut u64, at: u64| {
            latest = at.max(latest);
            if at > 0 || *sum > 0 {
                *sum += latest;
            }
        };
        add(&mut self.name_lookup_us, phases.dns_us);
        add(&mut self.connect_us, phases.connect_us);
        if has_tls {
            add(&mut self.app_connect_us, phases.tls_us);
        }
        add(&mut self.pre_transfer_us, phases.tls_us);
        add(&mut self.post_transfer_us, phases.sent_us);
        add(&mut self.start_transfer_us, phases.first_byte_us);
    }
}

/// Whether the peer had said something, if only that it was done.
fn was_answered(kind: FailureKind) -> bool {
    matches!(kind, FailureKind::EmptyReply | FailureKind::Protocol | FailureKind::Malformed)
}

/// Whether the request of an exchange that failed had gone out.
fn was_sent(failure: &Failure, has_tls: bool) -> bool {
    let phases = failure.phases;
    match failure.kind {
        FailureKind::EmptyReply
        | FailureKind::Receive
        | FailureKind::Partial
        | FailureKind::Protocol
        | FailureKind::Malformed => true,
        FailureKind::Timeout => {
            failure.connection.remote.is_some() && (!has_tls || phases.tls_us > 0)
        }
        _ => phases.sent_us > 0,
    }
}

/// `Name: value` and a line end each, and the empty line.
fn headers_length(headers: &Headers) -> usize {
    headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>() + 2
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
