//! `ping` for blitz: the options, words and output of ping, made of the host's probes.
//!
//! In the order of a run: `settings` reads the command line, `run` sends and hears, `tally` counts (pure), `words` is what is
//! printed, and `record` the same for programs.
//!
//! Where a behaviour of ping is followed, the reference is ping of iputils 20221126 and its manual page. What differs:
//! it stops after 4 unless `-c` or `-w` says otherwise, a command line that does not fit has the exit status 2 always,
//! and times are known for packets of any size.

mod settings;
mod run;
mod tally;
mod words;
mod record;
#[cfg(test)]
mod tests;

use blitz_plugin::{Call, Failure, Host, Plugin};

blitz_plugin::arguments!(pub struct Args);

/// The plugin.
#[derive(Debug)]
pub struct Ping;

blitz_plugin::export!(Ping);

impl Plugin for Ping {
    fn run(call: &Call, host: &mut dyn Host) -> Result<u8, Failure> {
        let settings = settings::Settings::read(&Args::of(call), &call.args)?;
        run::run(&settings, &call.region, host)
    }
}
