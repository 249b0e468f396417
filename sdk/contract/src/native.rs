//! The native carrier's tables: what a shared library exports, and what it is lent while it runs.
//!
//! `sdk/native/blitz_plugin.h` says the same in C, with the rules. No memory changes its owner: what one side
//! hands to the other is borrowed for the call, or, for an answer of the host, until the next call of the host.
//! All calls are made on the thread that `run` was called on.
//!
//! A newer minor version only adds fields at a table's end; who reads one asks for its `size` first.

pub mod wire;

use std::ffi::c_void;

/// The name of the [`Table`] among a library's symbols.
pub const SYMBOL: &str = "blitz_plugin";
/// The first field of every table: `blitzplg` in memory on a little-endian machine.
pub const MAGIC: u64 = 0x676c_707a_7469_6c62;
/// Tables of another major version are refused.
pub const MAJOR: u32 = 1;
/// The minor version of the tables here. 1 added [`HostTable::ask`].
pub const MINOR: u32 = 1;

/// What a host function returns when it did what was asked; its answer is in `out`.
pub const OK: u32 = 0;
/// The plugin was not given this right; the text in `out` names the missing grant.
pub const DENIED: u32 = 1;
/// A limit was reached; the text in `out` names it.
pub const LIMIT: u32 = 2;
/// It was tried and did not work; the text in `out` says what happened.
pub const FAILED: u32 = 3;

/// The first argument of [`HostTable::write`] for standard output.
pub const STDOUT: u32 = 1;
/// The same for standard error.
pub const STDERR: u32 = 2;

/// What `run` returns when the plugin panicked: 101, as Rust's programs do, beyond the range of a status.
/// The text is on stderr.
pub const PANICKED: u32 = 0x100 + 101;

/// Bytes of somebody else.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Bytes {
    /// Null only when there are none.
    pub ptr: *const u8,
    /// How many.
    pub len: usize,
}

impl Bytes {
    /// No bytes: not the same as an empty text where a value may be missing.
    pub const NONE: Self = Self { ptr: std::ptr::null(), len: 0 };

    /// Lends a slice; the receiver must be done with it before the slice is.
    #[must_use]
    pub const fn of(bytes: &[u8]) -> Self {
        Self { ptr: bytes.as_ptr(), len: bytes.len() }
    }
}

/// What a library exports as [`SYMBOL`].
#[repr(C)]
#[derive(Debug)]
pub struct Table {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`MAJOR`] that it was built for.
    pub major: u32,
    /// [`MINOR`] that it was built for.
    pub minor: u32,
    /// Bytes of this table.
    pub size: usize,
    /// The manifest as JSON, in memory that lives as long as the library.
    pub describe: Option<unsafe extern "C" fn() -> Bytes>,
    /// Does the work. Returns the exit status, 0 to 255, or [`PANICKED`].
    pub run: Option<unsafe extern "C" fn(host: *const HostTable, call: *const Invocation) -> u32>,
}

/// One job.
#[repr(C)]
#[derive(Debug)]
pub struct Invocation {
    /// As the user typed them, without the plugin's name.
    pub args: *const Bytes,
    /// How many.
    pub args_len: usize,
    /// The region that the job runs in.
    pub region: Bytes,
    /// What was left of the job's time when it started.
    pub deadline_ms: u64,
}

/// A host function of two texts.
pub type TwoTexts = unsafe extern "C" fn(*mut c_void, Bytes, Bytes, *mut Bytes) -> u32;
/// A host function that opens a socket: host, port, timeout in milliseconds, then where the descriptor goes.
pub type Connect = unsafe extern "C" fn(*mut c_void, Bytes, u16, u64, *mut i32, *mut Bytes) -> u32;

/// What a plugin is lent while it runs. Every function takes `context` first; `out` takes the answer, or the
/// text of a refusal.
#[repr(C)]
#[derive(Debug)]
pub struct HostTable {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`MAJOR`] of the host.
    pub major: u32,
    /// [`MINOR`] of the host.
    pub minor: u32,
    /// Bytes of this table.
    pub size: usize,
    /// The host's own.
    pub context: *mut c_void,
    /// [`STDOUT`] or [`STDERR`], and what to print.
    pub write: unsafe extern "C" fn(*mut c_void, u32, Bytes) -> u32,
    /// Name, offset, most bytes.
    pub read_input: unsafe extern "C" fn(*mut c_void, Bytes, u64, u32, *mut Bytes) -> u32,
    /// Name and bytes.
    pub write_output: TwoTexts,
    /// Kind and JSON.
    pub emit: TwoTexts,
    /// Name and how many.
    pub count: unsafe extern "C" fn(*mut c_void, Bytes, u64, *mut Bytes) -> u32,
    /// Name, the first value, how many values.
    pub observe: unsafe extern "C" fn(*mut c_void, Bytes, *const u64, usize, *mut Bytes) -> u32,
    /// A [`wire::Question`] as JSON; answers a [`wire::Answers`].
    pub lookup: unsafe extern "C" fn(*mut c_void, Bytes, *mut Bytes) -> u32,
    /// A [`wire::Request`] as JSON and its body, [`Bytes::NONE`] for none; answers a [`wire::Answer`], or with
    /// [`FAILED`] a [`wire::Failure`].
    pub exchange: TwoTexts,
    /// Handle and most bytes; answers as `exchange`, with an empty piece at the end.
    pub body_read: unsafe extern "C" fn(*mut c_void, u64, u32, *mut Bytes) -> u32,
    /// Microseconds from the start of the exchange to the latest piece.
    pub body_total_us: unsafe extern "C" fn(*mut c_void, u64) -> u64,
    /// Gives the handle and its connection back.
    pub body_close: unsafe extern "C" fn(*mut c_void, u64),
    /// A TCP connection.
    pub connect: Connect,
    /// A UDP socket that sends to one peer and hears from it.
    pub connect_udp: Connect,
    /// What is left of the job's time.
    pub time_left_ms: unsafe extern "C" fn(*mut c_void) -> u64,
    /// 1 when the job was asked to end.
    pub is_cancelled: unsafe extern "C" fn(*mut c_void) -> u32,
    /// Waits so many milliseconds; 1 when it came back early, because the job was asked to end.
    pub pause: unsafe extern "C" fn(*mut c_void, u64) -> u32,
    /// The name of an import that has no function of its own here, and its question as JSON; answers JSON. See
    /// [`wire::ask`]. Since 1.1.
    pub ask: TwoTexts,
}

impl HostTable {
    /// Bytes of the table of version 1.0.
    pub const SIZE_1_0: usize = std::mem::offset_of!(Self, ask);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_magic_is_a_word() {
        assert_eq!(&MAGIC.to_le_bytes(), b"blitzplg");
    }
}
