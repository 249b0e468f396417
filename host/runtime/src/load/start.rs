//! How a load test begins: everything that can be refused is refused before a packet is sent.
//!
//! In this order: the plan is read and held against the terms of the run, its targets are looked up and judged, one worker shows that the cage shuts, the engines
//! of the run meet, the share is held against machine and caps, and the workers take their work. Then all of them get the
//! same instant to begin at.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blitz_contract::load::work::{Order, Work};
use blitz_contract::load::{Opening, Plan, Scheme, Share};
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use rustix::process::{Resource, getrlimit};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::cage::Bars;
use super::config::LoadCage;
use super::connects::Ways;
use super::drive::{self, Drive, Watch};
use super::merge::Merge;
use super::need::{self, DESCRIPTORS_BASE, Machine, Need};
use super::queue::Queue;
use super::targets::Targets;
use super::worker::{HEARD_MAX, Worker};
use super::{Loads, agent, parts};
use crate::bindings::blitz::plugin::types::Error;
use crate::child::ChildProgram;
use crate::control::Control;
use crate::doing::{Activity, Doing};
use crate::http::Client;
use crate::limits::Size;
use crate::load::{LoadSetting, Met};
use crate::output::Outlet;

/// Longest plan, as the contract has it.
const PLAN_BYTES_MAX: usize = 16 << 20;
/// Records on their way to a receiver that is busy: a quarter of an hour, and 64 MiB.
const RECORDS_MAX: usize = 1024;
/// Address space of a worker beside its connections: a plan of 64 MiB as JSON and as what it is made into, and the
/// histograms of 32 steps.
const WORKER_BYTES: u64 = 768 << 20;
/// The same of one connection, with TLS and the head of an answer that came in pieces.
const CONNECTION_BYTES: u64 = 96 << 10;
/// Workers that are given their work at once: each has its own copy of a plan of 64 MiB, as what it is and as JSON.
const TAKING_MAX: usize = 4;
/// Descriptors of a process without a limit: `fs.nr_open` of Linux.
const DESCRIPTORS_MAX: u64 = 1 << 20;
/// Source ports of a machine that does not say: `net.ipv4.ip_local_port_range` of Linux.
const PORTS: (u64, u64) = (32_768, 60_999);

/// What a test is made of.
pub(super) struct Lent {
    pub(super) loads: Arc<Loads>,
    pub(super) http: Client,
    pub(super) control: Control,
    pub(super) outlet: Outlet,
    pub(super) doing: Doing,
    pub(super) setting: LoadSetting,
}

/// A test under way. Dropping it kills its workers.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) opening: String,
    /// By its plan.
    pub(super) lasts: Duration,
    pub(super) queue: Arc<Queue>,
    pub(super) stop: CancellationToken,
    pub(super) task: AbortOnDropHandle<()>,
}

