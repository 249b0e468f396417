//! `blitz couchdb`: serves a store to whoever speaks the CouchDB protocol.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use blitz_embedded::{
    Admin, NotServed, OpenError, Options, Storage, Store, TestMode, TokenAlgorithm, TokenKey,
    check_listener,
};
use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::run::print;
use crate::signals::Signals;
use crate::text::without_os_code;

/// `blitz couchdb`.
#[derive(Args)]
pub(crate) struct CouchdbArgs {
    /// The directory of the store
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 5984)))]
    listen: SocketAddr,
    /// An administrator; others on this machine see it: better --admin-file or BLITZ_COUCHDB_ADMIN
    #[arg(long = "admin", value_name = "NAME:PASSWORD")]
    admins: Vec<String>,
    /// A file with administrators, one NAME:PASSWORD a line
    #[arg(long, value_name = "FILE")]
    admin_file: Option<PathBuf>,
    /// A key of bearer tokens: hmac, rsa or ec; its 'kid' or _default; the secret or public key in FILE
    #[arg(long = "token-key", value_name = "ALG:KID=FILE")]
    token_keys: Vec<String>,
    /// Answer as a cluster in trouble may, for tests of clients: stored-losers, late-conflicts,
    /// rewound-feeds, lost-answers or stale-node
    #[arg(long = "test-mode", value_name = "MODE")]
    test_modes: Vec<TestMode>,
}

impl std::fmt::Debug for CouchdbArgs {
    /// Without the administrators, who have passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CouchdbArgs")
            .field("data", &self.data)
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

/// Why `blitz couchdb` did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// An administrator without a name or a password. What was given is not told: it may be a password.
    #[error("{place} has no administrator as NAME:PASSWORD; write one, such as admin:SECRET")]
    Admin { place: String },
    /// A key that names no file, or no algorithm.
    #[error("'{given}' is no token key: give hmac:KID=FILE, rsa:KID=FILE or ec:KID=FILE")]
    TokenKey { given: String },
    /// A file that was named.
    #[error("cannot read '{}': {}; name a file that this user may read", path.display(), without_os_code(&source.to_string()))]
    File { path: PathBuf, source: io::Error },
    /// Without an administrator, or with a key that is none.
    #[error("failed to {0}{next}", next = flags(.0))]
    NotServed(#[from] NotServed),
    /// The directory.
    #[error("failed to {0}")]
    Open(#[from] OpenError),
    /// The address.
    #[error("cannot listen on {address}: {}; choose another address with --listen", without_os_code(&source.to_string()))]
    Listen { address: SocketAddr, source: io::Error },
    /// The listener, later.
    #[error("cannot serve the store: {0}")]
    Serve(io::Error),
    /// Signals.
    #[error("cannot catch signals: {0}")]
    Signals(io::Error),
}

/// How this command takes what is missing.
fn flags(missing: &NotServed) -> &'static str {
    match missing {
        NotServed::OpenToAll { .. } => " (--admin-file FILE or BLITZ_COUCHDB_ADMIN=NAME:PASSWORD)",
        _ => "",
    }
}

impl Error {
    pub(crate) fn code(&self) -> ExitCode {
        match self {
            Self::Admin { .. } | Self::TokenKey { .. } | Self::File { .. } | Self::NotServed(_) => {
                ExitCode::USAGE
            }
            _ => ExitCode::FAILURE,
        }
    }
}

/// Serves until ^C or SIGTERM; a second one leaves at once.
pub(crate) async fn run(args: CouchdbArgs, environment: &Environment) -> Result<ExitCode, Error> {
    let options = Options {
        admins: admins(&args, environment.couchdb_admin.as_deref())?,
        token_keys: args
            .token_keys
            .iter()
            .map(|given| token_key(given))
            .collect::<Result<_, _>>()?,
        test_modes: args.test_modes.clone(),
        ..Options::default()
    };
    // What is refused is refused before a directory is made.
    check_listener(&options, args.listen)?;
    let mut signals = Signals::catch().map_err(Error::Signals)?;
    let listen = |source| Error::Listen { address: args.listen, source };
    let listener = TcpListener::bind(args.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let open = options.admins.is_empty();
    let store = Store::open(Storage::Directory(args.data), options)?;
    let stop = CancellationToken::new();
    let mut served = std::pin::pin!(blitz_embedded::serve(store, listener, stop.clone()));
    print(&format!("http://{address}/\n"));
    if open {
        crate::run::say("blitz: no administrator is given: everybody on this machine is one");
    }
    tokio::select! {
        ended = served.as_mut() => return ended.map(|()| ExitCode::FAILURE).map_err(Error::Serve),
        _ = signals.next() => stop.cancel(),
    }
    tokio::select! {
        ended = served => ended.map(|()| ExitCode::SUCCESS).map_err(Error::Serve),
        code = signals.next() => Ok(code),
    }
}

fn admins(args: &CouchdbArgs, variable: Option<&str>) -> Result<Vec<Admin>, Error> {
    let mut admins = Vec::new();
    for given in &args.admins {
        admins.push(admin(given, || String::from("--admin"))?);
    }
    if let Some(given) = variable {
        admins.push(admin(given, || String::from("BLITZ_COUCHDB_ADMIN"))?);
    }
    if let Some(path) = &args.admin_file {
        let text = fs::read_to_string(path)
            .map_err(|source| Error::File { path: path.clone(), source })?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let before = admins.len();
        for (index, line) in lines {
            let place = || format!("line {} of '{}'", index + 1, path.display());
            admins.push(admin(line, place)?);
        }
        if admins.len() == before {
            return Err(Error::Admin { place: format!("'{}'", path.display()) });
        }
    }
    Ok(admins)
}

fn admin(given: &str, place: impl Fn() -> String) -> Result<Admin, Error> {
    match given.split_once(':') {
        Some((name, password)) if !name.is_empty() && !password.is_empty() => {
            Ok(Admin { name: name.to_owned(), password: password.to_owned() })
        }
        _ => Err(Error::Admin { place: place() }),
    }
}

fn token_key(given: &str) -> Result<TokenKey, Error> {
    let parts = given.split_once(':').and_then(|(algorithm, rest)| {
        let (id, path) = rest.split_once('=')?;
        let algorithm = match algorithm {
            "hmac" => TokenAlgorithm::Hmac,
            "rsa" => TokenAlgorithm::Rsa,
            "ec" => TokenAlgorithm::Ec,
            _ => return None,
        };
        (!id.is_empty() && !path.is_empty()).then(|| (algorithm, id, PathBuf::from(path)))
    });
    let (algorithm, id, path) = parts.ok_or_else(|| Error::TokenKey { given: given.to_owned() })?;
    let mut key = fs::read(&path).map_err(|source| Error::File { path, source })?;
    // An editor ends the line; a secret does not mean to have that end.
    while key.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        key.pop();
    }
    Ok(TokenKey { id: id.to_owned(), algorithm, key })
}
