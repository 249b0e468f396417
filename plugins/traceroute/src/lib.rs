//! `traceroute` for blitz: the options, words and output of traceroute, made of the host's probes.
//!
//! In the order of a run: `settings` reads the command line, `run` sends and hears, `strategy` decides what is sent
//! when and which hop is final (pure, and the heart of it), `known` is what is known of addresses, `line` prints a hop, and
//! `record` is the same for programs.
//!
//! Where a behaviour of traceroute is followed, the reference is traceroute 2.1 for Linux and its manual page. What
//! differs: the exit status is 1 when the target was not reached, `-w MAX` alone does not end the adaptive waiting, a
//! silent hop is asked once more, and there is one probe for each hop unless `-q` wants more.

mod settings;
mod run;
mod strategy;
mod known;
mod line;
mod record;
#[cfg(test)]
mod tests;

use blitz_plugin::{Call, Failure, Host, Plugin};

blitz_plugin::arguments!(pub struct Args);

/// The plugin.
#[derive(Debug)]
pub struct Traceroute;

blitz_plugin::export!(Traceroute);

impl Plugin for Traceroute {
    fn run(call: &Call, host: &mut dyn Host) -> Result<u8, Failure> {
        let settings = settings::Settings::read(&Args::of(call))?;
        run::run(&settings, &call.region, host)
    }
}
