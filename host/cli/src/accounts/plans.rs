//! `blitz plans`: what the tenants of a plan may use. Changing one is the operator's.

use clap::{Args, Subcommand};
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{AskArgs, done, name, show};
use crate::api::{Error, Gateway, segment};
use crate::cluster::operate::described;
use crate::exit_code::ExitCode;

/// `blitz plans`.
#[derive(Debug, Args)]
pub(crate) struct PlansArgs {
    #[command(flatten)]
    pub(crate) ask: AskArgs,
    #[command(subcommand)]
    action: Option<PlansAction>,
}

/// What to do with plans.
#[derive(Debug, Subcommand)]
enum PlansAction {
    /// List them
    List,
    /// Make one, or change what is named of it; the rest stays as it is
    Set(SetArgs),
    /// Remove one that no tenant has
    Remove {
        /// Which plan
        #[arg(value_parser = name)]
        name: String,
    },
}

/// `blitz plans set`.
#[derive(Debug, Args)]
struct SetArgs {
    /// What it is called
    #[arg(value_parser = name)]
    name: String,
    /// Jobs in an hour of the clock: a number, or 'unlimited', as with those below
    #[arg(long, value_name = "N", value_parser = limit)]
    jobs_per_hour: Option<Limit>,
    /// Jobs that have been accepted and not ended
    #[arg(long, value_name = "N", value_parser = limit)]
    jobs_at_once: Option<Limit>,
    /// Engines of one command
    #[arg(long, value_name = "N", value_parser = limit)]
    engines_per_run: Option<Limit>,
    /// Virtual users of one load test, over all its engines
    #[arg(long, value_name = "N", value_parser = limit)]
    load_users: Option<Limit>,
    /// Requests in a second of one load test, over all its engines
    #[arg(long, value_name = "N", value_parser = limit)]
    load_rate: Option<Limit>,
    /// Minutes of load tests in a day, over all engines
    #[arg(long, value_name = "N", value_parser = limit)]
    load_minutes_per_day: Option<Limit>,
    /// Bytes that one job may say
    #[arg(long, value_name = "BYTES", value_parser = limit)]
    output_bytes: Option<Limit>,
    /// The rights that plugins of a tenant may ask for; repeat or use commas; '' is none
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    capabilities: Option<Vec<String>>,
    /// The plan that its tenants get when it is over; '' is none: they may use nothing then
    #[arg(long, value_name = "PLAN", value_parser = name_or_none)]
    then: Option<String>,
}

/// A limit, as typed; `None` is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit(Option<u64>);

/// The limits: as documents have them, and as people read them.
pub(super) const LIMITS: [(&str, &str); 7] = [
    ("jobs_per_hour", "jobs per hour"),
    ("jobs_at_once", "jobs at once"),
    ("engines_per_run", "engines per run"),
    ("load_users", "users of a load test"),
    ("load_rate_per_s", "requests a second of a load test"),
    ("load_minutes_per_day", "minutes of load per day"),
    ("output_bytes", "bytes that a job says"),
];

/// What a gateway tells of a plan and is not told.
const TOLD_ONLY: [&str; 3] = ["kind", "blitz", "name"];

/// `GET /v1/plans`: their fields as they came, so that changing one keeps what only a later version knows.
#[derive(Debug, Deserialize)]
struct Plans {
    #[serde(default)]
    plans: Vec<Map<String, Value>>,
}

/// Does it.
pub(crate) async fn run(args: PlansArgs, gateway: &Gateway) -> Result<ExitCode, Error> {
    let json = args.ask.json;
    let path = |name: &str| format!("/v1/plans/{}", segment(name));
    match args.action.unwrap_or(PlansAction::List) {
        PlansAction::List => show(gateway, json, "/v1/plans", list).await,
        PlansAction::Set(args) => {
            let name = args.name.clone();
            let answer = gateway.ask(Method::GET, "/v1/plans", None).await?;
            let known: Plans = gateway.read_answer(&answer)?;
            let before = known.plans.into_iter().find(|plan| plan_name(plan) == name);
            let what = if before.is_some() { "changed" } else { "made" };
            let body = args.applied(before.unwrap_or_default());
            let answer = gateway.ask(Method::PUT, &path(&name), Some(body.into())).await?;
            Ok(done(json, &answer, &format!("{what} plan {name}")))
        }
        PlansAction::Remove { name } => {
            let answer = gateway.ask(Method::DELETE, &path(&name), None).await?;
            Ok(done(json, &answer, &format!("removed plan {name}")))
        }
    }
}

