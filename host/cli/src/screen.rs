//! The two streams of this process.
//!
//! Writes go through tokio's blocking threads: a pipe that nobody reads must not keep ^C from being
//! heard. Each write is flushed, so stdout and stderr keep their order on a terminal.

mod picture;

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;

use tokio::io::{AsyncWriteExt as _, Stderr, Stdout};

use picture::Picture;

/// Stdout and stderr.
pub(crate) struct Screen {
    stdout: Stdout,
    stderr: Stderr,
    pub(crate) stdout_is_terminal: bool,
    pub(crate) stderr_is_terminal: bool,
    /// Both go to one place: a screen, or the same pipe or file after `2>&1`.
    pub(crate) streams_are_one: bool,
    picture: Picture,
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
            picture: Picture::default(),
        }
    }

    /// Characters of a line, where stdout is a terminal that tells.
    pub(crate) fn width_chars(&self) -> Option<usize> {
        self.stdout_is_terminal.then(|| size().0)
    }

    /// Writes to stdout, above the picture.
    pub(crate) async fn stdout(&mut self, bytes: &[u8]) -> io::Result<Reader> {
        if self.picture.is_empty() {
            return self.write(bytes).await;
        }
        let around = self.picture.around(bytes, size());
        self.write(&around).await
    }

    /// Puts a picture below what was printed, in the place of the one before. Only on a terminal.
    pub(crate) async fn draw(
        &mut self,
        blocks: Vec<Vec<String>>,
        head: usize,
    ) -> io::Result<Reader> {
        let around = self.picture.replace(blocks, head, size());
        self.write(&around).await
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<Reader> {
        if let Some(last) = bytes.last() {
            self.picture.is_at_line_start = *last == b'\n';
        }
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
            if !self.picture.is_empty() && self.stderr_is_terminal {
                // On the same screen: the picture goes out of its way.
                let around = self.picture.around(bytes, size());
                self.stderr.write_all(&around).await?;
            } else {
                self.stderr.write_all(bytes).await?;
            }
            self.stderr.flush().await
        };
        let _unheard: io::Result<()> = written.await;
    }
}

/// Columns and rows of the terminal; those of old where it does not tell.
fn size() -> (usize, usize) {
    let told = terminal_size::terminal_size();
    told.map_or((80, 24), |(width, height)| (width.0.into(), height.0.into()))
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
