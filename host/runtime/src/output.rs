//! What a guest gives: stdout, stderr, files and events become frames in one order, through one bounded
//! channel, counted against one limit.
//!
//! A guest that gives faster than the receiver takes waits. Here lies at most one frame of each stream
//! handle that could not be sent yet.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blitz_contract::{Frame, Stopped, Stream};
use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use crate::doing::{Activity, Doing};
use crate::limits::{FRAME_MAX_BYTES, REFUSALS_TOLD_MAX, STDERR_TAIL_BYTES, Size};

/// The one way out of a guest. A clone is the same outlet.
#[derive(Clone)]
pub(crate) struct Outlet {
    frames: mpsc::Sender<Frame>,
    state: Arc<Mutex<State>>,
    doing: Doing,
}

struct State {
    max_bytes: u64,
    used_bytes: u64,
    waiting: VecDeque<Frame>,
    /// Why the guest must end; its calls trap from then on.
    halted: Option<Stopped>,
    stderr_tail: Vec<u8>,
    /// What the host refused, for a guest that saw only codes of errors.
    refusals: Vec<String>,
}

/// The guest must end now; why is in [`Outlet::halted`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the host stopped this plugin")]
pub(crate) struct Halt;

impl Outlet {
    pub(crate) fn new(frames: mpsc::Sender<Frame>, max_bytes: u64, doing: Doing) -> Self {
        let state = State {
            max_bytes,
            used_bytes: 0,
            waiting: VecDeque::new(),
            halted: None,
            stderr_tail: Vec::new(),
            refusals: Vec::new(),
        };
        Self { frames, state: Arc::new(Mutex::new(state)), doing }
    }

    /// The same for somebody who gives beside the guest: what it waits for is not what the guest is busy with.
    pub(crate) fn beside(&self) -> Self {
        Self { doing: Doing::default(), ..self.clone() }
    }

    /// Gives `bytes` to `stream` and waits until the receiver has room for all of them. No bytes are one
    /// empty frame: an empty file is a file.
    pub(crate) async fn give(&self, stream: &Stream, bytes: &[u8]) -> Result<(), Halt> {
        if bytes.is_empty() {
            self.flush().await?;
            self.put(stream, bytes)?;
        }
        for piece in bytes.chunks(FRAME_MAX_BYTES) {
            self.flush().await?;
            self.put(stream, piece)?;
        }
        self.flush().await
    }

    /// Ends the guest for this reason, unless there is one already: its next call traps.
    pub(crate) fn halt(&self, why: Stopped) {
        self.state().halted.get_or_insert(why);
    }

    /// Waits until the receiver has taken what was put.
    pub(crate) async fn flush(&self) -> Result<(), Halt> {
        loop {
            if self.state().waiting.is_empty() {
                return self.check();
            }
            let waited = self.doing.during(Activity::Output, self.frames.reserve()).await;
            let Ok(permit) = waited else {
                return self.abandon();
            };
            if let Some(frame) = self.next_waiting() {
                permit.send(frame);
            }
        }
    }

    /// Gives at most [`FRAME_MAX_BYTES`] without waiting; to be called when there is [`Outlet::room`].
    fn put(&self, stream: &Stream, bytes: &[u8]) -> Result<(), Halt> {
        let mut state = self.state();
        if state.halted.is_some() {
            return Err(Halt);
        }
        let left = state.max_bytes - state.used_bytes;
        let fits = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let (now, beyond) = bytes.split_at(fits);
        if *stream == Stream::Stderr {
            state.remember_stderr(now);
        }
        if !now.is_empty() || bytes.is_empty() {
            state.used_bytes += u64::try_from(now.len()).unwrap_or(left);
            state.waiting.push_back(Frame { stream: stream.clone(), bytes: now.to_vec() });
        }
        let halt = if beyond.is_empty() {
            Ok(())
        } else {
            let text = format!("output limit {} reached", Size(state.max_bytes));
            state.halted = Some(Stopped::Limit(text));
            Err(Halt)
        };
        drop(state);
        self.send_what_fits().and(halt)
    }

    fn send_what_fits(&self) -> Result<(), Halt> {
        let mut state = self.state();
        while let Some(frame) = state.waiting.pop_front() {
            match self.frames.try_send(frame) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(frame)) => {
                    state.waiting.push_front(frame);
                    break;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => {
                    drop(state);
                    return self.abandon();
                }
            }
        }
        Ok(())
    }

    fn room(&self) -> Result<usize, Halt> {
        self.check()?;
        Ok(if self.state().waiting.is_empty() { FRAME_MAX_BYTES } else { 0 })
    }

    fn check(&self) -> Result<(), Halt> {
        match self.state().halted {
            Some(_) => Err(Halt),
            None => Ok(()),
        }
    }

    /// Nobody listens any more: the run has no purpose.
    fn abandon(&self) -> Result<(), Halt> {
        let mut state = self.state();
        state.waiting.clear();
        state.halted.get_or_insert(Stopped::Cancelled);
        Err(Halt)
    }

    /// Why the guest's output was cut off, if it was.
    pub(crate) fn halted(&self) -> Option<Stopped> {
        self.state().halted.clone()
    }

    /// Sends what still waits, also when the guest was halted.
    pub(crate) async fn finish(&self) {
        while let Some(frame) = self.next_waiting() {
            if self.frames.send(frame).await.is_err() {
                return;
            }
        }
    }

    fn next_waiting(&self) -> Option<Frame> {
        self.state().waiting.pop_front()
    }

    /// Keeps the reason of a refusal, once, for [`Self::tell_refusals`].
    pub(crate) fn note_refusal(&self, reason: &str) {
        tracing::debug!(reason, "refused");
        let mut state = self.state();
        let is_new = !state.refusals.iter().any(|known| known == reason);
        if is_new && state.refusals.len() < REFUSALS_TOLD_MAX {
            state.refusals.push(reason.to_owned());
        }
    }

    /// Tells the user on stderr why the host refused things to a guest that failed: WASI gave it only codes.
    pub(crate) async fn tell_refusals(&self) {
        let refusals = std::mem::take(&mut self.state().refusals);
        for reason in refusals {
            // A guest that was halted has no more to say.
            if self.give(&Stream::Stderr, format!("blitz: {reason}\n").as_bytes()).await.is_err() {
                return;
            }
        }
    }

    /// The end of stderr, for the message of a panic.
    pub(crate) fn stderr_tail(&self) -> String {
        String::from_utf8_lossy(&self.state().stderr_tail).into_owned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remember_stderr(&mut self, bytes: &[u8]) {
        let kept = &bytes[bytes.len().saturating_sub(STDERR_TAIL_BYTES)..];
        let surplus = (self.stderr_tail.len() + kept.len()).saturating_sub(STDERR_TAIL_BYTES);
        self.stderr_tail.drain(..surplus);
        self.stderr_tail.extend_from_slice(kept);
    }
}

