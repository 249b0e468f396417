//! `blitz targets`: the hosts that a tenant has shown to be its own. Load goes to no others.

use blitz_jobs::clock::now_ms;
use clap::{Args, Subcommand};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{AskArgs, done, name, show, with_reason};
use crate::api::{Error, Gateway, segment};
use crate::exit_code::ExitCode;
use crate::list::{ago, print_json, print_table};
use crate::text::columns;

/// `blitz targets`.
#[derive(Debug, Args)]
pub(crate) struct TargetsArgs {
    #[command(flatten)]
    pub(crate) ask: AskArgs,
    /// Whose [default: one's own; an operator has none, and lists those of all]
    #[arg(long, value_name = "NAME", value_parser = name, global = true)]
    tenant: Option<String>,
    #[command(subcommand)]
    action: Option<TargetsAction>,
}

/// What to do with targets.
#[derive(Debug, Subcommand)]
enum TargetsAction {
    /// List them
    List,
    /// Say that a host is one's own, and be told how to prove it
    Add {
        /// The host, as load tests name it: example.com, example.com:8443
        #[arg(id = "target", value_name = "HOST")]
        host: String,
        /// It needs no proof: the operator answers for it
        #[arg(long)]
        pre_authorised: bool,
    },
    /// Look for the proof now
    Verify {
        /// Which host
        #[arg(id = "target", value_name = "HOST")]
        host: String,
    },
    /// Take it back: load tests that run against it are ended
    Remove {
        /// Which host
        #[arg(id = "target", value_name = "HOST")]
        host: String,
        /// Why, for people
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
}

/// `GET /v1/targets`.
#[derive(Debug, Deserialize)]
struct Targets {
    #[serde(default)]
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    host: String,
    #[serde(default)]
    tenant: String,
    #[serde(default)]
    state: String,
    /// Why it is not proved.
    #[serde(default)]
    reason: String,
    #[serde(default)]
    verified_at_ms: Option<u64>,
    /// How it can be proved, each in a line.
    #[serde(default)]
    ways: Vec<Value>,
}

/// Does it.
pub(crate) async fn run(args: TargetsArgs, gateway: &Gateway) -> Result<ExitCode, Error> {
    let TargetsArgs { ask: AskArgs { json, .. }, tenant, action } = args;
    let path = |host: &str, what: &str| path(host, what, tenant.as_deref());
    match action.unwrap_or(TargetsAction::List) {
        TargetsAction::List => {
            show(gateway, json, &path("", ""), |answer| table(answer, now_ms())).await
        }
        TargetsAction::Add { host, pre_authorised } => {
            let mut body = json!({"host": host});
            if let Some(tenant) = tenant {
                body["tenant"] = tenant.into();
            }
            if pre_authorised {
                body["pre_authorised"] = true.into();
            }
            let answer = gateway.ask(Method::POST, "/v1/targets", Some(body)).await?;
            tell(gateway, json, &answer)
        }
        TargetsAction::Verify { host } => {
            let answer = gateway.ask(Method::POST, &path(&host, "/verify"), None).await?;
            tell(gateway, json, &answer)
        }
        TargetsAction::Remove { host, reason } => {
            let body = with_reason(&reason);
            let answer = gateway.ask(Method::DELETE, &path(&host, ""), Some(body)).await?;
            let ended = answer.get("ended").and_then(Value::as_u64).filter(|ended| *ended > 0);
            let ended = ended
                .map_or_else(String::new, |ended| format!("; load tests that were ended: {ended}"));
            Ok(done(json, &answer, &format!("removed {host}: no load goes to it any more{ended}")))
        }
    }
}

fn path(host: &str, what: &str, tenant: Option<&str>) -> String {
    let host = if host.is_empty() { String::new() } else { format!("/{}", segment(host)) };
    let tenant = tenant.map_or_else(String::new, |tenant| format!("?tenant={}", segment(tenant)));
    format!("/v1/targets{host}{what}{tenant}")
}

fn tell(gateway: &Gateway, json: bool, answer: &Value) -> Result<ExitCode, Error> {
    if json {
        return Ok(print_json(answer));
    }
    Ok(print_table(&told(&gateway.read_answer(answer)?)))
}

/// The state of a target whose proof was found.
const PROVED: &str = "proved";

/// What a target is now, and the way on.
fn told(target: &Target) -> String {
    let Target { host, state, reason, ways, .. } = target;
    let state = state.replace('_', " ");
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let mut text =
        format!("{host} is {}{reason}\n", if state.is_empty() { "noted" } else { &state });
    if state == PROVED {
        text.push_str("leave what proves it there: it is looked for at each load test\n");
    } else if !ways.is_empty() {
        text.push_str("prove that it is yours in one of these ways:\n");
        for way in ways {
            let way = way.as_str().map_or_else(|| way.to_string(), str::to_owned);
            text.push_str(&format!("  {way}\n"));
        }
        text.push_str(&format!("then: blitz targets verify {host}\n"));
    }
    text
}

fn table(answer: &Targets, now_ms: u64) -> String {
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let row = |one: &Target| {
        let seen = one
            .verified_at_ms
            .map_or_else(|| "-".to_owned(), |at_ms| ago(now_ms.saturating_sub(at_ms)));
        [one.host.clone(), or_dash(&one.tenant), or_dash(&one.state.replace('_', " ")), seen]
    };
    let rows: Vec<_> = answer.targets.iter().map(row).collect();
    columns(["HOST", "TENANT", "STATE", "PROVED"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_a_table_and_new_ones_say_how_to_prove_them() {
        let list: Targets = serde_json::from_str(
            r#"{"targets":[{"host":"a.example","tenant":"acme","state":"proved","verified_at_ms":1000},
                {"host":"b.example:8443","state":"proof_expired","ways":["x"]}]}"#,
        )
        .unwrap();
        let one: Target = serde_json::from_str(
            r#"{"host":"b.example","token":"t","state":"waiting","ways":["the body 42 at http://b.example/u",
                "a TXT record of _blitz.b.example: t"]}"#,
        )
        .unwrap();
        let proved: Target =
            serde_json::from_str(r#"{"host":"b.example","state":"proved"}"#).unwrap();
        let text = [table(&list, 91_000), told(&one), told(&proved)];
        insta::assert_snapshot!(text.join("\n"), @r"
        HOST            TENANT  STATE          PROVED
        a.example       acme    proved         90 s ago
        b.example:8443  -       proof expired  -

        b.example is waiting
        prove that it is yours in one of these ways:
          the body 42 at http://b.example/u
          a TXT record of _blitz.b.example: t
        then: blitz targets verify b.example

        b.example is proved
        leave what proves it there: it is looked for at each load test
        ");
    }

    #[test]
    fn a_host_stays_one_segment() {
        assert_eq!(path("a/b", "/verify", Some("x")), "/v1/targets/a%2Fb/verify?tenant=x");
        assert_eq!(path("", "", Some("x")), "/v1/targets?tenant=x");
        assert_eq!(path("[::1]:80", "", None), "/v1/targets/%5B%3A%3A1%5D%3A80");
    }
}
