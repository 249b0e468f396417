//! A native plugin in its cage: this program is also the child.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use blitz_contract::Exit;
use blitz_runtime::{ChildProgram, Runtime, RuntimeConfig};

use super::runs::TIME;
use super::{finish, invocation, row};
use crate::sample::{Sample, say};

/// The plugin in C that the SDK has as its example: it prints, and gives a record.
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk/native/example.c");
const ROUNDS: usize = 300;
const WARM_UP: usize = 20;

pub(super) async fn measure() {
    let directory = tempfile::tempdir().expect("a directory");
    let library = match build(directory.path()) {
        Ok(library) => library,
        Err(error) => {
            say(&format!("bench: no native plugin: {error}"));
            return;
        }
    };
    let config = RuntimeConfig { child: Some(ChildProgram::this()), ..RuntimeConfig::default() };
    let runtime = Runtime::new(config).expect("a runtime");
    let sha256 = blitz_jobs::plugin::sha256(&library);
    let plugin = runtime.load_native(library.into(), &sha256, None).await.expect("a plugin");
    let mut runs = Sample::default();
    for n in 0..WARM_UP + ROUNDS {
        let started = Instant::now();
        let exit = finish(&plugin, invocation(&[], TIME), drop).await;
        assert_eq!(exit, Exit::Status(0), "the example in C");
        if n >= WARM_UP {
            runs.add(started.elapsed());
        }
    }
    let ms = |percent| format!("{:.2}", runs.percentile(percent).as_secs_f64() * 1e3);
    let size = std::fs::metadata("/proc/self/exe").map_or(0, |file| file.len() >> 20);
    let name = format!("a run of a native plugin in its cage ({size} MiB child), in ms");
    row(&name, &ms(50), &ms(99), "p50 <= 3");
}

fn build(directory: &Path) -> std::io::Result<Vec<u8>> {
    let library = directory.join("example.so");
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-o"])
        .arg(&library)
        .arg(SOURCE)
        .status()?;
    if !status.success() {
        return Err(std::io::Error::other(format!("cc ended with {status}")));
    }
    std::fs::read(library)
}
