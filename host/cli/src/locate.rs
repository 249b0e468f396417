//! Where the gateway is: named by the user, told by `blitz up`, or in this very process.

use crate::api::{self, Gateway, origin};
use crate::environment::Environment;
use crate::state_file::{self, UpState};

/// Where a command is to go.
#[derive(Debug)]
pub(crate) enum Place {
    /// A gateway that runs.
    Gateway(Gateway),
    /// None does: everything starts in this process.
    Here,
}

/// Why no place was found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A gateway was named and no token is there.
    #[error("no token for the gateway {url}: set BLITZ_TOKEN")]
    NoToken { url: String },
    /// The state file is not usable.
    #[error(transparent)]
    StateFile(#[from] state_file::Error),
    /// The address or the token is not usable.
    #[error(transparent)]
    Api(#[from] api::Error),
}

/// Finds the gateway. `host` is the flag; it comes before `BLITZ_HOST`, which comes before the state
/// file. None is probed: a state file is held by the process that has the port, and the first request
/// tells of the others.
pub(crate) fn locate(host: Option<&str>, environment: &Environment) -> Result<Place, Error> {
    let state = |environment: &Environment| match &environment.state_file {
        Some(path) => state_file::read(path),
        None => Ok(None),
    };
    if let Some(url) = host.or(environment.host.as_deref()) {
        let token = match &environment.token {
            Some(token) => token.clone(),
            None => token_of(url, state(environment)?.as_ref())
                .ok_or_else(|| Error::NoToken { url: url.to_owned() })?,
        };
        return Ok(Place::Gateway(Gateway::new(url, &token)?));
    }
    match state(environment)? {
        Some(state) => Ok(Place::Gateway(Gateway::new(&state.gateway, &state.token)?)),
        None => Ok(Place::Here),
    }
}

/// The state file's token, when it is for this gateway.
fn token_of(url: &str, state: Option<&UpState>) -> Option<String> {
    let state = state?;
    (origin(url)? == origin(&state.gateway)?).then(|| state.token.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(directory: &std::path::Path) -> Environment {
        Environment { state_file: Some(directory.join("up.json")), ..Environment::default() }
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
        }
    }

    fn show(host: Option<&str>, environment: &Environment) -> String {
        match locate(host, environment) {
            Ok(Place::Gateway(gateway)) => gateway.url().to_owned(),
            Ok(Place::Here) => "here".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_flag_comes_before_the_environment_before_the_state_file() {
        let directory = tempfile::tempdir().unwrap();
        let mut environment = environment(directory.path());
        assert_eq!(show(None, &environment), "here");

        let up = "http://127.0.0.1:8042".to_owned();
        let file = environment.state_file.clone().unwrap();
        let _held = state_file::write(&file, &state(up.clone())).unwrap();
        assert_eq!(show(None, &environment), up);
        assert_eq!(show(Some(&up), &environment), up, "the state file has its token");
        assert_eq!(
            show(Some("http://other:1"), &environment),
            "no token for the gateway http://other:1: set BLITZ_TOKEN"
        );

        environment.token = Some("t".to_owned());
        environment.host = Some("http://host:1".to_owned());
        assert_eq!(show(None, &environment), "http://host:1");
        assert_eq!(show(Some("http://flag:1"), &environment), "http://flag:1");
        assert_eq!(
            show(Some("https://flag"), &environment),
            "'https://flag' is no gateway address; use http://HOST:PORT"
        );
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
            format!("no token for the gateway {taken}: set BLITZ_TOKEN")
        );
    }
}
