//! The two streams of this process.
//!
//! Writes go through tokio's blocking threads: a pipe that nobody reads must not keep ^C from being
//! heard. Each write is flushed, so stdout and stderr keep their order on a terminal.

use std::io::{self, IsTerminal as _};

use tokio::io::{AsyncWriteExt as _, Stderr, Stdout};

/// Stdout and stderr.
pub(crate) struct Screen {
    stdout: Stdout,
    stderr: Stderr,
    pub(crate) stdout_is_terminal: bool,
    pub(crate) stderr_is_terminal: bool,
}

/// Whether somebody still reads stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    Listens,
    /// The pipe is closed. Not an error: it has all that it wanted.
    Left,
}

impl Screen {
    /// The process's own streams.
    pub(crate) fn new() -> Self {
        Self {
            stdout: tokio::io::stdout(),
            stderr: tokio::io::stderr(),
            stdout_is_terminal: io::stdout().is_terminal(),
            stderr_is_terminal: io::stderr().is_terminal(),
        }
    }

    /// Writes to stdout.
    pub(crate) async fn stdout(&mut self, bytes: &[u8]) -> io::Result<Reader> {
        let written = async {
            self.stdout.write_all(bytes).await?;
            self.stdout.flush().await
        };
        match written.await {
            Ok(()) => Ok(Reader::Listens),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Left),
            Err(error) => Err(error),
        }
    }

    /// Writes to stderr. Talk that nobody hears is no error.
    pub(crate) async fn stderr(&mut self, bytes: &[u8]) {
        let written = async {
            self.stderr.write_all(bytes).await?;
            self.stderr.flush().await
        };
        let _unheard: io::Result<()> = written.await;
    }
}
