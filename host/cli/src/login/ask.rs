//! How a key comes in: from a file, from a pipe, or typed at a terminal that does not show it. Never as an argument, which other
//! users of the machine and the shell's history would see.

use std::fs::File;
use std::io::{self, BufRead as _, IsTerminal as _, Read, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::Error;

/// Bytes of what is read for a key. A key has 60; more than this is another file.
const KEY_BYTES_MAX: u64 = 4096;

/// The key. Dropped before it is ready, it leaves the terminal as it was.
pub(super) async fn key(file: Option<&Path>, origin: &str) -> Result<String, Error> {
    match file {
        Some(path) if path != Path::new("-") => {
            let name = format!("'{}'", path.display());
            let text = File::open(path).and_then(read);
            one_word(name, text)
        }
        None if io::stdin().is_terminal() => {
            // The end of the line is shown, or what comes next would stand behind the question.
            let silence = Silence::keep().map_err(|source| input("the terminal", source))?;
            // Without the question it can be answered all the same.
            let _unheard = io::stderr().write_all(format!("key for {origin}: ").as_bytes());
            let line = read_line().await;
            drop(silence);
            one_word("what was typed".to_owned(), line)
        }
        _ => one_word("standard input".to_owned(), read(io::stdin().lock())),
    }
}

/// A line of the terminal, read apart: a read cannot be given up, and ^C must not wait for it.
async fn read_line() -> io::Result<String> {
    let line = || {
        let mut line = String::new();
        io::stdin().lock().take(KEY_BYTES_MAX).read_line(&mut line)?;
        Ok(line)
    };
    tokio::task::spawn_blocking(line).await.map_err(io::Error::other)?
}

fn read(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(KEY_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn one_word(name: String, text: io::Result<String>) -> Result<String, Error> {
    let text = text.map_err(|source| Error::Input { name: name.clone(), source })?;
    let mut words = text.split_whitespace();
    match (words.next(), words.next()) {
        (Some(key), None) => Ok(key.to_owned()),
        (None, _) => Err(Error::NoKey { name }),
        (Some(_), Some(_)) => Err(Error::NotAKey { name }),
    }
}

fn input(name: &str, source: impl Into<io::Error>) -> Error {
    Error::Input { name: name.to_owned(), source: source.into() }
}

/// A terminal that does not show what is typed, until it is dropped.
struct Silence {
    terminal: OwnedFd,
    before: Termios,
}

impl Silence {
    fn keep() -> io::Result<Self> {
        let terminal = io::stdin().as_fd().try_clone_to_owned()?;
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // Nobody can be told; the shell sets its own terminal again.
        let _as_it_was = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_word() {
        let read = |text: &str| one_word("'f'".to_owned(), Ok(text.to_owned()));
        assert_eq!(read(" blitz_a\r\n").unwrap(), "blitz_a");
        for (text, says) in [
            ("", "no key in 'f'; ask the tenant's admin for one ('blitz keys add')"),
            ("\n", "no key in 'f'; ask the tenant's admin for one ('blitz keys add')"),
            (
                "a b",
                "'f' holds more than one key; a key is one word, as 'blitz keys add' prints it",
            ),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), says);
        }
    }
}
