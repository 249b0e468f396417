//! From bytes to a plugin: compiled in a child, found in the cache, and a thousand of them.

use std::path::{Path, PathBuf};
use std::time::Instant;

use blitz_runtime::{ChildProgram, Runtime, RuntimeConfig};
use bytes::Bytes;

use super::{load, noop, resident_kib, row};
use crate::sample::{Sample, say};

/// Times that a component is found in the cache.
const ROUNDS: usize = 30;
/// Plugins that one engine has heard of.
const PLUGINS: usize = 1000;

pub(super) async fn measure(files: Vec<PathBuf>) {
    let directory = tempfile::tempdir().expect("a directory");
    let fixture = Bytes::from_static(blitz_tests::FIXTURE);
    compile_and_find(directory.path(), "the fixture", fixture).await;
    for file in files {
        match std::fs::read(&file) {
            Ok(bytes) => {
                let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                compile_and_find(directory.path(), &name, bytes.into()).await;
            }
            Err(error) => say(&format!("bench: {}: {error}", file.display())),
        }
    }
    many(directory.path()).await;
}

fn runtime(cache: &Path) -> Runtime {
    Runtime::new(RuntimeConfig {
        cache_dir: Some(cache.join("cache")),
        child: Some(ChildProgram::this()),
        ..RuntimeConfig::default()
    })
    .expect("a runtime")
}

async fn compile_and_find(cache: &Path, name: &str, component: Bytes) {
    let size = component.len() / 1024;
    let started = Instant::now();
    let plugin = load(&runtime(cache), component).await;
    let took = format!("{:.0}", started.elapsed().as_secs_f64() * 1e3);
    row(&format!("compile {name} ({size} KiB) in a child, in ms"), &took, "", "");
    let mut found = Sample::default();
    for _ in 0..ROUNDS {
        let runtime = runtime(cache);
        let started = Instant::now();
        runtime.ready(plugin.sha256()).await.expect("it is in the cache");
        found.add(started.elapsed());
    }
    let ms = |percent| format!("{:.2}", found.percentile(percent).as_secs_f64() * 1e3);
    row(&format!("find {name} in the cache, in ms"), &ms(50), &ms(99), "<= 2");
}

/// A thousand plugins, each once: then the memory is that of the few that stay.
async fn many(cache: &Path) {
    let runtime = runtime(cache);
    let before = resident_kib();
    let started = Instant::now();
    for n in 0..PLUGINS {
        load(&runtime, noop(&format!("n{n}"))).await;
    }
    let took = started.elapsed().as_millis().to_string();
    row("1,000 small plugins compiled one after the other, in ms", &took, "", "");
    let growth = resident_kib().saturating_sub(before) / 1024;
    row("growth of the engine by them, in MiB", &growth.to_string(), "", "bounded");
}