/// Begins it; comes back when it has begun.
pub(super) async fn begin(lent: Lent, plan: &str) -> Result<Running, Error> {
    let Lent { loads, http, control, outlet, doing, setting } = lent;
    if plan.len() > PLAN_BYTES_MAX {
        let size = |bytes: usize| Size(u64::try_from(bytes).unwrap_or(u64::MAX));
        return Err(Error::Limit(format!(
            "a plan of a load test has at most {}, this one has {}; make bodies or lists of words smaller",
            size(PLAN_BYTES_MAX),
            size(plan.len())
        )));
    }
    let plan = Plan::from_json(plan).map_err(|error| Error::Failed(error.to_string()))?;
    // Not a mistake in the plan: whose run it is may not ask for it.
    setting.terms.check(&plan).map_err(|error| Error::Denied(error.to_string()))?;
    let signed = agent::signed(plan.clone(), &setting.signature).map_err(Error::Limit)?;
    let program = loads.child.clone().ok_or_else(|| {
        Error::Failed("this engine has no program for its load workers".to_owned())
    })?;
    let mut agreed = loads.agreed.changes();
    let consent = Arc::clone(&agreed.borrow_and_update());
    let looking = Targets::find(&http, &consent, &plan, &setting.proofs);
    let looked_up = doing.during(Activity::Lookup, Box::pin(looking)).await;
    let mut targets = looked_up?;
    // What no record could tell is known before the engines meet.
    parts::of_opening(opening(&plan, Share::WHOLE, 1, 0, &targets)).map_err(Error::Limit)?;
    let addresses = targets.addresses();
    let machine = machine(&loads, addresses.iter().any(std::net::SocketAddr::is_ipv6));
    let ways = Ways::new(addresses.iter().copied(), &loads.config.sources);
    let bars = bars(&loads, &machine, &addresses);
    let (first, bars) = first(&loads, &program, bars, &ways).await.map_err(Error::Failed)?;

    let met = doing.during(Activity::Load, setting.meeting.meet()).await.map_err(Error::Failed)?;
    let Met { share, starts_in, missing } = met;
    let begun = Instant::now() + starts_in;
    let count = u64::try_from(addresses.len()).unwrap_or(u64::MAX);
    let need = Need::of(&plan, share).within(&machine, count).map_err(Error::Limit)?;
    let ips = addresses.iter().map(std::net::SocketAddr::ip);
    let taken = loads.ledger.take(ips, &need).map_err(Error::Limit)?;
    let worker_count = need::workers(&plan, share, taken.part.connections, &machine);

    let others = (1..worker_count).map(|_| Worker::start(&program, &bars, &ways));
    let others = try_join_all(others).await.map_err(Error::Failed)?;
    let mut workers: Vec<Worker> = std::iter::once(first).chain(others).collect();
    let roots = loads.roots(&plan).await.map_err(Error::Failed)?;
    let part_of = |whole: u64, index: u32| {
        let part = Share { index, of: worker_count }.of_first(whole).max(1);
        u32::try_from(part).unwrap_or(u32::MAX)
    };
    let work_of = |index: u32| Work {
        plan: signed.clone(),
        share: share.part(index, worker_count),
        targets: targets.pinned(),
        sources: loads.config.sources.clone(),
        connections_max: part_of(taken.part.connections, index),
        connects_per_s: part_of(taken.part.connects_per_s, index),
        roots: roots.to_vec(),
    };
    let taking = workers.iter_mut().zip(0_u32..).map(|(worker, index)| {
        let work_of = &work_of;
        // Nothing is made before its turn.
        async move { worker.take(work_of(index)).await }
    });
    stream::iter(taking)
        .map(Ok)
        .try_for_each_concurrent(TAKING_MAX, |taking| taking)
        .await
        .map_err(|text| Error::Failed(format!("a load worker cannot do this plan: {text}")))?;

    // What was agreed to may have changed while the engines met. What changes from here on is the watch's to see.
    if agreed.has_changed().unwrap_or(false) {
        let consent = Arc::clone(&agreed.borrow_and_update());
        let looking = targets.look_again(&http, &consent);
        doing.during(Activity::Lookup, Box::pin(looking)).await.map_err(Error::Denied)?;
    }

    // Late is later than agreed: the report shows it as skew.
    let begun = begun.max(Instant::now());
    let started_at_ms =
        unix_ms().saturating_add(millis(begun.saturating_duration_since(Instant::now())));
    let mut opening = opening(&plan, share, worker_count, missing, &targets);
    opening.started_at_ms = started_at_ms;
    let opening = parts::of_opening(opening).map_err(Error::Limit)?;
    let (heard_in, heard) = mpsc::channel(HEARD_MAX * workers.len());
    let mut listening = JoinSet::new();
    for (number, worker) in workers.iter_mut().enumerate() {
        worker.listen(number, heard_in.clone(), &mut listening);
        let in_us = begun.saturating_duration_since(Instant::now()).as_micros();
        let go = Order::Go { in_us: u64::try_from(in_us).unwrap_or(u64::MAX) };
        if let Err(error) = worker.order(&go).await {
            // Its end is heard as that of every other.
            tracing::debug!(%error, "a load worker did not take the word to go");
        }
    }
    drop(heard_in);
    let (records, to_give) = mpsc::channel(RECORDS_MAX);
    let (queue, stop) = (Arc::new(Queue::default()), CancellationToken::new());
    let merge = Merge::new(share, workers.len());
    let over = drive::over(&plan, begun);
    let watch = Watch { targets, http, agreed, every: loads.config.look_every };
    let test = Drive {
        workers,
        heard,
        listening,
        merge,
        records,
        stop: stop.clone(),
        control,
        begun,
        over,
        steps: plan.steps.len(),
        watch,
        taken,
    };
    let giving = super::give_out(opening.clone(), to_give, outlet, Arc::clone(&queue));
    let task = tokio::spawn(async move {
        tokio::join!(test.run(), giving);
    });
    let lasts = plan.shape.duration();
    let running = Running { opening, lasts, queue, stop, task: AbortOnDropHandle::new(task) };
    doing.during(Activity::Load, tokio::time::sleep_until(begun)).await;
    Ok(running)
}

