//! Who asks: the operator, who shows the gateway's token, or a user of a tenant, who shows an API key. Every request that is let
//! in carries one as an extension; what it may see and do is asked here.

use std::sync::Arc;

use blitz_contract::Capability;
use blitz_jobs::Spec;
use blitz_jobs::accounts::{Key, Plan};
use blitz_jobs::plugin::PluginDocument;
use blitz_jobs::region::Region;
use blitz_jobs::spec::Terms;

use crate::failure::Failure;

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// Whose gateway it is: everything, and no tenant.
    Operator,
    /// A user of a tenant.
    Member(Arc<Member>),
}

/// A user of a tenant with the key that was shown, and the plan as it stands.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) key: Key,
    pub(crate) plan: Plan,
}

impl Caller {
    /// The tenant; the operator has none.
    pub(crate) fn tenant(&self) -> Option<&str> {
        match self {
            Self::Operator => None,
            Self::Member(member) => Some(&member.key.tenant),
        }
    }

    /// Whether it may see, follow and end what belongs to this tenant and user. What it may not see is not there for it.
    pub(crate) fn owns(&self, tenant: Option<&str>, user: Option<&str>) -> bool {
        match self {
            Self::Operator => true,
            Self::Member(member) => {
                let Member { key, .. } = &**member;
                tenant == Some(&key.tenant) && (key.scopes.is_admin || user == Some(&key.user))
            }
        }
    }

    /// Whether it may use a region. One that it may not use is not there for it.
    pub(crate) fn may_use(&self, region: &Region) -> bool {
        region.lets_in(self.tenant())
    }

    /// Whether a version of a plugin is there for it.
    pub(crate) fn sees(&self, plugin: &PluginDocument) -> bool {
        plugin.is_seen_by(self.tenant())
    }

    /// Whether it may publish plugins, and take its own back.
    pub(crate) fn may_publish(&self) -> bool {
        match self {
            Self::Operator => true,
            Self::Member(member) => {
                let scopes = &member.key.scopes;
                scopes.is_admin || scopes.may_publish
            }
        }
    }

    /// The first right that a plugin asks for and that it is not granted. What the operator has published is granted already.
    pub(crate) fn not_granted<'a>(&self, plugin: &'a PluginDocument) -> Option<&'a Capability> {
        match self {
            Self::Member(member) if plugin.tenant.is_some() => {
                member.plan.missing(&plugin.manifest.capabilities)
            }
            _ => None,
        }
    }

    /// The same of a job.
    pub(crate) fn may_see(&self, spec: &Spec) -> bool {
        self.owns(spec.tenant.as_deref(), spec.terms.user.as_deref())
    }

    /// How it is called where it is written down who did something.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Operator => "operator".to_owned(),
            Self::Member(member) => format!("{}/{}", member.key.tenant, member.key.user),
        }
    }

    /// Refuses whoever is neither the operator nor an administrator of a tenant.
    pub(crate) fn must_be_admin(&self, what: &str) -> Result<(), Failure> {
        match self {
            Self::Member(member) if !member.key.scopes.is_admin => {
                let id = &member.key.id;
                let reason = format!(
                    "key {id} may not {what}: it takes one with 'is_admin' among its scopes"
                );
                Err(Failure::forbidden(reason))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a plugin or a region that the key is not for.
    pub(crate) fn may_run(&self, plugin: &str, region: &str) -> Result<(), Failure> {
        let Self::Member(member) = self else { return Ok(()) };
        let Key { id, scopes, .. } = &member.key;
        let (what, name, allowed) = if !scopes.allow_plugin(plugin) {
            ("plugin", plugin, &scopes.plugins)
        } else if !scopes.allow_region(region) {
            ("region", region, &scopes.regions)
        } else {
            return Ok(());
        };
        let allowed = allowed.join(", ");
        Err(Failure::refused(format!(
            "key {id} may not be used for {what} '{name}', only for {allowed}; ask with another key"
        )))
    }

    /// What jobs carry of it.
    pub(crate) fn terms(&self) -> Terms {
        match self {
            Self::Operator => Terms::default(),
            Self::Member(member) => Terms {
                user: Some(member.key.user.clone()),
                key: Some(member.key.id.clone()),
                ..Terms::default()
            },
        }
    }
}

#[cfg(test)]
impl Caller {
    /// A user of a tenant, with these scopes, whose plan grants these rights.
    pub(crate) fn member(
        tenant: &str,
        scopes: blitz_jobs::accounts::Scopes,
        capabilities: &[&str],
    ) -> Self {
        let key = Key {
            kind: blitz_jobs::accounts::KeyKind::Key,
            blitz: String::new(),
            id: "k".to_owned(),
            tenant: tenant.to_owned(),
            user: "ann".to_owned(),
            label: String::new(),
            hash: String::new(),
            scopes,
            created_at_ms: 0,
            expires_at_ms: None,
        };
        let capabilities = capabilities.iter().map(|&name| name.to_owned()).collect();
        let plan = Plan { capabilities, ..Plan::unlimited("p") };
        Self::Member(Arc::new(Member { key, plan }))
    }
}
