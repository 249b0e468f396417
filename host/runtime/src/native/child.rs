//! The life of the child: take the library, shut the cage, load, run, end.

use std::ffi::c_void;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::ExitCode;

use blitz_contract::native::{Bytes, FAILED, Invocation, MAGIC, MAJOR, SYMBOL, Table};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use rustix::process::{Signal, set_parent_process_death_signal};

use super::cage::{self, Bars};
use super::frame::{Ask, Start, StartCall};
use super::lend::{Lender, borrow, host_table};
use super::line::{Line, LineError, Received};

/// Runs one call of one library. The engine is at the other end of stdin.
pub(crate) fn main() -> ExitCode {
    let Some(socket) = line_of_child() else { return ExitCode::FAILURE };
    let mut line = Line::new(socket);
    let ended = match line.receive::<Start>() {
        Ok(start) => live(&mut line, start),
        Err(error) => Err(error.to_string()),
    };
    let told = match ended {
        Ok(()) => Ok(()),
        Err(reason) => line.send(&Ask::Refused, reason.as_bytes()),
    };
    if told.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What every child begins with: it ends with the engine, and has no descriptor but its streams and the line to it, which
/// came as stdin.
pub(crate) fn line_of_child() -> Option<OwnedFd> {
    // First of all: an engine that is killed leaves nobody.
    set_parent_process_death_signal(Some(Signal::KILL)).ok()?;
    let socket = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3).ok()?;
    close_others(&socket).then_some(socket)
}

/// Closes what the engine had from its own parent without knowing: descriptors that survive a new program.
fn close_others(line: &OwnedFd) -> bool {
    let line = line.as_raw_fd().unsigned_abs();
    let close = |first: u32, last: u32| {
        // SAFETY: nothing in this process has a descriptor yet but the line and the three streams.
        #[expect(unsafe_code, reason = "a call of the system that has no safe form")]
        let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        result == 0
    };
    (line == 3 || close(3, line - 1)) && close(line + 1, u32::MAX)
}

fn live(line: &mut Line, received: Received<Start>) -> Result<(), String> {
    let Received { header: start, descriptors, .. } = received;
    let mut descriptors = descriptors.into_iter();
    let library = descriptors.next().ok_or("the engine sent no library")?;
    replace_stdin(start.stdin.then(|| descriptors.next()).flatten())?;
    let bars = Bars {
        memory_bytes: start.memory_bytes,
        cpu_s: start.cpu_s,
        sockets: start.sockets,
        without_landlock: start.without_landlock,
    };
    let lacks = cage::shut(&bars).map_err(|e| format!("the cage does not shut: {e}"))?;
    line.send(&Ask::Caged { lacks }, &[]).map_err(|e| e.to_string())?;
    let table = load(&library)?;
    let last = match start.call {
        StartCall::Describe => describe(&table).map(|manifest| (Ask::Described, manifest)),
        StartCall::Run { args, region, deadline_ms } => {
            run(&table, line, &args, &region, deadline_ms)
                .map(|code| (Ask::Returned { code }, Vec::new()))
        }
    };
    let (ask, body) = last?;
    flush_c();
    line.send(&ask, &body).map_err(|e: LineError| e.to_string())
}

/// The line moved away from descriptor 0; the plugin reads the job's stdin there.
fn replace_stdin(given: Option<OwnedFd>) -> Result<(), String> {
    let stdin = match given {
        Some(stdin) => stdin,
        None => {
            std::fs::File::open("/dev/null").map_err(|e| format!("open /dev/null: {e}"))?.into()
        }
    };
    rustix::stdio::dup2_stdin(stdin).map_err(|e| format!("replace stdin: {e}"))
}

