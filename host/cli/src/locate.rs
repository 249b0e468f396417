//! Where the gateway is: named by the user, told by `blitz up`, kept by `blitz login`, or in this very process.

use crate::api::{self, Gateway, TokenFrom, origin};
use crate::credentials::{self, Credentials};
use crate::environment::Environment;
use crate::state_file::{self, UpState};

/// Where a command is to go.
#[derive(Debug)]
pub(crate) enum Place {
    /// A gateway that runs.
    Gateway(Box<Gateway>),
    /// None does: everything starts in this process.
    Here,
}

/// Why no place was found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A gateway was named and no token is there.
    #[error("no token for the gateway {url}: set BLITZ_TOKEN, or 'blitz login --host {url}'")]
    NoToken { url: String },
    /// The state file is not usable.
    #[error(transparent)]
    StateFile(#[from] state_file::Error),
    /// What `blitz login` kept is not usable.
    #[error(transparent)]
    Credentials(#[from] credentials::Error),
    /// The address or the token is not usable.
    #[error(transparent)]
    Api(#[from] api::Error),
}

/// Finds the gateway. `host` is the flag; it comes before `BLITZ_HOST`, which comes before the state
/// file, which comes before the gateway of the last `blitz login`: who has a `blitz up` running works with that. None is
/// probed: a state file is held by the process that has the port, and the first request tells of the others. So a gateway that
/// one is logged in at and that does not answer is an error: its jobs are not for this machine.
///
/// The token of a gateway that was named is `BLITZ_TOKEN`, else what the login or the state file has of it: who logs in at the
/// `blitz up` of this machine, and names it, is not its operator then. `BLITZ_TOKEN` alone
/// goes to nobody: a token is not sent to where it was not meant for.
pub(crate) fn locate(host: Option<&str>, environment: &Environment) -> Result<Place, Error> {
    if let Some(url) = host.or(environment.host.as_deref()) {
        let (token, from) = token_of(url, environment)?;
        return Ok(Place::Gateway(Box::new(Gateway::new(url, &token, from)?)));
    }
    if let Some(state) = state(environment)? {
        return Ok(Place::Gateway(Box::new(Gateway::new(
            &state.gateway,
            &state.token,
            TokenFrom::Up,
        )?)));
    }
    match kept(environment)?.default_login() {
        Some((url, login)) => {
            Ok(Place::Gateway(Box::new(Gateway::new(url, &login.key, TokenFrom::Login)?)))
        }
        None => Ok(Place::Here),
    }
}

/// The token of a gateway that was named.
fn token_of(url: &str, environment: &Environment) -> Result<(String, TokenFrom), Error> {
    if let Some(token) = &environment.token {
        return Ok((token.clone(), TokenFrom::Environment));
    }
    // Of a word that is no address no file is asked.
    let origin = origin(url).ok_or_else(|| api::Error::Address { url: url.to_owned() })?;
    if let Some(login) = kept(environment)?.login(&origin) {
        return Ok((login.key.clone(), TokenFrom::Login));
    }
    let is_own = |state: &UpState| api::origin(&state.gateway).as_ref() == Some(&origin);
    match state(environment)?.filter(is_own) {
        Some(state) => Ok((state.token, TokenFrom::Up)),
        None => Err(Error::NoToken { url: url.to_owned() }),
    }
}

fn state(environment: &Environment) -> Result<Option<UpState>, state_file::Error> {
    match &environment.state_file {
        Some(path) => state_file::read(path),
        None => Ok(None),
    }
}

fn kept(environment: &Environment) -> Result<Credentials, credentials::Error> {
    match &environment.credentials_file {
        Some(path) => Credentials::read(path),
        None => Ok(Credentials::default()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::credentials::Login;

    fn environment(directory: &std::path::Path) -> Environment {
        Environment {
            state_file: Some(directory.join("up.json")),
            credentials_file: Some(directory.join("credentials.toml")),
            ..Environment::default()
        }
    }

    fn state(gateway: String) -> UpState {
        UpState {
            gateway,
            token: "t".to_owned(),
            store: String::new(),
            store_admin: String::new(),
            store_password: String::new(),
            pid: 1,
            regions: Vec::new(),
            region_keys: None,
        }
    }

    fn login(environment: &Environment, origin: &str) {
        let login = Login { key: "k".to_owned(), who: String::new() };
        credentials::keep(environment.credentials_file.as_ref().unwrap(), origin, login).unwrap();
    }

    fn show(host: Option<&str>, environment: &Environment) -> String {
        match locate(host, environment) {
            Ok(Place::Gateway(gateway)) => format!("{} {:?}", gateway.url(), gateway.token_from()),
            Ok(Place::Here) => "here".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_flag_comes_before_the_environment_before_the_state_file_before_the_login() {
        let directory = tempfile::tempdir().unwrap();
        let mut environment = environment(directory.path());
        assert_eq!(show(None, &environment), "here");

        let other = "no token for the gateway http://other:1: set BLITZ_TOKEN, or 'blitz login --host http://other:1'";
        login(&environment, "http://old:80");
        login(&environment, "http://kept:1");
        assert_eq!(show(None, &environment), "http://kept:1 Login");
        assert_eq!(show(Some("old"), &environment), "http://old:80 Login", "by its origin");
        assert_eq!(show(Some("http://other:1"), &environment), other);

        let up = "http://127.0.0.1:8042".to_owned();
        let file = environment.state_file.clone().unwrap();
        let held = state_file::write(&file, &state(up.clone())).unwrap();
        assert_eq!(show(None, &environment), format!("{up} Up"));
        assert_eq!(show(Some(&up), &environment), format!("{up} Up"));
        assert_eq!(show(Some("http://kept:1"), &environment), "http://kept:1 Login");
        assert_eq!(show(Some("http://other:1"), &environment), other);
        login(&environment, &up);
        assert_eq!(show(Some(&up), &environment), format!("{up} Login"), "as a user of it");
        assert_eq!(show(None, &environment), format!("{up} Up"));

        environment.token = Some("t".to_owned());
        assert_eq!(show(None, &environment), format!("{up} Up"), "a token for nobody");
        environment.host = Some("http://host:1".to_owned());
        assert_eq!(show(None, &environment), "http://host:1 Environment");
        assert_eq!(show(Some("http://flag:1"), &environment), "http://flag:1 Environment");
        environment.token = None;
        environment.host = Some("http://kept:1".to_owned());
        assert_eq!(show(None, &environment), "http://kept:1 Login");
        for url in ["https://flag", "http://flag/x"] {
            let text = format!("'{url}' is no gateway address; use http://HOST:PORT");
            assert_eq!(show(Some(url), &environment), text);
        }
        environment.host = None;
        held.remove();
        assert_eq!(show(None, &environment), format!("{up} Login"), "the last one");
    }

    #[test]
    fn a_stale_state_file_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let environment = environment(directory.path());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        // Somebody else listens on the port of a `blitz up` that was killed.
        let taken = format!("http://{}", listener.local_addr().unwrap());
        drop(state_file::write(environment.state_file.as_ref().unwrap(), &state(taken.clone())));
        assert_eq!(show(None, &environment), "here");
        assert_eq!(
            show(Some(&taken), &environment),
            format!(
                "no token for the gateway {taken}: set BLITZ_TOKEN, or 'blitz login --host {taken}'"
            )
        );
    }

    #[test]
    fn credentials_are_read_only_where_they_are_needed() {
        let directory = tempfile::tempdir().unwrap();
        let mut environment = environment(directory.path());
        login(&environment, "http://kept:1");
        let file = environment.credentials_file.clone().unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o604)).unwrap();
        for host in [None, Some("http://kept:1")] {
            let text = show(host, &environment);
            assert!(text.contains("open to others (mode 0604)"), "{text}");
        }
        environment.token = Some("t".to_owned());
        assert_eq!(show(Some("http://kept:1"), &environment), "http://kept:1 Environment");
    }
}
