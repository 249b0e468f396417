//! One structured record for each exchange, beside what is printed: the `exchange` of `--json` and tables.
//!
//! Stable, so that scripts can rely on it: fields are added, never changed. Phases are durations from
//! one instant to the next and add up to `total_us`.

use blitz_plugin::Host;
use serde_json::{Value, json};

use crate::exit::Problem;
use crate::stats::{Answered, Stats};

/// A longer URL is cut: a record has a limit of 64 KiB, and an exchange without one would be lost to tables.
const URL_CHARS_MAX: usize = 8 * 1024;

/// Gives the record of the exchange that has just ended.
pub(crate) fn emit(stats: &Stats, problem: Option<&Problem>, host: &mut dyn Host) {
    let Some(asked) = &stats.asked else { return };
    let url: String = asked.url.to_string().chars().take(URL_CHARS_MAX).collect();
    let mut record = json!({
        "url": url,
        "method": asked.method,
        "request_header_bytes": asked.head_bytes,
        "request_body_bytes": asked.body_bytes,
        "body_bytes": stats.body_bytes,
    });
    if let Some(answered) = &stats.answered {
        add_answer(&mut record, answered, stats);
    }
    if let Some(problem) = problem {
        record["error"] = json!({"exit": problem.code.status(), "text": problem.text});
    }
    // A record is beside the work: the transfer goes on without it.
    host.emit("exchange", &record.to_string()).ok();
}

fn add_answer(record: &mut Value, answered: &Answered, stats: &Stats) {
    let phases = answered.phases;
    let total_us = stats.hop_total_us.max(phases.first_byte_us);
    record["status"] = json!(answered.status);
    record["http_version"] = json!(answered.version.to_string());
    record["remote"] = json!(answered.connection.remote);
    record["local"] = json!(answered.connection.local);
    record["phases"] = json!({
        "dns_us": phases.dns_us,
        "connect_us": phases.connect_us.saturating_sub(phases.dns_us),
        "tls_us": phases.tls_us.saturating_sub(phases.connect_us),
        "send_us": phases.sent_us.saturating_sub(phases.tls_us),
        "wait_us": phases.first_byte_us.saturating_sub(phases.sent_us),
        "download_us": total_us.saturating_sub(phases.first_byte_us),
        "total_us": total_us,
    });
    record["tls"] = answered.connection.tls.as_ref().map_or(Value::Null, |tls| {
        json!({
            "protocol": tls.protocol,
            "cipher": tls.cipher,
            "alpn": tls.alpn,
            "verdict": tls.verdict,
            "certificates_count": tls.certificates.len(),
        })
    });
    if let Some(url) = &stats.redirect_url {
        record["redirect_url"] = json!(url.to_string());
    }
}
