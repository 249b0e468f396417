//! Single keys of a terminal, while the whole screen is drawn: no echo, and no wait for the end of a line. ^C stays a signal.

use std::io::{self, IsTerminal as _, PipeReader, PipeWriter};
use std::os::fd::{AsFd as _, OwnedFd};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr,
};
use tokio::sync::mpsc;

/// Wishes that nobody has heard yet: one says all.
const WISHES_MAX: usize = 1;

/// Reads keys until it is dropped, which gives the terminal back as it was.
#[derive(Debug)]
pub(super) struct Keys {
    terminal: OwnedFd,
    before: Termios,
    quits: mpsc::Receiver<()>,
    /// Closed, it ends the reader.
    stop: Option<PipeWriter>,
    reader: Option<JoinHandle<()>>,
}

impl Keys {
    /// Of the terminal that stdin is; none where it is no terminal, or that of somebody else in the foreground.
    pub(super) fn take() -> Option<Self> {
        let stdin = io::stdin();
        let is_ours = tcgetpgrp(&stdin).is_ok_and(|group| group == rustix::process::getpgrp());
        if !stdin.is_terminal() || !is_ours {
            return None;
        }
        let terminal = stdin.as_fd().try_clone_to_owned().ok()?;
        let before = tcgetattr(&terminal).ok()?;
        let mut single = before.clone();
        single.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        // A read gives what is there and never waits. ^Z would leave the shell with our screen.
        single.special_codes[SpecialCodeIndex::VMIN] = 0;
        single.special_codes[SpecialCodeIndex::VTIME] = 0;
        single.special_codes[SpecialCodeIndex::VSUSP] = 0;
        let (stopped, stop) = io::pipe().ok()?;
        let (sender, quits) = mpsc::channel(WISHES_MAX);
        let for_reader = terminal.try_clone().ok()?;
        tcsetattr(&terminal, OptionalActions::Now, &single).ok()?;
        let reader = std::thread::spawn(move || read(&for_reader, &stopped, &sender));
        Some(Self { terminal, before, quits, stop: Some(stop), reader: Some(reader) })
    }

    /// Waits for `q`.
    pub(super) async fn quit(&mut self) {
        if self.quits.recv().await.is_none() {
            // The terminal has gone.
            std::future::pending::<()>().await;
        }
    }
}

/// Reads until the pipe is closed, or the terminal is gone.
fn read(terminal: &OwnedFd, stopped: &PipeReader, quits: &mpsc::Sender<()>) {
    loop {
        let mut both = [PollFd::new(terminal, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        match poll(&mut both, None) {
            Ok(_) if !both[1].revents().is_empty() => return,
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
        if both[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
            return;
        }
        let mut keys = [0; 64];
        match rustix::io::read(terminal, &mut keys) {
            Ok(count) if keys[..count].iter().any(|key| matches!(key, b'q' | b'Q')) => {
                // One that waits already says the same.
                let _full_or_gone = quits.try_send(());
            }
            Ok(_) | Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return,
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(reader) = self.reader.take() {
            let _ended = reader.join();
        }
        // Nobody can be told; the shell sets its own terminal again.
        let _as_it_was = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}
