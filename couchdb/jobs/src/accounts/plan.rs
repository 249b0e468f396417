//! `plan:<name>`: what the tenants of a plan may use. What is absent is not limited.

use blitz_contract::Capability;
use serde::{Deserialize, Serialize};

/// The plan of a tenant for which nobody named one: while there is no document of this name it limits nothing.
pub const UNLIMITED: &str = "unlimited";

/// The limits of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Always `plan`.
    pub kind: PlanKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// Its name, as [`super::is_name`] says.
    pub name: String,
    /// Jobs in an hour of the clock (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs_per_hour: Option<u64>,
    /// Jobs that have been accepted and not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs_at_once: Option<u64>,
    /// Tasks of one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engines_per_run: Option<u64>,
    /// Virtual users of one load test, over all its engines. Users come as often as they are answered: a rate is limited by
    /// the next one, for tests that have a rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_users: Option<u64>,
    /// Requests in a second of one load test of a rate, over all its engines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_rate_per_s: Option<u64>,
    /// Minutes of load tests in a day (UTC), over all engines: a test of ten minutes on four engines takes forty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_minutes_per_day: Option<u64>,
    /// Bytes that one job may say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    /// The rights that plugins of a tenant may ask for, by their names in manifests: those of the operator's own plugins are
    /// granted already. Other than the limits, what is not here is not granted.
    #[serde(default = "harmless")]
    pub capabilities: Vec<String>,
    /// The plan that its tenants get when it is over; absent: they may use nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<String>,
}

/// What a plan grants that says nothing of it: one request at a time to where engines let anybody go. Sockets, probes and load
/// are what attacks are made of, and the operator's to give.
fn harmless() -> Vec<String> {
    [Capability::Web, Capability::Dns].iter().map(|right| right.name().to_owned()).collect()
}

/// The `kind` of a [`Plan`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanKind {
    /// The only one.
    Plan,
}

impl Plan {
    /// One that limits nothing.
    #[must_use]
    pub fn unlimited(name: &str) -> Self {
        Self {
            kind: PlanKind::Plan,
            blitz: crate::BUILD.to_owned(),
            name: name.to_owned(),
            jobs_per_hour: None,
            jobs_at_once: None,
            engines_per_run: None,
            load_users: None,
            load_rate_per_s: None,
            load_minutes_per_day: None,
            output_bytes: None,
            capabilities: Capability::KNOWN.iter().map(|known| known.name().to_owned()).collect(),
            then: None,
        }
    }

    /// The first of these rights that it does not grant.
    #[must_use]
    pub fn missing<'a>(&self, asked: &'a [Capability]) -> Option<&'a Capability> {
        asked.iter().find(|right| !self.capabilities.iter().any(|name| name == right.name()))
    }

    /// One that allows nothing: that of a tenant whose plan is over or not known.
    #[must_use]
    pub fn nothing(name: &str) -> Self {
        Self {
            jobs_per_hour: Some(0),
            jobs_at_once: Some(0),
            engines_per_run: Some(0),
            load_users: Some(0),
            load_rate_per_s: Some(0),
            load_minutes_per_day: Some(0),
            output_bytes: Some(0),
            capabilities: Vec::new(),
            ..Self::unlimited(name)
        }
    }

    /// What several plans allow together: of each limit the least, and what comes after it only where all agree. So an edit
    /// that was made on one side never opens what the other side closed. The name is the first one's by the alphabet.
    #[must_use]
    pub fn merged(leaves: &[Self]) -> Option<Self> {
        let (first, others) = leaves.split_first()?;
        Some(others.iter().fold(first.clone(), |one, other| Self {
            kind: PlanKind::Plan,
            blitz: crate::BUILD.to_owned(),
            name: one.name.min(other.name.clone()),
            jobs_per_hour: least(one.jobs_per_hour, other.jobs_per_hour),
            jobs_at_once: least(one.jobs_at_once, other.jobs_at_once),
            engines_per_run: least(one.engines_per_run, other.engines_per_run),
            load_users: least(one.load_users, other.load_users),
            load_rate_per_s: least(one.load_rate_per_s, other.load_rate_per_s),
            load_minutes_per_day: least(one.load_minutes_per_day, other.load_minutes_per_day),
            output_bytes: least(one.output_bytes, other.output_bytes),
            capabilities: kept(one.capabilities, &other.capabilities),
            then: one.then.filter(|then| other.then.as_ref() == Some(then)),
        }))
    }

    /// The id of the document of this plan.
    #[must_use]
    pub fn id(name: &str) -> String {
        format!("plan:{name}")
    }
}

/// The stricter of two limits: what is absent is none.
fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The rights that both grant.
fn kept(one: Vec<String>, other: &[String]) -> Vec<String> {
    one.into_iter().filter(|name| other.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_that_says_nothing_grants_what_is_harmless() {
        let plan: Plan =
            serde_json::from_str(r#"{"kind": "plan", "blitz": "0.1.0", "name": "free"}"#).unwrap();
        for (asked, missing) in [
            (&[Capability::Web, Capability::Dns][..], None),
            (&[Capability::Web, Capability::Load], Some(&Capability::Load)),
            (&[Capability::Sockets], Some(&Capability::Sockets)),
            (&[Capability::Probes], Some(&Capability::Probes)),
        ] {
            assert_eq!(plan.missing(asked), missing, "{asked:?}");
        }
        assert_eq!(Plan::unlimited("all").missing(&Capability::KNOWN), None);
    }

    #[test]
    fn of_two_edits_the_stricter_limits_count() {
        let open = Plan { jobs_per_hour: Some(10), load_users: Some(5), ..Plan::unlimited("b") };
        let shut =
            Plan { jobs_per_hour: Some(2), then: Some("free".to_owned()), ..Plan::unlimited("a") };
        let wanted = Plan { load_users: Some(5), then: None, ..shut.clone() };
        assert_eq!(Plan::merged(&[open.clone(), shut.clone()]).as_ref(), Some(&wanted));
        assert_eq!(Plan::merged(&[shut.clone(), open.clone()]).as_ref(), Some(&wanted));
        let all = [open, shut, Plan::nothing("c")];
        assert_eq!(
            Plan::merged(&all).map(|plan| Plan { name: "c".to_owned(), ..plan }),
            Some(Plan::nothing("c"))
        );
        assert_eq!(Plan::merged(&[]), None);
    }
}
