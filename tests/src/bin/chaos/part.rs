//! What the children of this program are: one engine or one gateway each, as `blitz engine` and `blitz gateway`
//! start them, with all durations of the protocol divided; or the machine that an engine is on, as `blitz-boot` starts it.
//!
//! The program `blitz` has no flag for that, since nobody should run with it; so this binary is its own engine,
//! as it is its own `blitz`. The store is `blitz couchdb` itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use blitz_boot_core::netns;
use blitz_couchdb::Client;
use blitz_engine::Trust;
use blitz_engine::imds::{self, Imds, Instance};
use blitz_jobs::cluster::Clusters;
use blitz_jobs::sealing::RegionKeys;
use blitz_jobs::timing::Timing;
use blitz_runtime::{ChildProgram, Rates, Runtime, RuntimeConfig, TargetPolicy};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::table::say;

/// The words that make this program a part.
pub(crate) const ENGINE: &str = "part-engine";
pub(crate) const GATEWAY: &str = "part-gateway";

pub(crate) const MACHINE: &str = "part-machine";

/// In place of an engine's id: its instance's metadata tells it.
const ASKS: &str = "--imds";

/// The gateway's token.
pub(crate) const TOKEN: &str = "token-of-the-chaos-run";

/// Jobs that an engine runs at once: few enough that engines contend and wait.
const SLOTS: usize = 8;

/// How long running jobs may go on after SIGTERM: shorter than the longest job, so that some are given back.
const DRAIN: Duration = Duration::from_millis(1500);

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

/// `CLUSTERS REGION ID FASTER CACHE DIGEST..`
pub(crate) fn engine(args: &[String]) -> ExitCode {
    finish("engine", run(|stop| serve_engine(args, stop)))
}

/// `RECORD PLACE COMMAND..`
pub(crate) fn machine(args: &[String]) -> ExitCode {
    finish("machine", run(|_| be_machine(args)))
}

/// `CLUSTERS LISTEN FASTER`
pub(crate) fn gateway(args: &[String]) -> ExitCode {
    finish("gateway", run(|stop| serve_gateway(args, stop)))
}

fn finish(what: &str, ended: Result) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("the {what} failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run<F: Future<Output = Result>>(part: impl FnOnce(CancellationToken) -> F) -> Result {
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    // Two threads: as many parts as run here would otherwise have a thread for each processor each.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let stop = CancellationToken::new();
    runtime.spawn(until_asked(stop.clone()));
    let ended = runtime.block_on(part(stop));
    // Reading from stdin is a thread that nothing else ends.
    runtime.shutdown_background();
    ended
}

/// SIGTERM stops it in order, and so does the end of the program that started it.
async fn until_asked(stop: CancellationToken) {
    let orphaned = async {
        let mut byte = [0];
        while let Ok(1..) = tokio::io::stdin().read(&mut byte).await {}
    };
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = terminate.recv() => {}
            () = orphaned => {}
        },
        Err(error) => tracing::error!(%error, "cannot catch SIGTERM"),
    }
    stop.cancel();
}

async fn be_machine(args: &[String]) -> Result {
    let [record, place, command @ ..] = args else { return Err("RECORD PLACE COMMAND..".into()) };
    let ended = netns::machine::run(Path::new(record), place, command).await?;
    tracing::info!("the engine has ended: {ended}");
    Ok(())
}

async fn serve_engine(args: &[String], stop: CancellationToken) -> Result {
    let [store, region, id, faster, cache, digests @ ..] = args else {
        return Err("CLUSTERS REGION ID FASTER CACHE DIGEST..".into());
    };
    let runtime = Runtime::new(RuntimeConfig {
        cache_dir: Some(PathBuf::from(cache)),
        targets: TargetPolicy::any(),
        // All jobs have one target, the witness.
        rates: Rates::UNLIMITED,
        child: Some(ChildProgram::this()),
        ..RuntimeConfig::default()
    })?;
    let (id, machine, imds) = match id.as_str() {
        ASKS => {
            let mut imds = Imds::new(imds::ADDRESS)?;
            let Instance { id, machine, .. } = imds.instance().await?;
            (id, Some(machine), Some(imds))
        }
        id => (id.to_owned(), None, None),
    };
    let config = blitz_engine::Config {
        clusters: clusters(store)?,
        region: region.clone(),
        id,
        slots: SLOTS,
        runtime,
        trust: Trust { digests: digests.iter().cloned().collect(), ..Trust::default() },
        region_keys: RegionKeys::default(),
        timing: Timing::faster(faster.parse()?),
        load_contact: String::new(),
        drain: DRAIN,
        machine,
        imds,
    };
    say("engine");
    // The store may be away at the start: an engine's supervisor would start it again.
    loop {
        match blitz_engine::run(config.clone(), stop.clone()).await {
            Err(blitz_engine::Error::Store(error)) if !stop.is_cancelled() => {
                tracing::warn!(%error, "the engine does not start, trying again");
                tokio::time::sleep(START_AGAIN).await;
            }
            ended => return Ok(ended?),
        }
    }
}

/// What can be entered: one address, or `NAME=ADDRESS,..` with the near one first.
fn clusters(text: &str) -> std::result::Result<Clusters, blitz_couchdb::Error> {
    let mut named = text.split(',').filter_map(|one| one.split_once('='));
    let Some((own, near)) = named.next() else { return Ok(Clusters::alone(Client::new(text)?)) };
    let mut others = BTreeMap::new();
    for (name, address) in named {
        others.insert(name.to_owned(), Client::new(address)?);
    }
    Ok(Clusters::new(own, Client::new(near)?, others))
}

/// A part that does not start is started again after this long.
const START_AGAIN: Duration = Duration::from_millis(200);

async fn serve_gateway(args: &[String], stop: CancellationToken) -> Result {
    let [store, listen, faster] = args else { return Err("CLUSTERS LISTEN FASTER".into()) };
    let listener = TcpListener::bind(listen.as_str()).await?;
    say(&listener.local_addr()?.to_string());
    let mut listener = Some(listener);
    loop {
        let bound = match listener.take() {
            Some(bound) => bound,
            None => TcpListener::bind(listen.as_str()).await?,
        };
        let clusters = clusters(store)?;
        let config = blitz_gateway::Config {
            // Of stores with names it is an administrator.
            operators: clusters.all().filter_map(|(name, _)| name.map(str::to_owned)).collect(),
            timing: Timing::faster(faster.parse()?),
            ..blitz_gateway::Config::new(clusters, TOKEN)
        };
        match blitz_gateway::run(bound, config, stop.clone()).await {
            Err(blitz_gateway::Error::Store(error)) if !stop.is_cancelled() => {
                tracing::warn!(%error, "the gateway does not start, trying again");
                tokio::time::sleep(START_AGAIN).await;
            }
            ended => return Ok(ended?),
        }
    }
}