/// A worker that shows that the cage shuts here, and the cage in which it does.
async fn first(
    loads: &Loads,
    program: &ChildProgram,
    mut bars: Bars,
    ways: &Ways,
) -> Result<(Worker, Bars), String> {
    let error = match Worker::start(program, &bars, ways).await {
        Ok(worker) => return Ok((worker, bars)),
        Err(error) => error,
    };
    if loads.config.cage == LoadCage::Refuse {
        return Err(error);
    }
    tracing::warn!(error, "load workers make their connections by themselves");
    (bars.is_watched, bars.binds) = (false, false);
    Ok((Worker::start(program, &bars, ways).await?, bars))
}

fn bars(
    loads: &Loads,
    machine: &Machine,
    addresses: &std::collections::BTreeSet<std::net::SocketAddr>,
) -> Bars {
    let caps = loads.config.engine;
    let descriptors = machine.descriptors.min(u64::from(caps.connections) + DESCRIPTORS_BASE);
    let mut ports: Vec<u16> = addresses.iter().map(std::net::SocketAddr::port).collect();
    ports.sort_unstable();
    ports.dedup();
    Bars {
        memory_bytes: WORKER_BYTES.saturating_add(descriptors.saturating_mul(CONNECTION_BYTES)),
        descriptors,
        is_watched: true,
        binds: !loads.config.sources.is_empty(),
        ports,
        without_landlock: loads.config.cage == LoadCage::Warn,
    }
}

fn machine(loads: &Loads, has_v6: bool) -> Machine {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cores = u64::try_from(cores).unwrap_or(1);
    let of_family = |source: &&IpAddr| source.is_ipv6() == has_v6;
    let sources = loads.config.sources.iter().filter(of_family).count().max(1);
    Machine {
        cores: loads.config.cores.map_or(cores, |cores| u64::from(cores.get())),
        descriptors: getrlimit(Resource::Nofile).maximum.unwrap_or(DESCRIPTORS_MAX),
        ports: ports_of_source().saturating_mul(u64::try_from(sources).unwrap_or(u64::MAX)),
    }
}

fn ports_of_source() -> u64 {
    let text =
        std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut numbers = text.split_ascii_whitespace().map_while(|word| word.parse::<u64>().ok());
    let (first, last) = numbers.next().zip(numbers.next()).unwrap_or(PORTS);
    last.saturating_sub(first) + 1
}

fn opening(plan: &Plan, share: Share, workers: u32, missing: u32, targets: &Targets) -> Opening {
    Opening {
        plan: plan.clone(),
        share,
        workers,
        started_at_ms: 0,
        missing,
        targets: targets.in_words(),
    }
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Loads {
    /// The certificates that a plan needs: none where nothing is verified.
    async fn roots(&self, plan: &Plan) -> Result<Arc<[String]>, String> {
        let is_secure = plan.origins().iter().any(|origin| origin.scheme == Scheme::Https);
        if !plan.verify || !is_secure {
            return Ok(Arc::default());
        }
        let reading = self.roots.get_or_try_init(|| async {
            let read = || {
                let found = rustls_native_certs::load_native_certs();
                for error in &found.errors {
                    tracing::warn!(%error, "some of the machine's trusted roots were not read");
                }
                found.certs.iter().map(|certificate| STANDARD.encode(certificate)).collect()
            };
            tokio::task::spawn_blocking(read)
                .await
                .map_err(|e| format!("read the trusted roots: {e}"))
        });
        let roots = reading.await.map(Arc::clone)?;
        if roots.is_empty() {
            return Err("this engine has no trusted roots to verify a certificate with: install the system's \
                certificates (ca-certificates), name some in SSL_CERT_FILE, or let the plan verify none"
                .to_owned());
        }
        Ok(roots)
    }
}
