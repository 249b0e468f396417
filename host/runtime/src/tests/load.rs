//! From bytes to a plugin: what is refused, and what the cache keeps.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use blitz_contract::{Exit, package};
use bytes::Bytes;

use super::component::{MEMORY, component, invocation, load, plugin, run, sha256};
use crate::limits::{LOADED_MAX, MANIFEST_MAX_BYTES};
use crate::{Error, Runtime, RuntimeConfig};

async fn refusal(bytes: Bytes) -> Error {
    let runtime = Runtime::new(RuntimeConfig::default()).unwrap();
    let sha256 = sha256(&bytes);
    runtime.load(bytes, &sha256).await.expect_err("it was loaded")
}

#[tokio::test]
async fn a_plugin_describes_itself() {
    let bytes = plugin(MEMORY, "(i32.const 0)");
    let plugin = load(bytes.clone()).await;
    let manifest = plugin.describe().await.unwrap();
    assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("guest", "1.2.3"));
    assert_eq!(plugin.sha256(), sha256(&bytes));
}

#[tokio::test]
async fn other_bytes_are_refused() {
    let runtime = Runtime::new(RuntimeConfig::default()).unwrap();
    let bytes = plugin(MEMORY, "(i32.const 0)");
    let wanted = "0".repeat(64);
    let error = runtime.load(bytes, &wanted).await.expect_err("it was loaded");
    assert!(matches!(&error, Error::Digest { wanted: w, .. } if *w == wanted), "{error}");
}

#[tokio::test]
async fn what_is_no_plugin_is_refused_by_name() {
    for bytes in [
        Bytes::new(),
        Bytes::from_static(b"(component)"),
        Bytes::from_static(b"\0asm\x01\0\0\0"),
        Bytes::from_static(b"\0asm\x0d\0\x01\0broken"),
    ] {
        let error = refusal(bytes.clone()).await;
        assert!(matches!(error, Error::NotAComponent(_)), "{bytes:?}: {error}");
    }
    let stranger = component(r#"(module (func (export "greet")))"#, "stranger");
    let error = refusal(stranger).await.to_string();
    assert!(error.starts_with("not a plugin of contract blitz:plugin@0.1.0: "), "{error}");
    assert!(error.contains("blitz:plugin/tool"), "{error}");
}

#[tokio::test]
async fn a_refusal_is_the_same_for_all_who_ask() {
    let runtime = Runtime::new(RuntimeConfig::default()).unwrap();
    let bytes = Bytes::from_static(b"\0asm\x0d\0\x01\0broken");
    let digest = sha256(&bytes);
    let load = || async {
        let refused = runtime.load(bytes.clone(), &digest).await;
        refused.expect_err("it was loaded").to_string()
    };
    let (one, two) = tokio::join!(load(), load());
    assert!(one.starts_with("not a WASM component: "), "{one}");
    assert_eq!([&two, &load().await], [&one; 2]);
}

#[tokio::test]
async fn an_import_that_we_do_not_have_is_named() {
    let wat = r#"(module
        (import "test:guests/wishes" "wish" (func))
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
        (func (export "blitz:plugin/tool@0.1.0#describe") (result i32) (i32.const 0))
        (func (export "blitz:plugin/tool@0.1.0#run") (param i32 i32 i32 i32 i64) (result i32)
            (i32.const 0)))"#;
    let error = refusal(component(wat, "needy")).await;
    assert!(matches!(error, Error::Contract(_)), "{error}");
    assert!(error.to_string().contains("test:guests/wishes"), "{error}");
}

#[tokio::test]
async fn describing_may_not_use_anything() {
    let wat = r#"(module
        (import "blitz:plugin/events@0.1.0" "emit" (func $emit (param i32 i32 i32 i32 i32)))
        (memory (export "memory") 1)
        (data (i32.const 1024) "k1")
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
        (func (export "blitz:plugin/tool@0.1.0#describe") (result i32)
            (call $emit (i32.const 1024) (i32.const 1) (i32.const 1025) (i32.const 1) (i32.const 0))
            (i32.const 0))
        (func (export "blitz:plugin/tool@0.1.0#run") (param i32 i32 i32 i32 i64) (result i32)
            (i32.const 0)))"#;
    let error = load(component(wat, "guest")).await.describe().await.expect_err("it was described");
    assert!(matches!(error, Error::Describe(_)), "{error}");
}

struct Disk {
    _directory: tempfile::TempDir,
    cache: PathBuf,
    component: Bytes,
}

