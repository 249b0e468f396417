//! The feeds of one region: all at the place where it is best read now, one for each of its databases. When another place is
//! the best they begin there anew; what is heard twice changes nothing, and what fell between two feeds is in the store: those
//! of jobs go on from where they were left in that place ([`Left`]), so that every end is heard.

use std::collections::HashMap;

use blitz_couchdb::{Database, Sequence};
use blitz_jobs::engine::EngineDocument;
use blitz_jobs::feed::{self, Asked, Heard};
use blitz_jobs::id::DocumentId;
use blitz_jobs::output::Chunk;
use blitz_jobs::region::Region;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::left::Left;
use super::{Ears, HEARD_WAITING, LOOK_AGAIN, document, options};
use crate::keeper::{Stay, Told};
use crate::reach::Site;

/// Hears of a region for as long as it has a document.
pub(super) async fn follow(ears: Ears, name: String) {
    let mut regions = ears.stores.catalog.regions_changed();
    let mut reached = ears.stores.reach.subscribe();
    let mut feeds = Feeds::new(ears, name);
    loop {
        regions.mark_unchanged();
        reached.mark_unchanged();
        let region = feeds.ears.stores.catalog.region_named(&feeds.region);
        let Some(region) = region else {
            feeds.leave().await;
            return;
        };
        if feeds.sync(&region).await.is_err() {
            return;
        }
        let changed = tokio::select! {
            changed = regions.changed() => changed,
            changed = reached.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

/// Where a region is heard, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
struct At {
    site: Site,
    /// It is the home, of this epoch: the keeper hears.
    home_epoch: Option<u32>,
}

/// The feeds of one region. Dropped, they end, and their output counts as not heard.
struct Feeds {
    ears: Ears,
    region: String,
    at: Option<At>,
    /// How often that place had come back when the feeds began.
    came: u32,
    /// Which of the region's stays at its home the keeper is told of.
    stay: Stay,
    all: HashMap<String, AbortOnDropHandle<()>>,
    left: Left,
}

/// Nobody listens any more.
struct Unheard;

impl Feeds {
    fn new(ears: Ears, region: String) -> Self {
        let (stay, all, left) = (Stay::default(), HashMap::new(), Left::default());
        Self { ears, region, at: None, came: 0, stay, all, left }
    }

    /// Follows what a region has now, where it is best.
    async fn sync(&mut self, region: &Region) -> Result<(), Unheard> {
        let choice = self.ears.stores.reach.choice(region);
        let at = choice.best().map(|site| At {
            site,
            home_epoch: (choice.home == Some(site)).then_some(region.home_epoch),
        });
        if at != self.at {
            self.leave().await;
            self.enter(region, at).await?;
        }
        let Some(at) = self.at.clone() else { return Ok(()) };
        let came = self.ears.stores.reach.came(at.site);
        if std::mem::replace(&mut self.came, came) != came {
            // The feeds may stand on connections that are dead without a word: that would be found out much later.
            self.end_all();
        }
        let wanted: Vec<String> = region
            .jobs_databases()
            .chain(region.output_databases())
            .chain([region.engines_database()])
            .collect();
        let gone: Vec<String> =
            self.all.keys().filter(|name| !wanted.contains(name)).cloned().collect();
        for name in gone {
            self.all.remove(&name);
            self.ears.hub.end(&name);
            self.ears.queue.begin(&name);
            self.ears.quota.begin_jobs(&name);
        }
        self.left.keep(&wanted);
        for name in region.jobs_databases() {
            self.spawn(&name, |one| one.follow_jobs(), &at);
        }
        for name in region.output_databases() {
            self.spawn(&name, |one| one.follow_output(), &at);
        }
        self.spawn(&region.engines_database(), |one| one.follow_engines(), &at);
        Ok(())
    }

    async fn enter(&mut self, region: &Region, at: Option<At>) -> Result<(), Unheard> {
        let reach = &self.ears.stores.reach;
        match &at {
            Some(at) => {
                let is_home = at.home_epoch.is_some();
                let cluster = reach.name(at.site);
                tracing::debug!(region = region.name, cluster, is_home, "heard there");
            }
            None => {
                tracing::warn!(
                    region = region.name,
                    "none of its clusters can be entered from here"
                );
            }
        }
        if let Some(epoch) = at.as_ref().and_then(|at| at.home_epoch) {
            self.stay = self.stay.next();
            let home = reach.client(at.as_ref().map_or(Site::NEAR, |at| at.site)).clone();
            let region = region.name.clone();
            let told = Told::Opened { region, stay: self.stay, home, epoch };
            self.ears.keeper.send(told).await.map_err(|_| Unheard)?;
        }
        self.at = at;
        Ok(())
    }

    /// Ends all feeds; the keeper gives the duty back.
    async fn leave(&mut self) {
        self.end_all();
        if let Some(At { home_epoch: Some(_), .. }) = self.at.take() {
            let told = Told::Closed { region: self.region.clone(), stay: self.stay };
            // Nobody listens: it is closed all the same.
            drop(self.ears.keeper.send(told).await);
        }
    }

    fn end_all(&mut self) {
        for (name, _) in self.all.drain() {
            self.ears.hub.end(&name);
        }
    }

    fn spawn<F>(&mut self, name: &str, follows: impl FnOnce(One) -> F, at: &At)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if self.all.contains_key(name) {
            return;
        }
        let one = One {
            database: self.ears.stores.reach.client(at.site).database(name),
            ears: self.ears.clone(),
            region: self.region.clone(),
            stay: at.home_epoch.map(|_| self.stay),
            at: at.clone(),
            left: self.left.clone(),
        };
        let task = AbortOnDropHandle::new(tokio::spawn(follows(one)));
        self.all.insert(name.to_owned(), task);
    }
}

impl Drop for Feeds {
    fn drop(&mut self) {
        self.end_all();
    }
}

/// One of the feeds.
struct One {
    database: Database,
    ears: Ears,
    region: String,
    /// The keeper's, when this is heard at home.
    stay: Option<Stay>,
    at: At,
    left: Left,
}

impl One {
    async fn follow_jobs(self) {
        loop {
            let (copies, now) = self.info().await;
            let name = self.database.name();
            self.ears.queue.begin(name);
            self.ears.quota.begin_jobs(name);
            let from = self.left.checkpoint(self.at.site, name, &now);
            let (heard_in, heard) = mpsc::channel(HEARD_WAITING);
            let follows =
                feed::follow(self.database.clone(), copies, from, Asked::never(), heard_in);
            tokio::select! {
                () = follows => return,
                goes_on = self.hear_jobs(heard) => if !goes_on { return },
            }
        }
    }

    /// Hears of jobs until their database was replaced, perhaps by one with more copies. False when nobody listens.
    async fn hear_jobs(&self, mut heard: mpsc::Receiver<Heard>) -> bool {
        while let Some(thing) = heard.recv().await {
            self.ears.stores.reach.answered(self.at.site);
            if let Heard::Run(job, _, run) = &thing {
                self.ears.hub.hear_run(job, run);
            }
            self.ears.queue.hear(&thing);
            self.ears.audit.hear(&thing);
            self.ears.quota.hear_job(&thing);
            if let Heard::Place(place) = &thing {
                self.left.hear(self.at.site, place);
            }
            let is_replaced = matches!(thing, Heard::Replaced(_));
            let told = Told::Heard { region: self.region.clone(), stay: self.stay, thing };
            if self.ears.keeper.send(told).await.is_err() {
                return false;
            }
            if is_replaced {
                return true;
            }
        }
        true
    }

    async fn follow_output(self) {
        let (_, since) = self.info().await;
        let mut feed = self.database.follow_for_ever(options(since));
        // What came before is in the store: readers look there once more.
        self.ears.hub.begin(self.database.name());
        loop {
            let change = feed.next().await;
            self.ears.stores.reach.answered(self.at.site);
            // Asked before the chunk is read: most output is followed elsewhere or by nobody.
            if let Ok(DocumentId::Output(job, position)) = change.id.parse()
                && self.ears.hub.wants(&job)
                && let Some(chunk) = document::<Chunk>(&change)
            {
                self.ears.hub.hear_chunk(&job, position, chunk);
            }
        }
    }

    async fn follow_engines(self) {
        let mut feed = self.database.follow_for_ever(options(Sequence::zero()));
        loop {
            let change = feed.next().await;
            self.ears.stores.reach.answered(self.at.site);
            // Orders to engines, and what a scaler notes of launches, stand beside them.
            if change.id.starts_with("engine:")
                && let Some(engine) = document::<EngineDocument>(&change)
            {
                self.ears.stores.catalog.hear_engine(engine);
            }
        }
    }

    /// How many copies the database has, and how far it is, once it is there.
    async fn info(&self) -> (u32, Sequence) {
        loop {
            let info = self.database.info().await;
            self.ears.stores.reach.note(self.at.site, &info);
            match info {
                Ok(info) => return (info.cluster.n, info.update_seq),
                Err(error) => {
                    let database = self.database.name();
                    tracing::warn!(database, %error, "cannot follow, trying again");
                    sleep(LOOK_AGAIN).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use blitz_couchdb::{AllDocs, Put, PutOptions};
    use blitz_jobs::accounts::AUDIT;
    use blitz_jobs::cluster::Clusters;
    use blitz_jobs::run::RunDocument;
    use blitz_jobs::timing::Timing;
    use blitz_jobs::{Incarnation, JobId, Run, setup};
    use serde_json::{Value, json};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::accounts::Book;
    use crate::audit::Audit;
    use crate::catalog::Catalog;
    use crate::embedded::{Server, until};
    use crate::hub::Hub;
    use crate::queue::Queue;
    use crate::quota::Quota;
    use crate::reach::Reach;
    use crate::stores::Stores;

    /// What is heard is heard at once; a machine that is very busy may need longer.
    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn an_end_that_falls_between_two_feeds_is_heard() {
        let server = Server::start().await;
        let client = server.client.clone();
        setup::install(&client, &["japan"]).await.unwrap();
        let (audit, writer) = Audit::new("g");
        let writes = tokio::spawn(writer.run(client.clone(), CancellationToken::new()));
        let _writes = AbortOnDropHandle::new(writes);
        let book = Book::new(None, Duration::from_secs(60));
        let run = Incarnation::from_random([1; 16]);
        let (keeper, mut told) = mpsc::channel(HEARD_WAITING);
        let ears = Ears {
            stores: Stores {
                reach: Reach::new(Clusters::alone(client.clone()), &Timing::default()),
                catalog: Catalog::new(Duration::from_secs(60)),
            },
            hub: Hub::default(),
            queue: Queue::default(),
            audit,
            quota: Quota::new(book, client.database("blitz-accounts"), &run),
            keeper,
        };
        let mut feeds = Feeds::new(ears, "japan".to_owned());
        let region = Region::new("japan").unwrap();
        let jobs = client.database("blitz-jobs-japan-1");
        let put = async |id: DocumentId, body: Value| {
            let put = jobs.put(&id.to_string(), None, &body, PutOptions::default()).await.unwrap();
            assert_ne!(put, Put::Conflict);
        };
        let mut hears = async |what: fn(&Heard) -> bool| {
            let comes = async {
                while let Some(told) = told.recv().await {
                    if matches!(&told, Told::Heard { thing, .. } if what(thing)) {
                        return true;
                    }
                }
                false
            };
            assert_eq!(tokio::time::timeout(PATIENCE, comes).await, Ok(true), "it never came");
        };

        let job = JobId::new("japan", 1);
        let spec = json!({"kind": "spec", "blitz": "0", "job": job, "run": "r", "tasks": [job], "tenant": "acme",
            "plugin": "p", "version": "1.0.0", "sha256": "a", "args": [], "retry": "safe", "timeout_ms": 60_000,
            "queue_timeout_ms": 10_000, "created_at_ms": 0});
        put(DocumentId::Spec(job.clone()), spec).await;
        assert!(feeds.sync(&region).await.is_ok());
        hears(|thing| matches!(thing, Heard::Spec(_))).await;
        hears(|thing| matches!(thing, Heard::Place(_))).await;

        feeds.end_all();
        let expired = Run::Expired { reason: "no engine".to_owned() };
        put(DocumentId::Run(job.clone()), json!(RunDocument::new(expired))).await;
        assert!(feeds.sync(&region).await.is_ok());
        hears(|thing| matches!(thing, Heard::Run(_, _, run) if run.is_final())).await;
        let audit = client.database(AUDIT);
        until("the entry of its end", async || {
            let rows = audit.all_docs::<Value>(&AllDocs::default()).await;
            rows.unwrap().rows.iter().any(|row| row.id.ends_with(".ended"))
        })
        .await;
        drop(feeds);
        server.stop().await;
    }
}
