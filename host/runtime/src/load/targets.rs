//! Where a load test goes: each origin looked up once, every address judged, and held until the test ends.
//!
//! A connection of `web` may go to those addresses of a name that are allowed. A load test goes nowhere when one of them is
//! not: it is a mistake, or somebody's name for somebody else's machine.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use blitz_contract::load::work::Pinned;
use blitz_contract::load::{Consent, Origin, Plan};
use futures_util::future::join_all;
use tokio::sync::watch;
use url::Host;

use crate::bindings::blitz::plugin::types::Error;
use crate::egress::{Egress, EgressError, Family, Resolved, Wanted};
use crate::limits::Span;

/// Looks in a row in which a name has an address no more, before it is another's: names that rotate through many
/// addresses show a few at a time.
const GONE_LOOKS: u32 = 3;

/// For each lookup while a test runs; one that takes longer changes nothing.
const LOOKUP_TIME: Duration = Duration::from_secs(6);

/// The targets of one test.
#[derive(Debug)]
pub(super) struct Targets(Vec<Target>);

#[derive(Debug)]
struct Target {
    origin: Origin,
    resolved: Resolved,
    /// What requests to it say that they are for, where a step has a header `host` of its own.
    named: Vec<String>,
    /// Looks in a row in which an address of it was gone.
    gone: Vec<u32>,
}

/// Why there is no test, or none any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    Denied(String),
    Failed(String),
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Denied(text) => Self::Denied(text),
            Refused::Failed(text) => Self::Failed(text),
        }
    }
}

impl Targets {
    /// Looks up and judges all of them. Nothing is sent to any.
    pub(super) async fn find(
        egress: &Egress,
        consent: &Consent,
        plan: &Plan,
    ) -> Result<Self, Refused> {
        let mut targets = Vec::new();
        for origin in plan.origins() {
            let resolved = look_up(egress, &origin).await?;
            let named = named(plan, &origin);
            judge(egress, consent, &origin, &named, &resolved).await?;
            let gone = vec![0; resolved.addresses.len()];
            targets.push(Target { origin, resolved, named, gone });
        }
        Ok(Self(targets))
    }

    /// Asks again, while the test runs. Names are looked up anew: an address that a name has no more is judged by itself.
    ///
    /// # Errors
    ///
    /// Why it may not go on. A lookup that fails is no reason.
    pub(super) async fn look_again(
        &mut self,
        egress: &Egress,
        consent: &Consent,
    ) -> Result<(), String> {
        let said = |refused| match refused {
            Refused::Denied(text) | Refused::Failed(text) => text,
        };
        // All that is known first: a name whose server takes its time keeps nobody from being asked.
        for Target { origin, resolved, named, .. } in &self.0 {
            judge(egress, consent, origin, named, resolved).await.map_err(said)?;
        }
        let looking = self.0.iter().map(|target| async {
            let Target { origin, resolved, .. } = target;
            resolved.name.as_ref()?;
            let looked = tokio::time::timeout(LOOKUP_TIME, look_up(egress, origin)).await;
            let reason = match looked {
                Ok(Ok(now)) => return Some(now),
                Ok(Err(refused)) => said(refused),
                Err(_) => format!("it took longer than {}", Span(LOOKUP_TIME)),
            };
            tracing::info!(%origin, reason, "a target of a load test was not looked up again");
            None
        });
        let looked = join_all(looking).await;
        for (target, now) in self.0.iter_mut().zip(looked) {
            let Target { origin, resolved, named, gone } = target;
            let Some(now) = now else { continue };
            judge(egress, consent, origin, named, &now).await.map_err(said)?;
            for (address, looks) in resolved.addresses.iter().zip(gone) {
                *looks = if now.addresses.contains(address) { 0 } else { *looks + 1 };
                let alone = consent.check(&address.ip().to_string(), address.ip(), address.port());
                if *looks >= GONE_LOOKS && alone.is_err() {
                    return Err(format!(
                        "{} does not lead to {} any more",
                        origin.host,
                        address.ip()
                    ));
                }
            }
        }
        Ok(())
    }

    pub(super) fn pinned(&self) -> Vec<Pinned> {
        let pinned = |target: &Target| Pinned {
            origin: target.origin.clone(),
            addresses: target.resolved.addresses.clone(),
        };
        self.0.iter().map(pinned).collect()
    }

    /// Each once.
    pub(super) fn addresses(&self) -> BTreeSet<SocketAddr> {
        self.0.iter().flat_map(|target| target.resolved.addresses.iter().copied()).collect()
    }

    pub(super) fn in_words(&self) -> Vec<(String, Vec<String>)> {
        let words = |target: &Target| {
            let addresses = target.resolved.addresses.iter().map(SocketAddr::to_string);
            (target.origin.to_string(), addresses.collect())
        };
        self.0.iter().map(words).collect()
    }
}

