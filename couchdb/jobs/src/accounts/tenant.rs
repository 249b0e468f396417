//! `tenant:<name>`: who shares keys, quotas and jobs.

use serde::{Deserialize, Serialize};

/// A tenant. Its name never changes; what it may use is its plan's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Always `tenant`.
    pub kind: TenantKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// Its name, as [`super::is_name`] says.
    pub name: String,
    /// The name of its plan.
    pub plan: String,
    /// Plans that count too: the document was edited on two sides, and nobody has said yet which edit is meant. Never stored.
    #[serde(skip)]
    pub contested: Vec<String>,
    /// When the plan is over, by the clock of who decides. Milliseconds since 1970; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_until_ms: Option<u64>,
    /// When it was made, for people. Milliseconds since 1970.
    pub created_at_ms: u64,
}

/// The `kind` of a [`Tenant`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantKind {
    /// The only one.
    Tenant,
}

impl Tenant {
    /// A tenant of this plan.
    #[must_use]
    pub fn new(name: &str, plan: &str, created_at_ms: u64) -> Self {
        Self {
            kind: TenantKind::Tenant,
            blitz: crate::BUILD.to_owned(),
            name: name.to_owned(),
            plan: plan.to_owned(),
            contested: Vec::new(),
            plan_until_ms: None,
            created_at_ms,
        }
    }

    /// What several leaves say together: the plan ends when the first of them says so, and the limits of all their plans
    /// count. Which of the plans is the tenant's in name, the alphabet says: the same everywhere.
    #[must_use]
    pub fn merged(leaves: &[Self]) -> Option<Self> {
        let first = leaves.first()?;
        let mut plans: Vec<String> = leaves.iter().map(|leaf| leaf.plan.clone()).collect();
        plans.sort();
        plans.dedup();
        let plan = plans.remove(0);
        Some(Self {
            plan,
            contested: plans,
            plan_until_ms: leaves.iter().filter_map(|leaf| leaf.plan_until_ms).min(),
            created_at_ms: leaves.iter().map(|leaf| leaf.created_at_ms).min().unwrap_or_default(),
            ..first.clone()
        })
    }

    /// The id of the document of this tenant.
    #[must_use]
    pub fn id(name: &str) -> String {
        format!("tenant:{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_edits_the_stricter_counts_wherever_it_is_read() {
        let one = Tenant { plan_until_ms: Some(9), ..Tenant::new("acme", "paid", 2) };
        let other = Tenant::new("acme", "free", 1);
        let wanted = Tenant {
            contested: vec!["paid".to_owned()],
            plan_until_ms: Some(9),
            ..Tenant::new("acme", "free", 1)
        };
        assert_eq!(Tenant::merged(&[one.clone(), other.clone()]).as_ref(), Some(&wanted));
        assert_eq!(Tenant::merged(&[other, one.clone()]).as_ref(), Some(&wanted));
        assert_eq!(Tenant::merged(std::slice::from_ref(&one)), Some(one));
        assert!(!serde_json::to_string(&wanted).unwrap().contains("contested"));
    }
}
