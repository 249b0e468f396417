//! `rush` for blitz: load tests in the words of the blitz of 2011, and more of them.
//!
//! The plugin makes a plan; the engine's own workers carry it out, tell what came of it each second, and the command line
//! shows it. In the order of a run:
//!
//! - `text` is a piece of what the user wrote, which knows where it stands: mistakes are shown with a caret under them.
//! - `item` is one thing that is asked for, in the same words on a command line (`line`) and in a plan of TOML (`file`,
//!   with `nearest` for mistyped words); `draft` puts both together.
//! - `plan` makes of it what the host takes: `model` how many and when, with the grammar of `shape`, and `step` each
//!   request, with `url`, `header`, `values` of variables and `template`, where they are used. `refused` tells in the user's
//!   words what the host's own check finds.
//! - `run` begins the test, and says how it ended.

mod text;
mod item;
mod line;
mod file;
mod nearest;
mod draft;
mod plan;
mod model;
mod shape;
mod step;
mod url;
mod header;
mod values;
mod template;
mod refused;
mod run;
#[cfg(test)]
mod tests;

use blitz_plugin::{Call, Failure, Host, HostError, Plugin, read_whole_input};

/// The plugin.
#[derive(Debug)]
pub struct Rush;

blitz_plugin::export!(Rush);

/// The status of a plan that is none, as of a command line that does not fit.
const EXIT_USAGE: u8 = 2;
/// Not one request was answered, or the test is only a part of what was asked for.
const EXIT_FAILED: u8 = 1;

impl Plugin for Rush {
    fn run(call: &Call, host: &mut dyn Host) -> Result<u8, Failure> {
        let mut read = |name: &str| -> Result<Vec<u8>, Failure> {
            let bytes = read_whole_input(host, name);
            bytes.map_err(|error: HostError| Failure::of_host(error, EXIT_FAILED, &call.region))
        };
        let draft = draft::Draft::read(&call.args, &mut read)?;
        let plan = plan::of(&draft, &mut read)?;
        run::run(&plan, &call.region, host)
    }
}
