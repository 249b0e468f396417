//! The trait that an author implements, and the way from a raw call to it.

use std::time::Duration;

use blitz_contract::Arguments;
use blitz_contract::arguments::Declared;

use crate::failure::Failure;
use crate::host::Host;

/// The status of a command line that the plugin does not take, as in most Unix commands.
const EXIT_USAGE: u8 = 2;

/// What a plugin does.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a plugin: it does not implement `blitz_plugin::Plugin`",
    note = "write `impl blitz_plugin::Plugin for {Self}`, and its function `run`"
)]
pub trait Plugin {
    /// Does the work of one job and gives the exit status of the command.
    ///
    /// Runs once per instance: nothing is kept between two jobs.
    ///
    /// # Errors
    ///
    /// A [`Failure`] is printed on stderr behind the plugin's name, and its status is the command's.
    fn run(call: &Call, host: &mut dyn Host) -> Result<u8, Failure>;
}

/// One job, as the plugin sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The command line, already matched against `plugin.toml`.
    pub args: Arguments,
    /// The same command line as the user typed it, without the plugin's name.
    pub raw_args: Vec<String>,
    /// The region that the job runs in.
    pub region: String,
    /// What was left of the job's time when it started. The host ends what runs longer.
    pub deadline: Duration,
}

/// A call before its arguments were parsed: what crosses the border between host and plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawCall {
    pub(crate) args: Vec<String>,
    pub(crate) region: String,
    pub(crate) deadline: Duration,
}

/// Parses the arguments and runs the plugin; flushes what it printed.
///
/// A command line that does not fit is told on stderr in two lines, and the status is 2.
pub(crate) fn dispatch<P: Plugin>(
    name: &str,
    declared: &[Declared<'_>],
    call: RawCall,
    host: &mut dyn Host,
) -> u8 {
    let status = match Arguments::parse_declared(declared, &call.args) {
        Ok(args) => {
            let RawCall { args: raw_args, region, deadline } = call;
            P::run(&Call { args, raw_args, region, deadline }, host).unwrap_or_else(|failure| {
                if !failure.message.is_empty() {
                    writeln!(host.stderr(), "{name}: {failure}").ok();
                }
                failure.status
            })
        }
        Err(usage) => {
            let text = format!("{name}: {usage}\ntry 'blitz help {name}'\n");
            // Nobody is left to tell when stderr is gone; the status still says it.
            host.stderr().write_all(text.as_bytes()).ok();
            EXIT_USAGE
        }
    };
    // A plugin that cares about a closed stdout flushes itself and sees the error.
    host.stdout().flush().ok();
    host.stderr().flush().ok();
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeHost, run};

    struct Part;

    impl Plugin for Part {
        fn run(call: &Call, host: &mut dyn Host) -> Result<u8, Failure> {
            let word = call.args.value("WORD").unwrap_or_default();
            write!(host.stdout(), "{word} {:?}", call.raw_args)?;
            if word == "fail" { Err(Failure::new(9, "as asked")) } else { Ok(7) }
        }
    }

    const MANIFEST: &str = r#"
        name = "part"
        version = "0.1.0"
        summary = "prints a part of a line"
        contract = "0.1.0"
        [[arguments]]
        name = "WORD"
        positional = true
    "#;

    #[test]
    fn what_a_plugin_printed_is_flushed_and_its_status_kept() {
        let mut host = FakeHost::default();
        assert_eq!(run::<Part>(MANIFEST, &["--", "-x"], &mut host), 7);
        assert_eq!(host.stdout_text(), "-x [\"--\", \"-x\"]");
        assert_eq!(host.stdout.flushed_at, [host.stdout.bytes.len()]);
    }

    #[test]
    fn a_failure_is_told_and_its_status_kept() {
        let mut host = FakeHost::default();
        assert_eq!(run::<Part>(MANIFEST, &["fail"], &mut host), 9);
        assert_eq!(host.stderr_text(), "part: as asked\n");
    }

    #[test]
    fn a_command_line_that_does_not_fit_never_reaches_the_plugin() {
        let mut host = FakeHost::default();
        assert_eq!(run::<Part>(MANIFEST, &["--nope"], &mut host), EXIT_USAGE);
        assert_eq!(host.stdout_text(), "");
        assert_eq!(
            host.stderr_text(),
            "part: option --nope is not supported\ntry 'blitz help part'\n"
        );
    }
}
