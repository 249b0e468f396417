//! `blitz audit`: who did what, against whom, from where, and what became of it.

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::{AskArgs, name, show};
use crate::api::{Error, Gateway, segment};
use crate::exit_code::ExitCode;
use crate::outage::time_of_day;
use crate::text::{columns, quoted};
use crate::when::since;

/// `blitz audit`.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    pub(crate) ask: AskArgs,
    /// Whose; - is the operator's own [default: one's own; an operator's: all]
    #[arg(long, value_name = "NAME", value_parser = name_or_operator, allow_hyphen_values = true)]
    tenant: Option<String>,
    /// From when on: 1h, 7d, 2027-01-31
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<u64>,
    /// How many, the newest of them
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    last: u32,
}

/// `GET /v1/audit`.
#[derive(Debug, Deserialize)]
struct Audit {
    #[serde(default)]
    entries: Vec<Entry>,
}

/// What a table shows of [`blitz_jobs::accounts`]' entries.
#[derive(Debug, Deserialize)]
struct Entry {
    at_ms: u64,
    #[serde(default)]
    who: Who,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    deed: Value,
}

#[derive(Debug, Default, Deserialize)]
struct Who {
    #[serde(default)]
    tenant: Option<String>,
    #[serde(default)]
    user: Option<String>,
}

/// Asks and shows it.
pub(crate) async fn run(args: AuditArgs, gateway: &Gateway) -> Result<ExitCode, Error> {
    let mut path = format!("/v1/audit?limit={}", args.last);
    if let Some(tenant) = &args.tenant {
        path.push_str(&format!("&tenant={}", segment(tenant)));
    }
    if let Some(since_ms) = args.since {
        path.push_str(&format!("&since_ms={since_ms}"));
    }
    show(gateway, args.ask.json, &path, table).await
}

fn table(answer: &Audit) -> String {
    let row = |entry: &Entry| {
        let who = match (&entry.who.user, &entry.who.tenant) {
            (Some(user), Some(tenant)) => format!("{user} of {tenant}"),
            (None, Some(tenant)) => tenant.clone(),
            _ => "operator".to_owned(),
        };
        let from = entry.from.clone().unwrap_or_else(|| "-".to_owned());
        // A word of it may have the end of a line in it: a row stays one.
        let what = what(&entry.deed).replace(|c: char| c.is_control(), " ");
        [time_of_day(entry.at_ms), who, from, what]
    };
    let rows: Vec<_> = answer.entries.iter().map(row).collect();
    columns(["WHEN", "WHO", "FROM", "WHAT"], &rows)
}

fn name_or_operator(text: &str) -> Result<String, String> {
    if text == "-" { Ok(text.to_owned()) } else { name(text) }
}

/// What was done, in a line; of what a later version writes, the whole of it.
fn what(deed: &Value) -> String {
    let text = |field: &str| deed.get(field).and_then(Value::as_str).unwrap_or_default();
    let number = |field: &str| deed.get(field).and_then(Value::as_u64);
    let words = |field: &str| -> Vec<&str> {
        let words = deed.get(field).and_then(Value::as_array);
        words.into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let command = || {
        let line: Vec<String> = words("args").into_iter().map(quoted).collect();
        let regions = match words("regions") {
            regions if regions.is_empty() => String::new(),
            regions => format!(" -r {}", regions.join(",")),
        };
        format!("{}{regions} {}", text("plugin"), line.join(" ")).trim().to_owned()
    };
    match text("what") {
        "submit" => format!("ran {}", command()),
        "refuse" => {
            let what =
                if text("plugin").is_empty() { text("action").to_owned() } else { command() };
            let more =
                number("left_out").map_or_else(String::new, |n| format!("; {n} more before"));
            format!("was refused {what}: {}{more}", text("reason"))
        }
        "change" => {
            let of = if text("of").is_empty() { text("path") } else { text("of") };
            let status = number("status").filter(|status| *status >= 400);
            let status = status.map_or_else(String::new, |status| format!(": {status}"));
            format!("{} {of}{status}", text("action"))
        }
        "ended" => {
            let status = number("status").map_or_else(String::new, |status| format!(" {status}"));
            format!("{} {} ended: {}{status}", text("plugin"), text("job"), text("state"))
        }
        _ => deed.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deeds_are_lines() {
        for (deed, line) in [
            (
                r#"{"what":"submit","run":"r","jobs":["j"],"plugin":"curl","version":"0.1.0","regions":["japan"],
                    "args":["-u","***","http://x/?a&b"],"targets":["x"]}"#,
                "ran curl -r japan -u '***' 'http://x/?a&b'",
            ),
            (
                r#"{"what":"refuse","action":"jobs.submit","path":"/v1/jobs","status":429,"error":"quota","reason":"too many",
                    "plugin":"rush","left_out":2}"#,
                "was refused rush: too many; 2 more before",
            ),
            (
                r#"{"what":"refuse","action":"keys.create","path":"/v1/keys","status":403,"reason":"not yours"}"#,
                "was refused keys.create: not yours",
            ),
            (
                r#"{"what":"change","action":"keys.create","path":"/v1/keys","status":201,"of":"k1"}"#,
                "keys.create k1",
            ),
            (
                r#"{"what":"change","action":"jobs.cancel","path":"/v1/jobs/a","status":500}"#,
                "jobs.cancel /v1/jobs/a: 500",
            ),
            (
                r#"{"what":"ended","job":"japan-1-01","plugin":"curl","state":"failed","status":22}"#,
                "curl japan-1-01 ended: failed 22",
            ),
            (r#"{"what":"later","x":1}"#, r#"{"what":"later","x":1}"#),
        ] {
            assert_eq!(what(&serde_json::from_str(deed).unwrap()), line);
        }
    }

    #[test]
    fn a_row_stays_one() {
        let answer: Audit = serde_json::from_str(
            r#"{"entries":[{"at_ms":0,"who":{"tenant":"acme","user":"ann"},"from":"192.0.2.7",
                "deed":{"what":"submit","plugin":"curl","args":["a\nb"]}},{"at_ms":0}]}"#,
        )
        .unwrap();
        let table = table(&answer);
        assert_eq!(table.lines().count(), 3, "{table}");
        assert!(table.contains("  ann of acme  192.0.2.7  ran curl 'a b'\n"), "{table}");
        assert!(table.contains("  operator     -          null\n"), "{table}");
    }
}
