//! Who may use the region, and where its jobs may go: the rules of the house, by its document as it stands when a job begins.
//! Pure. Gateways ask the same earlier; they may be older than the document, and somebody else may write specs.

use blitz_jobs::Spec;
use blitz_jobs::region::Region;
use blitz_runtime::Rule;

/// The rules of one region.
#[derive(Debug, Clone)]
pub(crate) struct House {
    region: Region,
}

impl House {
    /// Those that a region's document says.
    pub(crate) fn of(region: &Region) -> Self {
        Self { region: region.clone() }
    }

    /// Where a job may go at most; none is wherever the engine's policy lets it.
    ///
    /// # Errors
    ///
    /// Why it is not run.
    pub(crate) fn admit(&self, spec: &Spec) -> Result<Vec<Rule>, String> {
        let Region { name, targets, .. } = &self.region;
        let tenant = spec.tenant.as_deref();
        if !self.region.lets_in(tenant) {
            // Others that may are not named: it is the tenant who reads this.
            let tenant = tenant.unwrap_or_default();
            return Err(format!(
                "region {name} is not for tenant {tenant:?}; its operator lets one in with 'blitz region set --access'"
            ));
        }
        // One rule that nobody can read may have been the one that counts: nothing is open then.
        targets.iter().map(|rule| rule.parse()).collect::<Result<_, _>>().map_err(
            |error: blitz_runtime::RuleError| {
                format!("the targets of region {name} cannot be read: {error}")
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(tenant: Option<&str>) -> Spec {
        let job = blitz_jobs::JobId::new("lyon", 1);
        serde_json::from_value(json!({"kind": "spec", "blitz": "0.1.0", "job": job, "run": "r",
            "tasks": [job], "tenant": tenant, "plugin": "p", "version": "0.1.0", "sha256": "ab",
            "args": [], "retry": "safe", "timeout_ms": 1, "queue_timeout_ms": 1, "created_at_ms": 0}))
        .unwrap()
    }

    fn house(access: &[&str], targets: &[&str]) -> House {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let lyon = Region::new("lyon").unwrap();
        House::of(&Region { access: words(access), targets: words(targets), ..lyon })
    }

    #[test]
    fn a_tenant_who_is_not_on_the_list_does_not_run_and_the_operator_does() {
        for (access, tenant, runs) in [
            (&[][..], Some("acme"), true),
            (&["acme"], Some("acme"), true),
            (&["acme"], Some("other"), false),
            (&["acme"], None, true),
        ] {
            let admitted = house(access, &[]).admit(&spec(tenant));
            assert_eq!(admitted.is_ok(), runs, "{access:?} {tenant:?}");
        }
        let reason = house(&["acme"], &[]).admit(&spec(Some("other"))).unwrap_err();
        assert!(reason.contains("region lyon is not for tenant \"other\""), "{reason}");
        assert!(!reason.contains("acme"), "{reason}");
    }

    #[test]
    fn targets_that_nobody_can_read_open_nothing() {
        assert_eq!(house(&[], &["10.0.0.0/8", "*.x.y"]).admit(&spec(None)).unwrap().len(), 2);
        let reason = house(&[], &["10.0.0.0/8", "http://x"]).admit(&spec(None)).unwrap_err();
        assert!(reason.contains("targets of region lyon cannot be read"), "{reason}");
    }
}
