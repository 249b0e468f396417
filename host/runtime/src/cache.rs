//! Compiled components on disk, so that the second process starts in milliseconds.
//!
//! A file is found by the component's digest and by wasmtime's compatibility hash (its version, settings
//! and the CPU's features). It is machine code that we run, and it is mapped and not read: a Python component's
//! 33 MiB are there in a millisecond, and their pages belong to the file. So nothing may change it under us, and a
//! torn or rotten one must be seen without reading it:
//!
//! - The directory and the file must be ours and closed to others, and compiled code never comes from anywhere else.
//! - A file gets its name when it is whole and on the disk, and is never written again, only removed.
//! - Beside it lies a [record](Record): its digest, and its size, inode and times as they were when the digest was
//!   right. As in git's index, equal times mean equal content: the kernel sets the time of change at each write, and
//!   nobody else can set it. A file that was touched or copied is read whole against its digest once, and compiled
//!   again if it differs. Bytes that rot below the file system are as unseen here as in the program itself.
//!
//! The record keeps the manifest too, so that a plugin can be used without its component.

mod prune;
mod record;

use std::fs::{DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::Engine;
use wasmtime::component::Component;

use self::record::{Record, Stamp, digest};
use crate::limits::CACHE_MAX_BYTES;

/// How the name of machine code ends.
const CODE: &str = "cwasm";
/// How the name of its record ends.
const RECORD: &str = "json";
/// How the name of a file that is being written ends.
const TEMPORARY: &str = "tmp";

pub(crate) struct Cache {
    dir: PathBuf,
    /// Changes with everything that would make a file unusable. The standard library does not promise
    /// this hash between its releases; a new one only costs a compilation.
    compatibility: u64,
    temporary_names: AtomicU64,
}

/// What was kept of a component.
pub(crate) struct Kept {
    pub(crate) component: Component,
    /// The text of its manifest section, if it has one.
    pub(crate) manifest: Option<String>,
}

impl Cache {
    /// Takes the directory, making it when it is missing.
    pub(crate) fn open(dir: PathBuf, engine: &Engine) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let metadata = std::fs::symlink_metadata(&dir)?;
        if !metadata.is_dir() {
            return Err(io::Error::other("not a directory"));
        }
        only_ours(&metadata)?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { dir, compatibility: hasher.finish(), temporary_names: AtomicU64::new(0) })
    }

    /// What is kept of the component of this digest, when a sound file of ours holds it.
    pub(crate) fn read(&self, engine: &Engine, sha256: &str) -> Option<Kept> {
        let path = self.path(sha256, CODE);
        match self.load(engine, sha256, &path) {
            Ok(kept) => Some(kept),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a compiled plugin is unusable; compiled again");
                None
            }
        }
    }

    /// Keeps machine code that [`Engine::precompile_component`] made. Other processes see the whole file or none.
    pub(crate) fn write(
        &self,
        code: &[u8],
        sha256: &str,
        manifest: Option<&str>,
    ) -> io::Result<()> {
        // Two processes that compile the same component write the same code: whichever comes last stays, and a
        // record that does not fit its times is made to fit at the next reading.
        let path = self.path(sha256, CODE);
        self.place(&path, code)?;
        let record = Record {
            version: Record::VERSION,
            code_sha256: digest(code),
            stamp: Stamp::of(&std::fs::symlink_metadata(&path)?),
            manifest: manifest.map(str::to_owned),
        };
        self.place(&self.path(sha256, RECORD), &record.to_json()?)?;
        prune::prune(&self.dir, CACHE_MAX_BYTES)
    }

    fn load(&self, engine: &Engine, sha256: &str, path: &Path) -> io::Result<Kept> {
        let record_path = self.path(sha256, RECORD);
        let record_file = open_ours(&record_path)?;
        let mut record = Record::read(&record_file)?;
        let mut file = open_ours(path)?;
        let stamp = Stamp::of(&file.metadata()?);
        if stamp != record.stamp {
            let mut code = Vec::new();
            file.read_to_end(&mut code)?;
            if digest(&code) != record.code_sha256 {
                return Err(io::Error::other("its digest does not match"));
            }
            record.stamp = stamp;
            self.place(&record_path, &record.to_json()?)?;
        }
        let component = map(engine, path).or_else(|error| {
            // A file system without execution is no reason to compile each time.
            tracing::debug!(%error, "a compiled plugin cannot be mapped; read instead");
            component(engine, &std::fs::read(path)?)
        })?;
        prune::used_now(&record_file);
        Ok(Kept { component, manifest: record.manifest })
    }

    /// Writes a whole file, or none.
    fn place(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let number = self.temporary_names.fetch_add(1, Ordering::Relaxed);
        let temporary = self.dir.join(format!(".{}.{number}.{TEMPORARY}", std::process::id()));
        let written = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .and_then(|mut file| {
                file.write_all(bytes)?;
                // Its name must not reach the disk before its content.
                file.sync_all()
            })
            .and_then(|()| std::fs::rename(&temporary, path));
        if written.is_err() {
            // The first error is the one to report.
            let _ignored = std::fs::remove_file(&temporary);
        }
        written
    }

    fn path(&self, sha256: &str, suffix: &str) -> PathBuf {
        self.dir.join(format!("{sha256}-{:016x}.{suffix}", self.compatibility))
    }
}

/// Opens a regular file that nobody else could write.
fn open_ours(path: &Path) -> io::Result<File> {
    let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits())
        .expect("an open flag is a positive C int");
    let file = OpenOptions::new().read(true).custom_flags(no_follow).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    only_ours(&metadata)?;
    Ok(file)
}

/// Maps a file of the cache that was checked.
#[expect(unsafe_code, reason = "compiled code is run as it is; see the module's text")]
fn map(engine: &Engine, path: &Path) -> io::Result<Component> {
    // SAFETY: the content is what wasmtime's compiler gave us: `write` is the only writer of such files, and the
    // caller compared the file with its record. It does not change while it is mapped: `write` never opens an
    // existing file, and `open_ours` showed that nobody else can. Between that and this the name may come to mean
    // another file only by our own `write`, which gives an equal one. `deserialize_file` itself refuses another
    // version or configuration of wasmtime.
    let component = unsafe { Component::deserialize_file(engine, path) };
    component.map_err(|e| io::Error::other(format!("{e:#}")))
}

/// Takes machine code from memory, as a copy.
#[expect(unsafe_code, reason = "compiled code is run as it is; see the module's text")]
pub(crate) fn component(engine: &Engine, code: &[u8]) -> io::Result<Component> {
    // SAFETY: both callers have the bytes from wasmtime's compiler: one from a file that was checked as in `map`,
    // the other from `compile` at this moment.
    let component = unsafe { Component::deserialize(engine, code) };
    component.map_err(|e| io::Error::other(format!("{e:#}")))
}

/// Refuses what another user owns or may write or read.
fn only_ours(metadata: &std::fs::Metadata) -> io::Result<()> {
    let us = rustix::process::geteuid().as_raw();
    if metadata.uid() != us {
        return Err(io::Error::other(format!("owned by user {}, not by {us}", metadata.uid())));
    }
    match metadata.mode() & 0o077 {
        0 => Ok(()),
        _ => Err(io::Error::other(format!(
            "open to others (mode {:o}); remove it or make it 0700",
            metadata.mode() & 0o777
        ))),
    }
}
