//! Compiling in a child: this test program is the child's program, and in one test the engine that dies.
//!
//! It has no harness of its own, as its first argument may make it another program. A word on the command line
//! names the tests to run.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use blitz_contract::package;
use blitz_runtime::{
    CHILD, ChildProgram, CompileLimits, Error, Plugin, Runtime, RuntimeConfig, child_main,
};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// The first argument that makes this program an engine, which compiles without end.
const ENGINE: &str = "engine";

/// Longest wait for something that another process does.
const PATIENCE: Duration = Duration::from_secs(60);

const MIB: u64 = 1024 * 1024;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next().unwrap_or_default();
    if first == CHILD {
        return child_main(arguments);
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if first == ENGINE {
        drop(runtime.block_on(load(&runtime_with(limits()), huge(1000))));
        return ExitCode::SUCCESS;
    }
    let filter = first.to_string_lossy().into_owned();
    let wanted = |name: &str| filter.starts_with('-') || name.contains(&filter);
    macro_rules! tests {
        ($($name:ident),*) => {
            $(if wanted(stringify!($name)) {
                runtime.block_on($name());
                // Nobody may be left to read it.
                writeln!(std::io::stdout(), "test {} ... ok", stringify!($name)).ok();
            })*
        };
    }
    tests!(
        a_component_is_compiled_in_a_child,
        what_is_no_component_is_refused_with_the_compilers_words,
        the_memory_of_a_compiler_is_limited,
        the_cpu_time_of_a_compiler_is_limited,
        the_time_of_a_compiler_is_limited,
        a_killed_compiler_costs_its_plugin_only,
        a_compiler_ends_with_its_engine,
        a_compiler_ends_when_nobody_waits,
        a_program_that_is_not_there_is_an_error
    );
    ExitCode::SUCCESS
}

/// A command of so many functions, each with a few hundred blocks: 0 is about the smallest component there is, 1000
/// take a compiler longer than any test waits.
///
/// Made of bytes, since text of that size takes a debug build a minute to parse.
fn huge(functions: u32) -> Bytes {
    let wat = r#"(component
        (core module $m (func (export "run") (result i32) (i32.const 0)))
        (core instance $i (instantiate $m))
        (func $run (result (result)) (canon lift (core func $i "run")))
        (instance $cli (export "run" (func $run)))
        (export "wasi:cli/run@0.2.0" (instance $cli)))"#;
    let small = wat::parse_str(wat).unwrap();
    // Behind the preamble stands the section of the core module: its id, a length of one byte, the module.
    let (preamble, rest) = small.split_at(8);
    assert!(rest[0] == 1 && rest[1] < 128, "the core module comes first");
    let (_, rest) = rest.split_at(2 + usize::from(rest[1]));
    let mut component = preamble.to_vec();
    section(&mut component, 1, &module(functions));
    component.extend_from_slice(rest);
    let manifest = r#"{"name":"huge","version":"1.0.0","summary":"a test","contract":"0.1.0"}"#;
    package::with_manifest(&component, manifest).unwrap().into()
}

/// A core module that exports `run`, and has so many functions beside it.
fn module(functions: u32) -> Vec<u8> {
    const I32: u8 = 0x7f;
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    // Two types: without parameters to one number, and from one number to nothing.
    section(&mut module, 1, &[2, 0x60, 0, 1, I32, 0x60, 1, I32, 0]);
    let mut types = leb128(functions + 1);
    types.push(0);
    types.resize(types.len() + usize::try_from(functions).unwrap(), 1);
    section(&mut module, 3, &types);
    section(&mut module, 7, b"\x01\x03run\0\0");
    let mut code = leb128(functions + 1);
    code.extend([4, 0, 0x41, 0, 0x0b]);
    let body = body();
    for _ in 0..functions {
        code.extend(leb128(u32::try_from(body.len()).unwrap()));
        code.extend_from_slice(&body);
    }
    section(&mut module, 10, &code);
    module
}

/// `a += b * c; if (a) b = c ^ n`, again and again over 40 locals that all live to the end: the work of register
/// allocation.
fn body() -> Vec<u8> {
    let mut body = vec![1, 40, 0x7f];
    for n in 0..300u16 {
        let local = |number: u16| u8::try_from(number % 40).unwrap();
        let (a, b, c) = (local(n), local(n * 7 + 1), local(n * 13 + 2));
        body.extend([0x20, a, 0x20, b, 0x20, c, 0x6c, 0x6a, 0x21, a]);
        body.extend([0x20, a, 0x04, 0x40, 0x20, c, 0x41, local(n), 0x73, 0x21, b, 0x0b]);
    }
    body.push(0x0b);
    body
}

fn section(wasm: &mut Vec<u8>, id: u8, content: &[u8]) {
    wasm.push(id);
    wasm.extend(leb128(u32::try_from(content.len()).unwrap()));
    wasm.extend_from_slice(content);
}

