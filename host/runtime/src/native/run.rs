//! One run of a library, from its process to how it ended. Time and cancellation are watched by whoever polls
//! this: dropping the future kills the process.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use blitz_contract::native::PANICKED;
use blitz_contract::{Stopped, Stream};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::time::Instant;

use super::frame::{
    Ask, DESCRIPTORS_MAX, FrameError, Lengths, PREFIX_BYTES, Start, StartCall, decode, encode,
};
use super::process::Process;
use super::serve::{Answered, Imports};
use super::{Library, NativePolicy, sealed};
use crate::guest::{Answer, Call, panic_message};
use crate::job::Job;
use crate::limits::{Effective, FRAME_MAX_BYTES, MANIFEST_MAX_BYTES, Size, Span, TICK};
use crate::runtime::Shared;

/// Runs one call in a process of its own.
pub(crate) async fn run(
    shared: &Shared,
    library: &Library,
    job: Job,
    call: Call,
    left: Duration,
    limits: &Effective,
) -> Result<Answer, Stopped> {
    let unusable = |e: io::Error| Stopped::Unusable(format!("start its process: {e}"));
    let program = shared.natives.child().map_err(|e| Stopped::Unusable(e.to_string()))?;
    let stdin = job.inputs.get("-").map(|stdin| sealed("stdin", stdin)).transpose();
    let stdin = stdin.map_err(unusable)?;
    let start = Start {
        call: match call {
            Call::Instantiate | Call::Describe => StartCall::Describe,
            Call::Run { args, region } => {
                let deadline_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
                StartCall::Run { args, region, deadline_ms }
            }
        },
        stdin: stdin.is_some(),
        memory_bytes: limits.memory_bytes,
        cpu_s: limits.cpu.as_secs().saturating_add(1),
        sockets: limits.sockets,
        without_landlock: shared.natives.policy == NativePolicy::Warn,
    };
    let (process, ends) = Process::start(program, ["native".into()]).map_err(unusable)?;
    let mut session = Session {
        imports: Imports::new(job),
        process,
        socket: ends.socket,
        received: Vec::new(),
        pipes: [(Stream::Stdout, Some(ends.stdout)), (Stream::Stderr, Some(ends.stderr))],
        limit: limits.cpu,
        is_caged: false,
        spent_before: Duration::ZERO,
        look: Instant::now(),
        memory_bytes: limits.memory_bytes,
    };
    let descriptors: Vec<BorrowedFd<'_>> =
        std::iter::once(library.file.as_fd()).chain(stdin.iter().map(OwnedFd::as_fd)).collect();
    // A child that died at once says why below.
    let sent = session.send(&start, &[], &descriptors).await;
    tracing::trace!(ok = sent.is_ok(), "started a native plugin");
    session.serve().await
}

struct Session {
    imports: Imports,
    process: Process,
    socket: UnixStream,
    /// The start of a frame that has not come whole.
    received: Vec<u8>,
    /// What is printed past the host's functions.
    pipes: [(Stream, Option<pipe::Receiver>); 2],
    limit: Duration,
    /// The child has said so.
    is_caged: bool,
    /// CPU time that the child itself used until its cage was shut.
    spent_before: Duration,
    /// When the CPU time is to be looked at: one thread cannot use more of it than time has passed.
    look: Instant,
    memory_bytes: u64,
}

/// Why a session ends without an answer.
enum End {
    /// The socket is closed: the process has ended, or hides.
    Closed,
    Stopped(Stopped),
}

impl From<Stopped> for End {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

impl Session {
    async fn serve(mut self) -> Result<Answer, Stopped> {
        let ended = self.talk().await;
        // Whatever it does now, it is through. What it had printed is in the pipes.
        self.process.kill();
        let status = self.process.ended().await;
        let drained = self.drain().await;
        match ended {
            Ok(answer) => drained.map(|()| answer),
            Err(End::Stopped(stopped)) => Err(stopped),
            Err(End::Closed) => Err(match status {
                Ok(status) => self.why(status),
                Err(error) => Stopped::Crashed(format!("its end was not seen: {error}")),
            }),
        }
    }

