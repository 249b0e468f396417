//! ^C and SIGTERM as values.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Duration, Instant};

use crate::exit_code::ExitCode;

/// Catches the signals that ask for an end, from its making until the process ends.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    latest: Option<Instant>,
}

/// `timeout` of coreutils signals the process and then its group, and a supervisor may do alike: what follows so
/// soon is the same wish, and not a second one to leave at once. Faster than a person types.
const SAME_WISH: Duration = Duration::from_millis(100);

impl Signals {
    /// Starts to catch. From here on ^C ends nothing by itself.
    pub(crate) fn catch() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            latest: None,
        })
    }

    /// The next one, as the code that the shell expects after it.
    pub(crate) async fn next(&mut self) -> ExitCode {
        loop {
            let code = tokio::select! {
                _ = self.interrupt.recv() => ExitCode::INTERRUPTED,
                _ = self.terminate.recv() => ExitCode::TERMINATED,
            };
            let before = self.latest.replace(Instant::now());
            if before.is_none_or(|before| before.elapsed() > SAME_WISH) {
                return code;
            }
        }
    }
}
