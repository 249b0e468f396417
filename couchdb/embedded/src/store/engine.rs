//! The threads that own the SQLite connections, and the queues in front of them.
//!
//! One thread writes. It takes everything that waits (up to [`BATCH_MAX`]), applies it in one
//! transaction, commits once, and only then answers: writers that come while the disk works share the
//! next commit, and a lone writer waits for nobody.
//!
//! On disk, reads go to [`READERS`] threads with connections of their own; the write-ahead log gives
//! each a snapshot, so neither side waits for the other. In memory SQLite has no such log: its shared
//! caches lock whole tables, and a reader could stop the writer. There the writer's thread also reads,
//! between two batches, in the order of arrival. Every read is one bounded page, so that this is fair.

use super::{
    chores::Chores,
    idle::{self, Received},
    transaction::{Shared, Transaction},
};
use crate::error::StoreError;
use rusqlite::Connection;
use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// How many requests share a commit at most: bounds what the first of them waits for.
const BATCH_MAX: usize = 256;

/// How many requests may wait for the writer; more wait at the door of the queue.
const QUEUE_MAX: usize = 1024;

/// Reading threads of a store on disk. Reads are short and mostly from the page cache: more threads
/// than this only take turns on the machines that blitz runs on.
const READERS: usize = 3;

type Read = Box<dyn FnOnce(&Connection) + Send>;

/// A write that waits for its commit before it answers.
trait Write: Send {
    fn apply(&mut self, transaction: &mut Transaction<'_>);
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

enum Message {
    Read(Read),
    Write(Box<dyn Write>),
}

/// The way to the threads. They end when this is dropped.
#[derive(Debug)]
pub(super) struct Engine {
    writer: Option<mpsc::Sender<Message>>,
    /// None in memory.
    readers: Option<mpsc::Sender<Read>>,
    writer_thread: Option<JoinHandle<()>>,
    reader_threads: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Starts the threads. `readers` is empty for a store in memory.
    pub(super) fn start(
        writer: Connection,
        readers: Vec<Connection>,
        shared: Arc<Shared>,
        chores: Chores,
    ) -> std::io::Result<Engine> {
        let (to_writer, queue) = mpsc::channel(QUEUE_MAX);
        let mut engine = Engine {
            writer: Some(to_writer),
            readers: None,
            writer_thread: None,
            reader_threads: Vec::new(),
        };
        let write = move || write_loop(&writer, queue, &shared, chores);
        engine.writer_thread = Some(named("blitz-store").spawn(write)?);
        if !readers.is_empty() {
            let (to_readers, queue) = mpsc::channel::<Read>(QUEUE_MAX);
            let queue = Arc::new(Mutex::new(queue));
            engine.readers = Some(to_readers);
            for connection in readers {
                let queue = Arc::clone(&queue);
                let read = move || read_loop(&connection, &queue);
                engine.reader_threads.push(named("blitz-read").spawn(read)?);
            }
        }
        Ok(engine)
    }

    /// How many connections a store on disk reads with.
    pub(super) const fn readers() -> usize {
        READERS
    }

    /// Whether somebody still takes what is asked: a thread that panicked leaves its queue closed.
    pub(super) fn is_alive(&self) -> bool {
        let writes = self.writer.as_ref().is_some_and(|writer| !writer.is_closed());
        writes && self.readers.as_ref().is_none_or(|readers| !readers.is_closed())
    }

    /// Runs `read` on a connection that sees everything that was answered before.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, wait) = oneshot::channel();
        let read: Read = Box::new(move |connection| {
            // A client that has gone leaves nobody to read for.
            if !answer.is_closed() {
                // The receiver may be gone; then nobody misses the answer.
                drop(answer.send(read(connection)));
            }
        });
        let sent = match (&self.readers, &self.writer) {
            (Some(readers), _) => readers.send(read).await.is_ok(),
            (None, Some(writer)) => writer.send(Message::Read(read)).await.is_ok(),
            (None, None) => false,
        };
        if !sent {
            return Err(StoreError::Closed);
        }
        wait.await.map_err(|_| StoreError::Closed)?
    }

    /// Runs `write` in the next transaction and answers after its commit.
    ///
    /// When `write` gives an error, what it did is undone; other writes of the same transaction stay.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, wait) = oneshot::channel();
        let job = Job { write: Some(write), result: None, answer };
        let queue = self.writer.as_ref().ok_or(StoreError::Closed)?;
        queue.send(Message::Write(Box::new(job))).await.map_err(|_| StoreError::Closed)?;
        wait.await.map_err(|_| StoreError::Closed)?
    }
}

