//! From a component to machine code: in a child of this process under limits of its own, for a compiler is the one
//! part of wasmtime that its makers do not defend against hostile input.
//!
//! The child gets the bytes by its standard input, which stays open: it ends when this process does, whatever ends
//! it. Machine code and messages come back in files of memory, so that nothing waits for a pipe.

mod child;

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::Signal;
use wasmtime::Engine;

use crate::child::{CHILD, ChildProgram};
use crate::error::Error;
use crate::limits::{
    COMPILE_CPU, COMPILE_MEMORY_BYTES, COMPILE_MESSAGE_MAX_BYTES, COMPILE_TIME, COMPILED_MAX_BYTES,
    Size, Span,
};

pub(crate) use child::run as child_main;

/// The word behind [`CHILD`] that makes a child a compiler.
pub(crate) const WORD: &str = "compile";

/// What one compiler may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// Its address space.
    pub memory_bytes: u64,
    /// Its CPU time, which the system counts in whole seconds: rounded up.
    pub cpu: Duration,
    /// Its time by the clock.
    pub time: Duration,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { memory_bytes: COMPILE_MEMORY_BYTES, cpu: COMPILE_CPU, time: COMPILE_TIME }
    }
}

/// While this lives, somebody wants the code.
#[derive(Debug)]
pub(crate) struct Wanted(#[expect(dead_code, reason = "only its end says something")] Sender<()>);

/// Sees whether [`Wanted`] still lives.
#[derive(Debug)]
pub(crate) struct Watch(Receiver<()>);

/// One who wants code, and the watch of the one who makes it.
pub(crate) fn wanted() -> (Wanted, Watch) {
    let (sender, receiver) = channel();
    (Wanted(sender), Watch(receiver))
}

impl Watch {
    /// Whether it is still wanted at the end of `wait`; returns early when not.
    fn is_wanted_after(&self, wait: Duration) -> bool {
        self.0.recv_timeout(wait) == Err(RecvTimeoutError::Timeout)
    }
}

/// How often a compiler's master looks whether it ended: small beside the 50 ms that the smallest component takes.
const LOOK: Duration = Duration::from_millis(4);

/// Compiles here, without a limit.
///
/// # Errors
///
/// [`Error::NotAComponent`].
pub(crate) fn in_process(engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>, Error> {
    engine.precompile_component(wasm).map_err(|e| Error::NotAComponent(format!("{e:#}")))
}

/// Compiles in a child. Blocks until it ended, or was ended because nobody wants its code any more.
///
/// # Errors
///
/// [`Error::NotAComponent`], [`Error::CompileLimit`] names the limit, [`Error::Compiler`] the rest.
pub(crate) fn in_child(
    program: &ChildProgram,
    wasm: &[u8],
    wanted: &Watch,
) -> Result<Vec<u8>, Error> {
    let failed = |what: &'static str| move |e: io::Error| Error::Compiler(format!("{what}: {e}"));
    let mut code = memory_file("blitz-code").map_err(failed("take memory for its code"))?;
    let mut said = memory_file("blitz-said").map_err(failed("take memory for its messages"))?;
    let mut child =
        start(program, wasm.len(), &code, &said).map_err(failed("start the compiler"))?;
    let limits = &program.compile;
    let ended =
        attend(&mut child, wasm, limits.time, wanted).map_err(failed("watch the compiler"))?;
    let said = message(&mut said);
    match ended {
        Ended::By(status) if status.success() => {}
        Ended::By(status) if status.code() == Some(i32::from(child::REFUSED)) => {
            return Err(Error::NotAComponent(said));
        }
        Ended::By(status) => return Err(why(status, &said, limits)),
        Ended::OutOfTime => {
            let text = format!("time limit {} of the compiler reached", Span(limits.time));
            return Err(Error::CompileLimit(text));
        }
        Ended::Unwanted => return Err(Error::Compiler("nobody waits for it any more".to_owned())),
    }
    let mut bytes = Vec::new();
    code.rewind().and_then(|()| code.read_to_end(&mut bytes)).map_err(failed("read its code"))?;
    Ok(bytes)
}

fn start(program: &ChildProgram, length: usize, code: &File, said: &File) -> io::Result<Child> {
    let CompileLimits { memory_bytes, cpu, .. } = program.compile;
    Command::new(&program.program)
        .args([CHILD, WORD])
        .args([length.to_string(), memory_bytes.to_string(), whole_seconds(cpu).to_string()])
        .env_clear()
        .current_dir("/")
        // A key at the terminal ends the engine, which then decides.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(code.try_clone()?)
        .stderr(said.try_clone()?)
        .spawn()
}

enum Ended {
    By(ExitStatus),
    OutOfTime,
    Unwanted,
}

/// Feeds the child and waits for its end; ends it when its time is over or its code unwanted.
fn attend(child: &mut Child, wasm: &[u8], time: Duration, wanted: &Watch) -> io::Result<Ended> {
    let until = Instant::now() + time;
    // Held until the child is gone.
    let mut stdin = child.stdin.take();
    let fed = stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(wasm));
    // A child that ended before it read all has its own reason.
    if let Err(error) = fed
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        end(child)?;
        return Err(error);
    }
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ended::By(status));
        }
        let left = until.saturating_duration_since(Instant::now());
        let is_wanted = wanted.is_wanted_after(left.min(LOOK));
        if left.is_zero() || !is_wanted {
            end(child)?;
            return Ok(if left.is_zero() { Ended::OutOfTime } else { Ended::Unwanted });
        }
    }
}

