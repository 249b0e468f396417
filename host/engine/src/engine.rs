//! The engine as a whole: it finds its region's home, begins and ends the stays that its course says, and has the plugins
//! ready that all of them run.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use blitz_jobs::Incarnation;
use blitz_jobs::clock::Clock;
use blitz_jobs::region::CONTROL;
use tokio::sync::mpsc::{self, Receiver};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::arrival::{self, Offer};
use crate::chart::{self, Chart, First};
use crate::config::Config;
use crate::course::{Action, Course, Station, Terms};
use crate::error::Error;
use crate::going::{Leave, Order};
use crate::imds;
use crate::reach::Reach;
use crate::shelf::Shelf;
use crate::siblings::Siblings;
use crate::stay::{self, Common, Ended};
use crate::vigil::{self, Sign};

/// Words of those who work beside the supervisor that wait for it.
const WORDS_WAITING: usize = 64;

/// Runs an engine until `shutdown`, or until it was ordered to leave or its machine is taken away, then lets its jobs end
/// or gives them back.
///
/// A store that does not answer is waited for, at the start and later.
///
/// # Errors
///
/// [`Error`] when it cannot start, and [`Error::Replaced`] when another process takes its id. Otherwise nothing
/// that happens in the store or in a job ends it.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let Some(First { reach, chart, since }) = chart::first(&config, &shutdown).await? else {
        return Ok(());
    };
    let control = config.clusters.near().database(CONTROL);
    let (charts_in, charts) = watch::channel(Arc::new(chart));
    let (offers_in, offers) = mpsc::channel(WORDS_WAITING);
    let (signs_in, signs) = mpsc::channel(WORDS_WAITING);
    let (leaves_in, leaves) = mpsc::channel(WORDS_WAITING);
    let (plugins, plugins_out) = watch::channel(BTreeSet::new());
    let changed = Arc::new(Notify::new());
    let shelf = Shelf::new(control.clone(), config.runtime.clone(), Arc::clone(&changed));

    let clock = Clock::start();
    let terms = terms(&reach, &charts.borrow());
    let (course, begins) = Course::new(clock.now(), terms.clone(), &config.timing);
    let (terms, terms_out) = watch::channel(terms);

    // All that runs beside the stays ends with them.
    let mut beside = JoinSet::new();
    let stop = CancellationToken::new();
    beside.spawn(arrival::attend(
        shelf.clone(),
        config.region.clone(),
        config.trust.clone(),
        offers_in,
        stop,
    ));
    beside.spawn(chart::follow(control, config.region.clone(), since, charts_in));
    let charts_seen = charts.clone();
    beside.spawn(vigil::keep(reach.clone(), charts_seen, terms_out, config.timing, signs_in));
    if let Some(imds) = config.imds.clone() {
        beside.spawn(imds::watch(imds, leaves_in.clone()));
    }

    let supervisor = Supervisor {
        common: Common {
            config,
            reach,
            shelf,
            changed,
            plugins: plugins_out,
            charts: charts.clone(),
            siblings: Siblings::default(),
            leaves: leaves_in,
        },
        clock,
        course,
        terms,
        plugins,
        charts,
        orders: Vec::new(),
        stays: JoinSet::new(),
    };
    let ended = supervisor.supervise(begins, Inbox { offers, signs, leaves, shutdown }).await;
    beside.shutdown().await;
    ended
}

fn terms(reach: &Reach, chart: &Chart) -> Terms {
    Terms::of(&chart.region, reach.near_name(chart))
}

/// What comes to the supervisor from those who work beside it.
struct Inbox {
    offers: Receiver<Offer>,
    signs: Receiver<Sign>,
    leaves: Receiver<Leave>,
    shutdown: CancellationToken,
}

/// What the engine owns.
struct Supervisor {
    common: Common,
    clock: Clock,
    course: Course,
    /// Those that are followed.
    terms: watch::Sender<Terms>,
    plugins: watch::Sender<BTreeSet<String>>,
    charts: watch::Receiver<Arc<Chart>>,
    /// The way to each stay that has not ended.
    orders: Vec<(Station, watch::Sender<Order>)>,
    stays: JoinSet<(Station, Ended)>,
}