    /// Answers frames until the last one.
    async fn talk(&mut self) -> Result<Answer, End> {
        loop {
            let [(_, stdout), (_, stderr)] = &self.pipes;
            let (ask, raw) = tokio::select! {
                biased;
                frame = next_frame(&mut self.socket, &mut self.received) => match frame {
                    Ok(Some(frame)) => frame,
                    Ok(None) => return Err(End::Closed),
                    Err(error) => return Err(broke(&error).into()),
                },
                () = readable(stdout) => { self.drain().await?; continue }
                () = readable(stderr) => { self.drain().await?; continue }
                () = tokio::time::sleep_until(self.look) => { self.look_at_cpu()?; continue }
            };
            // What it printed before it asked comes first.
            self.drain().await?;
            if Instant::now() >= self.look {
                self.look_at_cpu()?;
            }
            match ask {
                // Once, and by the child itself before the library runs: a plugin that said it again would begin its
                // CPU time anew.
                Ask::Caged { .. } if self.is_caged => {
                    let text = "it broke the protocol to the engine: its cage was shut twice";
                    return Err(Stopped::Crashed(text.to_owned()).into());
                }
                Ask::Caged { lacks } => {
                    self.is_caged = true;
                    if let Some(lacks) = lacks {
                        tracing::warn!(lacks, "a native plugin runs in a cage with a gap");
                    }
                    self.spent_before = self.process.cpu_time().unwrap_or_default();
                }
                Ask::Refused => return Err(Stopped::Unusable(text(&raw)).into()),
                Ask::Described if raw.len() > MANIFEST_MAX_BYTES => {
                    return Err(Stopped::Limit("manifest limit reached".to_owned()).into());
                }
                Ask::Described => return Ok(Answer::Described(text(&raw))),
                Ask::Returned { code } => {
                    self.drain().await?;
                    return self.returned(code).map_err(End::Stopped);
                }
                ask => {
                    let answered = self.imports.answer(ask, raw).await;
                    let Answered { reply, body, descriptor } =
                        answered.map_err(|error| self.stopped(&error))?;
                    let descriptors: Vec<_> = descriptor.iter().map(OwnedFd::as_fd).collect();
                    // Nobody to answer: the next frame will not come either.
                    let sent = self.send(&reply, &body, &descriptors).await;
                    if let Err(error) = sent {
                        tracing::trace!(%error, "a native plugin did not take its answer");
                    }
                }
            }
        }
    }

    fn returned(&self, code: u32) -> Result<Answer, Stopped> {
        match u8::try_from(code) {
            Ok(status) => Ok(Answer::Status(status)),
            Err(_) if code == PANICKED => Err(Stopped::Crashed(
                panic_message(&self.imports.job.outlet.stderr_tail())
                    .unwrap_or_else(|| "panicked".to_owned()),
            )),
            Err(_) => {
                Err(Stopped::Crashed(format!("run returned {code}, which is no exit status")))
            }
        }
    }

    /// A host function ended the run.
    fn stopped(&self, error: &wasmtime::Error) -> Stopped {
        let halted = self.imports.job.outlet.halted();
        halted.unwrap_or_else(|| Stopped::Crashed(error.root_cause().to_string()))
    }

