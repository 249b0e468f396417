//! Where this gateway gets through to: it learns from every request and every feed which clusters answer ([`sites`]), and says
//! for each region where its documents are written and read now ([`choice`]).

mod choice;
mod sites;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use blitz_couchdb::{Client, Error};
use blitz_jobs::clock::{Clock, now_ms};
use blitz_jobs::cluster::{Cluster, Clusters};
use blitz_jobs::region::Region;
use blitz_jobs::timing::Timing;
use futures_util::future::join_all;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

pub(crate) use choice::Choice;
use sites::{Now, Patience, Sign, Sites};
pub(crate) use sites::{Outage, Site, Why};

/// A probe that has no answer after this is one without an answer: a round trip of the Earth, a lost packet, and a busy server.
const PROBE_MAX: Duration = Duration::from_secs(3);

/// A cluster that is away is probed this often: who waits for it is served that much later.
const PROBE_AGAIN: Duration = Duration::from_secs(2);

/// A request that has no answer after this is asked elsewhere, where there is another place: two round trips of the Earth, a
/// connection to be opened, and a lost packet.
pub(crate) const ELSEWHERE_AFTER: Duration = Duration::from_secs(4);

/// Nothing is due for so long at least: a probe that was due may just be made by another.
const LOOK_MIN: Duration = Duration::from_millis(10);

/// Shared by all who ask stores.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clusters: Clusters,
    /// Their names and clients, the near one first: what [`Site`] counts.
    all: Vec<(Option<String>, Client)>,
    sites: Mutex<Sites>,
    clock: Clock,
    /// A place that was the best may not be it any more.
    changed: watch::Sender<()>,
    /// A probe may be due earlier than was thought.
    nudge: Notify,
}

impl Reach {
    /// All clusters count as there at first. A home that was away is preferred again when it has answered for two beats.
    pub(crate) fn new(clusters: Clusters, timing: &Timing) -> Self {
        let all: Vec<_> = clusters
            .all()
            .map(|(name, client)| (name.map(str::to_owned), client.clone()))
            .collect();
        let patience =
            Patience { idle: timing.beat, again: PROBE_AGAIN, home_again: timing.home_again };
        let clock = Clock::start();
        let sites = Mutex::new(Sites::new(all.len(), patience, clock.now()));
        let (changed, nudge) = (watch::Sender::new(()), Notify::new());
        Self { shared: Arc::new(Shared { clusters, all, sites, clock, changed, nudge }) }
    }

    fn sites(&self) -> MutexGuard<'_, Sites> {
        self.shared.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The near cluster: the control database is read there.
    pub(crate) fn near(&self) -> &Client {
        self.shared.clusters.near()
    }

    /// How to ask a cluster.
    pub(crate) fn client(&self, site: Site) -> &Client {
        self.shared.all.get(site.0).map_or(self.near(), |(_, client)| client)
    }

    /// What people call a cluster.
    pub(crate) fn name(&self, site: Site) -> &str {
        let name = self.shared.all.get(site.0).and_then(|(name, _)| name.as_deref());
        name.unwrap_or("the store")
    }

    fn site(&self, name: Option<&str>) -> Option<Site> {
        let clusters = &self.shared.clusters;
        clusters.get(name)?;
        if name.is_none() || name == clusters.own() {
            return Some(Site::NEAR);
        }
        self.shared.all.iter().position(|(known, _)| known.as_deref() == name).map(Site)
    }

    /// Where a region's documents are written and read now.
    pub(crate) fn choice(&self, region: &Region) -> Choice {
        Choice::of(region, &self.sites(), |name| self.site(name))
    }

    /// Since when a cluster is not there; `None` when it is.
    pub(crate) fn outage(&self, site: Site) -> Option<Outage> {
        self.sites().outage(site)
    }

    /// How often a cluster came back.
    pub(crate) fn came(&self, site: Site) -> u32 {
        self.sites().came(site)
    }

