//! `curl` for blitz: the flags, messages and exit codes of curl, made of the host's HTTP exchanges.
//!
//! The host does each exchange and measures it; this plugin decides and prints. In the order of a run:
//!
//! - `args` reads the command line into settings; `refused` names what is not to be had.
//! - `url` is its URL, `protocols` says which ones may be used, `body` and `multipart` make what is sent.
//! - `attempts` repeats what `retry` finds worth it; `transfer` is one attempt and goes from hop to hop,
//!   within its `time_limit`.
//! - `request` writes each one, `connect` says where it goes to, `redirect` chooses the next.
//! - `download` brings the body, through `decode` where it is compressed; `output` is where bytes go.
//! - `stats` collects, with `spans` for where the time went.
//! - `render` shows heads and conversation, `timing` a waterfall, and `tls` what a handshake showed:
//!   `certificate` reads it, `instant` its dates.
//! - `write_out` with its `variables`, and `record`, are for scripts. `exit` names what went wrong.
//!
//! Where a behaviour of curl is followed, the reference is curl 8 and its manual page.

mod args;
mod refused;
mod url;
mod protocols;
mod body;
mod multipart;
mod attempts;
mod retry;
mod transfer;
mod time_limit;
mod request;
mod connect;
mod redirect;
mod download;
mod decode;
mod output;
mod stats;
mod spans;
mod render;
mod tls;
mod certificate;
mod instant;
mod timing;
mod write_out;
mod variables;
mod record;
mod exit;
#[cfg(test)]
mod tests;

use blitz_plugin::{Call, Failure, Host, Plugin};

use args::Settings;
use exit::{Code, Problem};
use stats::Stats;

/// The plugin.
#[derive(Debug)]
pub struct Curl;

blitz_plugin::export!(Curl);

impl Plugin for Curl {
    fn run(call: &Call, host: &mut dyn Host) -> Result<u8, Failure> {
        let settings = match Settings::read(&call.args) {
            Ok(settings) => settings,
            Err(problem) => return Ok(refuse(&problem, host)),
        };
        let mut stats = Stats::default();
        let mut problem = attempts::run(call, &settings, &mut stats, host).err();
        if let Some(usage) = problem.as_ref().filter(|problem| problem.code == Code::Usage) {
            return Ok(refuse(usage, host));
        }
        if let Some(problem) = &problem {
            tell(problem, &settings, host);
        }
        stats.problem.clone_from(&problem);
        if let Err(late) = write_out::run(&settings, &stats, host) {
            // The first problem is the one to report.
            problem.get_or_insert_with(|| {
                tell(&late, &settings, host);
                late
            });
        }
        if settings.shows_timing {
            host.stderr().write_all(timing::waterfall(&stats).as_bytes()).ok();
        }
        let status = problem.map_or(0, |problem| problem.code.status());
        record::emit_transfer(&stats, status, host);
        Ok(status)
    }
}

/// A command line that cannot be carried out; said also with `-s`, as curl does.
fn refuse(problem: &Problem, host: &mut dyn Host) -> u8 {
    // Nobody is left to tell when stderr is gone; the status still says it.
    writeln!(host.stderr(), "curl: {}\ntry 'blitz help curl'", problem.text).ok();
    problem.code.status()
}

fn tell(problem: &Problem, settings: &Settings, host: &mut dyn Host) {
    if settings.tells() {
        writeln!(host.stderr(), "curl: ({}) {}", problem.code.status(), problem.text).ok();
    }
}

/// What is no problem yet. Not with `-s`, whatever `-S` says, as in curl.
fn warn(text: &str, settings: &Settings, host: &mut dyn Host) {
    if !settings.is_silent {
        writeln!(host.stderr(), "Warning: {text}").ok();
    }
}
