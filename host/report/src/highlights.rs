//! The text at the end of a test: what happened, in sentences.

mod rows;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use blitz_contract::load::{ErrorKind, First, HttpVersion};

use crate::meaning::{hint, named, words_of};
use crate::report::Report;
use crate::tally::STATUS;
use crate::words::{bytes, count, micros, number, percent, plain, several, span, whole};

/// Findings, regions and steps that are told one by one.
const LINES_MAX: usize = 40;
/// Seconds of a test from which on its rate says something about a day.
const PROJECTED_MIN_S: f64 = 10.0;

/// What happened, as paragraphs of text, each of one line, without a last line feed.
#[must_use]
pub fn highlights(report: &Report) -> String {
    let mut paragraphs: Vec<String> = Vec::new();
    paragraphs.extend(warnings(report));
    paragraphs.push(summary(report));
    paragraphs.extend(first_error(report));
    paragraphs.extend(first_timeout(report));
    paragraphs.extend(knee(report));
    paragraphs.extend(lines(&rows::regions(report)));
    paragraphs.extend(lines(&rows::steps(report)));
    paragraphs.extend(lines(&notes(report)));
    paragraphs.join("\n\n")
}

fn lines(all: &[String]) -> Option<String> {
    if all.is_empty() {
        return None;
    }
    let mut text = all[..all.len().min(LINES_MAX)].join("\n");
    if all.len() > LINES_MAX {
        let _ = write!(text, "\n... and {} more", all.len() - LINES_MAX);
    }
    Some(text)
}

/// What makes the figures invalid, before any of them.
fn warnings(report: &Report) -> Option<String> {
    let mut found: Vec<String> = Vec::new();
    for finding in report.judgement.findings.iter().filter(|finding| finding.is_invalidating) {
        found.push(format!("INVALID: {}.", finding.text));
    }
    if report.judgement.is_partial {
        found.push(
            "PARTIAL: not all of the plan was carried out; what is missing stands below."
                .to_owned(),
        );
    }
    lines(&found)
}

fn notes(report: &Report) -> Vec<String> {
    let notes = report.judgement.findings.iter().filter(|finding| !finding.is_invalidating);
    let mut all: Vec<String> = notes.map(|finding| format!("Note: {}.", finding.text)).collect();
    let tally = &report.total.tally;
    if tally.hits > 0 && tally.errors.total >= tally.ended() {
        let every = if tally.ended() == 1 { "the one request" } else { "every request" };
        all.push(format!(
            "Note: {every} went wrong, which alone is no failure of a test: --fail 'errors<1%' makes it one."
        ));
    }
    all
}

fn summary(report: &Report) -> String {
    let (total, tally) = (&report.total, &report.total.tally);
    if total.sent == 0 && tally.errors.total > 0 {
        let all = several(tally.errors.total, "request");
        return if tally.errors.total == 1 {
            "The one request could not be sent: there was no connection.".to_owned()
        } else {
            format!("Not one of {all} could be sent: there was no connection.")
        };
    }
    if total.sent == 0 {
        return "This test sent nothing.".to_owned();
    }
    if tally.hits == 0 {
        return format!(
            "This test sent {} in {}, and {}.",
            several(total.sent, "request"),
            span(report.measured_s),
            if total.sent == 1 { "it was not answered" } else { "not one was answered" },
        );
    }
    let regions: Vec<&str> = report
        .regions
        .iter()
        .filter(|region| region.engines > 0)
        .map(|r| r.region.as_str())
        .collect();
    let place = match regions.as_slice() {
        [] => String::new(),
        [one] => format!(" from {}", plain(one)),
        many => format!(" from {} regions", many.len()),
    };
    let per_s = crate::report::per_second(tally.hits, report.measured_s);
    let mut text = format!(
        "This test{place} made {} in {}, sent {} and received {}: {} {} on average{}.",
        several(tally.hits, "hit"),
        span(report.measured_s),
        bytes(tally.sent_bytes),
        bytes(tally.received_bytes),
        number(per_s),
        if number(per_s) == "1" { "hit/s" } else { "hits/s" },
        in_a_day(report, per_s),
    );
    if tally.hits == 1 {
        let _ = write!(text, " It took {}.", micros(tally.response.max_us()));
    } else {
        let _ = write!(
            text,
            " Half of the answers came within {}, 95% within {}, 99% within {}; the slowest took {}.",
            micros(tally.response.p50_us()),
            micros(tally.response.p95_us()),
            micros(tally.response.p99_us()),
            micros(tally.response.max_us()),
        );
    }
    if report.is_open_model() {
        let _ = write!(
            text,
            " {} from when a request was due; from when it was sent, {} {}.",
            if tally.hits == 1 { "This is" } else { "These are" },
            if tally.hits == 1 { "it took" } else { "99% took" },
            micros(tally.service().p99_us()),
        );
    }
    if let Some(plan) = report.plan.as_ref().filter(|plan| plan.version == HttpVersion::Http2) {
        // What a request costs and how long it takes depends on it.
        let (streams, connections) = (plan.streams.into(), total.peaks.connections);
        let _ = write!(
            text,
            " Over HTTP/2, with at most {} at once on {}{}.",
            several(streams, "request"),
            if connections == 1 { "" } else { "each of " },
            several(connections, "connection"),
        );
    }
    if tally.errors.total == 0 {
        text.push_str(" There was no error.");
    } else {
        let kinds: Vec<String> =
            sorted(report).into_iter().map(|(kind, n)| named(kind, n)).collect();
        let rate = percent(tally.error_rate());
        let _ = write!(text, " {rate} of the requests went wrong: {}.", kinds.join(", "));
    }
    if tally.timeouts() > 0 {
        text.push_str(" Requests without an answer are in no percentile.");
    }
    text.extend(repeated(report));
    text
}