impl Drop for Engine {
    /// Waits for what was queued, so that the directory is free when the store is gone.
    fn drop(&mut self) {
        // The readers first: SQLite empties its log when the last connection is closed, and only a
        // connection that writes can.
        self.readers = None;
        self.reader_threads.drain(..).for_each(join);
        self.writer = None;
        self.writer_thread.take().into_iter().for_each(join);
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread of the store panicked");
    }
}

struct Job<F, T> {
    write: Option<F>,
    result: Option<Result<T, StoreError>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Write for Job<F, T>
where
    F: FnOnce(&mut Transaction<'_>) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn apply(&mut self, transaction: &mut Transaction<'_>) {
        if let Some(write) = self.write.take() {
            self.result = Some(transaction.alone(write));
        }
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let Job { result, answer, .. } = *self;
        let result = committed.and_then(|()| result.unwrap_or(Err(StoreError::Closed)));
        // The client may have gone; its write stays all the same.
        drop(answer.send(result));
    }
}

fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.to_owned())
}

fn read_loop(connection: &Connection, queue: &Mutex<mpsc::Receiver<Read>>) {
    loop {
        // One thread waits in the queue, the others for the lock.
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(read) = next else { return };
        read(connection);
    }
}

fn write_loop(
    connection: &Connection,
    mut queue: mpsc::Receiver<Message>,
    shared: &Arc<Shared>,
    mut chores: Chores,
) {
    let mut pace = Pace { asked: Instant::now(), worked: Instant::now() };
    while let Some(first) = next(connection, &mut queue, shared, &mut chores, &mut pace) {
        let mut reads = Vec::new();
        let mut writes = Vec::new();
        let mut message = Some(first);
        while let Some(taken) = message.take() {
            match taken {
                Message::Read(read) => reads.push(read),
                Message::Write(write) => writes.push(write),
            }
            if reads.len() + writes.len() < BATCH_MAX {
                message = queue.try_recv().ok();
            }
        }
        if !writes.is_empty() {
            write_batch(connection, writes, shared, &mut chores);
        }
        for read in reads {
            read(connection);
        }
    }
}

/// The next message. While none comes, housekeeping is done a piece at a time.
fn next(
    connection: &Connection,
    queue: &mut mpsc::Receiver<Message>,
    shared: &Shared,
    chores: &mut Chores,
    pace: &mut Pace,
) -> Option<Message> {
    let piece = |pace: &mut Pace, chores: &mut Chores| {
        let now = Instant::now();
        match chores.step(connection, shared) {
            Ok(true) => {}
            // As if somebody had asked: the next piece comes after a pause.
            Ok(false) => pace.asked = now,
            Err(error) => {
                // Tried again with the next start; requests do not depend on it.
                tracing::error!(%error, "the store could not tidy up");
                chores.give_up(shared);
            }
        }
        pace.worked = now;
    };
    loop {
        if chores.is_empty() {
            return queue.blocking_recv();
        }
        if pace.worked.elapsed() >= OVERDUE {
            piece(pace, chores);
        }
        let message = match queue.try_recv() {
            Ok(message) => Received::Message(message),
            Err(mpsc::error::TryRecvError::Disconnected) => Received::Closed,
            Err(mpsc::error::TryRecvError::Empty) => {
                let quiet = pace.asked.elapsed();
                if quiet >= QUIET {
                    piece(pace, chores);
                    continue;
                }
                idle::receive(queue, QUIET.saturating_sub(quiet))
            }
        };
        match message {
            Received::Message(message) => {
                pace.asked = Instant::now();
                return Some(message);
            }
            Received::Quiet => {}
            Received::Closed => return None,
        }
    }
}

/// How long nobody must have asked for anything before housekeeping goes on: writers that take turns
/// with their client leave gaps that are shorter.
const QUIET: Duration = Duration::from_millis(20);

/// Under a load without gaps a piece is done this often: it takes about a hundredth of the time.
const OVERDUE: Duration = Duration::from_millis(100);

/// When the writer last did what.
struct Pace {
    asked: Instant,
    worked: Instant,
}

fn write_batch(
    connection: &Connection,
    mut writes: Vec<Box<dyn Write>>,
    shared: &Arc<Shared>,
    chores: &mut Chores,
) {
    shared.stats.writes.add(u64::try_from(writes.len()).unwrap_or(u64::MAX));
    let committed = Transaction::begin(connection, shared).and_then(|mut transaction| {
        for write in &mut writes {
            write.apply(&mut transaction);
        }
        transaction.commit(chores)
    });
    if let Err(error) = &committed {
        tracing::error!(%error, "a commit of the store failed");
    }
    for write in writes {
        write.answer(committed.clone());
    }
}
