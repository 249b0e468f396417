//! `blitz keys`: the API keys of a tenant's users. A key is told once, when it is made.

use blitz_jobs::accounts::Secret;
use blitz_jobs::clock::now_ms;
use clap::{Args, Subcommand};
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::whoami::Identity;
use super::{AskArgs, Revoked, done, name, show, with_reason};
use crate::api::{Error, Gateway, segment};
use crate::exit_code::ExitCode;
use crate::list::print_json;
use crate::run::{print, say};
use crate::text::columns;
use crate::when::{Until, ends};

/// `blitz keys`.
#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    #[command(flatten)]
    pub(crate) ask: AskArgs,
    #[command(subcommand)]
    action: Option<KeysAction>,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
enum KeysAction {
    /// List those of one's own; an admin those of its tenant, an operator all
    List {
        /// Whose [default: all that one may see]
        #[arg(long, value_name = "NAME", value_parser = name)]
        tenant: Option<String>,
    },
    /// Make one and print it: nothing has it afterwards but you
    Add(AddArgs),
    /// Take one back, for good; or all that a user has and could get
    Revoke(RevokeArgs),
}

/// `blitz keys add`.
#[derive(Debug, Args)]
struct AddArgs {
    /// Whose it is [default: one's own tenant; an operator has none]
    #[arg(long, value_name = "NAME", value_parser = name)]
    tenant: Option<String>,
    /// Which user of the tenant has it
    #[arg(long, value_name = "NAME", value_parser = name)]
    user: String,
    /// What people call it
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// The only plugins that it may run; repeat or use commas [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    plugins: Vec<String>,
    /// The only regions that it may use; repeat or use commas [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    regions: Vec<String>,
    /// Submissions in a minute: 60/min
    #[arg(long, value_name = "N/min", value_parser = rate)]
    rate: Option<u32>,
    /// When it is over: 30d, 2027-01-31 (to the end of that day), never
    #[arg(long, value_name = "WHEN", default_value = "never", value_parser = Until::read)]
    expires: Until,
    /// It may make and revoke keys of its tenant, and see and end the jobs of its other users
    #[arg(long)]
    admin: bool,
    /// It may publish plugins of its tenant, and take them back; an admin key may
    #[arg(long)]
    publish: bool,
}

/// `blitz keys revoke`.
#[derive(Debug, Args)]
struct RevokeArgs {
    /// Its id, or the key itself
    #[arg(value_name = "ID", required_unless_present = "user", conflicts_with = "user")]
    key: Option<String>,
    /// A user who has left: all keys, and no new ones under that name
    #[arg(long, value_name = "NAME", value_parser = name, requires = "yes")]
    user: Option<String>,
    /// Whose user [default: one's own tenant's; an operator has none]
    #[arg(long, value_name = "NAME", value_parser = name, requires = "user")]
    tenant: Option<String>,
    /// It is meant: there is no way back for a user's name
    #[arg(long)]
    yes: bool,
    /// Why, for people
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

/// `GET /v1/keys`.
#[derive(Debug, Deserialize)]
struct Keys {
    #[serde(default)]
    keys: Vec<Key>,
}

/// A key, without itself.
#[derive(Debug, Deserialize)]
pub(crate) struct Key {
    pub(super) id: String,
    #[serde(default)]
    tenant: String,
    #[serde(default)]
    user: String,
    #[serde(default)]
    pub(super) label: String,
    #[serde(default)]
    pub(super) scopes: Scopes,
    #[serde(default)]
    pub(crate) expires_at_ms: Option<u64>,
    #[serde(default)]
    revoked: Option<Revoked>,
}

/// What a key may be used for, as [`blitz_jobs::accounts::Scopes`] says; what a later gateway adds is passed over.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Scopes {
    #[serde(default)]
    plugins: Vec<String>,
    #[serde(default)]
    regions: Vec<String>,
    #[serde(default)]
    rate_per_minute: Option<u32>,
    #[serde(default)]
    is_admin: bool,
    #[serde(default)]
    may_publish: bool,
}

/// `POST /v1/keys`: the only time that the secret is told.
#[derive(Deserialize)]
struct Made {
    secret: String,
    key: Key,
}

/// Does it.
pub(crate) async fn run(args: KeysArgs, gateway: &Gateway) -> Result<ExitCode, Error> {
    let json = args.ask.json;
    match args.action.unwrap_or(KeysAction::List { tenant: None }) {
        KeysAction::List { tenant } => {
            let path = match tenant {
                Some(tenant) => format!("/v1/keys?tenant={}", segment(&tenant)),
                None => "/v1/keys".to_owned(),
            };
            show(gateway, json, &path, |answer| table(answer, now_ms())).await
        }
        KeysAction::Add(args) => add(args, json, gateway).await,
        KeysAction::Revoke(args) => revoke(args, json, gateway).await,
    }
}

