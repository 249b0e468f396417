//! `mtr` for blitz: every hop of the way to a host, again and again, with loss, delay and jitter.
//!
//! The host sends probes and stamps answers; this plugin decides when, counts and prints. In the order of a run:
//! `settings` reads the command line, `rounds` sends and waits, `path` is what was heard with the figures of `stats`,
//! `names` who it was, `record` tells it to programs and to the terminal's table, `report` to people.
//!
//! Where a behaviour of mtr is followed, the reference is mtr 0.95.

mod settings;
mod rounds;
mod path;
mod stats;
mod names;
mod record;
mod report;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use blitz_plugin::{Call, Failure, Host, Plugin};

use names::Names;
use rounds::Rounds;
use settings::Settings;

blitz_plugin::arguments!(pub struct Args);

/// The plugin.
#[derive(Debug)]
pub struct Mtr;

blitz_plugin::export!(Mtr);

/// Of whatever the host did not do and did not refuse.
const EXIT_ERROR: u8 = 1;

/// How long the report waits for names that are still looked up; less when the job was asked to end. Half of
/// the job's time that is left at most: the report itself takes some.
const NAMES_WAIT: Duration = Duration::from_secs(1);
const NAMES_WAIT_CANCELLED: Duration = Duration::from_millis(50);

impl Plugin for Mtr {
    fn run(call: &Call, host: &mut dyn Host) -> Result<u8, Failure> {
        let settings = Settings::read(Args::of(call))?;
        let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = host.time_left();
        let session = host
            .probes(&settings.target)
            .map_err(|error| Failure::of_host(error, EXIT_ERROR, &call.region))?;
        let mut rounds = Rounds::new(&settings, session, time);
        // What was heard until the network went away is reported, too.
        let ended = rounds.run(host);
        if let (Err(error), []) = (&ended, rounds.path.rows()) {
            return Err(Failure::of_host(error.clone(), EXIT_ERROR, &call.region));
        }
        let wait = match &ended {
            Ok(ControlFlow::Continue(())) => NAMES_WAIT,
            _ => NAMES_WAIT_CANCELLED,
        };
        let wait = wait.min(host.time_left() / 2);
        let mut names = Names::of(&rounds.path, &settings, rounds.session.as_mut(), wait);
        if settings.shows_networks {
            names = names.with_networks(&rounds.path, host);
        }
        let table = report::table(rounds.path.rows(), &names, &settings, &call.region);
        write!(host.stdout(), "Start: {}\n{table}", report::time_text(start))?;
        record::emit_report(&rounds, &names, host)?;
        if let Some(reason) = &rounds.path.unsent {
            writeln!(host.stderr(), "mtr: {reason}").ok();
        }
        if rounds.is_cut {
            writeln!(host.stderr(), "mtr: the job's time is over; --timeout gives it more").ok();
        }
        let is_deaf = rounds.path.rows().is_empty() && rounds.path.unsent.is_some();
        ended
            .map(|_| u8::from(is_deaf))
            .map_err(|error| Failure::of_host(error, EXIT_ERROR, &call.region))
    }
}
