//! One attempt of the transfer, from hop to hop: ask, show the head, go on or bring the body.

use std::time::Instant;

use blitz_plugin::web::{Answer, Request};
use blitz_plugin::{Call, Host, read_whole_input};

use crate::args::{Fail, Settings};
use crate::attempts::Plan;
use crate::connect::{self, Routes};
use crate::download::{self, Download};
use crate::exit::{Code, Problem, from_failure};
use crate::redirect::Target;
use crate::request::{self, Hop, Template};
use crate::stats::{RefusedRedirect, Stats};
use crate::time_limit::TimeLimit;
use crate::url::Url;
use crate::{body, record, redirect, render, tls};

/// From this status on an answer is a failure, for those who ask.
const STATUS_FAILED_MIN: u16 = 400;

/// Reads the files that the command line names, and gives what all attempts share and the first hop.
pub(crate) fn prepare<'a>(
    settings: &'a Settings,
    stats: &mut Stats,
    host: &mut dyn Host,
) -> Result<(Template<'a>, Hop), Problem> {
    let typed = Url::parse(&settings.url)?;
    settings.protocols.check(typed.scheme, false)?;
    let mut origin = typed.clone();
    let custom = request::custom_headers(settings, host)?;
    let body = body::prepare(&settings.payload, request::media_type(&custom), &mut origin, host);
    let url = if origin == typed { settings.url.clone() } else { origin.to_string() };
    stats.url = Some(url.clone());
    let body = body?;
    let routes = Routes::parse(&settings.connect_to, &settings.resolve)?;
    let roots = settings.roots.as_deref().map(|name| roots(name, host)).transpose()?;
    let hop = Hop { url: origin.clone(), verb: settings.verb(), referer: settings.referer.clone() };
    Ok((Template { settings, url, origin, custom, body, routes, roots }, hop))
}

/// The certificates of `--cacert`. What they are is the host's to read.
fn roots(name: &str, host: &mut dyn Host) -> Result<Vec<u8>, Problem> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    let bytes = read_whole_input(host, name)
        .ok()
        .filter(|bytes| bytes.windows(BEGIN.len()).any(|window| window == BEGIN));
    bytes.ok_or_else(|| {
        Problem::new(Code::BadRoots, format!("error setting certificate file: {name}"))
    })
}

/// One attempt.
pub(crate) struct Transfer<'a> {
    pub(crate) call: &'a Call,
    pub(crate) template: &'a Template<'a>,
    pub(crate) time_limit: TimeLimit,
    /// To where the body goes.
    pub(crate) written_bytes: u64,
    pub(crate) stats: &'a mut Stats,
    /// Whether another attempt follows.
    pub(crate) plan: &'a mut Plan,
}

