//! The transfer from hop to hop: ask, show the head, go on or bring the body.

use std::time::Instant;

use blitz_plugin::web::{Answer, Request};
use blitz_plugin::{Call, Host};

use crate::args::{Fail, Payload, Settings};
use crate::exit::{Code, Problem, from_failure, no_time_left};
use crate::request::{self, Hop, Template, Verb};
use crate::stats::Stats;
use crate::url::Url;
use crate::{body, record, redirect, render};

/// One read of a body. The host gives what has arrived, so this only bounds memory.
const PIECE_BYTES: u32 = 64 * 1024;

/// From this status on an answer is a failure, for those who ask.
const STATUS_FAILED_MIN: u16 = 400;

/// Carries the settings out. `stats` tells how far it came, also when it fails.
pub(crate) fn run(
    call: &Call,
    settings: &Settings,
    stats: &mut Stats,
    host: &mut dyn Host,
) -> Result<(), Problem> {
    let started = Instant::now();
    let mut origin = Url::parse(&settings.url)?;
    let body = body::prepare(&settings.payload, &mut origin, host)?;
    let custom = request::custom_headers(settings, host)?;
    let mut hop = Hop {
        url: origin.clone(),
        verb: match settings.payload {
            _ if settings.is_head => Verb::Head,
            Payload::Nothing | Payload::Query(_) => Verb::Get,
            Payload::Data(_) | Payload::Form(_) => Verb::Post,
            Payload::Upload(_) => Verb::Put,
        },
        referer: settings.referer.clone(),
    };
    let template = Template { settings, origin, custom, body };
    let mut transfer = Transfer { call, template, started, written_bytes: 0, stats };
    while let Some(next) = transfer.hop(&hop, host)? {
        hop = next;
    }
    settings.body_to.finish(transfer.written_bytes, host)
}

struct Transfer<'a> {
    call: &'a Call,
    template: Template<'a>,
    started: Instant,
    /// To where the body goes.
    written_bytes: u64,
    stats: &'a mut Stats,
}

impl Transfer<'_> {
    /// Makes one exchange; gives the next hop when the answer leads on.
    fn hop(&mut self, hop: &Hop, host: &mut dyn Host) -> Result<Option<Hop>, Problem> {
        let settings = self.template.settings;
        let left = settings.max_time.map(|limit| limit.saturating_sub(self.started.elapsed()));
        let request = self.template.request(hop, left);
        self.stats.ask(hop, &request);
        let exchange = Exchange { hop, request: &request, started: Instant::now() };
        let outcome = self.exchange(&exchange, host);
        if let Err(problem) = &outcome {
            say(settings, &format!("* {}\n", problem.text), host);
        }
        say(settings, "* Closing connection\n", host);
        record::emit(self.stats, outcome.as_ref().err(), host);
        if let Ok(Some(next)) = &outcome {
            self.stats.redirect();
            say(settings, &format!("* Issue another request to this URL: '{}'\n", next.url), host);
        }
        outcome
    }

    fn exchange(
        &mut self,
        exchange: &Exchange<'_>,
        host: &mut dyn Host,
    ) -> Result<Option<Hop>, Problem> {
        let settings = self.template.settings;
        if exchange.request.timeout.is_some_and(|left| left.is_zero()) {
            return Err(no_time_left(self.started.elapsed()));
        }
        let mut answer = host.exchange(exchange.request).map_err(|failure| {
            self.stats.end_early(exchange.started.elapsed());
            from_failure(failure, &self.call.region)
        })?;
        let head = render::head(&answer);
        self.stats.hear(&answer, head.len());
        let next = self.take(exchange, &mut answer, &head, host);
        self.stats.end(answer.body.total_us());
        if settings.is_verbose && next.is_ok() && self.stats.body_bytes > 0 {
            say(settings, &format!("* {} bytes received\n", self.stats.body_bytes), host);
        }
        next
    }

    /// Shows an answer, and follows it or brings its body.
    fn take(
        &mut self,
        exchange: &Exchange<'_>,
        answer: &mut Answer,
        head: &[u8],
        host: &mut dyn Host,
    ) -> Result<Option<Hop>, Problem> {
        let settings = self.template.settings;
        let url = &exchange.hop.url;
        if settings.is_verbose {
            say(settings, &render::conversation(url, exchange.request, answer), host);
        }
        if let Some(sink) = &settings.heads_to {
            sink.write(head, host)?;
        }
        if settings.includes_heads {
            settings.body_to.write(head, host)?;
            self.written_bytes += u64::try_from(head.len()).unwrap_or(u64::MAX);
        }
        if let Some(target) = redirect::target(exchange.hop, answer.status, &answer.headers) {
            let follows = settings.redirects.is_some();
            // A target that makes no sense is nobody's problem while it is not followed.
            self.stats.redirect_url = target.as_ref().ok().cloned();
            if follows {
                let followed = self.stats.redirects_count;
                let next =
                    redirect::next(exchange.hop, answer.status, target?, followed, settings)?;
                return Ok(next);
            }
        }
        let failed = (answer.status >= STATUS_FAILED_MIN).then(|| {
            let text = format!("The requested URL returned error: {}", answer.status);
            Problem::new(Code::HttpReturnedError, text)
        });
        match failed {
            Some(problem) if settings.fail == Fail::WithoutBody => return Err(problem),
            _ if settings.is_head => {}
            _ => self.bring_body(answer, host)?,
        }
        match failed {
            Some(problem) if settings.fail == Fail::WithBody => Err(problem),
            _ => Ok(None),
        }
    }

    fn bring_body(&mut self, answer: &mut Answer, host: &mut dyn Host) -> Result<(), Problem> {
        loop {
            let piece = answer
                .body
                .read(PIECE_BYTES)
                .map_err(|failure| from_failure(failure, &self.call.region))?;
            if piece.is_empty() {
                return Ok(());
            }
            let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            self.template.settings.body_to.write(&piece, host)?;
            self.stats.body_bytes += length;
            self.written_bytes += length;
        }
    }
}

/// One exchange under way.
struct Exchange<'a> {
    hop: &'a Hop,
    request: &'a Request,
    started: Instant,
}

/// Says something with `-v`. A closed stderr stops no transfer.
fn say(settings: &Settings, text: &str, host: &mut dyn Host) {
    if settings.is_verbose {
        host.stderr().write_all(text.as_bytes()).ok();
    }
}
