//! Builds libraries, runs them, and looks for processes that stayed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use blitz_contract::{Exit, Frame, Stream};
use blitz_runtime::{ChildProgram, Invocation, Plugin, Runtime, RuntimeConfig, Tape, TargetPolicy};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// How long a process that was killed may take to vanish on a busy machine.
const VANISH: Duration = Duration::from_secs(60);

pub(crate) fn config() -> RuntimeConfig {
    let mut child = ChildProgram::this();
    child.program = PathBuf::from(env!("CARGO_BIN_EXE_blitz-runtime-child"));
    RuntimeConfig { targets: TargetPolicy::any(), child: Some(child), ..RuntimeConfig::default() }
}

pub(crate) fn runtime() -> Runtime {
    Runtime::new(config()).unwrap()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) async fn load(runtime: &Runtime, library: Bytes) -> Plugin {
    let digest = sha256(&library);
    runtime.load_native(library, &digest, None).await.unwrap()
}

/// A library of C, compiled with these definitions.
pub(crate) fn c_library(source: &Path, definitions: &[&str]) -> Bytes {
    let directory = tempfile::tempdir().unwrap();
    let library = directory.path().join("library.so");
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-w", "-I"])
        .arg(Path::new(REPOSITORY).join("sdk/native"))
        .args(definitions)
        .arg("-o")
        .arg(&library)
        .arg(source)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::read(library).unwrap().into()
}

pub(crate) fn example() -> Bytes {
    c_library(&Path::new(REPOSITORY).join("sdk/native/example.c"), &["-Wall"])
}

/// `hostile.c`, compiled once.
pub(crate) fn hostile() -> Bytes {
    static LIBRARY: OnceLock<Bytes> = OnceLock::new();
    LIBRARY.get_or_init(|| hostile_with(&[])).clone()
}

pub(crate) fn hostile_with(definitions: &[&str]) -> Bytes {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/native/hostile.c");
    c_library(&source, definitions)
}

/// The repository's fixture as a library: the same source as the component.
pub(crate) fn fixture() -> Bytes {
    static LIBRARY: OnceLock<Bytes> = OnceLock::new();
    LIBRARY.get_or_init(build_fixture).clone()
}

fn build_fixture() -> Bytes {
    // Beside the profiles' directories, a directory of its own: the outer build has another form of the same library.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("plugins-native");
    let made = Command::new(env!("CARGO"))
        .current_dir(REPOSITORY)
        .args(["build", "--locked", "--package", "blitz-fixture", "--features", "native"])
        .arg("--target-dir")
        .arg(&target)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::read(target.join("debug/libblitz_fixture.so")).unwrap().into()
}

/// An invocation that gives its output to the receiver, which holds `room` frames.
pub(crate) fn invocation(args: &[&str], room: usize) -> (Invocation, mpsc::Receiver<Frame>) {
    let (output, receiver) = mpsc::channel(room);
    let invocation = Invocation {
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        region: "virginia".to_owned(),
        deadline: Duration::from_secs(60),
        limits: Default::default(),
        capabilities: Vec::new(),
        inputs: Default::default(),
        output,
        cancel: Default::default(),
        tape: Tape::Live,
        targets: Vec::new(),
        load: Default::default(),
    };
    (invocation, receiver)
}

pub(crate) async fn run(
    plugin: &Plugin,
    invocation: Invocation,
    mut frames: mpsc::Receiver<Frame>,
) -> (Exit, Vec<Frame>) {
    let taking = async {
        let mut taken = Vec::new();
        while let Some(frame) = frames.recv().await {
            taken.push(frame);
        }
        taken
    };
    tokio::join!(plugin.run(invocation), taking)
}

/// Runs it with nothing but arguments.
pub(crate) async fn simple(plugin: &Plugin, args: &[&str]) -> (Exit, Vec<Frame>) {
    let (invocation, frames) = invocation(args, 8);
    run(plugin, invocation, frames).await
}

/// All bytes of one stream.
pub(crate) fn text(frames: &[Frame], stream: &Stream) -> String {
    let bytes: Vec<u8> =
        frames.iter().filter(|f| f.stream == *stream).flat_map(|f| f.bytes.clone()).collect();
    String::from_utf8(bytes).unwrap()
}

/// Processes whose parent is this one, zombies too.
pub(crate) fn children() -> BTreeSet<u32> {
    children_of(std::process::id())
}

/// Processes of plugins whose parent is that one; what builds the tests' libraries is a child of theirs, too.
pub(crate) fn children_of(own: u32) -> BTreeSet<u32> {
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let (name, rest) = stat.rsplit_once(')')?;
            let parent: u32 = rest.split_ascii_whitespace().nth(1)?.parse().ok()?;
            (own == parent && name.contains("(blitz-runtime-c")).then_some(pid)
        })
        .collect()
}

/// Waits until every child of now is gone; other tests may start new ones meanwhile.
pub(crate) async fn nobody_stays() {
    let (mut left, until) = (children(), Instant::now() + VANISH);
    while !left.is_empty() {
        assert!(Instant::now() < until, "{left:?} stay");
        tokio::time::sleep(Duration::from_millis(5)).await;
        left = &left & &children();
    }
}