impl Transfer<'_> {
    /// Carries it out from its first hop. `stats` tells how far it came, also when it fails.
    pub(crate) fn run(&mut self, first: &Hop, host: &mut dyn Host) -> Result<(), Problem> {
        let mut hop = first.clone();
        while let Some(next) = self.hop(&hop, host)? {
            hop = next;
        }
        Ok(())
    }

    /// Makes one exchange; gives the next hop when the answer leads on.
    fn hop(&mut self, hop: &Hop, host: &mut dyn Host) -> Result<Option<Hop>, Problem> {
        let settings = self.template.settings;
        let request = self.template.request(hop, self.time_limit.left())?;
        self.stats.ask(hop, &request);
        let outcome = self.exchange(hop, &request, host);
        if let Err(problem) = &outcome {
            say(settings, || format!("* {}\n", problem.text), host);
        }
        say(settings, || "* Closing connection\n".to_owned(), host);
        record::emit_exchange(self.stats, outcome.as_ref().err(), host);
        if let Ok(Some(next)) = &outcome {
            self.stats.redirect();
            let text = || format!("* Issue another request to this URL: '{}'\n", next.url);
            say(settings, text, host);
        }
        outcome
    }

    fn exchange(
        &mut self,
        hop: &Hop,
        request: &Request,
        host: &mut dyn Host,
    ) -> Result<Option<Hop>, Problem> {
        let settings = self.template.settings;
        let began = Instant::now();
        let refused =
            self.time_limit.passed(0).or_else(|| connect::family_failure(&hop.url, request));
        let answer = match refused {
            Some(failure) => Err(failure),
            None => host.exchange(request),
        };
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(failure) => {
                self.stats.end_early(&failure, began.elapsed());
                self.show_connection(hop, host);
                say(settings, || render::connection(&hop.url, &failure.connection, false), host);
                return Err(from_failure(failure, &self.call.region));
            }
        };
        let head = render::head(&answer);
        self.stats.hear(&mut answer, head.len());
        self.show_connection(hop, host);
        let way = &self.stats.connection;
        say(settings, || render::conversation(&hop.url, way, request, &answer), host);
        let next = self.take(hop, &mut answer, &head, host);
        self.stats.end(answer.body.total_us());
        self.stats.count_refused_redirect();
        let received = self.stats.body_bytes;
        if next.is_ok() && received > 0 {
            say(settings, || format!("* {received} bytes received\n"), host);
        }
        next
    }

    /// Shows an answer, and follows it or brings its body.
    fn take(
        &mut self,
        hop: &Hop,
        answer: &mut Answer,
        head: &[u8],
        host: &mut dyn Host,
    ) -> Result<Option<Hop>, Problem> {
        let settings = self.template.settings;
        let target = redirect::target(hop, answer.status, &answer.headers);
        let is_last = target.is_none() || settings.redirects.is_none();
        let judged = judge(answer.status, settings).filter(|_| is_last);
        let is_repeated = is_last
            && self.written_bytes == 0
            && self.plan.repeats_over(self.stats, judged.as_ref(), settings);
        if let Some(sink) = &settings.heads_to {
            sink.write(head, host)?;
        }
        if settings.includes_heads && !is_repeated {
            settings.body_to.write(head, host)?;
            self.written_bytes += u64::try_from(head.len()).unwrap_or(u64::MAX);
        }
        if let Some(target) = target {
            // A target that makes no sense is nobody's problem while it is not followed.
            let shown = target.url.as_ref().ok().map(ToString::to_string);
            let shown = shown.unwrap_or_else(|| target.location.clone());
            self.stats.redirect_url = Some(shown);
            if !is_last {
                let followed = self.stats.redirects_count;
                let url = self.permitted(target)?;
                return redirect::next(hop, answer.status, url, followed, settings);
            }
        }
        if !is_repeated {
            download::check_announced(answer, settings)?;
        }
        let has_body = !settings.is_head && !is_repeated;
        if has_body && (judged.is_none() || settings.fail != Fail::WithoutBody) {
            let mut download = Download {
                settings,
                region: &self.call.region,
                time_limit: self.time_limit,
                stats: self.stats,
                written_bytes: &mut self.written_bytes,
            };
            download.run(answer, host)?;
        }
        judged.map_or(Ok(None), Err)
    }

    /// The URL to go on to, when it is one that may be used.
    fn permitted(&mut self, target: Target) -> Result<Url, Problem> {
        let protocols = self.template.settings.protocols;
        let problem = match target.url {
            Ok(url) => match protocols.check(url.scheme, true) {
                Ok(()) => return Ok(url),
                Err(problem) => {
                    let url = Some(url.to_string());
                    self.stats.refused_redirect = Some(RefusedRedirect { url });
                    return Err(problem);
                }
            },
            Err(problem) => problem,
        };
        // `mailto:` and its like are no URL here, nor is what breaks the rules of one.
        let is_url = problem.code == Code::UnsupportedProtocol && target.location.contains("://");
        let url = Some(target.location).filter(|_| is_url);
        self.stats.refused_redirect = Some(RefusedRedirect { url });
        Err(problem)
    }

    fn show_connection(&self, hop: &Hop, host: &mut dyn Host) {
        if self.template.settings.shows_tls {
            let text = tls::info(&hop.url, &self.stats.connection, tls::now());
            host.stderr().write_all(text.as_bytes()).ok();
        }
    }
}

/// Whether a last answer is a failure by its status, to those who ask.
fn judge(status: u16, settings: &Settings) -> Option<Problem> {
    let text = match settings.status {
        Some(expected) if status != expected => format!("expected {expected}, got {status}"),
        None if status >= STATUS_FAILED_MIN && settings.fail != Fail::Never => {
            format!("The requested URL returned error: {status}")
        }
        _ => return None,
    };
    Some(Problem::new(Code::HttpReturnedError, text))
}

/// Says something with `-v`. A closed stderr stops no transfer.
fn say(settings: &Settings, text: impl FnOnce() -> String, host: &mut dyn Host) {
    if settings.is_verbose {
        host.stderr().write_all(text().as_bytes()).ok();
    }
}
