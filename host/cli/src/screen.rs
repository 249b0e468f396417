//! The two streams of this process.
//!
//! Writes go through tokio's blocking threads: a pipe that nobody reads must not keep ^C from being
//! heard. Each write is flushed, so stdout and stderr keep their order on a terminal.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;

use tokio::io::{AsyncWriteExt as _, Stderr, Stdout};

/// Stdout and stderr.
pub(crate) struct Screen {
    stdout: Stdout,
    stderr: Stderr,
    pub(crate) stdout_is_terminal: bool,
    pub(crate) stderr_is_terminal: bool,
    /// Both go to one place: a screen, or the same pipe or file after `2>&1`.
    pub(crate) streams_are_one: bool,
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
            streams_are_one: are_one(&io::stdout(), &io::stderr()).unwrap_or(false),
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

/// Whether two descriptors are of one file: the same inode of the same device.
fn are_one(one: &impl AsFd, other: &impl AsFd) -> io::Result<bool> {
    let inode = |descriptor: &dyn AsFd| {
        let metadata = File::from(descriptor.as_fd().try_clone_to_owned()?).metadata()?;
        io::Result::Ok((metadata.dev(), metadata.ino()))
    };
    Ok(inode(one)? == inode(other)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_file_is_known_again() {
        let (_reader, one) = io::pipe().unwrap();
        let (_other_reader, other) = io::pipe().unwrap();
        assert!(are_one(&one, &one.try_clone().unwrap()).unwrap());
        assert!(!are_one(&one, &other).unwrap());
    }
}