fn leb128(mut number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

fn limits() -> CompileLimits {
    CompileLimits::default()
}

fn runtime_with(compile: CompileLimits) -> Runtime {
    let child = Some(ChildProgram { compile, ..ChildProgram::this() });
    Runtime::new(RuntimeConfig { child, ..RuntimeConfig::default() }).unwrap()
}

async fn load(runtime: &Runtime, component: Bytes) -> Result<Plugin, Error> {
    let sha256: String =
        Sha256::digest(&component).iter().map(|byte| format!("{byte:02x}")).collect();
    runtime.load(component, &sha256).await
}

async fn refusal(compile: CompileLimits, component: Bytes) -> Error {
    let runtime = runtime_with(compile);
    let error = load(&runtime, component).await.expect_err("it was loaded");
    load(&runtime, huge(0)).await.expect("the next one is compiled");
    error
}

/// The compilers of a process: its children whose command line says so.
fn compilers(master: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let Some(id) = entry.unwrap().file_name().to_str().and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let read =
            |name: &str| std::fs::read_to_string(Path::new("/proc").join(format!("{id}/{name}")));
        // A process may end while it is looked at. Behind the name in brackets: its state, then its parent.
        let (Ok(stat), Ok(line)) = (read("stat"), read("cmdline")) else { continue };
        let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
        if parent == Some(master) && line.contains(CHILD) {
            found.push(id);
        }
    }
    found
}

/// Waits until `look` sees something.
async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < end, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn kill(id: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn is_alive(id: u32) -> bool {
    // A zombie has ended too; nobody may be there to wait for it.
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit(") ").next().unwrap_or_default().starts_with('Z'))
}

async fn a_component_is_compiled_in_a_child() {
    let directory = tempfile::tempdir().unwrap();
    let cache_dir = Some(directory.path().join("cache"));
    let child = Some(ChildProgram::this());
    let config = RuntimeConfig { cache_dir: cache_dir.clone(), child, ..RuntimeConfig::default() };
    let plugin = load(&Runtime::new(config).unwrap(), huge(3)).await.unwrap();
    assert_eq!(plugin.manifest().unwrap().name, "huge");
    // What the child compiled is what a runtime without one finds.
    let next = Runtime::new(RuntimeConfig { cache_dir, ..RuntimeConfig::default() }).unwrap();
    assert!(next.ready(plugin.sha256()).await.is_some(), "its code does not fit this process");
}

async fn what_is_no_component_is_refused_with_the_compilers_words() {
    let broken = Bytes::from_static(b"\0asm\x0d\0\x01\0broken");
    let error = refusal(limits(), broken).await;
    assert!(matches!(error, Error::NotAComponent(_)), "{error}");
    assert!(error.to_string().len() > "not a WASM component: ".len(), "{error}");
}

async fn the_memory_of_a_compiler_is_limited() {
    // What this very program needs to start, in a debug build, and little more.
    let error = refusal(CompileLimits { memory_bytes: 256 * MIB, ..limits() }, huge(2000)).await;
    assert_eq!(
        error.to_string(),
        "compile the component: memory limit 256 MiB of the compiler reached"
    );
    assert!(matches!(error, Error::CompileLimit(_)), "{error:?}");
}

async fn the_cpu_time_of_a_compiler_is_limited() {
    let error =
        refusal(CompileLimits { cpu: Duration::from_secs(1), ..limits() }, huge(1000)).await;
    assert_eq!(
        error.to_string(),
        "compile the component: CPU time limit 1 s of the compiler reached"
    );
    assert!(matches!(error, Error::CompileLimit(_)), "{error:?}");
}

async fn the_time_of_a_compiler_is_limited() {
    let limits = CompileLimits { time: Duration::from_millis(300), ..limits() };
    let error = load(&runtime_with(limits), huge(1000)).await.expect_err("it was loaded");
    assert_eq!(
        error.to_string(),
        "compile the component: time limit 300 ms of the compiler reached"
    );
    assert!(matches!(error, Error::CompileLimit(_)), "{error:?}");
}

async fn a_killed_compiler_costs_its_plugin_only() {
    let runtime = runtime_with(limits());
    let killing = async {
        let compiler = until("a compiler", || compilers(std::process::id()).pop()).await;
        kill(compiler);
    };
    let (loaded, ()) = tokio::join!(load(&runtime, huge(1000)), killing);
    let error = loaded.expect_err("it was loaded").to_string();
    assert_eq!(error, "compile the component: the compiler was ended by signal 9: ");
    load(&runtime, huge(0)).await.expect("the next one is compiled");
}

async fn a_compiler_ends_with_its_engine() {
    let program: PathBuf = std::env::current_exe().unwrap();
    let mut engine = Command::new(program).arg(ENGINE).stdin(Stdio::null()).spawn().unwrap();
    let compiler = until("a compiler", || compilers(engine.id()).pop()).await;
    engine.kill().unwrap();
    engine.wait().unwrap();
    until("its end", || (!is_alive(compiler)).then_some(())).await;
}

async fn a_compiler_ends_when_nobody_waits() {
    let runtime = runtime_with(limits());
    let waiting = tokio::spawn({
        let runtime = runtime.clone();
        async move { drop(load(&runtime, huge(1000)).await) }
    });
    let compiler = until("a compiler", || compilers(std::process::id()).pop()).await;
    waiting.abort();
    until("its end", || (!is_alive(compiler)).then_some(())).await;
    load(&runtime, huge(0)).await.expect("the next one is compiled");
}

async fn a_program_that_is_not_there_is_an_error() {
    let child = Some(ChildProgram { program: "/nowhere".into(), ..ChildProgram::this() });
    let runtime = Runtime::new(RuntimeConfig { child, ..RuntimeConfig::default() }).unwrap();
    let error = load(&runtime, huge(0)).await.expect_err("it was loaded");
    assert!(matches!(error, Error::Compiler(_)), "{error}");
}
