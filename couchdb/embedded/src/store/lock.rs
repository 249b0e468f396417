//! One process a directory: an exclusive lock on a file that also names its holder.

use crate::error::OpenError;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
};

const FILE: &str = "lock";

/// The longest lock file that is read: a number and a line end.
const LOCK_BYTES_MAX: u64 = 32;

/// Holds a directory until it is dropped. The kernel frees it when the process dies.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    directory: PathBuf,
    file: File,
}

impl DirectoryLock {
    /// Makes the directory when it is missing, and takes it.
    pub(super) fn take(directory: &Path) -> Result<DirectoryLock, OpenError> {
        let failed = |path: &Path, cause| open_error(path.to_owned(), cause);
        create(directory).map_err(|cause| failed(directory, cause))?;
        let path = directory.join(FILE);
        let mut file = open_private(&path).map_err(|cause| failed(&path, cause))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = holder(&mut file);
                return Err(OpenError::InUse { directory: directory.to_owned(), pid });
            }
            Err(TryLockError::Error(cause)) => return Err(failed(&path, cause)),
        }
        write_holder(&mut file).map_err(|cause| failed(&path, cause))?;
        tighten(&path);
        Ok(DirectoryLock { directory: directory.to_owned(), file })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for DirectoryLock {
    /// Closing alone would not do: a child process that is just being started still has the file.
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            tracing::warn!(directory = %self.directory.display(), %error, "a store stays locked");
        }
    }
}

/// Makes the directory for this user alone: the store has no other wall against those who share the
/// machine.
fn create(directory: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// Opens a file to read and write; one that is missing is made for this user alone.
pub(super) fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, PRIVATE);
    options.open(path)
}

/// Takes the rights of others from a file that was made before, if it is there.
pub(super) fn tighten(path: &Path) {
    #[cfg(unix)]
    {
        use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};
        let Ok(metadata) = std::fs::metadata(path) else { return };
        if metadata.permissions().mode() & 0o777 & !PRIVATE == 0 {
            return;
        }
        // It belongs to somebody else, who decides; the store works all the same.
        if let Err(error) = std::fs::set_permissions(path, Permissions::from_mode(PRIVATE)) {
            tracing::warn!(path = %path.display(), %error, "others may read a file of the store");
        }
    }
}

/// The rights of a file that only its owner reads and writes.
#[cfg(unix)]
const PRIVATE: u32 = 0o600;

fn write_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(LOCK_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// What the operating system's refusal means to the caller.
pub(super) fn open_error(path: PathBuf, cause: io::Error) -> OpenError {
    match cause.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            OpenError::ReadOnly { path }
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            OpenError::NotDirectory { path }
        }
        io::ErrorKind::IsADirectory => {
            OpenError::Corrupt { file: path, detail: String::from("it is a directory") }
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => OpenError::Full { path },
        _ => OpenError::Io { path, cause },
    }
}
