//! `blitz up`: keeps a store, a gateway and engines running, and tells other commands where.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use blitz_embedded::Storage;
use tokio::time::{sleep, timeout};

use crate::accounts_file;
use crate::commands::UpArgs;
use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::run::{print, say};
use crate::signals::Signals;
use crate::stack::{self, DRAIN, Plan, SLOTS, Stack};
use crate::state_file::{self, Held, UpState};
use crate::targets::Targets;
use crate::text::without_os_code;
use crate::token_file;
use crate::wire::Engines;

/// Engines that begin with it are known within this time: a few writes each, on a busy machine too.
const COME_MAX: Duration = Duration::from_secs(10);

/// How often it is looked whether they are.
const COME_LOOK: Duration = Duration::from_millis(10);

/// Why `blitz up` did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No directory for the store.
    #[error("no directory for the store: give --data DIR, or set HOME")]
    NoDirectory,
    /// The directory cannot be made.
    #[error("cannot make the directory '{}': {source}", path.display())]
    Directory { path: PathBuf, source: std::io::Error },
    /// No place for the state file.
    #[error("no place for the state file: set BLITZ_STATE, or HOME")]
    NoStateFile,
    /// One runs already.
    #[error(
        "'blitz up' runs already: {gateway}, process {pid}; \
         end that one, or give this one its own BLITZ_STATE"
    )]
    RunsAlready { gateway: String, pid: u32 },
    /// The state file.
    #[error(transparent)]
    StateFile(#[from] state_file::Error),
    /// What it starts.
    #[error(transparent)]
    Stack(#[from] stack::Error),
    /// The gateway's token.
    #[error("cannot keep the gateway's token beside the store: {}", without_os_code(&source.to_string()))]
    Token { source: std::io::Error },
    /// What API keys are stored under.
    #[error(transparent)]
    AccountsKey(#[from] accounts_file::Error),
    /// Signals.
    #[error("cannot catch signals: {0}")]
    Signals(std::io::Error),
}

/// Runs until ^C or SIGTERM, which drain the engines; a second one leaves at once.
pub(crate) async fn run(args: UpArgs, environment: &Environment) -> Result<ExitCode, Error> {
    let file = environment.state_file.clone().ok_or(Error::NoStateFile)?;
    let directory =
        args.data.or_else(|| environment.data_directory.clone()).ok_or(Error::NoDirectory)?;
    let regions = regions(args.regions);
    make_private(&directory)?;
    let mut signals = Signals::catch().map_err(Error::Signals)?;
    let token = token_file::kept(&directory.join("gateway.token"), stack::random_token()?);
    let token = token.map_err(|source| Error::Token { source })?;
    let (accounts_key, _) =
        accounts_file::kept(&directory.join("accounts.key"), &stack::random_token()?)?;
    // Whole, as engines that join are started in other directories.
    let region_keys = shown(&directory).join("region.keys");
    let mut stack = Stack::start(Plan {
        region_keys: Some(region_keys.clone()),
        regions: regions.clone(),
        token: Some(token),
        accounts_key: Some(accounts_key),
        storage: Storage::Directory(directory.clone()),
        listen: args.listen,
        trust: args.trust.trust_and_own(environment),
        slots: args.slots.map_or(SLOTS, usize::from),
        // One's own machine is what one is on.
        targets: args.targets.policy(Targets::Any),
        load: args.load,
        networks: args.networks,
        cache: environment.compiled_directory(),
        drain: DRAIN,
    })
    .await?;
    engines_come(&stack, &regions).await;
    let state = UpState {
        gateway: stack.gateway.url().to_owned(),
        token: stack.token.clone(),
        store: stack.store_url.clone(),
        store_admin: stack.store_admin.clone(),
        store_password: stack.store_password.clone(),
        pid: std::process::id(),
        regions,
        region_keys: Some(region_keys),
    };
    let held = match announce(&file, &state, &directory) {
        Ok(held) => held,
        Err(error) => {
            stack.stop().await?;
            return Err(error);
        }
    };
    let ended = tokio::select! {
        error = stack.broken() => Err(error.into()),
        _ = signals.next() => {
            let limit = DRAIN.as_secs();
            say(&format!("blitz: jobs that run have {limit} s to end; ^C again leaves at once"));
            Ok(ExitCode::SUCCESS)
        }
    };
    // Removed first: no new command should come while the engines drain.
    held.remove();
    tokio::select! {
        stopped = stack.stop() => ended.and_then(|code| stopped.map(|()| code).map_err(Error::from)),
        code = signals.next() => Ok(code),
    }
}

/// Waits until the gateway knows an engine of each region: a command that comes sooner would not wait for one to prepare its
/// plugin. Those that do not come are not waited for; what is wrong with them is in the log.
async fn engines_come(stack: &Stack, regions: &[String]) {
    let all_are_there = async {
        loop {
            let come: Vec<String> = match stack.gateway.list::<Engines>("/v1/engines").await {
                Ok(answer) => answer.engines.into_iter().map(|engine| engine.region).collect(),
                Err(_) => Vec::new(),
            };
            if regions.iter().all(|region| come.contains(region)) {
                return;
            }
            sleep(COME_LOOK).await;
        }
    };
    let _late = timeout(COME_MAX, all_are_there).await;
}

/// Makes the store's directory for its owner alone: it holds what commands sent and got. One that is
/// there keeps its mode.
fn make_private(directory: &Path) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|source| Error::Directory { path: directory.to_owned(), source })
}

/// Writes the state file, unless it belongs to another that runs, and prints the addresses.
fn announce(file: &Path, state: &UpState, directory: &Path) -> Result<Held, Error> {
    // A file that cannot be read is replaced: it is of no use to anybody.
    if let Ok(Some(other)) = state_file::read(file) {
        return Err(Error::RunsAlready { gateway: other.gateway, pid: other.pid });
    }
    let held = state_file::write(file, state)?;
    print(&format!(
        "gateway  {}\nregions  {}\nstore    {}, data in {}\nstate    {}\n\
         'blitz curl URL' in another terminal runs here; ^C ends it\n",
        state.gateway,
        state.regions.join(", "),
        state.store,
        shown(directory).display(),
        file.display(),
    ));
    Ok(held)
}

fn shown(directory: &Path) -> PathBuf {
    std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned())
}

/// Each region once; `local` when none is named.
fn regions(named: Vec<String>) -> Vec<String> {
    let mut regions: Vec<String> = Vec::new();
    for name in named {
        if !regions.contains(&name) {
            regions.push(name);
        }
    }
    if regions.is_empty() {
        regions.push(LOCAL.to_owned());
    }
    regions
}

/// The region of a machine that has no other.
pub(crate) const LOCAL: &str = "local";
