//! The thread that tries committed changes on the filters of feeds, so that the writer does not.
//!
//! A filter is foreign: one with expensive patterns delays the lines of other feeds, but neither
//! commits nor answers.

use super::hub::Hub;
use std::{
    io,
    sync::{
        Arc,
        mpsc::{self, SyncSender},
    },
    thread::{self, JoinHandle},
};

/// How many databases may wait to be looked at, each at most once. The feeds of one more are all woken.
const CALLS_MAX: usize = 1024;

/// The way to the thread, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Herald {
    calls: Option<SyncSender<Arc<Hub>>>,
    thread: Option<JoinHandle<()>>,
}

impl Herald {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<Herald> {
        let (calls, waiting) = mpsc::sync_channel::<Arc<Hub>>(CALLS_MAX);
        let thread =
            thread::Builder::new().name(String::from("blitz-herald")).spawn(move || {
                while let Ok(hub) = waiting.recv() {
                    hub.tell();
                }
            })?;
        Ok(Herald { calls: Some(calls), thread: Some(thread) })
    }

    /// Lets the feeds of a database hear what was published. Never waits.
    pub(crate) fn call(&self, hub: &Arc<Hub>) {
        if !self.is_alive() {
            // Every feed can try its filter itself.
            return hub.nudge();
        }
        if hub.is_called() {
            return;
        }
        let sent = self.calls.as_ref().is_some_and(|calls| calls.try_send(Arc::clone(hub)).is_ok());
        if !sent {
            hub.not_called();
            hub.nudge();
        }
    }

    /// Whether the thread runs: it ends early only by a panic.
    pub(crate) fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Herald {
    fn drop(&mut self) {
        self.calls = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that tries filters panicked");
        }
    }
}
