//! `blitz usage`: what a tenant may use by its plan, what of it was used, and when there is room again.

use blitz_jobs::clock::now_ms;
use clap::Args;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::plans::LIMITS;
use super::{AskArgs, name, show};
use crate::api::{Error, Gateway, segment};
use crate::exit_code::ExitCode;
use crate::text::{Side, aligned};
use crate::when::ends;

/// `blitz usage`.
#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    #[command(flatten)]
    pub(crate) ask: AskArgs,
    /// Whose [default: one's own; an operator has none]
    #[arg(long, value_name = "NAME", value_parser = name)]
    tenant: Option<String>,
}

/// `GET /v1/usage`.
#[derive(Debug, Deserialize)]
struct Usage {
    #[serde(default)]
    tenant: String,
    #[serde(default)]
    plan: Map<String, Value>,
    #[serde(default)]
    plan_until_ms: Option<u64>,
    #[serde(default)]
    used: Map<String, Value>,
    /// When there is room again, of those limits that have none.
    #[serde(default)]
    free_again_ms: Value,
}

/// What counts towards which limit.
const COUNTS: [(&str, &str); 3] = [
    ("jobs_per_hour", "jobs_this_hour"),
    ("jobs_at_once", "jobs_now"),
    ("load_minutes_per_day", "load_minutes_today"),
];

/// Asks and shows it.
pub(crate) async fn run(args: UsageArgs, gateway: &Gateway) -> Result<ExitCode, Error> {
    let path = match &args.tenant {
        Some(tenant) => format!("/v1/usage?tenant={}", segment(tenant)),
        None => "/v1/usage".to_owned(),
    };
    show(gateway, args.ask.json, &path, |answer| table(answer, now_ms())).await
}

fn table(usage: &Usage, now_ms: u64) -> String {
    let mut head = usage.tenant.clone();
    if let Some(plan) = usage.plan.get("name").and_then(Value::as_str) {
        head.push_str(&format!(", plan {plan}"));
    }
    if let Some(until_ms) = usage.plan_until_ms {
        head.push_str(&match until_ms <= now_ms {
            true => ", which is over: nothing may be used".to_owned(),
            false => format!(", which ends {}", ends(until_ms, now_ms)),
        });
    }
    let rows: Vec<[String; 4]> = LIMITS
        .iter()
        .filter_map(|(limit, words)| {
            let count = COUNTS.iter().find(|(of, _)| of == limit);
            let used = count.and_then(|(_, count)| usage.used.get(*count)?.as_u64());
            let max = usage.plan.get(*limit).and_then(Value::as_u64);
            if used.is_none() && max.is_none() {
                return None;
            }
            let shown = |number: Option<u64>, none: &str| {
                number.map_or_else(|| none.to_owned(), |n| n.to_string())
            };
            let again = usage.free_again(limit);
            let again = again.map_or_else(String::new, |at_ms| ends(at_ms, now_ms));
            Some([(*words).to_owned(), shown(used, "-"), shown(max, "unlimited"), again])
        })
        .collect();
    let sides = [Side::Left, Side::Right, Side::Right, Side::Left];
    let titles = ["LIMIT", "USED", "OF", "FREE AGAIN"].map(str::to_owned);
    let titles: Vec<_> = titles.into_iter().zip(sides).collect();
    format!("{head}\n{}", aligned(&titles, &rows))
}

impl Usage {
    /// When a limit that is reached has room again.
    fn free_again(&self, limit: &str) -> Option<u64> {
        self.free_again_ms.get(limit)?.as_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_a_table() {
        let usage: Usage = serde_json::from_str(
            r#"{"tenant":"acme","plan":{"name":"team","jobs_per_hour":100,"engines_per_run":4},"plan_until_ms":86400000,
                "used":{"jobs_this_hour":100,"jobs_now":3,"later":1},"free_again_ms":{"jobs_per_hour":700000}}"#,
        )
        .unwrap();
        insta::assert_snapshot!(table(&usage, 0), @r"
        acme, plan team, which ends in 24 h
        LIMIT            USED         OF  FREE AGAIN
        jobs per hour     100        100  in 12 min
        jobs at once        3  unlimited
        engines per run     -          4
        ");
    }
}