impl SetArgs {
    /// The plan with what was named of it. A limit that nobody names is not lifted by saying nothing of it.
    fn applied(self, mut plan: Map<String, Value>) -> Map<String, Value> {
        plan.retain(|field, value| !TOLD_ONLY.contains(&field.as_str()) && !value.is_null());
        let limits = [
            ("jobs_per_hour", self.jobs_per_hour),
            ("jobs_at_once", self.jobs_at_once),
            ("engines_per_run", self.engines_per_run),
            ("load_users", self.load_users),
            ("load_rate_per_s", self.load_rate),
            ("load_minutes_per_day", self.load_minutes_per_day),
            ("output_bytes", self.output_bytes),
        ];
        for (field, limit) in limits {
            match limit {
                None => {}
                Some(Limit(None)) => drop(plan.remove(field)),
                Some(Limit(Some(number))) => drop(plan.insert(field.to_owned(), number.into())),
            }
        }
        if let Some(mut names) = self.capabilities {
            names.retain(|name| !name.is_empty());
            plan.insert("capabilities".to_owned(), names.into());
        }
        match self.then {
            None => {}
            Some(then) if then.is_empty() => drop(plan.remove("then")),
            Some(then) => drop(plan.insert("then".to_owned(), then.into())),
        }
        plan
    }
}

fn limit(text: &str) -> Result<Limit, String> {
    match text {
        "unlimited" => Ok(Limit(None)),
        number => number
            .parse()
            .map(|number| Limit(Some(number)))
            .map_err(|_| "use a number, or 'unlimited'".to_owned()),
    }
}

fn name_or_none(text: &str) -> Result<String, String> {
    if text.is_empty() { Ok(String::new()) } else { name(text) }
}

fn plan_name(plan: &Map<String, Value>) -> &str {
    plan.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// A section for each plan: they have more fields than a line has room.
fn list(answer: &Plans) -> String {
    if answer.plans.is_empty() {
        return "no plans: nothing is limited; 'blitz plans set NAME' makes one\n".to_owned();
    }
    let section = |plan: &Map<String, Value>| {
        let number = |field| plan.get(field).and_then(Value::as_u64);
        let limits = LIMITS
            .iter()
            .filter_map(|(field, words)| Some(((*words).to_owned(), number(*field)?.to_string())));
        let mut lines: Vec<(String, String)> = limits.collect();
        if lines.is_empty() {
            lines.push(("no limits".to_owned(), String::new()));
        }
        if let Some(names) = plan.get("capabilities").and_then(Value::as_array) {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(",") };
            lines.push(("plugins may have".to_owned(), names));
        }
        if let Some(then) = plan.get("then").and_then(Value::as_str) {
            lines.push(("then".to_owned(), then.to_owned()));
        }
        format!("{}\n{}", plan_name(plan), described(&lines))
    };
    answer.plans.iter().map(section).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        set: SetArgs,
    }

    fn applied(line: &str, before: Value) -> String {
        let words = line.split(' ').map(|word| if word == "''" { "" } else { word });
        let set = Line::try_parse_from(std::iter::once("set").chain(words)).unwrap().set;
        Value::from(set.applied(before.as_object().unwrap().clone())).to_string()
    }

    #[test]
    fn what_is_not_named_stays() {
        let team = json!({"kind":"plan","blitz":"0.1.0","name":"team","jobs_per_hour":9,"load_users":null,
            "of_a_later_version":1,"then":"free"});
        for (line, wanted) in [
            (
                "team --jobs-at-once 3",
                r#"{"jobs_at_once":3,"jobs_per_hour":9,"of_a_later_version":1,"then":"free"}"#,
            ),
            ("team --jobs-per-hour unlimited --then ''", r#"{"of_a_later_version":1}"#),
            (
                "team --jobs-per-hour 0 --capabilities ''",
                r#"{"capabilities":[],"jobs_per_hour":0,"of_a_later_version":1,"then":"free"}"#,
            ),
        ] {
            assert_eq!(applied(line, team.clone()), wanted, "{line}");
        }
        assert_eq!(
            applied("new --load-rate 5 --then free", json!({})),
            r#"{"load_rate_per_s":5,"then":"free"}"#
        );
        for wrong in ["", "many", "-1"] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn plans_are_sections() {
        let answer: Plans = serde_json::from_str(
            r#"{"plans":[{"name":"team","jobs_per_hour":100,"load_users":50,"then":"free","capabilities":["web","dns"]},
                {"name":"all","capabilities":[]}]}"#,
        )
        .unwrap();
        insta::assert_snapshot!(list(&answer), @r"
        team
          jobs per hour         100
          users of a load test  50
          plugins may have      web,dns
          then                  free
        all
          no limits
          plugins may have  none
        ");
    }
}
