//! The state file of `blitz up`: where its gateway is, and the tokens. Only its owner may read it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
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

/// Reads the file; `None` when there is none.
pub(crate) fn read(path: &Path) -> Result<Option<UpState>, Error> {
    let unreadable =
        |cause: String| Error::Unreadable { path: path.to_owned(), cause: without_os_code(&cause) };
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let metadata = file.metadata().map_err(|e| unreadable(e.to_string()))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::OpenToOthers { path: path.to_owned(), mode });
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(unreadable(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    let mut text = String::new();
    io::Read::read_to_string(&mut file, &mut text).map_err(|e| unreadable(e.to_string()))?;
    serde_json::from_str(&text).map(Some).map_err(|e| unreadable(e.to_string()))
}

/// Writes the file so that a reader sees the old one or the new one, never half of one.
pub(crate) fn write(path: &Path, state: &UpState) -> Result<(), Error> {
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
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| file.write_all(&text))
        .and_then(|()| fs::rename(&beside, path))
        .map_err(failed)
}

/// Removes the file if it is still `state`'s: a later `blitz up` may have written its own.
pub(crate) fn remove(path: &Path, state: &UpState) {
    if matches!(read(path), Ok(Some(found)) if found == *state) {
        // A file that stays is stale, and a stale one is passed over by its readers.
        let _stale: io::Result<()> = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
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
        }
    }

    #[test]
    fn a_state_is_kept_for_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/up.json");
        assert_eq!(read(&path).unwrap(), None);
        write(&path, &state()).unwrap();
        write(&path, &state()).unwrap();
        assert_eq!(read(&path).unwrap(), Some(state()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);

        remove(&path, &UpState { pid: 8, ..state() });
        assert!(path.exists(), "the file of another process stays");
        remove(&path, &state());
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("up.json");
        write(&path, &state()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("open to others (mode 0640)"), "{error}");
        fs::write(&path, "not JSON").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("remove it"));
    }

    #[test]
    fn secrets_stay_out_of_logs() {
        let text = format!("{:?}", state());
        assert!(!text.contains("secret") && !text.contains("hidden"), "{text}");
    }
}
