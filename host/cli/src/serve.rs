//! `blitz engine` and `blitz gateway`: single parts as processes of their own, against a store elsewhere.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use blitz_couchdb::Client;
use blitz_jobs::timing::Timing;
use blitz_runtime::{ChildProgram, Runtime, RuntimeConfig};
use tokio_util::sync::CancellationToken;

use crate::commands::{EngineArgs, GatewayArgs};
use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::run::print;
use crate::signals::Signals;
use crate::stack::{
    self, DRAIN, SLOTS, engine_id, listen, publish_built_ins, random_token, trusted,
};
use crate::state_file;
use crate::targets::{self, Targets};
use crate::text::without_os_code;

/// Why a part did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No store was named.
    #[error("which store? give --store http://HOST:PORT, set BLITZ_STORE, or start 'blitz up'")]
    NoStore,
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
    /// Signals.
    #[error("cannot catch signals: {0}")]
    Signals(io::Error),
}

/// A token that can be guessed opens every engine: 16 characters of hexadecimal are 64 bits.
const TOKEN_BYTES_MIN: usize = 16;

/// Runs one engine until ^C or SIGTERM, which drain it; a second one leaves at once.
pub(crate) async fn engine(args: EngineArgs, environment: &Environment) -> Result<ExitCode, Error> {
    let (store, is_local) = store(args.store, environment)?;
    let id = match args.id {
        Some(id) => id,
        None => engine_id(&args.region)?,
    };
    // The store of `blitz up` is this machine's own: its engines reach what the user reaches.
    let policy = args.targets.policy(if is_local { Targets::Any } else { Targets::PublicOnly });
    let runtime = Runtime::new(RuntimeConfig {
        cache_dir: environment.compiled_directory(),
        targets: policy,
        protected: targets::protected(&store),
        child: Some(ChildProgram::this()),
        networks: args.networks,
        ..RuntimeConfig::default()
    })
    .map_err(stack::Error::from)?;
    let config = blitz_engine::Config {
        store,
        region: args.region,
        id,
        slots: args.slots.map_or(SLOTS, usize::from),
        runtime,
        trust: trusted(args.trust.trust(environment)),
        timing: Timing::default(),
        drain: DRAIN,
    };
    let said = format!("engine   {}\nregion   {}\n", config.id, config.region);
    let signals = Signals::catch().map_err(Error::Signals)?;
    print(&said);
    until_signal(signals, |stop| async move {
        Ok(blitz_engine::run(config, stop).await.map_err(stack::Error::from)?)
    })
    .await
}

/// Runs one gateway until ^C or SIGTERM.
pub(crate) async fn gateway(
    args: GatewayArgs,
    environment: &Environment,
) -> Result<ExitCode, Error> {
    let (store, _) = store(args.store, environment)?;
    let (token, is_new) = token(args.token_file, environment)?;
    let listener = listen(args.listen).await?;
    let address: SocketAddr = listener
        .local_addr()
        .map_err(|source| stack::Error::Io { what: "read the address of a listener", source })?;
    let regions: Vec<&str> = args.regions.iter().map(String::as_str).collect();
    blitz_jobs::setup::install(&store, &regions).await.map_err(stack::Error::from)?;
    publish_built_ins(&store).await?;
    let config = blitz_gateway::Config {
        store,
        token: token.clone(),
        hosts: args.hosts,
        timing: Timing::default(),
    };
    let signals = Signals::catch().map_err(Error::Signals)?;
    let mut said = format!("gateway  http://{address}\n");
    if is_new {
        said.push_str(&format!("token    {token}\n"));
    }
    print(&said);
    until_signal(signals, |stop| async move {
        Ok(blitz_gateway::run(listener, config, stop).await.map_err(stack::Error::from)?)
    })
    .await
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

/// The named store, or that of `blitz up`; and whether it is the latter.
fn store(named: Option<String>, environment: &Environment) -> Result<(Client, bool), Error> {
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