async fn look_up(egress: &Egress, origin: &Origin) -> Result<Resolved, Refused> {
    let host = match origin.host.parse() {
        Ok(IpAddr::V4(address)) => Host::Ipv4(address),
        Ok(IpAddr::V6(address)) => Host::Ipv6(address),
        Err(_) => Host::parse(&origin.host)
            .map_err(|_| Refused::Failed(format!("{:?} is no name of a host", origin.host)))?,
    };
    let wanted = Wanted {
        host: &host,
        port: origin.port,
        family: Family::Any,
        addresses: &[],
        resolver: None,
    };
    egress.resolve(&wanted).await.map_err(refused)
}

async fn judge(
    egress: &Egress,
    consent: &Consent,
    origin: &Origin,
    named: &[String],
    resolved: &Resolved,
) -> Result<(), Refused> {
    egress.all_allowed(resolved).await.map_err(refused)?;
    for address in &resolved.addresses {
        let (host, ip, port) = (&origin.host, address.ip(), address.port());
        let named =
            || named.iter().try_for_each(|named| consent.check_named(host, named, ip, port));
        consent
            .check(host, ip, port)
            .and_then(|()| named())
            .map_err(|error| Refused::Denied(error.to_string()))?;
    }
    Ok(())
}

/// Headers `host` of the steps that go to an origin.
fn named(plan: &Plan, origin: &Origin) -> Vec<String> {
    let goes_there = |url: &str| Origin::of_url(url).is_some_and(|(other, _)| other == *origin);
    let steps = plan.steps.iter().filter(|step| goes_there(&step.url));
    let headers = steps.flat_map(|step| &step.headers);
    headers
        .filter(|(name, _)| name.eq_ignore_ascii_case("host"))
        .map(|(_, value)| value.clone())
        .collect()
}

fn refused(error: EgressError) -> Refused {
    match error {
        EgressError::Denied(denied) => Refused::Denied(denied.to_string()),
        other => Refused::Failed(other.to_string()),
    }
}

/// What an operator agrees to, as it is now.
#[derive(Debug)]
pub(super) struct Agreed(watch::Sender<Arc<Consent>>);

impl Agreed {
    pub(super) fn new(consent: Consent) -> Self {
        Self(watch::Sender::new(Arc::new(consent)))
    }

    #[cfg(test)]
    pub(super) fn now(&self) -> Arc<Consent> {
        Arc::clone(&self.0.borrow())
    }

    /// Shows each change.
    pub(super) fn changes(&self) -> watch::Receiver<Arc<Consent>> {
        self.0.subscribe()
    }

