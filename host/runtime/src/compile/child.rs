//! The life of a compiler: takes its limits, reads a component, writes machine code, ends.
//!
//! It has no need of files or of a network, and gives both up where the kernel lets it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, nice, setrlimit};
use wasmtime::Engine;

use crate::engine;
use crate::limits::{COMPILE_NICE, COMPILED_MAX_BYTES, COMPONENT_MAX_BYTES};

/// The status of a child that did its work and found that the bytes are no component; stderr says why.
pub(super) const REFUSED: u8 = 3;

/// What the arguments are.
struct Task {
    length: u64,
    memory_bytes: u64,
    cpu_s: u64,
}

/// Compiles what stdin has, to stdout.
pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match compile(arguments) {
        Ok(code) => code,
        Err(error) => {
            // Nobody else reads it.
            writeln!(io::stderr(), "{error}").ok();
            ExitCode::FAILURE
        }
    }
}

fn compile(arguments: impl Iterator<Item = OsString>) -> io::Result<ExitCode> {
    let task = Task::parse(arguments).ok_or_else(|| io::Error::other("this is no task"))?;
    limit(&task)?;
    let mut wasm = Vec::new();
    io::stdin().take(task.length).read_to_end(&mut wasm)?;
    if u64::try_from(wasm.len()).ok() != Some(task.length) {
        return Err(io::Error::other("the component was cut off"));
    }
    std::thread::Builder::new().name("watch".to_owned()).spawn(end_with_the_master)?;
    let compiled = Engine::new(&engine::settings())
        .map_err(|e| io::Error::other(format!("{e:#}")))?
        .precompile_component(&wasm);
    match compiled {
        Ok(code) => {
            let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
            output.write_all(&code)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            writeln!(io::stderr(), "{error:#}")?;
            Ok(ExitCode::from(REFUSED))
        }
    }
}

/// stdin ends when the process that holds its other end does.
fn end_with_the_master() {
    let mut byte = [0];
    if !matches!(io::stdin().read(&mut byte), Ok(1)) {
        std::process::abort();
    }
}

fn limit(task: &Task) -> io::Result<()> {
    let both = |limit| Rlimit { current: Some(limit), maximum: Some(limit) };
    setrlimit(Resource::As, both(task.memory_bytes))?;
    // The first one names itself by its signal, the second cannot be caught.
    let cpu = Rlimit { current: Some(task.cpu_s), maximum: Some(task.cpu_s + 1) };
    setrlimit(Resource::Cpu, cpu)?;
    setrlimit(Resource::Fsize, both(COMPILED_MAX_BYTES))?;
    setrlimit(Resource::Core, both(0))?;
    nice(COMPILE_NICE)?;
    give_up_files();
    Ok(())
}

/// Without the right to open anything by its name, or to connect. Best effort: what bounds a compiler is above.
#[cfg(target_os = "linux")]
fn give_up_files() {
    use landlock::{ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _};
    let given_up = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V4))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(ABI::V4)))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self);
    // An old kernel: seen by whoever asks for a cage, not here.
    given_up.ok();
}

#[cfg(not(target_os = "linux"))]
fn give_up_files() {}

impl Task {
    fn parse(arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        let mut numbers = arguments.map(|word| word.to_str()?.parse::<u64>().ok());
        let task = Self {
            length: numbers.next()??,
            memory_bytes: numbers.next()??,
            cpu_s: numbers.next()??,
        };
        (task.length <= COMPONENT_MAX_BYTES).then_some(task)
    }
}