    /// Gives on what was printed past the host's functions, at most what two pipes hold.
    async fn drain(&mut self) -> Result<(), Stopped> {
        let outlet = self.imports.job.outlet.clone();
        let mut piece = vec![0; FRAME_MAX_BYTES];
        for (stream, pipe) in &mut self.pipes {
            let Some(open) = pipe else { continue };
            match open.try_read(&mut piece) {
                Ok(0) => *pipe = None,
                Ok(length) => {
                    let given = outlet.give(stream, piece.get(..length).unwrap_or_default()).await;
                    if given.is_err() {
                        return Err(outlet.halted().unwrap_or(Stopped::Cancelled));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(Stopped::Crashed(format!("read its {stream}: {error}"))),
            }
        }
        Ok(())
    }

    fn look_at_cpu(&mut self) -> Result<(), Stopped> {
        let spent = self.process.cpu_time().unwrap_or_default();
        let used = spent.saturating_sub(self.spent_before);
        self.imports.job.cpu.set(used);
        if used > self.limit {
            return Err(self.cpu_exceeded(used));
        }
        self.look = Instant::now() + self.limit.saturating_sub(used).max(TICK);
        Ok(())
    }

    fn cpu_exceeded(&self, used: Duration) -> Stopped {
        Stopped::Limit(format!("CPU time limit {} reached (used {})", Span(self.limit), Span(used)))
    }

    /// Reads the reason out of a process that ended before `run` returned.
    fn why(&self, status: ExitStatus) -> Stopped {
        let tail = self.imports.job.outlet.stderr_tail();
        let last = tail.lines().rev().map(str::trim).find(|line| !line.is_empty());
        let Some(signal) = status.signal() else {
            let code = status.code().unwrap_or_default();
            return Stopped::Crashed(format!(
                "it ended with exit status {code} before run returned"
            ));
        };
        let said = |last: Option<&str>| last.map_or_else(String::new, |line| format!(": {line}"));
        match signal {
            libc::SIGXCPU => self.cpu_exceeded(self.limit),
            libc::SIGABRT if failed_allocation(&tail).is_some() => Stopped::Limit(format!(
                "memory limit {} reached{}",
                Size(self.memory_bytes),
                said(failed_allocation(&tail))
            )),
            libc::SIGABRT => Stopped::Crashed(format!("it aborted (SIGABRT){}", said(last))),
            libc::SIGSYS => Stopped::Crashed(
                "it was killed (SIGSYS): it made a system call that ends a native plugin"
                    .to_owned(),
            ),
            libc::SIGSEGV => Stopped::Crashed(format!(
                "segmentation fault (SIGSEGV): a wrong pointer, or memory beyond the limit {}",
                Size(self.memory_bytes)
            )),
            libc::SIGBUS => Stopped::Crashed("bus error (SIGBUS)".to_owned()),
            libc::SIGILL => Stopped::Crashed("illegal instruction (SIGILL)".to_owned()),
            libc::SIGFPE => Stopped::Crashed("division by zero (SIGFPE)".to_owned()),
            libc::SIGKILL => Stopped::Crashed(
                "it closed its connection to the engine, or was killed (SIGKILL)".to_owned(),
            ),
            other => Stopped::Crashed(format!("it was killed by signal {other}")),
        }
    }

    /// Sends a frame, with descriptors beside its first byte.
    async fn send<T: Serialize>(
        &mut self,
        header: &T,
        body: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let frame = encode(header, body).map_err(io::Error::other)?;
        let mut sent = 0;
        if !descriptors.is_empty() {
            let socket = &self.socket;
            let first = socket.async_io(Interest::WRITABLE, || {
                let mut space =
                    [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                control.push(SendAncillaryMessage::ScmRights(descriptors));
                let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
                Ok(sendmsg(socket, &[IoSlice::new(&frame)], &mut control, flags)?)
            });
            sent = first.await?;
        }
        self.socket.write_all(frame.get(sent..).unwrap_or_default()).await
    }
}

/// The next whole frame, or the end. Dropping the future loses nothing.
async fn next_frame(
    socket: &mut UnixStream,
    received: &mut Vec<u8>,
) -> Result<Option<(Ask, Vec<u8>)>, FrameError> {
    loop {
        let mut wanted = PREFIX_BYTES;
        if let Some(prefix) = received.first_chunk::<PREFIX_BYTES>() {
            let lengths = Lengths::parse(*prefix)?;
            let body_at = PREFIX_BYTES + lengths.header;
            wanted = body_at + lengths.body;
            if let Some(frame) = received.get(..wanted) {
                let (header, body) = frame.split_at(body_at);
                let ask = decode(header.get(PREFIX_BYTES..).unwrap_or_default())?;
                let body = body.to_vec();
                received.drain(..wanted);
                return Ok(Some((ask, body)));
            }
        }
        // Room for what has come, and not for what was announced.
        received.reserve((wanted - received.len()).min(FRAME_MAX_BYTES));
        match socket.read_buf(received).await {
            // Also a reset: the process ended with an answer that it had not read.
            Ok(0) | Err(_) => return Ok(None),
            Ok(_) => {}
        }
    }
}

async fn readable(pipe: &Option<pipe::Receiver>) {
    match pipe {
        // An error is seen by the read that follows.
        Some(pipe) => pipe.readable().await.map_or((), |()| ()),
        None => std::future::pending().await,
    }
}

/// How Rust's allocator says that it got nothing, before it aborts.
fn failed_allocation(stderr: &str) -> Option<&str> {
    stderr.lines().rev().find(|line| line.starts_with("memory allocation of "))
}

fn broke(error: &FrameError) -> Stopped {
    Stopped::Crashed(format!("it broke the protocol to the engine: {error}"))
}

fn text(raw: &[u8]) -> String {
    String::from_utf8_lossy(raw).into_owned()
}
