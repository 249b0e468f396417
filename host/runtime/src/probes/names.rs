//! The names of those who answered, looked up while the guest waits for something else.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cancelled;
use super::limits::NAMES_MAX;
use crate::egress::Egress;

#[derive(Debug)]
pub(super) struct Names {
    egress: Egress,
    target: IpAddr,
    /// Addresses that were asked for; `None` within is not known yet.
    known: HashMap<IpAddr, Option<Option<String>>>,
    /// They end with the session.
    lookups: JoinSet<(IpAddr, Option<String>)>,
}

impl Names {
    pub(super) fn new(egress: Egress, target: IpAddr) -> Self {
        Self { egress, target, known: HashMap::new(), lookups: JoinSet::new() }
    }

    /// Somebody with this address answered: looks it up, unless that was done before.
    pub(super) fn ask(&mut self, address: IpAddr) {
        let address = address.to_canonical();
        if self.known.len() >= NAMES_MAX || self.known.contains_key(&address) {
            return;
        }
        self.known.insert(address, None);
        let egress = self.egress.clone();
        self.lookups.spawn(async move { (address, egress.name_of(address).await) });
    }

    /// The names of these, waited for no longer than so, and not beyond the job's end. Only the target and those who
    /// answered are looked up: the engine's resolver may know names that are not the guest's business, and each
    /// question is heard by whoever the address belongs to.
    pub(super) async fn of(
        &mut self,
        addresses: &[String],
        wait: Duration,
        end: Option<&CancellationToken>,
    ) -> Vec<Option<String>> {
        let addresses: Vec<Option<IpAddr>> = addresses
            .iter()
            .map(|text| Some(text.parse::<IpAddr>().ok()?.to_canonical()))
            .collect();
        if addresses.contains(&Some(self.target)) {
            self.ask(self.target);
        }
        let is_open = |address: &IpAddr| self.known.get(address) == Some(&None);
        let mut open: HashSet<IpAddr> =
            addresses.iter().flatten().copied().filter(is_open).collect();
        let until = Instant::now().checked_add(wait);
        let over = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(over);
        while !open.is_empty() {
            tokio::select! {
                biased;
                done = self.lookups.join_next() => match done {
                    Some(Ok((address, name))) => {
                        open.remove(&address);
                        self.known.insert(address, Some(name));
                    }
                    Some(Err(error)) => tracing::debug!(%error, "the lookup of a name"),
                    None => break,
                },
                () = cancelled(end) => break,
                () = &mut over => break,
            }
        }
        let name = |address: &IpAddr| self.known.get(address)?.clone()?;
        addresses.iter().map(|address| address.as_ref().and_then(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::TargetPolicy;

    #[tokio::test]
    async fn nobody_is_looked_up_who_is_not_the_target_and_did_not_answer() {
        let egress = Egress::new(TargetPolicy::any(), Vec::new());
        let mut names = Names::new(egress, "127.0.0.1".parse().unwrap());
        let patience = Duration::from_secs(10);
        let asked = ["127.0.0.2", "127.0.0.1", "10.0.0.1", "::1", "no address"].map(str::to_owned);
        let found = names.of(&asked, patience, None).await;
        assert_eq!(found.len(), asked.len());
        assert!(found[1].is_some(), "the target has a name");
        assert!(names.known.keys().eq(&["127.0.0.1".parse::<IpAddr>().unwrap()]), "{names:?}");
        // Who answers is, by whichever text the guest writes.
        names.ask("::ffff:127.0.0.2".parse().unwrap());
        let asked = ["127.0.0.2", "::ffff:127.0.0.2"].map(str::to_owned);
        let found = names.of(&asked, patience, None).await;
        assert_eq!(found[0], found[1]);
        assert_eq!(names.known.len(), 2);
        assert!(names.known.values().all(Option::is_some), "{names:?}");
    }
}
