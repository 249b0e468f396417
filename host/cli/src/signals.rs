//! ^C, SIGTERM and a closed terminal (SIGHUP) as values.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Duration, Instant};

use crate::exit_code::ExitCode;

/// Catches the signals that ask for an end, from its making until the process ends.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// None where it was ignored from the start, as `nohup` has it, and after the first: a terminal is closed once,
    /// whoever tells it, kernel and shell.
    hang_up: Option<Signal>,
    latest: Option<Instant>,
}

/// `timeout` of coreutils signals the process and then its group, and a supervisor may do alike: what follows so
/// soon is the same wish, and not a second one to leave at once. Faster than a person types.
const SAME_WISH: Duration = Duration::from_millis(100);

impl Signals {
    /// Starts to catch. From here on ^C ends nothing by itself.
    pub(crate) fn catch() -> io::Result<Self> {
        let hang_up = match is_hang_up_ignored() {
            true => None,
            false => Some(signal(SignalKind::hangup())?),
        };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up,
            latest: None,
        })
    }

    /// The next one, as the code that the shell expects after it.
    pub(crate) async fn next(&mut self) -> ExitCode {
        loop {
            let hung_up = async {
                match &mut self.hang_up {
                    Some(hang_up) => hang_up.recv().await,
                    None => std::future::pending().await,
                }
            };
            let code = tokio::select! {
                _ = self.interrupt.recv() => ExitCode::INTERRUPTED,
                _ = self.terminate.recv() => ExitCode::TERMINATED,
                _ = hung_up => ExitCode::HUNG_UP,
            };
            if code == ExitCode::HUNG_UP {
                self.hang_up = None;
            }
            let before = self.latest.replace(Instant::now());
            if before.is_none_or(|before| before.elapsed() > SAME_WISH) {
                return code;
            }
        }
    }
}

/// Whether whoever started the process wants it to outlive its terminal. Where the system does not tell, nobody does.
fn is_hang_up_ignored() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hang_up(&status))
}

/// Signals are counted from 1, bits from 0: SIGHUP is the lowest.
fn ignores_hang_up(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nohup_is_known() {
        for (status, wanted) in [
            ("Name:\tblitz\nSigIgn:\t0000000000001001\n", true),
            ("SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n", false),
            ("SigIgn:\tx\n", false),
            ("", false),
        ] {
            assert_eq!(ignores_hang_up(status), wanted, "{status:?}");
        }
    }
}