impl Disk {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cache = directory.path().join("cache");
        Self { _directory: directory, cache, component: plugin(MEMORY, "(i32.const 5)") }
    }

    fn runtime(&self) -> Runtime {
        let cache_dir = Some(self.cache.clone());
        Runtime::new(RuntimeConfig { cache_dir, ..RuntimeConfig::default() }).unwrap()
    }

    /// A new process, as far as the cache can tell: loads and runs the plugin.
    async fn start(&self) {
        let runtime = self.runtime();
        let digest = sha256(&self.component);
        let plugin = runtime.load(self.component.clone(), &digest).await.unwrap();
        let (invocation, frames) = invocation(1);
        assert_eq!(run(&plugin, invocation, frames).await.0, Exit::Status(5));
    }

    /// The one compiled file; beside it there is only its record.
    fn file(&self) -> PathBuf {
        let mut files: Vec<_> =
            std::fs::read_dir(&self.cache).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let ends: Vec<_> = files.iter().map(|file| file.extension().unwrap().to_owned()).collect();
        assert_eq!(ends, ["cwasm", "json"], "{files:?}");
        files.remove(0)
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Long ago, to see whether a file was written again.
fn age(path: &Path) -> SystemTime {
    let then = SystemTime::now() - Duration::from_secs(10_000);
    std::fs::File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
    modified(path)
}

fn modified(path: &Path) -> SystemTime {
    std::fs::metadata(path).unwrap().modified().unwrap()
}

#[tokio::test]
async fn a_compiled_plugin_is_kept_for_us_alone() {
    let disk = Disk::new();
    disk.start().await;
    let file = disk.file();
    assert_eq!((mode(&disk.cache), mode(&file)), (0o700, 0o600));
    let aged = age(&file);
    disk.start().await;
    assert_eq!(modified(&disk.file()), aged, "it was compiled again");
}

#[tokio::test]
async fn a_damaged_file_is_compiled_again() {
    let disk = Disk::new();
    disk.start().await;
    let file = disk.file();
    let sound = std::fs::read(&file).unwrap();
    let mut flipped = sound.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for damaged in [&flipped[..], &sound[..sound.len() / 2], &sound[..7], &[]] {
        std::fs::write(&file, damaged).unwrap();
        let aged = age(&file);
        disk.start().await;
        assert_ne!(modified(&disk.file()), aged, "{} bytes were used", damaged.len());
        assert_eq!(std::fs::read(&file).unwrap().len(), sound.len());
    }
}

#[tokio::test]
async fn a_touched_file_is_checked_once_and_used() {
    let disk = Disk::new();
    disk.start().await;
    let (file, record) = (disk.file(), disk.file().with_extension("json"));
    let before = std::fs::read_to_string(&record).unwrap();
    let aged = age(&file);
    disk.start().await;
    let after = std::fs::read_to_string(&record).unwrap();
    assert_ne!(before, after, "its new times were not noted");
    disk.start().await;
    assert_eq!(std::fs::read_to_string(&record).unwrap(), after);
    assert_eq!(modified(&disk.file()), aged, "it was compiled again");
}

#[tokio::test]
async fn a_file_without_a_readable_record_is_compiled_again() {
    let disk = Disk::new();
    disk.start().await;
    let record = disk.file().with_extension("json");
    let sound = std::fs::read_to_string(&record).unwrap();
    let newer = sound.replace("\"version\":1", "\"version\":2");
    assert_ne!(newer, sound);
    for text in ["", "{}", &newer] {
        std::fs::write(&record, text).unwrap();
        let aged = age(&disk.file());
        disk.start().await;
        assert_ne!(modified(&disk.file()), aged, "it was used with the record {text:?}");
    }
    std::fs::remove_file(&record).unwrap();
    disk.start().await;
    disk.file();
}

#[tokio::test]
async fn a_cached_plugin_is_ready_without_its_bytes() {
    let json = r#"{"name":"packed","version":"3.2.1","summary":"a test","contract":"0.1.0"}"#;
    let mut disk = Disk::new();
    disk.component = package::with_manifest(&disk.component, json).unwrap().into();
    let digest = sha256(&disk.component);
    disk.start().await;
    let runtime = disk.runtime();
    let plugin = runtime.ready(&digest.to_ascii_uppercase()).await.expect("it is in the cache");
    assert_eq!(plugin.manifest().expect("it is packed").name, "packed");
    let (invocation, frames) = invocation(1);
    assert_eq!(run(&plugin, invocation, frames).await.0, Exit::Status(5));
    assert!(runtime.ready(&digest).await.unwrap().is_same(&plugin), "it was loaded again");
    let name = disk.file();
    let name = name.file_stem().unwrap().to_str().unwrap();
    for other in ["", "../cache", &"0".repeat(64), name] {
        assert!(runtime.ready(other).await.is_none(), "{other:?}");
    }
}

#[tokio::test]
async fn a_manifest_in_the_file_is_the_manifest() {
    let bytes = plugin(MEMORY, "(i32.const 0)");
    assert_eq!(load(bytes.clone()).await.manifest(), None, "nobody asked it yet");
    let json = r#"{"name":"packed","version":"3.2.1","summary":"a test","contract":"0.1.0"}"#;
    let packed = load(package::with_manifest(&bytes, json).unwrap().into()).await;
    assert_eq!(packed.describe().await.unwrap().name, "packed");
    let error = refusal(package::with_manifest(&bytes, "[]").unwrap().into()).await;
    assert!(matches!(error, Error::Manifest(_)), "{error}");
    let long = format!("{json}{}", " ".repeat(MANIFEST_MAX_BYTES));
    let error = refusal(package::with_manifest(&bytes, &long).unwrap().into()).await;
    assert!(matches!(error, Error::ManifestTooLarge { .. }), "{error}");
}

#[tokio::test]
async fn a_core_module_is_told_what_to_do() {
    let error = refusal(Bytes::from_static(b"\0asm\x01\0\0\0")).await.to_string();
    assert_eq!(
        error,
        "not a WASM component: this is a core module; 'blitz plugin build' makes a component of it"
    );
}

/// Files of machine code that this process maps.
fn mapped(cache: &Path) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let cache = cache.to_str().unwrap();
    let files = maps.lines().filter_map(|line| line.split_once(cache).map(|(_, name)| name));
    files.filter(|name| name.ends_with(".cwasm")).collect::<std::collections::BTreeSet<_>>().len()
}