    /// Wakes whenever [`Self::choice`] may have changed.
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.shared.changed.subscribe()
    }

    /// A cluster gave a sign of life.
    pub(crate) fn answered(&self, site: Site) {
        self.hear(site, Sign::Answered);
    }

    /// Learns from how a request to a cluster was answered.
    pub(crate) fn note<T>(&self, site: Site, answer: &Result<T, Error>) {
        let sign = match answer {
            Err(error) if is_silence(error) => Sign::Failed,
            _ => Sign::Answered,
        };
        self.hear(site, sign);
    }

    /// Asks a cluster, and learns from the answer. After `limit` there is none.
    pub(crate) async fn ask<T>(
        &self,
        site: Site,
        limit: Duration,
        asks: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let late = || Error::Timeout { request: self.name(site).to_owned(), after: limit };
        let answer = timeout(limit, asks).await.unwrap_or_else(|_| Err(late()));
        self.note(site, &answer);
        answer
    }

    /// A cluster's document says who it is.
    pub(crate) fn hear_cluster(&self, cluster: &Cluster) {
        if let Some(site) = self.site(Some(&cluster.name)) {
            self.sites().expect(site, cluster.uuid.clone());
            self.shared.nudge.notify_one();
        }
    }

    fn hear(&self, site: Site, sign: Sign) {
        let now = Now { clock: self.shared.clock.now(), day_ms: now_ms() };
        let wakes = matches!(sign, Sign::Failed);
        let changed = self.sites().hear(now, site, sign);
        if changed {
            self.say(site);
            self.shared.changed.send_replace(());
        }
        if wakes {
            self.shared.nudge.notify_one();
        }
    }

    /// A cluster does not answer any more.
    #[cfg(test)]
    pub(crate) fn lose(&self, name: &str) {
        self.hear(self.site(Some(name)).unwrap(), Sign::Silent);
    }

    fn say(&self, site: Site) {
        let name = self.name(site);
        match self.outage(site).map(|outage| outage.why) {
            Some(Why::Silent) => tracing::warn!(cluster = name, "does not answer"),
            Some(Why::Other) => tracing::error!(
                cluster = name,
                "another server answers in its place: its document names another uuid; nothing is read or written there"
            ),
            None => tracing::info!(cluster = name, "answers again"),
        }
    }

    /// Asks all clusters once whether they are there, and who they are.
    pub(crate) async fn look(&self) {
        let (due, _) = self.sites().tick(self.shared.clock.now());
        join_all(due.into_iter().map(|site| self.clone().probe(site))).await;
    }

    /// Probes whatever is to be probed, until it is dropped.
    pub(crate) async fn watch(self) {
        let mut probes = JoinSet::new();
        loop {
            let now = self.shared.clock.now();
            let ((due, changed), next) = {
                let mut sites = self.sites();
                (sites.tick(now), sites.due())
            };
            for site in due {
                probes.spawn(self.clone().probe(site));
            }
            if changed {
                self.shared.changed.send_replace(());
            }
            let wait = next.map_or(PROBE_AGAIN, |due| due.saturating_sub(now).max(LOOK_MIN));
            tokio::select! {
                () = sleep(wait) => {}
                () = self.shared.nudge.notified() => {}
                Some(_) = probes.join_next() => {}
            }
        }
    }

    async fn probe(self, site: Site) {
        let sign = match timeout(PROBE_MAX, self.client(site).server()).await {
            Ok(Ok(server)) => Sign::Identified(server.uuid),
            Ok(Err(error)) => {
                tracing::debug!(cluster = self.name(site), %error, "a probe failed");
                Sign::Silent
            }
            Err(_) => Sign::Silent,
        };
        self.hear(site, sign);
    }
}

/// Whether an error says that nobody is there: other answers are answers.
pub(crate) fn is_silence(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } | Error::Timeout { .. } => true,
        // What stands between us and a server that is away says so.
        Error::Status { code, .. } => matches!(code, 502..=504),
        _ => false,
    }
}
