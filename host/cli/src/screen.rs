//! The two streams of this process.
//!
//! Writes go through tokio's blocking threads: a pipe that nobody reads must not keep ^C from being
//! heard. Each write is flushed, so stdout and stderr keep their order on a terminal.

mod picture;
mod full;
mod keys;

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;

use tokio::io::{AsyncWriteExt as _, Stderr, Stdout};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::load::View;
use full::Full;
use keys::Keys;
use picture::Picture;

/// Talk that waits while a view has the whole screen; what is more is left out, as it was on the view.
const HELD_TALK_BYTES_MAX: usize = 256 * 1024;

/// Stdout and stderr.
pub(crate) struct Screen {
    stdout: Stdout,
    stderr: Stderr,
    pub(crate) stdout_is_terminal: bool,
    pub(crate) stderr_is_terminal: bool,
    /// Both go to one place: a screen, or the same pipe or file after `2>&1`.
    pub(crate) streams_are_one: bool,
    picture: Picture,
    full: Full,
    /// What the whole screen shows.
    view: Option<View>,
    keys: Option<Keys>,
    resized: Option<Signal>,
    held_talk: Vec<u8>,
    /// The jobs are being cancelled.
    pub(crate) is_ending: bool,
}

/// What was done to the screen that a view has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Touched {
    /// `q`.
    Quit,
    /// It has another size.
    Resized,
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
            full: Full::default(),
            view: None,
            keys: None,
            resized: None,
            held_talk: Vec::new(),
            is_ending: false,
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

    /// Gives the whole screen to a view, in the place of the one before. Only on a terminal.
    pub(crate) async fn show(&mut self, view: View) -> io::Result<Reader> {
        if !self.full.is_shown() {
            self.keys = Keys::take();
            self.resized = signal(SignalKind::window_change()).ok();
        }
        self.view = Some(view);
        self.repaint().await
    }

    /// Draws the view again, at the size that the screen has now.
    pub(crate) async fn repaint(&mut self) -> io::Result<Reader> {
        let Some(view) = &mut self.view else { return Ok(Reader::Listens) };
        view.is_ending |= self.is_ending;
        let (columns, rows) = size();
        let cells = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
        let bytes = self.full.show(view.paint(cells(columns), cells(rows)));
        self.write(&bytes).await
    }

    /// Gives the screen back as it was before the first view, then says what was held back.
    pub(crate) async fn hide(&mut self) -> io::Result<Reader> {
        (self.view, self.keys, self.resized) = (None, None, None);
        let bytes = self.full.leave();
        let reader = self.write(&bytes).await?;
        let held = std::mem::take(&mut self.held_talk);
        self.stderr(&held).await;
        Ok(reader)
    }

    /// Waits for a touch of the view; for ever where there is none.
    pub(crate) async fn touched(&mut self) -> Touched {
        let quit = async {
            match &mut self.keys {
                Some(keys) => keys.quit().await,
                None => std::future::pending().await,
            }
        };
        let resized = async {
            match &mut self.resized {
                Some(resized) => resized.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = quit => Touched::Quit,
            _ = resized => Touched::Resized,
        }
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
        if self.full.is_shown() && self.stderr_is_terminal {
            let room = HELD_TALK_BYTES_MAX.saturating_sub(self.held_talk.len());
            self.held_talk.extend_from_slice(&bytes[..bytes.len().min(room)]);
            return;
        }
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

impl Drop for Screen {
    /// A command that leaves in the middle must not leave its screen to the shell.
    fn drop(&mut self) {
        self.keys = None;
        let bytes = self.full.leave();
        if !bytes.is_empty() {
            let mut stdout = io::stdout().lock();
            let _gone = stdout.write_all(&bytes).and_then(|()| stdout.flush());
            let _unheard = io::stderr().write_all(&self.held_talk);
        }
    }
}

/// Columns and rows of the terminal; those of old where it does not tell.
fn size() -> (usize, usize) {
    let told = terminal_size::terminal_size();
    let told = told.map(|(width, height)| (width.0.into(), height.0.into()));
    told.filter(|(columns, rows)| *columns > 0 && *rows > 0).unwrap_or((80, 24))
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