fn end(child: &mut Child) -> io::Result<()> {
    child.kill()?;
    child.wait().map(|_| ())
}

/// What ended a compiler that neither succeeded nor refused.
fn why(status: ExitStatus, said: &str, limits: &CompileLimits) -> Error {
    /// What Rust says before it aborts, and what a system call says.
    const NO_MEMORY: [&str; 2] = ["memory allocation of ", "Cannot allocate memory"];
    let is = |signal: Signal| status.signal() == Some(signal.as_raw());
    if is(Signal::XCPU) {
        let cpu = Duration::from_secs(whole_seconds(limits.cpu));
        return Error::CompileLimit(format!(
            "CPU time limit {} of the compiler reached",
            Span(cpu)
        ));
    }
    if is(Signal::XFSZ) {
        let text = format!("its machine code has more than {}", Size(COMPILED_MAX_BYTES));
        return Error::CompileLimit(text);
    }
    if NO_MEMORY.iter().any(|text| said.contains(text)) {
        let text = format!("memory limit {} of the compiler reached", Size(limits.memory_bytes));
        return Error::CompileLimit(text);
    }
    let last = said.lines().last().unwrap_or_default();
    match status.signal() {
        Some(signal) => {
            Error::Compiler(format!("the compiler was ended by signal {signal}: {last}"))
        }
        None => Error::Compiler(format!("the compiler failed ({status}): {last}")),
    }
}

fn whole_seconds(time: Duration) -> u64 {
    let more = u64::from(time.subsec_nanos() > 0);
    (time.as_secs() + more).max(1)
}

fn memory_file(name: &str) -> io::Result<File> {
    Ok(File::from(memfd_create(name, MemfdFlags::CLOEXEC)?))
}

fn message(said: &mut File) -> String {
    let mut bytes = Vec::new();
    let max = u64::try_from(COMPILE_MESSAGE_MAX_BYTES).unwrap_or(u64::MAX);
    let read = said.rewind().and_then(|()| said.take(max).read_to_end(&mut bytes));
    if let Err(error) = read {
        return format!("its message is unreadable: {error}");
    }
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_an_end_is_named() {
        let limits = CompileLimits {
            memory_bytes: 64 * 1024 * 1024,
            cpu: Duration::from_millis(1500),
            time: Duration::from_secs(9),
        };
        for (raw, said, text) in [
            (24, "", "compile the component: CPU time limit 2 s of the compiler reached"),
            (25, "", "compile the component: its machine code has more than 256 MiB"),
            (
                6,
                "memory allocation of 800 bytes failed\n",
                "compile the component: memory limit 64 MiB of the compiler reached",
            ),
            (
                6,
                "thread 'main' has overflowed its stack\nfatal",
                "compile the component: the compiler was ended by signal 6: fatal",
            ),
            (9, "", "compile the component: the compiler was ended by signal 9: "),
            (256, "a\nb", "compile the component: the compiler failed (exit status: 1): b"),
        ] {
            assert_eq!(why(ExitStatus::from_raw(raw), said, &limits).to_string(), text);
        }
    }
}
