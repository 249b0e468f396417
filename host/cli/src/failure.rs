//! Everything that can end a command early, and its exit code: the one function that maps errors to the
//! table of [`crate::exit_code`].

use http::StatusCode;

use crate::exit_code::ExitCode;
use crate::settings::EmptyRegion;
use crate::words::SplitError;
use crate::{api, cluster, couchdb, load, locate, login, plugin, run, serve, stack, submit, up};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The words.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// The flags; the text is clap's, whole. Also help that was asked for.
    #[error(transparent)]
    Clap(#[from] clap::Error),
    /// The region list.
    #[error(transparent)]
    Region(#[from] EmptyRegion),
    /// A word that is not text.
    #[error("an argument is not UTF-8: {0:?}")]
    NotText(std::ffi::OsString),
    /// No gateway could be found.
    #[error(transparent)]
    Locate(#[from] locate::Error),
    /// A command that needs a gateway that goes on.
    #[error(
        "{what} needs a gateway: start one with 'blitz up', name one with --host URL, or enter one with 'blitz login'"
    )]
    NoGateway { what: &'static str },
    /// The gateway.
    #[error(transparent)]
    Api(#[from] api::Error),
    /// A plugin's command.
    #[error(transparent)]
    Run(#[from] run::Error),
    /// What runs in this process.
    #[error(transparent)]
    Stack(#[from] stack::Error),
    /// `blitz up`.
    #[error(transparent)]
    Up(#[from] up::Error),
    /// `blitz engine`, `blitz gateway`.
    #[error(transparent)]
    Serve(#[from] serve::Error),
    /// `blitz couchdb`.
    #[error(transparent)]
    Couchdb(#[from] couchdb::Error),
    /// `blitz cluster`, `blitz region`.
    #[error(transparent)]
    Operate(#[from] cluster::operate::Error),
    /// `blitz login`, `blitz logout`.
    #[error(transparent)]
    Login(#[from] login::Error),
    /// `blitz plugin`.
    #[error(transparent)]
    Plugin(#[from] plugin::Error),
    /// `blitz rush diff` and `report`.
    #[error(transparent)]
    LoadReport(#[from] load::local::Error),
    /// `blitz help` of something unknown.
    #[error("no command or plugin '{topic}'{}", did_you_mean(.nearest.as_deref()))]
    UnknownTopic { topic: String, nearest: Option<String> },
    /// The runtime of this program.
    #[error("cannot start: {0}")]
    Start(std::io::Error),
}

impl Failure {
    /// The row of the exit code table.
    pub(crate) fn code(&self) -> ExitCode {
        match self {
            Self::Split(_)
            | Self::Clap(_)
            | Self::Region(_)
            | Self::NotText(_)
            | Self::LoadReport(load::local::Error::Usage(_))
            | Self::UnknownTopic { .. } => ExitCode::USAGE,
            Self::Locate(error) => of_locate(error),
            Self::NoGateway { .. } => ExitCode::UNREACHABLE,
            Self::Api(error) => of_api(error),
            Self::Run(error) => of_run(error),
            Self::Stack(error) => of_stack(error),
            Self::Up(error) => match error {
                up::Error::Stack(error) => of_stack(error),
                up::Error::NoDirectory | up::Error::NoStateFile => ExitCode::USAGE,
                _ => ExitCode::FAILURE,
            },
            Self::Serve(error) => match error {
                serve::Error::Stack(error) => of_stack(error),
                serve::Error::Clusters(error) => error.code(),
                serve::Error::Joining(error) => error.code(),
                serve::Error::NoStore
                | serve::Error::WeakToken
                | serve::Error::RegionKeys(_)
                | serve::Error::TokenFile { .. } => ExitCode::USAGE,
                _ => ExitCode::FAILURE,
            },
            Self::Couchdb(error) => error.code(),
            Self::Operate(error) => error.code(),
            Self::Login(error) => match error {
                login::Error::Credentials(_) => ExitCode::FAILURE,
                login::Error::Api(error) => of_api(error),
                _ => ExitCode::USAGE,
            },
            Self::Plugin(error) => match error {
                plugin::Error::Usage(_) => ExitCode::USAGE,
                plugin::Error::Failed(_) => ExitCode::FAILURE,
                plugin::Error::NoGateway { .. } => ExitCode::UNREACHABLE,
                plugin::Error::Locate(error) => of_locate(error),
                plugin::Error::Api(error) => of_api(error),
                plugin::Error::Stack(error) => of_stack(error),
            },
            Self::LoadReport(_) | Self::Start(_) => ExitCode::FAILURE,
        }
    }

    /// The gateway's refusal inside, if it is one.
    pub(crate) fn refusal_mut(&mut self) -> Option<&mut crate::wire::Refusal> {
        match self {
            Self::Api(api::Error::Refused { refusal, .. })
            | Self::Run(run::Error::Submit(submit::Error::Api(api::Error::Refused {
                refusal,
                ..
            }))) => Some(refusal),
            _ => None,
        }
    }

    /// Whether the text is about the plugin's command line: it then stands behind `blitz PLUGIN: `.
    pub(crate) fn is_about_plugin(&self) -> bool {
        !matches!(self, Self::Run(run::Error::Submit(submit::Error::Api(_))))
            && matches!(self, Self::Run(_))
    }
}

fn of_api(error: &api::Error) -> ExitCode {
    match error {
        api::Error::Unreachable { .. }
        | api::Error::Timeout { .. }
        | api::Error::NotAGateway { .. } => ExitCode::UNREACHABLE,
        api::Error::Address { .. } | api::Error::Token { .. } => ExitCode::USAGE,
        api::Error::Unauthorized { .. } => ExitCode::REFUSED,
        api::Error::Refused { status, refusal } => match *status {
            // A right, a policy or a quota.
            StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => ExitCode::REFUSED,
            _ if refusal.error == "queue_full" => ExitCode::NO_ENGINE,
            status if status.is_server_error() => ExitCode::UNREACHABLE,
            _ => ExitCode::USAGE,
        },
    }
}

fn of_locate(error: &locate::Error) -> ExitCode {
    match error {
        locate::Error::NoToken { .. } => ExitCode::USAGE,
        locate::Error::StateFile(_) | locate::Error::Credentials(_) => ExitCode::FAILURE,
        locate::Error::Api(error) => of_api(error),
    }
}

fn of_run(error: &run::Error) -> ExitCode {
    match error {
        run::Error::Submit(submit::Error::Api(error)) => of_api(error),
        run::Error::Submit(_) => ExitCode::USAGE,
        run::Error::Watch(_) | run::Error::Signals(_) => ExitCode::FAILURE,
    }
}

fn of_stack(error: &stack::Error) -> ExitCode {
    match error {
        stack::Error::Setup(error) => cluster::operate::of_setup(error),
        stack::Error::Engine(blitz_engine::Error::UnknownRegion(_)) => ExitCode::USAGE,
        stack::Error::Publish(_)
        | stack::Error::Store(_)
        | stack::Error::Gateway(blitz_gateway::Error::Store(_))
        | stack::Error::Engine(blitz_engine::Error::Store(_)) => ExitCode::UNREACHABLE,
        _ => ExitCode::FAILURE,
    }
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(
        || "; 'blitz --help' and 'blitz plugins' list them".to_owned(),
        |word| format!("; did you mean {word}?"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Refusal;
    use crate::{credentials, state_file};

    #[test]
    fn errors_have_the_codes_of_the_table() {
        let url = || "http://x:1".to_owned();
        let refused = |status: u16, error: &str| {
            Failure::Api(api::Error::Refused {
                status: StatusCode::from_u16(status).unwrap(),
                refusal: Box::new(Refusal { error: error.to_owned(), ..Refusal::default() }),
            })
        };
        let unreachable =
            || api::Error::Unreachable { url: url(), cause: "Connection refused".to_owned() };
        let unauthorized = || {
            let (from, reason) = (api::TokenFrom::Login, "revoked".to_owned());
            Failure::Api(api::Error::Unauthorized { url: url(), from, reason })
        };
        let path = || std::path::PathBuf::from("x");
        let no_state = || state_file::Error::OpenToOthers { path: path(), mode: 0o644 };
        let no_credentials =
            || credentials::Error::Unreadable { path: path(), cause: "no TOML".to_owned() };
        for (failure, code) in [
            (Failure::Login(login::Error::NoHost), 2),
            (Failure::Split(SplitError::NoPlugin), 2),
            (Failure::NoGateway { what: "blitz jobs" }, 125),
            (Failure::Api(unreachable()), 125),
            (Failure::Run(submit::Error::Api(unreachable()).into()), 125),
            (unauthorized(), 122),
            (Failure::Locate(locate::Error::NoToken { url: url() }), 2),
            (Failure::Locate(no_state().into()), 1),
            (Failure::Locate(no_credentials().into()), 1),
            (Failure::Plugin(plugin::Error::Locate(no_state().into())), 1),
            (refused(404, "unknown_region"), 2),
            (refused(404, "unknown_plugin"), 2),
            (refused(404, "unknown_job"), 2),
            (refused(422, "usage"), 2),
            (refused(413, "input_too_large"), 2),
            (refused(403, "forbidden"), 122),
            (refused(403, "refused"), 122),
            (refused(429, "quota"), 122),
            (refused(503, "store_unreachable"), 125),
            (refused(503, "queue_full"), 120),
            (Failure::Up(up::Error::NoDirectory), 2),
            (Failure::Serve(serve::Error::NoStore), 2),
            (Failure::Stack(stack::Error::Ended { part: "gateway" }), 1),
        ] {
            assert_eq!(failure.code(), ExitCode(code), "{failure:?}");
        }
    }
}
