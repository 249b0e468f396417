//! The structured records beside what is printed, for `--json` and tables: an `exchange` for each hop, and a
//! `transfer` at the end of all.
//!
//! Stable, so that scripts can rely on it: fields are added, never changed. Phases are durations from
//! one instant to the next and add up to `total_us`.

use blitz_plugin::Host;
use serde_json::{Value, json};

use crate::exit::Problem;
use crate::spans::Spans;
use crate::stats::Stats;
use crate::tls;
use crate::url::Url;

/// A longer URL is cut: a record has a limit of 64 KiB, and an exchange without one would be lost to tables.
const URL_CHARS_MAX: usize = 6 * 1024;

/// Addresses of a name. More are not tried anyway.
const ADDRESSES_MAX: usize = 64;

/// Characters of what went wrong, which may quote a server.
const PROBLEM_CHARS_MAX: usize = 1024;

/// Gives the record of the exchange that has just ended.
pub(crate) fn emit_exchange(stats: &Stats, problem: Option<&Problem>, host: &mut dyn Host) {
    let Some(asked) = &stats.asked else { return };
    let connection = &stats.connection;
    let mut phases = phases(stats.hop_spans);
    // A number here since the first version; `tls` tells whether there was any.
    phases["tls_us"] = json!(stats.hop_spans.tls_us.unwrap_or(0));
    let addresses = &connection.addresses[..connection.addresses.len().min(ADDRESSES_MAX)];
    let mut record = json!({
        "url": shown(&asked.url),
        "method": asked.method,
        "request_header_bytes": asked.head_bytes,
        "request_body_bytes": asked.body_bytes,
        "body_bytes": stats.body_bytes,
        "body_truncated": stats.body_truncated,
        "phases": phases,
        "remote": connection.remote,
        "local": connection.local,
        "connection": {
            "resolver": connection.resolver,
            "addresses": addresses,
            "remote": connection.remote,
            "local": connection.local,
        },
        "tls": connection.tls.as_ref().map_or(Value::Null, |tls| tls::record(tls, tls::now())),
    });
    if let Some(answered) = &stats.answered {
        record["status"] = json!(answered.status);
        record["http_version"] = json!(answered.version.to_string());
        if let Some(url) = &stats.redirect_url {
            record["redirect_url"] = json!(cut(url, URL_CHARS_MAX));
        }
    }
    if let Some(problem) = problem {
        record["error"] = json!({
            "exit": problem.code.status(),
            "text": cut(&problem.text, PROBLEM_CHARS_MAX),
        });
    }
    // A record is beside the work: the transfer goes on without it.
    host.emit("exchange", &record.to_string()).ok();
}

/// Gives the record of the whole transfer, when anything was asked.
pub(crate) fn emit_transfer(stats: &Stats, exit: u8, host: &mut dyn Host) {
    let Some(asked) = &stats.asked else { return };
    let times = stats.times;
    let mut phases = phases(stats.spans);
    // To the first byte of the last answer, from the start of the first hop.
    phases["ttfb_us"] = match stats.answered {
        Some(_) => json!(times.redirect_us + stats.phases.first_byte_us),
        None => Value::Null,
    };
    let record = json!({
        "url": shown(&asked.url),
        "status": stats.answered.as_ref().map(|answered| answered.status),
        "exit": exit,
        "redirects_count": stats.redirects_count,
        "hops_count": stats.hops_count,
        "retries_count": stats.retries_count,
        "phases": phases,
        "body_bytes": stats.body_bytes,
        "body_truncated": stats.body_truncated,
        "remote": stats.connection.remote,
        "cert_days": tls::days_left(&stats.connection),
        "cumulative": {
            "namelookup_us": times.name_lookup_us,
            "connect_us": times.connect_us,
            "appconnect_us": times.app_connect_us,
            "pretransfer_us": times.pre_transfer_us,
            "starttransfer_us": times.start_transfer_us,
            "redirect_us": times.redirect_us,
            "total_us": times.total_us,
        },
    });
    host.emit("transfer", &record.to_string()).ok();
}

fn phases(spans: Spans) -> Value {
    json!({
        "dns_us": spans.dns_us,
        "connect_us": spans.connect_us,
        "tls_us": spans.tls_us,
        "send_us": spans.send_us,
        "wait_us": spans.wait_us,
        "download_us": spans.download_us,
        "total_us": spans.total_us(),
    })
}

fn shown(url: &Url) -> String {
    cut(&url.to_string(), URL_CHARS_MAX)
}

fn cut(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}
