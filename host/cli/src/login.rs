//! `blitz login` and `blitz logout`: which key this user shows at which gateway. `ask` is how the key comes in; the file is
//! [`crate::credentials`].

mod ask;

use std::path::{Path, PathBuf};

use url::{Host, Url};

use crate::accounts::whoami::Identity;
use crate::api::{self, Gateway, TokenFrom, origin};
use crate::credentials::{self, Credentials, Login};
use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::run::{print, say};
use crate::signals::Signals;
use crate::text::without_os_code;

/// `blitz login`.
#[derive(Debug, clap::Args)]
#[command(after_help = LOGIN_AFTER_HELP)]
pub(crate) struct LoginArgs {
    /// The gateway [env: BLITZ_HOST] [default: where one is logged in]
    #[arg(long, value_name = "URL")]
    host: Option<String>,
    /// A file with the key; - is standard input [default: it is asked for, or read from standard input]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    token_file: Option<PathBuf>,
}

const LOGIN_AFTER_HELP: &str = "\
The key is one of 'blitz keys add', or the gateway's own token, which is the operator's. It is kept in
~/.config/blitz/credentials.toml, which only you can read, when the gateway has taken it. Commands go to the gateway of the last
login, unless --host, BLITZ_HOST or a running 'blitz up' say otherwise. For programs (CI): BLITZ_HOST and BLITZ_TOKEN.";

/// `blitz logout`.
#[derive(Debug, clap::Args)]
pub(crate) struct LogoutArgs {
    /// The gateway [default: that of the last login]
    #[arg(long, value_name = "URL")]
    host: Option<String>,
}

/// Why one is not logged in or out. The texts read after `blitz: `.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No gateway was named, and none is known.
    #[error("login: at which gateway? blitz login --host http://HOST:PORT")]
    NoHost,
    /// The file or standard input.
    #[error("cannot read the key from {name}: {}", without_os_code(&source.to_string()))]
    Input { name: String, source: std::io::Error },
    /// Nothing stands there.
    #[error("no key in {name}; ask the tenant's admin for one ('blitz keys add')")]
    NoKey { name: String },
    /// What stands there is longer than a key.
    #[error("{name} holds more than one key; a key is one word, as 'blitz keys add' prints it")]
    NotAKey { name: String },
    /// The file of keys.
    #[error(transparent)]
    Credentials(#[from] credentials::Error),
    /// The gateway.
    #[error(transparent)]
    Api(#[from] api::Error),
}

/// Asks the gateway who has this key, and keeps it.
pub(crate) async fn login(args: LoginArgs, environment: &Environment) -> Result<ExitCode, Error> {
    let path = path(environment)?;
    let named = args.host.or_else(|| environment.host.clone());
    // A file that cannot be used is told before the key is asked for.
    let kept = Credentials::read(path)?;
    let url = named.or_else(|| kept.default.clone()).ok_or(Error::NoHost)?;
    let origin = origin(&url).ok_or(api::Error::Address { url })?;
    if !is_loopback(&origin) {
        say(&format!(
            "blitz: what goes to {origin} is not encrypted on its way, the key included; beyond a network of your own use \
             a tunnel (ssh -L)"
        ));
    }
    let mut signals = Signals::catch()
        .map_err(|source| Error::Input { name: "the terminal".to_owned(), source })?;
    let key = tokio::select! {
        key = ask::key(args.token_file.as_deref(), &origin) => key?,
        code = signals.next() => return Ok(code),
    };
    let gateway = Gateway::new(&origin, &key, TokenFrom::Given)?;
    let identity: Identity = gateway.read_answer(&gateway.whoami().await?)?;
    let who = identity.name();
    credentials::keep(path, &origin, Login { key, who: who.clone() })?;
    let ends = identity.ends().map_or_else(String::new, |ends| format!("; the key ends {ends}"));
    say(&format!("blitz: logged in at {origin} as {who}{ends}"));
    for (variable, is_set) in
        [("BLITZ_HOST", environment.host.is_some()), ("BLITZ_TOKEN", environment.token.is_some())]
    {
        if is_set {
            say(&format!("blitz: {variable} is set, and comes before what login keeps"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Forgets the key of a gateway. Harmless to repeat.
pub(crate) fn logout(args: LogoutArgs, environment: &Environment) -> Result<ExitCode, Error> {
    let path = path(environment)?;
    let kept = Credentials::read(path)?;
    let Some(url) = args.host.or_else(|| kept.default.clone()) else {
        let others: Vec<&str> = kept.gateways.keys().map(String::as_str).collect();
        return Ok(print(&match others.as_slice() {
            [] => "not logged in\n".to_owned(),
            others => format!("logged in at {}: name one with --host\n", others.join(", ")),
        }));
    };
    let origin = origin(&url).ok_or(api::Error::Address { url })?;
    if kept.login(&origin).is_none() && kept.default.as_ref() != Some(&origin) {
        return Ok(print(&format!("not logged in at {origin}\n")));
    }
    credentials::forget(path, &origin)?;
    let mut text = format!(
        "logged out of {origin}; the key itself is as it was: 'blitz keys revoke' ends one\n"
    );
    let others: Vec<&str> =
        kept.gateways.keys().map(String::as_str).filter(|other| *other != origin).collect();
    if !others.is_empty() {
        text.push_str(&format!("still logged in at {}: --host names it\n", others.join(", ")));
    }
    Ok(print(&text))
}

fn path(environment: &Environment) -> Result<&Path, credentials::Error> {
    environment.credentials_file.as_deref().ok_or(credentials::Error::NoPlace)
}

/// Whether what is sent there stays on this machine.
fn is_loopback(origin: &str) -> bool {
    let Ok(url) = Url::parse(origin) else { return false };
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for (origin, wanted) in [
            ("http://localhost:1", true),
            ("http://127.0.0.9:1", true),
            ("http://[::1]:1", true),
            ("http://10.0.0.1:1", false),
            ("http://localhost.example:1", false),
        ] {
            assert_eq!(is_loopback(origin), wanted, "{origin}");
        }
    }
}