/// What went twice over the wire, which the server may have done twice.
fn repeated(report: &Report) -> Option<String> {
    let is_http2 = report.plan.as_ref().is_some_and(|plan| plan.version == HttpVersion::Http2);
    let more = if is_http2 { ", or said that it had not looked at them" } else { "" };
    match report.total.tally.repeated {
        0 => None,
        1 => Some(
            " 1 request was sent twice: the server closed a kept connection without an answer."
                .to_owned(),
        ),
        many => Some(format!(
            " {} were sent twice: the server closed kept connections without an answer{more}.",
            several(many, "request"),
        )),
    }
}

/// What the rate would be in a day and a month: only of a test whose length was its plan's, and that is long enough to say it.
fn in_a_day(report: &Report, per_s: f64) -> String {
    let has_end = report.plan.as_ref().is_some_and(|p| p.requests.or(p.transactions).is_some());
    if has_end || report.judgement.is_partial || report.measured_s < PROJECTED_MIN_S {
        return String::new();
    }
    let (day, month) = (large(per_s * 86_400.0), large(per_s * 86_400.0 * 30.0));
    format!(", about {day} hits a day or {month} a month")
}

/// To three digits: what is reckoned from seconds to a month is no more exact.
fn round(value: f64) -> u64 {
    let size = 10f64.powf((value.max(1.0).log10().floor() - 2.0).max(0.0));
    whole((value / size).round() * size)
}

/// `1,230`, `432 million`.
fn large(value: f64) -> String {
    match value {
        v if v >= 999.5e6 => format!("{} billion", number(v / 1e9)),
        v if v >= 999.5e3 => format!("{} million", number(v / 1e6)),
        v => count(round(v)),
    }
}

/// Kinds of errors, the most frequent first.
fn sorted(report: &Report) -> Vec<(&str, u64)> {
    let kinds = &report.total.tally.errors.kinds;
    let mut sorted: Vec<(&str, u64)> = kinds.iter().map(|(kind, n)| (kind.as_str(), *n)).collect();
    sorted.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    sorted
}

/// ` with 3 users`. Nothing where none was left at the end of the second, which is all that is known then.
fn with(report: &Report, users: u64) -> String {
    let noun = if report.is_open_model() { "transaction" } else { "user" };
    let under_way = if report.is_open_model() { " under way" } else { "" };
    match users {
        0 => String::new(),
        users => format!(" with {}{under_way}", several(users, noun)),
    }
}

fn told(report: &Report, what: &str, first: &First) -> String {
    // Of several engines, and of several workers of one, each knows its own users alone.
    let is_alone = matches!(report.parts.as_slice(), [one] if one.workers == 1);
    let all = report.seconds.iter().find(|second| u64::from(second.second) == first.at_ms / 1000);
    let users = match all {
        Some(all) if !is_alone => all.users.max(first.users.into()),
        _ => first.users.into(),
    };
    format!(
        "The first {what} came at {} s{}: {} ({}).",
        number(first.at_ms as f64 / 1000.0),
        with(report, users),
        words_of(first),
        hint(first),
    )
}

fn first_error(report: &Report) -> Option<String> {
    let first = report.firsts.iter().find(|first| first.kind != ErrorKind::Timeout);
    // Answers of 4xx and 5xx are known by second only.
    let second = report.counted().find(|second| second.tally.errors.of(STATUS) > 0);
    match (first, second) {
        (Some(first), Some(second)) if first.at_ms / 1000 <= second.second.into() => {
            Some(told(report, "error", first))
        }
        (_, Some(second)) => {
            let bad = second.tally.statuses.range(400..600).next().map_or(0, |(status, _)| *status);
            let hint = if bad >= 500 {
                "the target fails, or something before it sheds load".to_owned()
            } else {
                format!("the target refuses; with -s {bad} it would be what is expected")
            };
            Some(format!(
                "The first error came in second {}{}: an answer with status {bad} ({hint}).",
                second.second,
                with(report, second.users),
            ))
        }
        (Some(first), None) => Some(told(report, "error", first)),
        (None, None) => None,
    }
}

fn first_timeout(report: &Report) -> Option<String> {
    let first = report.firsts.iter().find(|first| first.kind == ErrorKind::Timeout)?;
    Some(told(report, "time-out", first))
}

fn knee(report: &Report) -> Option<String> {
    let knee = report.knee?;
    let at = if report.is_open_model() {
        format!("{} per second", several(round(knee.height), "request"))
    } else {
        several(round(knee.height), "user")
    };
    let (before, after) = (micros(knee.p95_us_before), micros(knee.p95_us_after));
    let hits = if knee.hits_per_s < 100.0 {
        number(knee.hits_per_s)
    } else {
        count(round(knee.hits_per_s))
    };
    let mut text = if knee.is_at_start {
        format!(
            "The knee is at {at} or below: already there the answers are {hits} per second and do not become more, \
             while p95 grows from {before} to {after}. Begin with less to see it."
        )
    } else {
        format!(
            "The knee is at about {at}: up to there the answers grow to {hits} per second and p95 is {before}; after \
             it they hardly grow, and p95 becomes {after}."
        )
    };
    if !report.judgement.is_valid {
        text.push_str(" It may be the generator's own.");
    }
    Some(text)
}