/// Loads the library by its descriptor, as its path is out of the cage's reach. Its constructors run here.
fn load(library: &OwnedFd) -> Result<Table, String> {
    let path = format!("/proc/self/fd/{}", library.as_raw_fd());
    // SAFETY: code that nobody can vouch for runs from here on. That is this process' purpose: the cage is shut,
    // and the process ends with the library.
    #[expect(unsafe_code, reason = "a native plugin is foreign code")]
    let loaded = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
    let loaded = loaded.map_err(|e| format!("the loader refuses it: {e}"))?;
    // SAFETY: what stands there is only read, field by field, once the fields before it allow that.
    #[expect(unsafe_code, reason = "a native plugin is foreign code")]
    let symbol = unsafe { loaded.get::<*const c_void>(SYMBOL.as_bytes()) };
    let symbol = symbol.map_err(|_| format!("it exports no {SYMBOL}; see blitz_plugin.h"))?;
    let table = symbol.as_raw_ptr().cast_const().cast::<Table>();
    // Never unloaded: destructors of a library with threads of its own are undefined, and the process ends soon.
    #[expect(clippy::mem_forget, reason = "the library lives as long as the process")]
    std::mem::forget(loaded);
    read_table(table)
}

fn read_table(table: *const Table) -> Result<Table, String> {
    // SAFETY: the symbol is at least the four fields that every version begins with; if it is shorter, this
    // process reads the library's own data or dies.
    #[expect(unsafe_code, reason = "a native plugin is foreign code")]
    let head = unsafe { table.cast::<Head>().read_unaligned() };
    let Head { magic, major, minor, size } = head;
    if magic != MAGIC {
        return Err(format!("its {SYMBOL} begins with {magic:#x}, not {MAGIC:#x}"));
    }
    if major != MAJOR {
        return Err(format!(
            "it was built for version {major}.{minor} of the native contract, this engine has {MAJOR}.{}; build it anew",
            blitz_contract::native::MINOR
        ));
    }
    if size < size_of::<Table>() {
        return Err(format!(
            "its {SYMBOL} of version {major}.{minor} has {size} bytes, at least {} are needed",
            size_of::<Table>()
        ));
    }
    // SAFETY: it says of itself that it has all of these fields.
    #[expect(unsafe_code, reason = "a native plugin is foreign code")]
    let whole = unsafe { table.read_unaligned() };
    Ok(whole)
}

/// What every version of a table begins with.
#[repr(C)]
struct Head {
    magic: u64,
    major: u32,
    minor: u32,
    size: usize,
}

fn describe(table: &Table) -> Result<Vec<u8>, String> {
    let describe = table.describe.ok_or("its describe is null")?;
    // SAFETY: the contract of the table; in the cage whatever it does.
    #[expect(unsafe_code, reason = "a native plugin is foreign code")]
    let manifest = unsafe { describe() };
    Ok(borrow(manifest).to_vec())
}

fn run(
    table: &Table,
    line: &mut Line,
    args: &[String],
    region: &str,
    deadline_ms: u64,
) -> Result<u32, String> {
    let run = table.run.ok_or("its run is null")?;
    let args: Vec<Bytes> = args.iter().map(|arg| Bytes::of(arg.as_bytes())).collect();
    let invocation = Invocation {
        args: args.as_ptr(),
        args_len: args.len(),
        region: Bytes::of(region.as_bytes()),
        deadline_ms,
    };
    let mut lender = Lender::new(line);
    let host = host_table(&mut lender);
    // SAFETY: both arguments live until it returns; the rest is the contract of the table.
    #[expect(unsafe_code, reason = "a native plugin is foreign code")]
    let code = unsafe { run(&raw const host, &raw const invocation) };
    lender.failed().map_or(Ok(code), |error| Err(format!("{error} (status {FAILED})")))
}

/// What a plugin printed with C's `printf` is in a buffer of this process' C library.
fn flush_c() {
    // SAFETY: null means all streams.
    #[expect(unsafe_code, reason = "the buffers of C")]
    let flushed = unsafe { libc::fflush(std::ptr::null_mut()) };
    // Otherwise a pipe is closed: nobody listens any more, and the engine knows.
    debug_assert!(flushed == 0 || flushed == libc::EOF, "fflush knows no third answer");
}