async fn revoke(args: RevokeArgs, json: bool, gateway: &Gateway) -> Result<ExitCode, Error> {
    let RevokeArgs { key, user, tenant, yes: _, reason } = args;
    let (path, line) = match user {
        Some(user) => {
            let tenant = match tenant {
                Some(tenant) => tenant,
                None => gateway.read_answer::<Identity>(&gateway.whoami().await?)?.tenant,
            };
            let line = format!("revoked {user} of {tenant}: none of their keys is taken any more");
            (format!("/v1/tenants/{}/users/{}", segment(&tenant), segment(&user)), line)
        }
        None => {
            // Who has found a key has the key, and not its id. What is secret in it stays here.
            let key = key.unwrap_or_default();
            let id = Secret::read(&key).map_or(key, |secret| secret.id().to_owned());
            let line = format!("revoked {id}: it is not taken any more");
            (format!("/v1/keys/{}", segment(&id)), line)
        }
    };
    let answer = gateway.ask(Method::DELETE, &path, Some(with_reason(&reason))).await?;
    Ok(done(json, &answer, &line))
}

async fn add(args: AddArgs, json: bool, gateway: &Gateway) -> Result<ExitCode, Error> {
    let AddArgs { tenant, user, label, plugins, regions, rate, expires, admin, publish } = args;
    let mut scopes = json!({"plugins": plugins, "regions": regions, "is_admin": admin});
    if let Some(rate) = rate {
        scopes["rate_per_minute"] = rate.into();
    }
    if publish {
        scopes["may_publish"] = true.into();
    }
    let mut body = json!({"user": user, "scopes": scopes});
    if let Some(tenant) = tenant {
        body["tenant"] = tenant.into();
    }
    if let Some(label) = label {
        body["label"] = label.into();
    }
    if let Some(at_ms) = expires.ms() {
        body["expires_at_ms"] = at_ms.into();
    }
    let answer = gateway.ask(Method::POST, "/v1/keys", Some(body)).await?;
    if json {
        return Ok(print_json(&answer));
    }
    let Made { secret, key } = gateway.read_answer(&answer)?;
    let whose = match key.tenant.is_empty() {
        true => user,
        false => format!("{user} of {}", key.tenant),
    };
    let end = key
        .expires_at_ms
        .map_or_else(String::new, |at_ms| format!(", ends {}", ends(at_ms, now_ms())));
    say(&format!(
        "blitz: key {} of {whose}, for {}{end}; it is told only now: keep it, or hand it to 'blitz login'",
        key.id,
        uses(&key.scopes)
    ));
    Ok(print(&format!("{secret}\n")))
}

fn rate(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix("/min").unwrap_or(text).parse().ok().filter(|rate| *rate > 0);
    number.ok_or_else(|| "use a number of submissions in a minute, as 60/min".to_owned())
}

fn table(answer: &Keys, now_ms: u64) -> String {
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let row = |key: &Key| {
        let state = match (&key.revoked, key.expires_at_ms) {
            (Some(why), _) => why.state("revoked"),
            (None, None) => "holds".to_owned(),
            (None, Some(at_ms)) if at_ms <= now_ms => "over".to_owned(),
            (None, Some(at_ms)) => format!("ends {}", ends(at_ms, now_ms)),
        };
        let (tenant, user, label) = (or_dash(&key.tenant), or_dash(&key.user), or_dash(&key.label));
        [key.id.clone(), tenant, user, label, uses(&key.scopes), state]
    };
    let rows: Vec<_> = answer.keys.iter().map(row).collect();
    columns(["ID", "TENANT", "USER", "LABEL", "FOR", "STATE"], &rows)
}

/// What a key may be used for: `plugins curl,ping; regions japan; 60/min; admin`, or `all`.
pub(super) fn uses(scopes: &Scopes) -> String {
    let mut parts = Vec::new();
    for (what, names) in [("plugins", &scopes.plugins), ("regions", &scopes.regions)] {
        if !names.is_empty() {
            parts.push(format!("{what} {}", names.join(",")));
        }
    }
    if parts.is_empty() {
        parts.push("all".to_owned());
    }
    parts.extend(scopes.rate_per_minute.map(|rate| format!("{rate}/min")));
    if scopes.is_admin {
        parts.push("admin".to_owned());
    }
    if scopes.may_publish {
        parts.push("publish".to_owned());
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_a_table() {
        let answer: Keys = serde_json::from_str(
            r#"{"keys":[{"id":"k1","tenant":"acme","user":"ann","label":"laptop","scopes":{"is_admin":true}},
                {"id":"k2","tenant":"acme","user":"ci","scopes":{"plugins":["curl","ping"],"regions":["japan"],
                "rate_per_minute":60,"later":1},"expires_at_ms":172800000},
                {"id":"k3","tenant":"acme","user":"bob","expires_at_ms":1},
                {"id":"k4","tenant":"acme","user":"eve","revoked":{"reason":"lost","by":"ann","at_ms":1}}]}"#,
        )
        .unwrap();
        insta::assert_snapshot!(table(&answer, 1000), @r"
        ID  TENANT  USER  LABEL   FOR                                       STATE
        k1  acme    ann   laptop  all; admin                                holds
        k2  acme    ci    -       plugins curl,ping; regions japan; 60/min  ends in 48 h
        k3  acme    bob   -       all                                       over
        k4  acme    eve   -       all                                       revoked: lost
        ");
    }

    #[test]
    fn rates_are_by_the_minute() {
        for (text, wanted) in [("60/min", Some(60)), ("60", Some(60)), ("0", None), ("1/s", None)] {
            assert_eq!(rate(text).ok(), wanted, "{text}");
        }
    }
}
