//! `curl` for blitz: the flags, messages and exit codes of curl, made of the host's HTTP exchanges.
//!
//! The host does each exchange and measures it; this plugin decides and prints. In the order of a
//! run: `args` reads the command line into settings, `url` its URL, `body` and `multipart`
//! make what is sent, `transfer` goes from hop to hop (`request` writes each one, `redirect`
//! chooses the next), `render` shows heads and conversation, `output` is where bytes go,
//! `stats` collects for `write_out` and `record`, `exit` names what went wrong.
//!
//! Where a behaviour of curl is followed, the reference is curl 8 and its manual page.

mod args;
mod url;
mod body;
mod multipart;
mod transfer;
mod request;
mod redirect;
mod render;
mod output;
mod stats;
mod write_out;
mod record;
mod exit;
#[cfg(test)]
mod tests;

use blitz_plugin::{Call, Host, Plugin};

use args::Settings;
use exit::{Code, Problem};
use stats::Stats;

/// The plugin.
#[derive(Debug)]
pub struct Curl;

blitz_plugin::export!(Curl);

impl Plugin for Curl {
    fn run(call: &Call, host: &mut dyn Host) -> u8 {
        let settings = match Settings::read(&call.args) {
            Ok(settings) => settings,
            Err(problem) => return refuse(&problem, host),
        };
        let mut stats = Stats::default();
        let outcome = transfer::run(call, &settings, &mut stats, host);
        let problem = match outcome {
            Ok(()) => write_out::run(&settings, &stats, host).err(),
            Err(problem) if problem.code == Code::Usage => return refuse(&problem, host),
            Err(problem) => {
                stats.problem = Some(problem.clone());
                tell(&problem, &settings, host);
                // The first problem is the one to report.
                write_out::run(&settings, &stats, host).ok();
                return problem.code.status();
            }
        };
        problem.map_or(0, |problem| {
            tell(&problem, &settings, host);
            problem.code.status()
        })
    }
}

/// A command line that cannot be carried out; said also with `-s`, as curl does.
fn refuse(problem: &Problem, host: &mut dyn Host) -> u8 {
    // Nobody is left to tell when stderr is gone; the status still says it.
    writeln!(host.stderr(), "curl: {}\ntry 'blitz help curl'", problem.text).ok();
    problem.code.status()
}

fn tell(problem: &Problem, settings: &Settings, host: &mut dyn Host) {
    if !settings.is_silent || settings.shows_errors {
        writeln!(host.stderr(), "curl: ({}) {}", problem.code.status(), problem.text).ok();
    }
}
