//! Compiled components on disk, so that the second process starts in milliseconds.
//!
//! A file is found by the component's digest and by wasmtime's compatibility hash (its version, settings
//! and the CPU's features). It is machine code that we run: the directory and the file must be ours and
//! closed to others, and the file begins with a digest of the rest, so that a torn or rotten one is
//! compiled again and not run. Compiled code never comes from anywhere else.

use std::fs::{DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::limits::CACHE_FILES_MAX;

const DIGEST_BYTES: usize = 32;
const SUFFIX: &str = ".cwasm";

pub(crate) struct Cache {
    dir: PathBuf,
    /// Changes with everything that would make a file unusable. The standard library does not promise
    /// this hash between its releases; a new one only costs a compilation.
    compatibility: u64,
    temporary_names: AtomicU64,
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

    /// The component of this digest, when a sound file of ours holds it.
    pub(crate) fn read(&self, engine: &Engine, sha256: &str) -> Option<Component> {
        let path = self.path(sha256);
        match load(engine, &path) {
            Ok(component) => Some(component),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a compiled plugin is unusable; compiled again");
                None
            }
        }
    }

    /// Keeps a component. Other processes see the whole file or none.
    pub(crate) fn write(&self, component: &Component, sha256: &str) -> io::Result<()> {
        let code = component.serialize().map_err(|e| io::Error::other(format!("{e:#}")))?;
        let number = self.temporary_names.fetch_add(1, Ordering::Relaxed);
        let temporary = self.dir.join(format!(".{}.{number}.tmp", std::process::id()));
        let written = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .and_then(|mut file| {
                file.write_all(&Sha256::digest(&code))?;
                file.write_all(&code)
            })
            .and_then(|()| std::fs::rename(&temporary, self.path(sha256)));
        if written.is_err() {
            // The first error is the one to report.
            let _ignored = std::fs::remove_file(&temporary);
        }
        written?;
        self.prune()
    }

    /// Removes the oldest files beyond the limit.
    fn prune(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().ends_with(SUFFIX) {
                files.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        files.sort();
        let surplus = files.len().saturating_sub(CACHE_FILES_MAX);
        for (_, path) in files.into_iter().take(surplus) {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.dir.join(format!("{sha256}-{:016x}{SUFFIX}", self.compatibility))
    }
}

#[expect(unsafe_code, reason = "compiled code is run as it is; see the module's text")]
fn load(engine: &Engine, path: &Path) -> io::Result<Component> {
    let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits())
        .expect("an open flag is a positive C int");
    let mut file = OpenOptions::new().read(true).custom_flags(no_follow).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    only_ours(&metadata)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let Some((digest, code)) = bytes.split_at_checked(DIGEST_BYTES) else {
        return Err(io::Error::other("shorter than its digest"));
    };
    if Sha256::digest(code).as_slice() != digest {
        return Err(io::Error::other("its digest does not match"));
    }
    // SAFETY: the bytes are what `Component::serialize` gave us: `write` is the only writer of such
    // files, the digest shows that they are whole, and `only_ours` that nobody else could write the
    // file. `deserialize` itself refuses another version or configuration of wasmtime.
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