impl Supervisor {
    async fn supervise(mut self, begins: Action, mut inbox: Inbox) -> Result<(), Error> {
        self.act(vec![begins])?;
        loop {
            let now = self.clock.now();
            let actions = self.course.tick(now);
            self.act(actions)?;
            let due = self.course.due();
            let rest = async {
                match due {
                    Some(due) => tokio::time::sleep(due.saturating_sub(now)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = inbox.shutdown.cancelled() => {
                    let drain = self.common.config.drain;
                    return self.go(drain, &mut inbox).await;
                }
                Some(leave) = inbox.leaves.recv() => {
                    leave.say();
                    return self.go(leave.time, &mut inbox).await;
                }
                Some(ended) = self.stays.join_next() => {
                    if self.hear_ended(ended)? == Ended::Replaced {
                        let gone = self.go(Duration::ZERO, &mut inbox).await;
                        return gone.and(Err(self.replaced()));
                    }
                }
                Some(offer) = inbox.offers.recv() => {
                    self.plugins.send_modify(|plugins| {
                        match offer {
                            Offer::Add(sha256) => plugins.insert(sha256),
                            Offer::Remove(sha256) => plugins.remove(&sha256),
                        };
                    });
                }
                Ok(()) = self.charts.changed() => self.hear_chart()?,
                Some(sign) = inbox.signs.recv() => {
                    // What was asked of a former home says nothing of this one.
                    if sign.epoch == self.course.terms().epoch {
                        let actions = self.course.hear_home(self.clock.now(), sign.answers);
                        self.act(actions)?;
                    }
                }
                () = rest => {}
            }
        }
    }

    fn hear_chart(&mut self) -> Result<(), Error> {
        let chart = Arc::clone(&self.charts.borrow_and_update());
        let terms = terms(&self.common.reach, &chart);
        match self.course.hear_terms(self.clock.now(), terms) {
            Ok(actions) => self.act(actions)?,
            Err(refused) => tracing::error!(region = chart.region.name, "{refused}"),
        }
        self.terms.send_if_modified(|known| {
            let is_new = known != self.course.terms();
            if is_new {
                *known = self.course.terms().clone();
            }
            is_new
        });
        Ok(())
    }

    fn act(&mut self, actions: Vec<Action>) -> Result<(), Error> {
        for action in actions {
            match action {
                Action::Claim(station) => self.claim(station)?,
                Action::Rest(station) => {
                    // Its home is come back to; a hub is left for good when the last job there has ended.
                    let order = if station.is_refuge() { Order::Wind } else { Order::Rest };
                    self.order(&station, order);
                }
                Action::Leave(station) => {
                    self.order(&station, Order::Leave);
                }
            }
        }
        Ok(())
    }

    fn claim(&mut self, station: Station) -> Result<(), Error> {
        tracing::info!(at = %station, "goes on");
        if self.order(&station, Order::Claim) {
            return Ok(());
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|e| Error::Random(e.to_string()))?;
        let part = self.common.siblings.join(Incarnation::from_random(random));
        let (orders, heard) = watch::channel(Order::Claim);
        let stays = stay::stay(self.common.clone(), station.clone(), heard, part);
        self.orders.push((station.clone(), orders));
        self.stays.spawn(async move { (station, stays.await) });
        Ok(())
    }

    /// Tells a stay what to do, if it is there.
    fn order(&self, station: &Station, order: Order) -> bool {
        let stay = self.orders.iter().find(|(at, _)| at == station);
        stay.is_some_and(|(_, orders)| orders.send(order).is_ok())
    }

    fn hear_ended(
        &mut self,
        ended: Result<(Station, Ended), tokio::task::JoinError>,
    ) -> Result<Ended, Error> {
        let (station, ended) = match ended {
            Ok(ended) => ended,
            // A bug of ours: it is told where all can see it.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        self.orders.retain(|(at, _)| *at != station);
        self.course.ended(&station);
        // It was wanted again when it had begun to end.
        if ended == Ended::InOrder && *self.course.current() == station {
            self.claim(station)?;
        }
        Ok(ended)
    }

    /// Ends all stays. While their jobs go on there may be less time than there was: the latest word that leaves least
    /// counts.
    async fn go(&mut self, drain: Duration, inbox: &mut Inbox) -> Result<(), Error> {
        let mut until = self.clock.now() + drain;
        self.order_all(drain);
        let mut is_told = inbox.shutdown.is_cancelled();
        let mut result = Ok(());
        loop {
            let drain = tokio::select! {
                ended = self.stays.join_next() => match ended {
                    None => return result,
                    Some(Ok((_, Ended::InOrder))) => continue,
                    Some(Ok((_, Ended::Replaced))) => {
                        result = Err(self.replaced());
                        Duration::ZERO
                    }
                    Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
                },
                Some(leave) = inbox.leaves.recv() => {
                    leave.say();
                    leave.time
                }
                () = inbox.shutdown.cancelled(), if !is_told => {
                    is_told = true;
                    self.common.config.drain
                }
                // What runs where the region was before is worth nothing there: others begin it where the region is now.
                Ok(()) = self.charts.changed() => {
                    let chart = Arc::clone(&self.charts.borrow_and_update());
                    if terms(&self.common.reach, &chart).epoch <= self.course.terms().epoch {
                        continue;
                    }
                    self.common.config.drain
                }
            };
            let now = self.clock.now();
            if now + drain < until {
                until = now + drain;
                self.order_all(drain);
            }
        }
    }

    /// Tells all stays to end.
    fn order_all(&self, drain: Duration) {
        for (_, orders) in &self.orders {
            // One that has ended by itself is not told.
            let _ = orders.send(Order::Go { drain });
        }
    }

    fn replaced(&self) -> Error {
        Error::Replaced { id: self.common.config.id.clone() }
    }
}