/// stdout or stderr of a guest, as WASI wants them.
pub(crate) struct Stdio {
    pub(crate) outlet: Outlet,
    pub(crate) stream: Stream,
}

impl IsTerminal for Stdio {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stdio {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Self { outlet: self.outlet.clone(), stream: self.stream.clone() })
    }

    /// For WASI 0.1 and 0.3, neither of which is linked.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }
}

#[async_trait]
impl OutputStream for Stdio {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > self.outlet.room()? {
            return Err(StreamError::trap("wrote more than check-write allowed"));
        }
        if bytes.is_empty() {
            return Ok(());
        }
        Ok(self.outlet.put(&self.stream, &bytes)?)
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(self.outlet.check()?)
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(self.outlet.room()?)
    }
}

#[async_trait]
impl Pollable for Stdio {
    async fn ready(&mut self) {
        // A halt is reported by the call that follows.
        let _halted = self.outlet.flush().await;
    }
}

impl From<Halt> for StreamError {
    fn from(halt: Halt) -> Self {
        Self::Trap(halt.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlet(room: usize, max_bytes: u64) -> (Outlet, mpsc::Receiver<Frame>) {
        let (frames, receiver) = mpsc::channel(room);
        (Outlet::new(frames, max_bytes, Doing::default()), receiver)
    }

    #[tokio::test]
    async fn streams_keep_their_common_order_when_the_receiver_is_slow() {
        let (outlet, mut receiver) = outlet(1, 1000);
        let mut stdout = Stdio { outlet: outlet.clone(), stream: Stream::Stdout };
        stdout.write(Bytes::from_static(b"1")).unwrap();
        stdout.write(Bytes::from_static(b"2")).unwrap();
        assert_eq!(stdout.check_write().unwrap(), 0, "full: the guest must wait");
        let event = Stream::Event("hop".to_owned());
        let giving = outlet.give(&event, b"3");
        let taking = async {
            let mut seen = Vec::new();
            while seen.len() < 3 {
                seen.push(receiver.recv().await.unwrap().bytes);
            }
            seen
        };
        let (given, seen) = tokio::join!(giving, taking);
        assert_eq!((given, seen), (Ok(()), vec![b"1".to_vec(), b"2".to_vec(), b"3".to_vec()]));
        assert_eq!(stdout.check_write().unwrap(), FRAME_MAX_BYTES);
    }

    #[tokio::test]
    async fn output_ends_exactly_at_its_limit() {
        let (outlet, mut receiver) = outlet(10, 5);
        assert_eq!(outlet.give(&Stream::Stdout, b"abc").await, Ok(()));
        assert_eq!(outlet.give(&Stream::Stderr, b"defg").await, Err(Halt));
        assert_eq!(outlet.give(&Stream::Stdout, b"h").await, Err(Halt));
        assert_eq!(
            outlet.halted(),
            Some(Stopped::Limit("output limit 5 bytes reached".to_owned()))
        );
        assert_eq!(receiver.recv().await.unwrap().bytes, b"abc");
        assert_eq!(receiver.recv().await.unwrap().bytes, b"de");
        drop(outlet);
        assert_eq!(receiver.recv().await, None);
    }

    #[tokio::test]
    async fn large_gifts_are_cut_into_frames() {
        let (outlet, mut receiver) = outlet(10, u64::MAX);
        let file = Stream::File("big".to_owned());
        outlet.give(&file, &vec![7; FRAME_MAX_BYTES * 2 + 1]).await.unwrap();
        for wanted in [FRAME_MAX_BYTES, FRAME_MAX_BYTES, 1] {
            assert_eq!(receiver.recv().await.unwrap().bytes.len(), wanted);
        }
    }

    #[tokio::test]
    async fn without_a_receiver_the_run_is_cancelled() {
        let (outlet, receiver) = outlet(1, 100);
        drop(receiver);
        assert_eq!(outlet.give(&Stream::Stdout, b"x").await, Err(Halt));
        assert_eq!(outlet.halted(), Some(Stopped::Cancelled));
    }

    #[test]
    fn the_tail_of_stderr_is_bounded() {
        let (outlet, _receiver) = outlet(1, u64::MAX);
        let long = vec![b'a'; FRAME_MAX_BYTES];
        outlet.put(&Stream::Stderr, &long).unwrap();
        outlet.put(&Stream::Stderr, b"the end").unwrap();
        let tail = outlet.stderr_tail();
        assert_eq!(tail.len(), STDERR_TAIL_BYTES);
        assert!(tail.ends_with("aathe end"), "{}", &tail[tail.len() - 20..]);
    }
}
