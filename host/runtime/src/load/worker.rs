//! One worker as the engine has it: a caged process that hears orders and says ticks.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use blitz_contract::load::work::{Order, Said, Work};
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::cage::Bars;
use super::child;
use super::connects::{self, Ways};
use super::line::{self, Received};
use crate::child::ChildProgram;
use crate::limits::Span;
use crate::native::{Ends, Process};

/// From its start until its cage is shut, and from its work until it is ready: on a busy machine, a plan of 64 MiB.
pub(super) const READY_TIME: Duration = Duration::from_secs(30);
/// How long a process that was killed may take to end.
const END_TIME: Duration = Duration::from_secs(2);
/// Words of a worker that died or cannot do its work, which are shown.
const LAST_WORDS_BYTES: usize = 400;
/// Frames of one worker that nobody has looked at: each is a second, and takes the engine's memory.
pub(super) const HEARD_MAX: usize = 4;

/// A worker whose cage is shut. Dropping it kills it.
pub(super) struct Worker {
    process: Process,
    orders: OwnedWriteHalf,
    said: Option<(OwnedReadHalf, Received)>,
    stderr: pipe::Receiver,
}

/// What a worker said, by its number.
pub(super) type Heard = (usize, Result<Said, String>);

impl Worker {
    /// Starts one, and waits until its cage is shut.
    ///
    /// To be called on a thread that lives as long as the worker may, as [`Process::start`].
    pub(super) async fn start(
        program: &ChildProgram,
        bars: &Bars,
        ways: &Ways,
    ) -> Result<Self, String> {
        let failed = |e: &dyn std::fmt::Display| format!("start a load worker: {e}");
        let argument = serde_json::to_string(bars).map_err(|e| failed(&e))?;
        let words = [OsString::from(child::WORD), OsString::from(argument)];
        let (mut process, ends) = Process::start(program, words).map_err(|e| failed(&e))?;
        let Ends { socket, stdout, mut stderr } = ends;
        // A worker prints nothing.
        drop(stdout);
        let mut received = Received::default();
        let first = tokio::time::timeout(READY_TIME, received.first::<Said>(&socket)).await;
        let descriptor = match first {
            Ok(Ok(Some((Said::Caged { lacks }, descriptor)))) => {
                if let Some(lacks) = lacks {
                    tracing::warn!(lacks, "a load worker runs in a cage with a gap");
                }
                descriptor
            }
            Ok(Ok(Some((Said::Refused(text), _)))) => return Err(short(&text)),
            Ok(Ok(Some(_))) => return Err("a load worker spoke out of turn".to_owned()),
            Ok(Ok(None)) => {
                let why = why(&mut process, &mut stderr).await;
                return Err(format!("a load worker ended before its work: {why}"));
            }
            Ok(Err(error)) => return Err(failed(&error)),
            Err(_) => {
                let text = format!("a load worker was not ready in {}", Span(READY_TIME));
                return Err(text);
            }
        };
        if bars.is_watched {
            watch(descriptor, &process, ways)
                .map_err(|e| format!("watch a load worker's connections: {e}"))?;
        }
        let (reading, orders) = socket.into_split();
        Ok(Self { process, orders, said: Some((reading, received)), stderr })
    }

    /// Gives it what to do, and waits until it is ready. A text says why not.
    pub(super) async fn take(&mut self, work: Work) -> Result<(), String> {
        let taking = async {
            self.order(&Order::Work(Box::new(work))).await.map_err(|e| e.to_string())?;
            let Some((reading, received)) = &mut self.said else { return Err(String::new()) };
            match received.next::<Said>(reading).await {
                Ok(Some(Said::Ready)) => Ok(()),
                Ok(Some(Said::Refused(text))) => Err(short(&text)),
                Ok(Some(_)) => Err("a load worker spoke out of turn".to_owned()),
                Ok(None) => Err(String::new()),
                Err(error) => Err(format!("a load worker broke the protocol: {error}")),
            }
        };
        match tokio::time::timeout(READY_TIME, taking).await {
            Ok(Err(text)) if text.is_empty() => {
                Err(format!("a load worker ended before its work: {}", self.ended().await))
            }
            Ok(taken) => taken,
            Err(_) => Err(format!("a load worker was not ready in {}", Span(READY_TIME))),
        }
    }

    pub(super) async fn order(&mut self, order: &Order) -> io::Result<()> {
        self.orders.write_all(&line::frame(order)?).await
    }

    /// Gives on all that it says, as `number`, until its end, which is an error.
    pub(super) fn listen(
        &mut self,
        number: usize,
        to: mpsc::Sender<Heard>,
        tasks: &mut JoinSet<()>,
    ) {
        let Some((mut reading, mut received)) = self.said.take() else { return };
        tasks.spawn(async move {
            loop {
                let said = match received.next::<Said>(&mut reading).await {
                    Ok(Some(said)) => Ok(said),
                    Ok(None) => Err(String::new()),
                    Err(error) => Err(format!("it broke the protocol: {error}")),
                };
                let is_end = said.is_err();
                if to.send((number, said)).await.is_err() || is_end {
                    return;
                }
            }
        });
    }

    /// Ends it. Says how it had ended by itself, if it had.
    pub(super) async fn ended(&mut self) -> String {
        why(&mut self.process, &mut self.stderr).await
    }
}

fn watch(descriptor: Option<OwnedFd>, process: &Process, ways: &Ways) -> io::Result<()> {
    let listener =
        descriptor.ok_or_else(|| io::Error::other("no descriptor came with its word"))?;
    connects::serve(listener, process.pid(), ways.clone())
}

/// Its status, and the last that it printed: the text of a panic.
async fn why(process: &mut Process, stderr: &mut pipe::Receiver) -> String {
    // One that closed its line and goes on is not waited for; who has ended keeps its status.
    let ended = match tokio::time::timeout(END_TIME / 4, process.ended()).await {
        Ok(ended) => Ok(ended),
        Err(_) => {
            process.kill();
            tokio::time::timeout(END_TIME, process.ended()).await
        }
    };
    let status = match ended {
        Ok(Ok(status)) => match (status.signal(), status.code()) {
            (Some(signal), _) => format!("killed by signal {signal}"),
            (None, code) => format!("exit status {}", code.unwrap_or_default()),
        },
        Ok(Err(error)) => format!("its end was not seen: {error}"),
        Err(_) => format!("it did not end within {}", Span(END_TIME)),
    };
    let mut said = vec![0; 64 * 1024];
    let length = stderr.try_read(&mut said).unwrap_or(0);
    let said = String::from_utf8_lossy(said.get(..length).unwrap_or_default()).into_owned();
    let text = crate::guest::panic_message(&said).unwrap_or_default();
    let text = short(&text);
    if text.is_empty() { status } else { format!("{status}, {text}") }
}

/// What of a worker's words is shown.
pub(super) fn short(text: &str) -> String {
    text.chars().take(LAST_WORDS_BYTES).collect()
}
