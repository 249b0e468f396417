//! `blitz whoami`: whom the gateway takes us for, and what the key may be used for.

use blitz_jobs::clock::now_ms;
use serde::Deserialize;

use super::keys::{Key, uses};
use super::{AskArgs, tenants::PlanName};
use crate::api::{Error, Gateway, TokenFrom};
use crate::cluster::operate::described;
use crate::exit_code::ExitCode;
use crate::list::{print_json, print_table};
use crate::when::ends;

/// `GET /v1/whoami`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Identity {
    #[serde(default)]
    operator: bool,
    #[serde(default)]
    pub(super) tenant: String,
    #[serde(default)]
    user: String,
    #[serde(default)]
    key: Option<Key>,
    #[serde(default)]
    plan: Option<PlanName>,
}

impl Identity {
    /// `ann of acme`, `the operator`.
    pub(crate) fn name(&self) -> String {
        match self.operator {
            true => "the operator".to_owned(),
            false => format!("{} of {}", self.user, self.tenant),
        }
    }

    /// When the key ends, if it does.
    pub(crate) fn ends(&self) -> Option<String> {
        Some(ends(self.key.as_ref()?.expires_at_ms?, now_ms()))
    }
}

/// Asks and shows it.
pub(crate) async fn run(args: AskArgs, gateway: &Gateway) -> Result<ExitCode, Error> {
    let answer = gateway.whoami().await?;
    if args.json {
        return Ok(print_json(&answer));
    }
    Ok(print_table(&text(&gateway.read_answer(&answer)?, gateway)))
}

fn text(identity: &Identity, gateway: &Gateway) -> String {
    let from = match gateway.token_from() {
        TokenFrom::Environment => "by BLITZ_TOKEN",
        TokenFrom::Up => "by its 'blitz up'",
        TokenFrom::Login | TokenFrom::Given => "by 'blitz login'",
    };
    let mut lines = vec![("gateway", format!("{}, {from}", gateway.url()))];
    if let Some(plan) = &identity.plan {
        lines.push(("plan", plan.name().to_owned()));
    }
    if let Some(key) = &identity.key {
        let label = match key.label.is_empty() {
            true => String::new(),
            false => format!(" ({})", key.label),
        };
        lines.push(("key", format!("{}{label}", key.id)));
        lines.push(("may", uses(&key.scopes)));
        lines.push(("ends", identity.ends().unwrap_or_else(|| "never".to_owned())));
    }
    let lines: Vec<_> = lines.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
    format!("{}\n{}", identity.name(), described(&lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_told_who_one_is() {
        let show = |json: &str, from| {
            let gateway = Gateway::new("http://h:1", "t", from).unwrap();
            text(&serde_json::from_str(json).unwrap(), &gateway)
        };
        let member = r#"{"operator":false,"tenant":"acme","user":"ann","plan":"team","later":1,
            "key":{"id":"k1","label":"laptop","scopes":{"plugins":["curl"],"is_admin":false},"expires_at_ms":1}}"#;
        let texts = [show(r#"{"operator":true}"#, TokenFrom::Up), show(member, TokenFrom::Login)];
        insta::assert_snapshot!(texts.join("\n"), @r"
        the operator
          gateway  http://h:1, by its 'blitz up'

        ann of acme
          gateway  http://h:1, by 'blitz login'
          plan     team
          key      k1 (laptop)
          may      plugins curl
          ends     over
        ");
    }
}