    pub(super) fn replace(&self, consent: Consent) {
        self.0.send_replace(Arc::new(consent));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::egress::TargetPolicy;

    fn plan(urls: &[&str]) -> Plan {
        let steps: Vec<_> = urls
            .iter()
            .map(|url| json!({"method": "GET", "url": url, "timeout_ms": 1000}))
            .collect();
        let plan = json!({"steps": steps, "shape": {"users": {"segments": [{"from": 1.0, "to": 1.0, "duration_ms": 1}]}}});
        Plan::from_json(&plan.to_string()).unwrap()
    }

    fn egress(policy: TargetPolicy) -> Egress {
        Egress::new(policy, Vec::new())
    }

    fn listed(pattern: &str) -> Consent {
        Consent { listed: vec![pattern.parse().unwrap()] }
    }

    #[tokio::test]
    async fn both_must_agree_to_every_address() {
        let none = Consent::default();
        for (policy, consent, urls, refusal) in [
            (TargetPolicy::any(), &none, &["http://127.0.0.1:1/"][..], None),
            (TargetPolicy::any(), &none, &["http://10.1.2.3/", "http://[fd00::1]/"], None),
            (TargetPolicy::any(), &none, &["http://192.0.2.1/"], Some("--load-target 192.0.2.1")),
            (
                TargetPolicy::any(),
                &none,
                &["http://127.0.0.1/", "http://192.0.2.1/"],
                Some("192.0.2.1"),
            ),
            (TargetPolicy::any(), &listed("192.0.2.1"), &["http://192.0.2.1/"], None),
            (
                TargetPolicy::any(),
                &listed("192.0.2.1:81"),
                &["http://192.0.2.1/"],
                Some("192.0.2.1"),
            ),
            // The policy refuses what the consent allows, and the reverse.
            (TargetPolicy::public_only(), &none, &["http://127.0.0.1:1/"], Some("public-only")),
            (TargetPolicy::public_only(), &none, &["http://8.8.8.8/"], Some("8.8.8.8")),
            (TargetPolicy::public_only(), &listed("8.8.8.8"), &["http://8.8.8.8/"], None),
            // Another form of an address is that address.
            (TargetPolicy::any(), &none, &["http://3221225985/"], Some("192.0.2.1")),
            (TargetPolicy::any(), &none, &["http://[::ffff:192.0.2.1]/"], Some("192.0.2.1")),
            (
                TargetPolicy::any(),
                &listed("8.8.8.8"),
                &["http://169.254.169.254/"],
                Some("metadata"),
            ),
        ] {
            let found = Targets::find(&egress(policy.clone()), consent, &plan(urls)).await;
            match (found, refusal) {
                (Ok(targets), None) => assert_eq!(targets.0.len(), urls.len(), "{urls:?}"),
                (Err(Refused::Denied(text)), Some(part)) => {
                    assert!(text.contains(part), "{policy} {urls:?}: {text}");
                }
                (found, _) => panic!("{policy} {urls:?}: {found:?}"),
            }
        }
    }

    #[tokio::test]
    async fn nobody_else_is_named_behind_an_address_of_many_owners() {
        let egress = egress(TargetPolicy::any());
        let consent = |list: &[&str]| Consent {
            listed: list.iter().map(|pattern| pattern.parse().unwrap()).collect(),
        };
        let two = &["localhost", "victim.example"];
        for (list, url, host, may) in [
            (&[][..], "http://127.0.0.1/", "victim.example", true),
            (two, "http://localhost/", "victim.example", true),
            (&["192.0.2.1"], "http://192.0.2.1/", "a.example", true),
        ] {
            let mut plan = plan(&["http://127.0.0.1:1/", url]);
            plan.steps[1].headers.push(("HOST".to_owned(), host.to_owned()));
            let found = Targets::find(&egress, &consent(list), &plan).await;
            assert_eq!(found.is_ok(), may, "{list:?} {url} {host}: {found:?}");
        }
        let mut plan = plan(&["http://localhost:1/"]);
        plan.steps[0].headers.push(("Host".to_owned(), "victim.example".to_owned()));
        let mut targets = Targets::find(&egress, &consent(two), &plan).await.unwrap();
        // As if the name led to a machine of the public network.
        targets.0[0].resolved.addresses = vec!["192.0.2.1:1".parse().unwrap()];
        assert_eq!(targets.look_again(&egress, &consent(two)).await, Ok(()));
        let text = targets.look_again(&egress, &consent(&["localhost"])).await.unwrap_err();
        assert!(text.contains("not as \"victim.example\""), "{text}");
    }

    #[tokio::test]
    async fn what_is_agreed_to_no_more_is_found() {
        let egress = egress(TargetPolicy::any());
        let agreed = Agreed::new(listed("192.0.2.1"));
        let mut targets =
            Targets::find(&egress, &agreed.now(), &plan(&["http://192.0.2.1/"])).await.unwrap();
        assert_eq!(targets.look_again(&egress, &agreed.now()).await, Ok(()));
        agreed.replace(Consent::default());
        let text = targets.look_again(&egress, &agreed.now()).await.unwrap_err();
        assert!(text.starts_with("192.0.2.1 (192.0.2.1) may not be loaded"), "{text}");
    }

    #[tokio::test]
    async fn a_name_that_is_not_found_keeps_nobody_from_being_asked() {
        let egress = egress(TargetPolicy::any());
        let plan = plan(&["http://localhost:1/", "http://192.0.2.1/"]);
        let mut targets = Targets::find(&egress, &listed("192.0.2.1"), &plan).await.unwrap();
        let _held = egress.hold_lookups();
        let none = Consent::default();
        let looking = targets.look_again(&egress, &none);
        let text = tokio::time::timeout(LOOKUP_TIME / 2, looking).await.unwrap().unwrap_err();
        assert!(text.starts_with("192.0.2.1 (192.0.2.1) may not be loaded"), "{text}");
    }

    #[tokio::test]
    async fn a_name_that_leads_elsewhere_is_found() {
        let egress = egress(TargetPolicy::any());
        let consent = listed("localhost");
        let mut targets =
            Targets::find(&egress, &consent, &plan(&["http://localhost:1/"])).await.unwrap();
        assert_eq!(targets.look_again(&egress, &consent).await, Ok(()));
        // As if the name had led to a machine of the public network when the test began.
        targets.0[0].resolved.addresses = vec!["192.0.2.1:1".parse().unwrap()];
        targets.0[0].gone = vec![0];
        for _ in 1..GONE_LOOKS {
            assert_eq!(targets.look_again(&egress, &consent).await, Ok(()));
        }
        let text = targets.look_again(&egress, &consent).await.unwrap_err();
        assert_eq!(text, "localhost does not lead to 192.0.2.1 any more");
    }
}
