//! `dig` for blitz: whole messages to a DNS server, and all that it says, in dig's grammar and format.
//!
//! The host carries messages; this plugin writes, reads and prints them. In the order of a run: `words` reads the
//! command line with its `options` into one `lookup` for each name, `query` writes a message, `ask` sends it until
//! there is an answer, `trace` goes from server to server. `wire` reads messages, `rdata` the data of records by the
//! shapes in `numbers`. `print` is for people, `record` for programs.
//!
//! Where a behaviour of dig is followed, the reference is dig 9.18.

mod words;
mod options;
mod lookup;
mod query;
mod ask;
mod trace;
mod wire;
mod rdata;
mod numbers;
mod print;
mod record;
#[cfg(test)]
mod tests;

use blitz_plugin::{Call, Failure, Host, Plugin};

use print::Printer;
use words::CommandLine;

/// The statuses are dig's, and blitz's own for a refusal.
const EXIT_USAGE: u8 = 1;
const EXIT_NO_REPLY: u8 = 9;
const EXIT_INTERNAL: u8 = 10;
const EXIT_REFUSED: u8 = 122;

/// The plugin.
#[derive(Debug)]
pub struct Dig;

blitz_plugin::export!(Dig);

impl Plugin for Dig {
    fn run(call: &Call, host: &mut dyn Host) -> Result<u8, Failure> {
        let line = CommandLine::read(&call.args)?;
        for warning in &line.warnings {
            writeln!(host.stderr(), "{warning}").ok();
        }
        let mut printer = Printer::new(&call.raw_args, line.has_server, line.has_short);
        let mut status = 0;
        for lookup in &line.lookups {
            let done = if lookup.is_trace {
                trace::run(lookup, &mut printer, host)
            } else {
                ask::ask(lookup, &mut printer, host).and_then(|answered| {
                    printer.answer(&answered, lookup, host)?;
                    record::emit(&answered, lookup, host)
                })
            };
            match done {
                Ok(()) => {}
                // The next name may have a server that answers.
                Err(failure) if failure.status == EXIT_NO_REPLY => status = EXIT_NO_REPLY,
                // The one failure that is about blitz: say who refused.
                Err(Failure { status: EXIT_REFUSED, message }) => {
                    let text = format!("refused by {}: {message}", call.region);
                    return Err(Failure::new(EXIT_REFUSED, text));
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(status)
    }
}
