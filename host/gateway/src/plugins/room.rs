//! Room for what is published: how many files at once, and how much of each tenant for good. Nothing that was published is ever
//! forgotten: each gateway and each engine has the documents of all versions in memory.

use tokio::sync::{Semaphore, SemaphorePermit};

use blitz_jobs::plugin::PluginDocument;

use crate::caller::Caller;
use crate::catalog::Catalog;
use crate::failure::Failure;
use crate::share::{Share, Shares};

/// Publishings under way at once: each holds its file twice, once as it came and once as it is sent to the
/// store. Further ones wait.
const PUBLISHINGS_MAX: usize = 2;

/// Those of one tenant: the other place is for others, who would wait for a minute for each of its files.
const PUBLISHINGS_PER_TENANT_MAX: u32 = 1;

/// Versions of one tenant: four years of one each week. Fifty tenants that have so many fill the gateway.
const TENANT_VERSIONS_MAX: usize = 200;

/// The files of one tenant's versions, in bytes: 16 of the largest, or 200 of 5 MiB, which is more than most have.
const TENANT_BYTES_MAX: u64 = 1 << 30;

/// Versions of all tenants and the operator: as many as an engine knows (its `arrival::sizes`), so that none is published
/// that no engine would hear of. About 2 KiB each.
const VERSIONS_MAX: usize = 10_000;

/// Lets so many publish at once.
#[derive(Debug)]
pub(crate) struct Publishings {
    all: Semaphore,
    tenants: Shares,
}

/// A publishing under way.
#[derive(Debug)]
pub(super) struct Publishing<'a> {
    _tenant: Option<Share>,
    _place: SemaphorePermit<'a>,
}

impl Default for Publishings {
    fn default() -> Self {
        let tenants = Shares::new(PUBLISHINGS_PER_TENANT_MAX);
        Self { all: Semaphore::new(PUBLISHINGS_MAX), tenants }
    }
}

impl Publishings {
    /// Waits for a place.
    ///
    /// # Errors
    ///
    /// At once, when the caller's tenant publishes already.
    pub(super) async fn begin(&self, caller: &Caller) -> Result<Publishing<'_>, Failure> {
        let tenant = match caller.tenant() {
            None => None,
            Some(tenant) => {
                let share = self.tenants.take(tenant.to_owned(), 1);
                Some(share.ok_or_else(|| Failure::share_used(tenant, "a publishing"))?)
            }
        };
        let place = self.all.acquire().await.map_err(|_| Failure::busy())?;
        Ok(Publishing { _tenant: tenant, _place: place })
    }
}