#[tokio::test]
async fn of_many_plugins_a_few_are_in_memory() {
    let disk = Disk::new();
    let runtime = disk.runtime();
    let mut digests = Vec::new();
    for n in 0..LOADED_MAX + 20 {
        let json =
            format!(r#"{{"name":"n{n}","version":"1.0.0","summary":"","contract":"0.1.0"}}"#);
        let bytes: Bytes = package::with_manifest(&disk.component, &json).unwrap().into();
        let digest = sha256(&bytes);
        runtime.load(bytes, &digest).await.unwrap();
        digests.push(digest);
    }
    assert_eq!(mapped(&disk.cache), LOADED_MAX);
    // The first ones went; without their bytes they come back, and others go.
    for (n, digest) in digests.iter().enumerate().take(20) {
        let plugin = runtime.ready(digest).await.unwrap();
        assert_eq!(plugin.manifest().unwrap().name, format!("n{n}"));
        let (invocation, frames) = invocation(1);
        assert_eq!(run(&plugin, invocation, frames).await.0, Exit::Status(5));
    }
    assert_eq!(mapped(&disk.cache), LOADED_MAX);
}

#[tokio::test]
async fn a_file_that_others_may_write_is_not_run() {
    let disk = Disk::new();
    disk.start().await;
    let file = disk.file();
    std::fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    let aged = age(&file);
    disk.start().await;
    assert_ne!(modified(&disk.file()), aged, "it was used");
    assert_eq!(mode(&file), 0o600);
}

#[tokio::test]
async fn a_directory_that_is_open_to_others_is_not_used() {
    let disk = Disk::new();
    std::fs::create_dir(&disk.cache).unwrap();
    std::fs::set_permissions(&disk.cache, Permissions::from_mode(0o777)).unwrap();
    disk.start().await;
    assert_eq!(std::fs::read_dir(&disk.cache).unwrap().count(), 0);
}

#[tokio::test]
async fn callers_at_the_same_time_share_one_compilation() {
    let runtime = Runtime::new(RuntimeConfig::default()).unwrap();
    let bytes = plugin(MEMORY, "(i32.const 0)");
    let digest = sha256(&bytes);
    let (one, two) =
        tokio::join!(runtime.load(bytes.clone(), &digest), runtime.load(bytes.clone(), &digest));
    assert!(one.unwrap().is_same(&two.unwrap()));
}
