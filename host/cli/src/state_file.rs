//! The state file of `blitz up`: where its gateway is, and the tokens. Only its owner may read it.
//!
//! `blitz up` holds a lock on the file for its life, from before the file gets its name. A file without
//! that lock is stale, whoever has its port now: a process that is killed cannot remove its file, but the
//! system takes its lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::text::without_os_code;

/// Bytes of a state file. Ours has about 400, with a hundred regions 2000.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What it holds. Fields of a later version are passed over.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UpState {
    /// `http://127.0.0.1:8042`
    pub(crate) gateway: String,
    pub(crate) token: String,
    /// `http://127.0.0.1:PORT`, without name and password.
    pub(crate) store: String,
    pub(crate) store_admin: String,
    pub(crate) store_password: String,
    pub(crate) pid: u32,
    pub(crate) regions: Vec<String>,
    /// The file with the private keys of its regions, for engines that join it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) region_keys: Option<PathBuf>,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Somebody else may have read the tokens, or written them.
    #[error(
        "the state file '{}' is open to others (mode {mode:04o}) and holds a token; \
         'chmod 600' it or start 'blitz up' again", path.display()
    )]
    OpenToOthers { path: PathBuf, mode: u32 },
    /// Somebody else wrote it, and may have our tokens sent to them.
    #[error(
        "the state file '{}' belongs to another user (id {owner}); \
         remove it, or name your own with BLITZ_STATE", path.display()
    )]
    OfAnother { path: PathBuf, owner: u32 },
    /// Not a file of ours.
    #[error("the state file '{}' cannot be read: {cause}; remove it", path.display())]
    Unreadable { path: PathBuf, cause: String },
    /// Writing failed.
    #[error("cannot write the state file '{}': {}", path.display(), without_os_code(&source.to_string()))]
    Write { path: PathBuf, source: io::Error },
}

impl std::fmt::Debug for UpState {
    /// Without the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpState")
            .field("gateway", &self.gateway)
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

/// What the file says of the `blitz up` that runs; `None` when there is none, or a stale one.
pub(crate) fn read(path: &Path) -> Result<Option<UpState>, Error> {
    let unreadable =
        |cause: String| Error::Unreadable { path: path.to_owned(), cause: without_os_code(&cause) };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let metadata = file.metadata().map_err(|e| unreadable(e.to_string()))?;
    check(path, metadata.uid(), metadata.mode(), rustix::process::geteuid().as_raw())?;
    // Shared, so that two readers do not take each other for the holder.
    match file.try_lock_shared() {
        Ok(()) => return Ok(None),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(unreadable(error.to_string())),
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(unreadable(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    let mut text = String::new();
    io::Read::read_to_string(&mut file, &mut text).map_err(|e| unreadable(e.to_string()))?;
    serde_json::from_str(&text).map(Some).map_err(|e| unreadable(e.to_string()))
}

/// Whether the file is the user's (`me`) alone.
fn check(path: &Path, owner: u32, mode: u32, me: u32) -> Result<(), Error> {
    if owner != me {
        return Err(Error::OfAnother { path: path.to_owned(), owner });
    }
    match mode & 0o777 {
        mode if mode & 0o077 != 0 => Err(Error::OpenToOthers { path: path.to_owned(), mode }),
        _ => Ok(()),
    }
}

/// A state file that is held. Dropped, the file is stale.
#[derive(Debug)]
pub(crate) struct Held {
    path: PathBuf,
    file: File,
}

/// Writes the file so that a reader sees the old one or the new one, never half of one, and the new one
/// never without its lock.
pub(crate) fn write(path: &Path, state: &UpState) -> Result<Held, Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", state.pid));
    let beside = PathBuf::from(beside);
    let text = serde_json::to_vec_pretty(state).map_err(|e| failed(e.into()))?;
    // One that a killed process of the same pid left behind may be in the way.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .map_err(failed)?;
    file.write_all(&text)
        .and_then(|()| file.try_lock().map_err(io::Error::from))
        .and_then(|()| fs::rename(&beside, path))
        .map_err(failed)?;
    Ok(Held { path: path.to_owned(), file })
}

impl Held {
    /// Removes the file if it is still this one: a later `blitz up` may have written its own.
    pub(crate) fn remove(self) {
        let here = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let own = self.file.metadata().map(here);
        if fs::metadata(&self.path).map(here).is_ok_and(|there| own.is_ok_and(|own| own == there)) {
            // One that stays is stale with the end of the lock.
            let _stale: io::Result<()> = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn state() -> UpState {
        UpState {
            gateway: "http://127.0.0.1:8042".to_owned(),
            token: "secret".to_owned(),
            store: "http://127.0.0.1:1".to_owned(),
            store_admin: "blitz".to_owned(),
            store_password: "hidden".to_owned(),
            pid: 7,
            regions: vec!["japan".to_owned()],
            region_keys: None,
        }
    }

    #[test]
    fn a_state_is_kept_for_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/up.json");
        assert_eq!(read(&path).unwrap(), None);
        let earlier = write(&path, &state()).unwrap();
        let later = write(&path, &UpState { pid: 8, ..state() }).unwrap();
        assert_eq!(read(&path).unwrap(), Some(UpState { pid: 8, ..state() }));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);

        earlier.remove();
        assert!(path.exists(), "the file of another process stays");
        later.remove();
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_nobody_holds_is_stale() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("up.json");
        let held = write(&path, &state()).unwrap();
        assert_eq!(read(&path).unwrap(), Some(state()));
        assert_eq!(read(&path).unwrap(), Some(state()), "a reader takes nothing from the next");
        drop(held);
        assert!(path.exists());
        assert_eq!(read(&path).unwrap(), None);
        let held = write(&path, &state()).unwrap();
        assert_eq!(read(&path).unwrap(), Some(state()), "a stale one is replaced");
        held.remove();
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("up.json");
        let _held = write(&path, &state()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("open to others (mode 0640)"), "{error}");
        fs::write(&path, "not JSON").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("remove it"));
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        let path = Path::new("up.json");
        assert!(check(path, 1000, 0o100_600, 1000).is_ok());
        for (owner, me) in [(1001, 1000), (0, 1000), (1000, 0)] {
            let error = check(path, owner, 0o100_600, me).unwrap_err().to_string();
            assert!(error.contains(&format!("another user (id {owner})")), "{error}");
        }
    }

    #[test]
    fn secrets_stay_out_of_logs() {
        let text = format!("{:?}", state());
        assert!(!text.contains("secret") && !text.contains("hidden"), "{text}");
    }
}
