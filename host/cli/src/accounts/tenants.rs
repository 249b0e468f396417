//! `blitz tenants`: who shares keys, quotas and jobs. All but `list` is the operator's.

use blitz_jobs::clock::now_ms;
use clap::{Args, Subcommand};
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::{AskArgs, Revoked, done, name, show, with_reason};
use crate::api::{Error, Gateway, segment};
use crate::exit_code::ExitCode;
use crate::text::columns;
use crate::when::{Until, ends};

/// `blitz tenants`.
#[derive(Debug, Args)]
pub(crate) struct TenantsArgs {
    #[command(flatten)]
    pub(crate) ask: AskArgs,
    #[command(subcommand)]
    action: Option<TenantsAction>,
}

/// What to do with tenants.
#[derive(Debug, Subcommand)]
enum TenantsAction {
    /// List them; a member sees its own
    List,
    /// Make one
    Add {
        /// What it is called: in keys, jobs and the audit, for good
        #[arg(value_parser = name)]
        name: String,
        /// What it may use: one of 'blitz plans' [default: the gateway's]
        #[arg(long, value_name = "PLAN", value_parser = name)]
        plan: Option<String>,
    },
    /// Give it another plan, or its plan an end
    Set(SetArgs),
    /// Take all of its rights back, for good: its keys, its targets, and its name
    Remove {
        /// Which tenant
        #[arg(value_parser = name)]
        name: String,
        /// It is meant: there is no way back
        #[arg(long, required = true)]
        yes: bool,
        /// Why, for people
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
}

/// `blitz tenants set`.
#[derive(Debug, Args)]
struct SetArgs {
    /// Which tenant
    #[arg(value_parser = name)]
    name: String,
    /// What it may use: one of 'blitz plans'
    #[arg(long, value_name = "PLAN", value_parser = name, required_unless_present = "plan_until")]
    plan: Option<String>,
    /// When its plan is over: 30d, 2027-01-31 (to the end of that day), never
    #[arg(long, value_name = "WHEN", value_parser = Until::read)]
    plan_until: Option<Until>,
}

/// `GET /v1/tenants`.
#[derive(Debug, Deserialize)]
struct Tenants {
    #[serde(default)]
    tenants: Vec<Tenant>,
}

#[derive(Debug, Deserialize)]
struct Tenant {
    name: String,
    #[serde(default)]
    plan: Option<PlanName>,
    #[serde(default)]
    plan_until_ms: Option<u64>,
    #[serde(default)]
    revoked: Option<Revoked>,
}

/// A plan: its name, or all of it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum PlanName {
    Name(String),
    Plan { name: String },
}

impl PlanName {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Name(name) | Self::Plan { name } => name,
        }
    }
}

/// Does it.
pub(crate) async fn run(args: TenantsArgs, gateway: &Gateway) -> Result<ExitCode, Error> {
    let json = args.ask.json;
    let path = |name: &str| format!("/v1/tenants/{}", segment(name));
    match args.action.unwrap_or(TenantsAction::List) {
        TenantsAction::List => {
            show(gateway, json, "/v1/tenants", |answer| table(answer, now_ms())).await
        }
        TenantsAction::Add { name, plan } => {
            let mut body = json!({"name": name});
            if let Some(plan) = plan {
                body["plan"] = plan.into();
            }
            let answer = gateway.ask(Method::POST, "/v1/tenants", Some(body)).await?;
            let line = format!(
                "added tenant {name}; its first key: blitz keys add --tenant {name} --user NAME --admin"
            );
            Ok(done(json, &answer, &line))
        }
        TenantsAction::Set(SetArgs { name, plan, plan_until }) => {
            let mut body = json!({});
            if let Some(plan) = plan {
                body["plan"] = plan.into();
            }
            if let Some(until) = plan_until {
                body["plan_until_ms"] = until.ms().into();
            }
            let answer = gateway.ask(Method::PATCH, &path(&name), Some(body)).await?;
            Ok(done(json, &answer, &format!("changed tenant {name}")))
        }
        TenantsAction::Remove { name, yes: _, reason } => {
            let body = with_reason(&reason);
            let answer = gateway.ask(Method::DELETE, &path(&name), Some(body)).await?;
            let line =
                format!("removed tenant {name}: its keys hold no more, its name stays taken");
            Ok(done(json, &answer, &line))
        }
    }
}

fn table(answer: &Tenants, now_ms: u64) -> String {
    let row = |one: &Tenant| {
        let plan = one.plan.as_ref().map_or("-", PlanName::name).to_owned();
        let end = one.plan_until_ms.map_or_else(|| "-".to_owned(), |at_ms| ends(at_ms, now_ms));
        let state =
            one.revoked.as_ref().map_or_else(|| "ok".to_owned(), |why| why.state("removed"));
        [one.name.clone(), plan, end, state]
    };
    let rows: Vec<_> = answer.tenants.iter().map(row).collect();
    columns(["NAME", "PLAN", "PLAN ENDS", "STATE"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_are_a_table() {
        let answer: Tenants = serde_json::from_str(
            r#"{"tenants":[{"name":"acme","plan":"team","plan_until_ms":172800000},
                {"name":"old","plan":{"name":"free","jobs_per_hour":1},"revoked":{"reason":"unpaid","by":"operator","at_ms":1}},{"name":"x","revoked":null}]}"#,
        )
        .unwrap();
        insta::assert_snapshot!(table(&answer, 0), @r"
        NAME  PLAN  PLAN ENDS  STATE
        acme  team  in 2 days  ok
        old   free  -          removed: unpaid
        x     -     -          ok
        ");
    }
}