/// Whether one more version may be published. The same one again takes no room.
pub(super) fn has_room(
    catalog: &Catalog,
    caller: &Caller,
    document: &PluginDocument,
) -> Result<(), Failure> {
    let (name, version) = (&document.manifest.name, &document.manifest.version);
    if catalog.version(name, version).is_some() {
        return Ok(());
    }
    let published = catalog.published();
    if published.versions >= VERSIONS_MAX {
        return Err(Failure::conflict(
            "too_many_versions",
            format!(
                "there are {} versions of plugins, and {VERSIONS_MAX} are the limit of an installation, as engines know no more; \
                 publish to another installation, or tell your operator",
                published.versions
            ),
        ));
    }
    let Some(tenant) = caller.tenant() else { return Ok(()) };
    let own = catalog.published_by(tenant);
    // What was taken back stays stored, for all jobs that ran it.
    let advice = "those that were taken back count, too; ask your operator, who may publish without this limit";
    if own.versions >= TENANT_VERSIONS_MAX {
        return Err(Failure::conflict(
            "too_many_versions",
            format!(
                "tenant {tenant} has published {} versions of plugins, and {TENANT_VERSIONS_MAX} are the limit: {advice}",
                own.versions
            ),
        ));
    }
    if own.bytes.saturating_add(document.size_bytes) > TENANT_BYTES_MAX {
        return Err(Failure::conflict(
            "too_many_bytes",
            format!(
                "the versions that tenant {tenant} has published have {} bytes, this one has {}, and {TENANT_BYTES_MAX} in all \
                 are the limit: {advice}",
                own.bytes, document.size_bytes
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use blitz_jobs::accounts::Scopes;
    use futures_util::FutureExt as _;
    use serde_json::json;

    use super::*;

    fn member(tenant: &str) -> Caller {
        Caller::member(tenant, Scopes::default(), &[])
    }

    #[tokio::test]
    async fn one_tenant_does_not_keep_others_from_publishing() {
        let publishings = Publishings::default();
        let first = publishings.begin(&member("acme")).await.unwrap();
        let again = publishings.begin(&member("acme")).now_or_never().expect("refused at once");
        let refused = format!("{:?}", again.unwrap_err());
        for part in ["503", "busy", "tenant acme has a publishing", "try again"] {
            assert!(refused.contains(part), "{part}: {refused}");
        }
        let _second = publishings.begin(&member("other")).now_or_never().unwrap().unwrap();
        assert!(publishings.begin(&Caller::Operator).now_or_never().is_none(), "it waits");
        drop(first);
        let _third = publishings.begin(&member("acme")).now_or_never().unwrap().unwrap();
    }

    fn version(of: (&str, Option<&str>), number: usize, size_bytes: u64) -> PluginDocument {
        let (name, tenant) = of;
        let body = json!({
            "kind": "plugin", "blitz": "0", "sha256": "ab", "size_bytes": size_bytes, "tenant": tenant,
            "manifest": {"name": name, "version": format!("0.0.{number}"), "summary": "", "contract": "0.1.0"},
        });
        serde_json::from_value(body).unwrap()
    }

    /// A catalog with so many versions of this size.
    fn catalog(of: (&str, Option<&str>), count: usize, size_bytes: u64) -> Catalog {
        let catalog = Catalog::new(Duration::from_secs(1));
        for number in 0..count {
            let one = version(of, number, size_bytes);
            catalog.hear_control(&one.document_id(), json!(one));
        }
        catalog
    }

    #[test]
    fn a_tenant_publishes_so_much_and_the_operator_as_much_as_engines_know() {
        let (acme, other) = (("a", Some("acme")), ("b", Some("other")));
        let (member, operator) = (&member("acme"), &Caller::Operator);
        let gib = 1 << 30;
        for (of, count, bytes, caller, adds, refusal) in [
            (acme, 199, 1, member, version(acme, 199, 1), None),
            (
                acme,
                200,
                1,
                member,
                version(acme, 200, 1),
                Some("200 versions of plugins, and 200 are"),
            ),
            (acme, 200, 1, member, version(acme, 199, 1), None),
            (acme, 200, 1, operator, version(("c", None), 1, 1), None),
            (other, 200, 1, member, version(acme, 1, 1), None),
            (acme, 1, gib - 1, member, version(acme, 1, 1), None),
            (
                acme,
                1,
                gib - 1,
                member,
                version(acme, 1, 2),
                Some("have 1073741823 bytes, this one has 2"),
            ),
            (acme, 1, gib - 1, operator, version(("c", None), 1, 2), None),
            (other, 9_999, 1, operator, version(("c", None), 1, 1), None),
            (other, 10_000, 1, operator, version(("c", None), 1, 1), Some("10000 are the limit")),
            (other, 10_000, 1, member, version(acme, 1, 1), Some("10000 are the limit")),
            (other, 10_000, 1, operator, version(other, 1, 1), None),
        ] {
            let said = has_room(&catalog(of, count, bytes), caller, &adds);
            match (said, refusal) {
                (Ok(()), None) => {}
                (Err(said), Some(refusal)) => {
                    let said = format!("{said:?}");
                    assert!(said.contains(refusal) && said.contains("operator"), "{said}");
                }
                (said, wanted) => panic!("{of:?} {count} {bytes}: {said:?}, wanted {wanted:?}"),
            }
        }
    }
}
