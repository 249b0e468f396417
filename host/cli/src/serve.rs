//! `blitz engine` and `blitz gateway`: single parts as processes of their own, against a store elsewhere.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use blitz_couchdb::Client;
use blitz_jobs::plugin::PublishError;
use blitz_jobs::sealing::RegionKeys;
use blitz_jobs::setup::{self, SetupError};
use blitz_jobs::timing::Timing;
use blitz_runtime::{ChildProgram, Runtime, RuntimeConfig, TargetPolicy};
use tokio_util::sync::CancellationToken;

use crate::accounts_file;
use crate::clusters::{self, ClusterArgs, Entered};
use crate::commands::{EngineArgs, GatewayArgs};
use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::joining::{self, JoinArgs, OnInstance};
use crate::key_file::{self, BadKeyFile};
use crate::near::Near;
use crate::run::print;
use crate::signals::Signals;
use crate::stack::{
    self, DRAIN, SLOTS, engine_id, listen, publish_built_ins, random_token, trusted,
};
use crate::state_file;
use crate::targets::{self, Looks, Targets};
use crate::text::without_os_code;

/// Why a part did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No store was named.
    #[error("which store? give --store http://HOST:PORT, set BLITZ_STORE, or start 'blitz up'")]
    NoStore,
    /// The clusters that can be entered.
    #[error(transparent)]
    Clusters(#[from] clusters::Error),
    /// The state file of `blitz up`.
    #[error(transparent)]
    StateFile(#[from] state_file::Error),
    /// The store, or what else the part needs.
    #[error(transparent)]
    Stack(#[from] stack::Error),
    /// The token's file.
    #[error("cannot read the token in '{}': {}", path.display(), without_os_code(&source.to_string()))]
    TokenFile { path: PathBuf, source: io::Error },
    /// The token itself.
    #[error("a token has at least {TOKEN_BYTES_MIN} visible ASCII characters")]
    WeakToken,
    /// What API keys are stored under.
    #[error(transparent)]
    AccountsKey(#[from] accounts_file::Error),
    /// The tokens of engines.
    #[error(transparent)]
    Joining(#[from] joining::Error),
    /// The keys of regions.
    #[error(transparent)]
    RegionKeys(#[from] BadKeyFile),
    /// Signals.
    #[error("cannot catch signals: {0}")]
    Signals(io::Error),
}

/// A token that can be guessed opens every engine: 16 characters of hexadecimal are 64 bits.
const TOKEN_BYTES_MIN: usize = 16;

/// Runs one engine until ^C or SIGTERM, which drain it; a second one leaves at once.
pub(crate) async fn engine(args: EngineArgs, environment: &Environment) -> Result<ExitCode, Error> {
    let mut on = Box::pin(args.join.instance()).await?;
    let id = match (args.id, &on) {
        (Some(id), _) => id,
        (None, Some(on)) => on.instance.id.clone(),
        (None, None) => engine_id(&args.region)?,
    };
    let given = args.region_keys.as_deref().map(key_file::read).transpose()?;
    let mut region_keys = given.clone().unwrap_or_default();
    let (near, membership) = if args.join.is_given() {
        let store = args.stores.into_iter().next();
        let keys = region_keys.clone();
        let joining = args.join.joining(&args.region, &id, keys, on.as_mut(), environment);
        let joins = JoinArgs::enter(Box::pin(joining).await?, store);
        let (store, membership) = Box::pin(joins).await?;
        (Near::joined(store, &args.clusters, environment).await?, Some(membership))
    } else {
        (Near::find(args.stores, &args.clusters, environment).await?, None)
    };
    let Near { clusters, is_local, said } = near;
    if is_local && given.is_none() {
        region_keys = keys_of_up(environment)?;
    }
    // The store of `blitz up` is this machine's own: its engines reach what the user reaches.
    let policy = args.targets.policy(if is_local { Targets::Any } else { Targets::PublicOnly });
    let mut protected = targets::protected(clusters.all().map(|(_, store)| store));
    protected.extend(on.iter().flat_map(OnInstance::protected));
    let runtime = Runtime::new(RuntimeConfig {
        cache_dir: environment.compiled_directory(),
        targets: policy,
        protected,
        child: Some(ChildProgram::this()),
        networks: args.networks,
        load: args.load.config(),
        ..RuntimeConfig::default()
    })
    .map_err(stack::Error::from)?;
    let on_machine = on.as_ref().map(|on| format!("machine  {}\n", on.instance));
    let on_machine = on_machine.unwrap_or_default();
    let (machine, imds) = on.map(|on| (on.instance.machine, on.imds)).unzip();
    let config = blitz_engine::Config {
        clusters,
        region: args.region,
        id,
        slots: args.slots.map_or(SLOTS, usize::from),
        runtime,
        trust: trusted(args.trust.trust(environment)),
        region_keys,
        timing: Timing::default(),
        load_contact: args.load.contact(),
        drain: DRAIN,
        machine,
        imds,
    };
    let (id, region) = (&config.id, &config.region);
    let said = format!("engine   {id}\nregion   {region}\n{on_machine}{said}");
    let signals = Signals::catch().map_err(Error::Signals)?;
    print(&said);
    until_signal(signals, |stop| async move {
        let mut runs = Box::pin(blitz_engine::run(config, stop.clone()));
        let Some(membership) = membership else {
            return Ok(runs.await.map_err(stack::Error::from)?);
        };
        let no_token = tokio::select! {
            ended = &mut runs => return Ok(ended.map_err(stack::Error::from)?),
            no_token = membership.keep() => no_token,
        };
        // Until the end of the token that it has, it can give back what it holds.
        tracing::error!(error = %no_token, "the right to be an engine was not renewed, draining");
        stop.cancel();
        runs.await.map_err(stack::Error::from)?;
        Err(joining::Error::from(no_token).into())
    })
    .await
}

/// Runs one gateway until ^C or SIGTERM.
pub(crate) async fn gateway(
    args: GatewayArgs,
    environment: &Environment,
) -> Result<ExitCode, Error> {
    let entered = enter(&args.clusters, args.store, environment).await?;
    let (token, is_new) = token(args.token_file, environment)?;
    let accounts_key = match &args.accounts_key {
        Some(path) => Some(accounts_file::kept(path, &random_token()?)?),
        None => None,
    };
    let listener = listen(args.listen).await?;
    let address: SocketAddr = listener
        .local_addr()
        .map_err(|source| stack::Error::Io { what: "read the address of a listener", source })?;
    let issuer = args.issuer.issuer(entered.clusters.near())?;
    // Where there are several clusters, one that is away at the moment does not keep the others from being served.
    let later = match prepare(&entered, &args.regions).await {
        Err(error) if entered.clusters.own().is_some() && is_away(&error) => {
            tracing::warn!(%error, "the near cluster is made ready when it answers");
            Some((entered.clone(), args.regions))
        }
        ready => {
            ready?;
            None
        }
    };
    let protected = targets::protected(entered.clusters.all().map(|(_, store)| store));
    let prover = Looks::new(TargetPolicy::public_only(), protected);
    let config = blitz_gateway::Config {
        operators: entered.operators,
        hosts: args.hosts,
        trust_proxy: args.trust_proxy,
        consent: args.load.consent(),
        accounts_key: accounts_key.map(|(key, _)| key),
        accounts_stale: args.accounts_stale,
        prover: Some(prover),
        ..blitz_gateway::Config::new(entered.clusters, token.clone())
    };
    let signals = Signals::catch().map_err(Error::Signals)?;
    let mut said = format!("gateway  http://{address}\n");
    if let (Some((_, true)), Some(path)) = (accounts_key, &args.accounts_key) {
        let path = path.display();
        said.push_str(&format!(
            "accounts key made in {path}; all gateways of the installation need the same\n"
        ));
    }
    if is_new {
        said.push_str(&format!("token    {token}\n"));
    }
    print(&said);
    until_signal(signals, |stop| async move {
        let serves = async {
            let run = Box::pin(blitz_gateway::run_with(listener, config, issuer, stop));
            Ok(run.await.map_err(stack::Error::from)?)
        };
        match later {
            None => serves.await,
            Some((entered, regions)) => tokio::select! {
                served = serves => served,
                failed = prepare_at_last(&entered, &regions) => failed,
            },
        }
    })
    .await
}

/// Between two tries to make the near cluster ready.
const PREPARE_AGAIN: Duration = Duration::from_secs(2);

/// Makes what a gateway needs in the near cluster: databases and documents, where it may, and the built-in plugins.
async fn prepare(entered: &Entered, regions: &[String]) -> Result<(), Error> {
    let store = entered.clusters.near();
    let own = entered.clusters.own();
    // Of several clusters an operator makes them, by name and with all that replicates between them.
    let may_make = own.is_none_or(|own| entered.operators.contains(own) || !entered.own_is_in_file);
    if own.is_none() {
        let regions: Vec<&str> = regions.iter().map(String::as_str).collect();
        setup::install(store, &regions).await.map_err(stack::Error::from)?;
    } else if may_make {
        setup::install(store, &[]).await.map_err(stack::Error::from)?;
        let operators = entered.clone().operators();
        for region in regions {
            let made = Box::pin(setup::regions::ensure(&operators, region));
            made.await.map_err(stack::Error::from)?;
        }
    }
    publish_built_ins(store).await?;
    Ok(())
}

/// The same, tried until the cluster answers; ends when it answers that this cannot be.
async fn prepare_at_last(entered: &Entered, regions: &[String]) -> Result<(), Error> {
    loop {
        tokio::time::sleep(PREPARE_AGAIN).await;
        match prepare(entered, regions).await {
            Ok(()) => std::future::pending::<()>().await,
            Err(error) if is_away(&error) => tracing::debug!(%error, "not made ready yet"),
            Err(error) => return Err(error),
        }
    }
}

/// Whether a store did not answer.
fn is_away(error: &Error) -> bool {
    let Error::Stack(error) = error else { return false };
    let source = match error {
        stack::Error::Setup(SetupError::Silent { .. }) => return true,
        stack::Error::Setup(SetupError::Store(error)) | stack::Error::Store(error) => error,
        stack::Error::Publish(PublishError::Store(error)) => error,
        _ => return false,
    };
    matches!(
        source,
        blitz_couchdb::Error::Unreachable { .. } | blitz_couchdb::Error::Timeout { .. }
    )
}

/// Runs a part; a signal stops it, a second one leaves at once.
async fn until_signal<F>(
    mut signals: Signals,
    run: impl FnOnce(CancellationToken) -> F,
) -> Result<ExitCode, Error>
where
    F: Future<Output = Result<(), Error>>,
{
    let stop = CancellationToken::new();
    let mut part = std::pin::pin!(run(stop.clone()));
    tokio::select! {
        ended = &mut part => return ended.map(|()| ExitCode::SUCCESS),
        _ = signals.next() => stop.cancel(),
    }
    tokio::select! {
        ended = part => ended.map(|()| ExitCode::SUCCESS),
        code = signals.next() => Ok(code),
    }
}

/// The clusters that can be entered: those of the clusters file, the named store, or that of `blitz up`.
pub(crate) async fn enter(
    args: &ClusterArgs,
    named: Option<String>,
    environment: &Environment,
) -> Result<Entered, Error> {
    let named = named.or_else(|| environment.store.clone());
    let named = named.map(Client::new).transpose().map_err(stack::Error::from)?;
    if let Some(entered) = Entered::find(args, named, environment).await? {
        return Ok(entered);
    }
    let (store, _) = store(None, environment)?;
    Entered::find(args, Some(store), environment).await?.ok_or(Error::NoStore)
}

/// The named store, or that of `blitz up`; and whether it is the latter.
pub(crate) fn store(
    named: Option<String>,
    environment: &Environment,
) -> Result<(Client, bool), Error> {
    if let Some(url) = named.or_else(|| environment.store.clone()) {
        return Ok((Client::new(url).map_err(stack::Error::from)?, false));
    }
    let state = match &environment.state_file {
        Some(path) => state_file::read(path)?,
        None => None,
    };
    let state = state.ok_or(Error::NoStore)?;
    let address = state.store.trim_start_matches("http://");
    let url = format!("http://{}:{}@{address}", state.store_admin, state.store_password);
    Ok((Client::new(url).map_err(stack::Error::from)?, true))
}

/// The keys of the regions of `blitz up`: who may read its state file may read them.
fn keys_of_up(environment: &Environment) -> Result<RegionKeys, Error> {
    let state = environment.state_file.as_deref().map(state_file::read).transpose()?.flatten();
    let file = state.and_then(|state| state.region_keys);
    Ok(file.as_deref().map(key_file::read).transpose()?.unwrap_or_default())
}

/// The token, and whether it is a new one that must be told.
fn token(file: Option<PathBuf>, environment: &Environment) -> Result<(String, bool), Error> {
    let given = match file {
        Some(path) => match std::fs::read_to_string(&path) {
            Ok(text) => Some(text.trim().to_owned()),
            Err(source) => return Err(Error::TokenFile { path, source }),
        },
        None => environment.token.clone(),
    };
    match given {
        None => Ok((random_token()?, true)),
        Some(t) if t.len() >= TOKEN_BYTES_MIN && t.bytes().all(|b| b.is_ascii_graphic()) => {
            Ok((t, false))
        }
        Some(_) => Err(Error::WeakToken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_given_or_new_and_never_weak() {
        let with =
            |token: &str| Environment { token: Some(token.to_owned()), ..Environment::default() };
        let long = "0123456789abcdef";
        assert_eq!(token(None, &with(long)).unwrap(), (long.to_owned(), false));
        assert!(matches!(token(None, &with("short")), Err(Error::WeakToken)));
        let (new, is_new) = token(None, &Environment::default()).unwrap();
        assert!(is_new && new.len() == 64, "{new}");
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        std::fs::write(&file, format!("{long}\n")).unwrap();
        assert_eq!(token(Some(file), &with("short")).unwrap(), (long.to_owned(), false));
        let missing = token(Some(directory.path().join("none")), &with(long)).unwrap_err();
        assert!(missing.to_string().ends_with("No such file or directory"), "{missing}");
    }
}
