//! What a submission asks: whether its tenant may load the hosts that it names, and what engines are to look for.

use blitz_contract::load::Consent;
use blitz_contract::load::proof::{record_name, record_text, uuid_path, well_known_path};
use blitz_jobs::accounts::{Target, TargetHost};
use blitz_jobs::clock::now_ms;
use blitz_jobs::read;
use blitz_jobs::spec::Proof;

use super::{OPERATOR, TARGETS_MAX, accounts, because, find, revoked, rows};
use crate::failure::Failure;
use crate::stores::Stores;

/// Proofs in one spec: about 100 bytes each. A test has at most 32 steps.
const PROOFS_MAX: usize = 64;

/// What is asked with.
pub(crate) struct Proving<'a> {
    pub(crate) stores: &'a Stores,
    pub(crate) consent: &'a Consent,
    pub(crate) plugin: &'a str,
}

impl Proving<'_> {
    /// The proofs of a tenant for these hosts, each with the port that its URL has. Hosts that the operator lists need none, and
    /// names that lead nowhere but to one's own network are the engine's to judge.
    pub(crate) async fn proofs(
        &self,
        tenant: &str,
        hosts: &[(TargetHost, u16)],
    ) -> Result<Vec<Proof>, Failure> {
        let Self { stores, consent, plugin } = *self;
        let accounts = accounts(stores);
        let mut proofs: Vec<Proof> = Vec::new();
        for (host, port) in hosts {
            let is_listed = consent.lists(host.name(), *port);
            if is_listed || !host.may_be_public() || proofs.iter().any(|p| p.host == host.as_str())
            {
                continue;
            }
            let refused = |why: String| {
                Failure::refused(format!("{plugin}: {host} may not be loaded: {why}"))
            };
            let Some(target) = find(&accounts, tenant, host.as_str()).await? else {
                return Err(refused(format!(
                    "nobody has proved that it is tenant {tenant}'s; 'blitz targets add {host}' says what to put there, and 'blitz \
                     targets verify {host}' looks for it"
                )));
            };
            if let Some(revoked) = revoked(&accounts, &target).await? {
                let again = match revoked.by == OPERATOR {
                    true => "the gateway's operator alone can add it again".to_owned(),
                    false => format!("'blitz targets add {host}' begins anew"),
                };
                return Err(refused(format!(
                    "that it is tenant {tenant}'s was taken back{}; {again}",
                    because(&revoked.reason)
                )));
            }
            let proof = target.proof(now_ms()).ok_or_else(|| {
                refused(format!(
                    "the proof that it is tenant {tenant}'s was not found yet, or too long ago; put {}; then 'blitz targets verify \
                     {host}'",
                    ways(&target).join(", or ")
                ))
            })?;
            proofs.push(proof);
        }
        Ok(proofs)
    }

    /// All that the tenant has proved: for a test whose hosts are in a file that only its plugin can read. Engines take of
    /// them what its URLs name.
    pub(crate) async fn all(&self, tenant: &str) -> Result<Vec<Proof>, Failure> {
        let accounts = accounts(self.stores);
        let mut proofs = Vec::new();
        for (id, doc) in rows(&accounts, &format!("target:{tenant}:"), TARGETS_MAX).await? {
            let target = read::document::<Target>(&id, doc);
            let Some(target) = target.filter(|target| target.tenant == tenant) else { continue };
            let Some(proof) = target.proof(now_ms()) else { continue };
            if proofs.len() < PROOFS_MAX && revoked(&accounts, &target).await?.is_none() {
                proofs.push(proof);
            }
        }
        Ok(proofs)
    }

    /// Whether all of it still stands: asked once the jobs are written. Whoever takes a target back ends the jobs that it
    /// finds; a job that comes too late for that finds that it was taken back.
    pub(crate) async fn still(&self, tenant: &str, proofs: &[Proof]) -> Result<(), Failure> {
        let accounts = accounts(self.stores);
        for proof in proofs {
            let host = &proof.host;
            let stands = match find(&accounts, tenant, host).await? {
                // One that was taken back and added again meanwhile is another.
                Some(target) if target.proof(now_ms()).as_ref() == Some(proof) => {
                    revoked(&accounts, &target).await?.is_none()
                }
                _ => false,
            };
            if !stands {
                return Err(Failure::refused(format!(
                    "{}: {host} may not be loaded: that it is tenant {tenant}'s was taken back at this moment",
                    self.plugin
                )));
            }
        }
        Ok(())
    }
}

/// What to put where, a line for each way.
pub(super) fn ways(target: &Target) -> Vec<String> {
    let Target { host, token, .. } = target;
    let file = |path: String| format!("the body 42 at http://{host}{path} or https://{host}{path}");
    let mut ways = vec![file(well_known_path(token))];
    ways.extend(uuid_path(token).map(file));
    ways.extend(record_name(host).map(|name| {
        format!(
            "a TXT record {} of {name}, where the host has a certificate of its name",
            record_text(token)
        )
    }));
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_is_a_line() {
        let of = |host: &str| {
            let host = TargetHost::parse(host).unwrap();
            let mut target = Target::new(&[1; 32], "acme", &host, 0);
            target.token = "00112233445566778899aabbccddeeff".to_owned();
            ways(&target)
        };
        assert_eq!(
            of("example.com:81"),
            [
                "the body 42 at http://example.com:81/.well-known/blitz-00112233445566778899aabbccddeeff or \
             https://example.com:81/.well-known/blitz-00112233445566778899aabbccddeeff",
                "the body 42 at http://example.com:81/00112233-4455-8677-8899-aabbccddeeff or \
             https://example.com:81/00112233-4455-8677-8899-aabbccddeeff",
                "a TXT record blitz=00112233445566778899aabbccddeeff of _blitz.example.com, where the host has a certificate of its \
             name",
            ]
        );
        assert_eq!(of("192.0.2.7").len(), 2, "an address has no zone");
    }
}
