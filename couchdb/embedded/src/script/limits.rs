//! What a function of a design document may take. Each limit that is passed ends one batch.

use std::time::Duration;

/// How many threads run JavaScript. Two, so that one hostile function does not stop all others.
pub(super) const THREADS: usize = 2;

/// How many batches may wait for a thread; further callers wait before they enter the queue.
pub(super) const QUEUE_MAX: usize = 64;

/// How many threads that do not come back are replaced before JavaScript is refused.
pub(super) const LOST_MAX: usize = 8;

/// The memory of one interpreter, in bytes: room for two documents of the largest size, whose objects
/// take some ten times their text.
pub(super) const MEMORY_BYTES: usize = 256 << 20;

/// The stack of one interpreter, in bytes: some thousand calls deep.
pub(super) const STACK_BYTES: usize = 1 << 20;

/// The stack of a thread, in bytes: the interpreter's own, and room for its C code at the end of it.
pub(super) const THREAD_STACK_BYTES: usize = 4 << 20;

/// How long things may take. Tests have shorter ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// One document, reduction or validation.
    pub(super) call: Duration,
    /// One batch of them.
    pub(super) batch: Duration,
    /// How much longer than its limit a call may hold its thread before the thread counts as lost:
    /// some built-in functions of the interpreter do not look at the time.
    pub(super) grace: Duration,
}

/// The call has CouchDB's `os_process_timeout`.
pub(super) const TIMES: Times = Times {
    call: Duration::from_secs(5),
    batch: Duration::from_secs(30),
    grace: Duration::from_secs(2),
};

/// How often a waiting caller looks for lost threads.
pub(super) const WATCH_PERIOD: Duration = Duration::from_millis(500);

/// How long the end of the pool waits for its threads, in the worst case.
pub(super) const END_TIME: Duration = Duration::from_secs(1);

/// How many rows a function may emit for one document.
pub(super) const ROWS_MAX: usize = 100_000;

/// What these rows may take as JSON, in bytes or UTF-16 units.
pub(super) const ROWS_BYTES_MAX: usize = 16 << 20;

/// What the rows of one batch may take, in bytes.
pub(super) const BATCH_BYTES_MAX: usize = 128 << 20;

/// How many designs each thread keeps compiled.
pub(super) const COMPILED_MAX: usize = 8;

/// A kept interpreter that holds more than this many bytes is dropped.
pub(super) const KEPT_BYTES_MAX: u64 = 8 << 20;

/// How many batches a kept interpreter runs between two looks at its memory: a look walks its heap.
pub(super) const KEPT_LOOK_PERIOD: u32 = 64;

/// How many lines one batch may log.
pub(super) const LOG_LINES_MAX: u32 = 100;

pub(super) const OUT_OF_TIME: &str =
    "the function did not end within 5 seconds for one document; make it do less";
pub(super) const BATCH_OUT_OF_TIME: &str =
    "the functions did not end within 30 seconds for one batch of documents; make them do less";
pub(super) const OUT_OF_MEMORY: &str =
    "the functions of the design document need more than 256 MiB of memory; make them keep less";
pub(super) const TOO_MANY_ROWS: &str =
    "a function emitted more than 100000 rows or 16 MiB for one document; make it emit less";
pub(super) const BATCH_TOO_LARGE: &str =
    "the functions emitted more than 128 MiB for one batch of documents; make them emit less";
pub(super) const LOST: &str =
    "a function did not end and cannot be stopped; remove it from its design document";
pub(super) const TOO_MANY_LOST: &str = "too many functions did not end; remove them from their design documents and restart the server";
