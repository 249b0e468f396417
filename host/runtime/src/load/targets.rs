//! Where a load test goes: each origin looked up once, every address judged, and held until the test ends.
//!
//! A connection of `web` may go to those addresses of a name that are allowed. A load test goes nowhere when one of them is
//! not: it is a mistake, or somebody's name for somebody else's machine.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use blitz_contract::load::work::Pinned;
use blitz_contract::load::{Consent, ConsentError, Origin, Plan, Proof};
use futures_util::future::join_all;
use tokio::sync::watch;
use url::Host;

use super::shown::Shown;

use crate::bindings::blitz::plugin::types::Error;
use crate::egress::{Egress, EgressError, Family, Resolved, Wanted};
use crate::http::Client;
use crate::limits::Span;

/// Looks in a row in which a name has an address no more, before it is another's: names that rotate through many
/// addresses show a few at a time.
const GONE_LOOKS: u32 = 3;

/// For each lookup while a test runs; one that takes longer changes nothing.
const LOOKUP_TIME: Duration = Duration::from_secs(6);

/// The targets of one test.
#[derive(Debug)]
pub(super) struct Targets {
    all: Vec<Target>,
    /// What the job came with.
    proofs: Vec<Proof>,
}

#[derive(Debug)]
struct Target {
    origin: Origin,
    resolved: Resolved,
    /// What requests to it say that they are for, where a step has a header `host` of its own.
    named: Vec<String>,
    /// Looks in a row in which an address of it was gone.
    gone: Vec<u32>,
    /// Where the operator's word is not enough.
    shown: Option<Shown>,
}

/// Why there is no test, or none any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    Denied(String),
    Failed(String),
}

impl Refused {
    fn text(self) -> String {
        match self {
            Self::Denied(text) | Self::Failed(text) => text,
        }
    }
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
    /// Looks up and judges all of them, and then looks whether those that need it show that their owner agrees. Nothing is
    /// sent to any as long as one is refused without that.
    pub(super) async fn find(
        http: &Client,
        consent: &Consent,
        plan: &Plan,
        proofs: &[Proof],
    ) -> Result<Self, Refused> {
        let egress = http.egress();
        let mut targets = Vec::new();
        for origin in plan.origins() {
            let resolved = look_up(egress, &origin).await?;
            let named = named(plan, &origin);
            let needed = judge(egress, consent, proofs, &origin, &named, &resolved).await?.cloned();
            let gone = vec![0; resolved.addresses.len()];
            targets.push((Target { origin, resolved, named, gone, shown: None }, needed));
        }
        let looking = targets.into_iter().map(|(mut target, needed)| async move {
            if let Some(proof) = needed {
                let addresses = &target.resolved.addresses;
                target.shown = Some(Shown::first(http, &target.origin, addresses, &proof).await?);
            }
            Ok(target)
        });
        let all: Result<Vec<Target>, Refused> = join_all(looking).await.into_iter().collect();
        Ok(Self { all: all?, proofs: proofs.to_vec() })
    }

    /// Asks again, while the test runs, of all that is known: whether to ask again soon, as somebody did not say it clearly.
    ///
    /// # Errors
    ///
    /// Why it may not go on.
    pub(super) async fn look_again(
        &mut self,
        http: &Client,
        consent: &Consent,
    ) -> Result<bool, String> {
        let Self { all, proofs } = self;
        let mut asking = Vec::new();
        for Target { origin, resolved, named, shown, .. } in all {
            let judged = judge(http.egress(), consent, proofs, origin, named, resolved).await;
            if let Some(proof) = judged.map_err(Refused::text)? {
                asking.push(async move {
                    let addresses = &resolved.addresses;
                    if let Some(shown) = shown {
                        return shown.again(http, origin, addresses).await;
                    }
                    // The operator agreed to it until now.
                    let first = Shown::first(http, origin, addresses, proof).await;
                    *shown = Some(first.map_err(Refused::text)?);
                    Ok(false)
                });
            }
        }
        let mut is_unclear = false;
        for answered in join_all(asking).await {
            is_unclear |= answered?;
        }
        Ok(is_unclear)
    }

    /// Looks names up anew, while the test runs: an address that a name has no more is judged by itself.
    ///
    /// # Errors
    ///
    /// Why it may not go on. A lookup that fails is no reason.
    pub(super) async fn look_up_again(
        &mut self,
        egress: &Egress,
        consent: &Consent,
    ) -> Result<(), String> {
        let looking = self.all.iter().map(|target| async {
            let Target { origin, resolved, .. } = target;
            resolved.name.as_ref()?;
            let looked = tokio::time::timeout(LOOKUP_TIME, look_up(egress, origin)).await;
            let reason = match looked {
                Ok(Ok(now)) => return Some(now),
                Ok(Err(refused)) => refused.text(),
                Err(_) => format!("it took longer than {}", Span(LOOKUP_TIME)),
            };
            tracing::info!(%origin, reason, "a target of a load test was not looked up again");
            None
        });
        let looked = join_all(looking).await;
        let Self { all, proofs } = self;
        for (target, now) in all.iter_mut().zip(looked) {
            let Target { origin, resolved, named, gone, .. } = target;
            let Some(now) = now else { continue };
            let judged = judge(egress, consent, proofs, origin, named, &now).await;
            judged.map_err(Refused::text)?;
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
        self.all.iter().map(pinned).collect()
    }

    /// Each once.
    pub(super) fn addresses(&self) -> BTreeSet<SocketAddr> {
        self.all.iter().flat_map(|target| target.resolved.addresses.iter().copied()).collect()
    }

    pub(super) fn in_words(&self) -> Vec<(String, Vec<String>)> {
        let words = |target: &Target| {
            let addresses = target.resolved.addresses.iter().map(SocketAddr::to_string);
            (target.origin.to_string(), addresses.collect())
        };
        self.all.iter().map(words).collect()
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

/// The proof without which it may not be loaded, if there is one. A proof is of a host at its addresses: nobody else may be
/// named behind them.
async fn judge<'a>(
    egress: &Egress,
    consent: &Consent,
    proofs: &'a [Proof],
    origin: &Origin,
    named: &[String],
    resolved: &Resolved,
) -> Result<Option<&'a Proof>, Refused> {
    egress.all_allowed(resolved).await.map_err(refused)?;
    let denied = |error: ConsentError| Refused::Denied(error.to_string());
    let mut needed = None;
    for address in &resolved.addresses {
        let (host, ip, port) = (&origin.host, address.ip(), address.port());
        if let Err(error) = consent.check(host, ip, port) {
            let proof = proofs.iter().find(|proof| proof.covers(host, port));
            needed = Some(proof.ok_or_else(|| denied(error))?);
        }
        for named in named {
            consent.check_named(host, named, ip, port).map_err(denied)?;
        }
    }
    Ok(needed)
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
mod tests;
