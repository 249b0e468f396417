//! The credentials file of `blitz login`: which gateways this user is logged in at, with which key, and which of them is meant when
//! none is named. Only its owner may read it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::text::{quoted, without_os_code};

/// Bytes of a credentials file: a hundred gateways have 15 KB.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What the file says. What a later version adds is passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Credentials {
    /// The gateway that is meant when none is named, by its origin.
    #[serde(default)]
    pub(crate) default: Option<String>,
    /// By origin, as [`crate::api::origin`] gives it.
    #[serde(default)]
    pub(crate) gateways: BTreeMap<String, Login>,
}

/// What is kept of one gateway.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Login {
    /// The key: a secret.
    pub(crate) key: String,
    /// Who it is, for people: what the gateway said at the login.
    #[serde(default)]
    pub(crate) who: String,
}

impl fmt::Debug for Login {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("who", &self.who).finish_non_exhaustive()
    }
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No place for it.
    #[error(
        "no place for the credentials: set HOME or XDG_CONFIG_HOME, or use BLITZ_HOST and BLITZ_TOKEN"
    )]
    NoPlace,
    /// Somebody else may have read the keys, or written them.
    #[error(
        "the credentials in '{}' are open to others (mode {mode:04o}); 'chmod 600 {}', and revoke its keys if somebody \
         may have read them", path.display(), quoted(&path.display().to_string())
    )]
    OpenToOthers { path: PathBuf, mode: u32 },
    /// Somebody else wrote it, and may have our jobs sent to them.
    #[error(
        "the credentials in '{}' belong to another user (id {owner}); move the file away and 'blitz login' again",
        path.display()
    )]
    OfAnother { path: PathBuf, owner: u32 },
    /// Not a file of ours.
    #[error("the credentials in '{}' cannot be read: {cause}; mend the file, or move it away and 'blitz login' again", path.display())]
    Unreadable { path: PathBuf, cause: String },
    /// Writing failed.
    #[error("cannot write the credentials to '{}': {}", path.display(), without_os_code(&source.to_string()))]
    Write { path: PathBuf, source: io::Error },
}

impl Credentials {
    /// What is kept; nothing when there is no file.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let unreadable = |cause: &dyn fmt::Display| Error::Unreadable {
            path: path.to_owned(),
            cause: without_os_code(&cause.to_string()),
        };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(unreadable(&error)),
        };
        let metadata = file.metadata().map_err(|e| unreadable(&e))?;
        check(path, metadata.uid(), metadata.mode(), rustix::process::geteuid().as_raw())?;
        if metadata.len() > FILE_BYTES_MAX {
            return Err(unreadable(&format_args!("it has more than {FILE_BYTES_MAX} bytes")));
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(|e| unreadable(&e))?;
        // The line is not quoted: it may be a key's.
        toml::from_str(&text).map_err(|e| unreadable(&e.message()))
    }

    /// The key of a gateway.
    pub(crate) fn login(&self, origin: &str) -> Option<&Login> {
        self.gateways.get(origin)
    }

    /// The gateway that is meant when none is named, and its key. One that has lost its key is none.
    pub(crate) fn default_login(&self) -> Option<(&str, &Login)> {
        let origin = self.default.as_deref()?;
        Some((origin, self.login(origin)?))
    }
}

/// Keeps a gateway's key, in place of what was kept of it, and makes it the one that is meant.
pub(crate) fn keep(path: &Path, origin: &str, login: Login) -> Result<(), Error> {
    change(path, |credentials| {
        credentials.gateways.insert(origin.to_owned(), login);
        credentials.default = Some(origin.to_owned());
    })
}

/// Forgets a gateway. Which one is meant then nobody has said: none.
pub(crate) fn forget(path: &Path, origin: &str) -> Result<(), Error> {
    change(path, |credentials| {
        credentials.gateways.remove(origin);
        credentials.default.take_if(|default| default == origin);
    })
}

/// Reads, changes and writes, so that a reader sees the old file or the new one, and of two changes at once none is lost.
fn change(path: &Path, act: impl FnOnce(&mut Credentials)) -> Result<(), Error> {
    // A file that is kept elsewhere and linked to its place stays there.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let directory = path.parent().filter(|d| !d.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    // Held until the end of this function. The file itself cannot be locked: it is replaced.
    let lock = File::open(directory).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let mut credentials = Credentials::read(path)?;
    act(&mut credentials);
    let text = written(&credentials);
    // Made for its owner alone, from the first byte on.
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}

/// The file as it is written. A string of JSON is one of TOML, too, but for a delete character, which nothing here has.
fn written(credentials: &Credentials) -> String {
    let string = |text: &str| serde_json::Value::from(text.replace('\u{7f}', "")).to_string();
    let mut text = HEAD.to_owned();
    if let Some(default) = &credentials.default {
        text.push_str(&format!("default = {}\n", string(default)));
    }
    for (origin, Login { key, who }) in &credentials.gateways {
        let (origin, key, who) = (string(origin), string(key), string(who));
        text.push_str(&format!("\n[gateways.{origin}]\nkey = {key}\nwho = {who}\n"));
    }
    text
}

/// What the file begins with.
const HEAD: &str =
    "# Written by 'blitz login'. These keys are secrets: who has one can do what you can.\n";

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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    const A: &str = "http://a:1";
    const B: &str = "http://b:1";

    fn login(key: &str) -> Login {
        Login { key: key.to_owned(), who: "ann of acme".to_owned() }
    }

    #[test]
    fn gateways_are_kept_and_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("blitz/credentials.toml");
        assert_eq!(Credentials::read(&path).unwrap(), Credentials::default());
        forget(&path, A).unwrap();
        keep(&path, A, login("old")).unwrap();
        keep(&path, A, login("k1")).unwrap();
        keep(&path, B, login("k2")).unwrap();
        let kept = Credentials::read(&path).unwrap();
        assert_eq!(kept.default_login(), Some((B, &login("k2"))), "the last one is meant");
        assert_eq!(kept.login(A), Some(&login("k1")));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let parent = path.parent().unwrap();
        assert_eq!(fs::metadata(parent).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(parent).unwrap().count(), 1, "nothing is left beside it");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# Written by 'blitz login'"), "{text}");

        forget(&path, B).unwrap();
        let kept = Credentials::read(&path).unwrap();
        assert_eq!((kept.default_login(), kept.gateways.len()), (None, 1));
        assert!(!fs::read_to_string(&path).unwrap().contains("k2"));
    }

    #[test]
    fn changes_at_once_are_all_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials.toml");
        std::thread::scope(|scope| {
            for number in 0..16 {
                let path = &path;
                scope.spawn(move || keep(path, &format!("http://h:{number}"), login("k")).unwrap());
            }
        });
        assert_eq!(Credentials::read(&path).unwrap().gateways.len(), 16);
    }

    #[test]
    fn a_linked_file_stays_where_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("real.toml"), directory.path().join("link"));
        keep(&path, A, login("k1")).unwrap();
        symlink(&path, &link).unwrap();
        keep(&link, B, login("k2")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(Credentials::read(&path).unwrap().gateways.len(), 2);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials.toml");
        keep(&path, A, login("k1")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        for error in [Credentials::read(&path).unwrap_err(), forget(&path, A).unwrap_err()] {
            let error = error.to_string();
            assert!(error.contains("open to others (mode 0644); 'chmod 600 "), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "key = blitz_hidden").unwrap();
        let error = keep(&path, B, login("k2")).unwrap_err().to_string();
        assert!(error.contains("cannot be read") && !error.contains("hidden"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "key = blitz_hidden");
        let error = check(&path, 1, 0o100_600, 2).unwrap_err().to_string();
        assert!(error.contains("another user (id 1)"), "{error}");
    }

    #[test]
    fn keys_stay_out_of_logs() {
        let gateways = BTreeMap::from([(A.to_owned(), login("hidden"))]);
        let text = format!("{:?}", Credentials { default: None, gateways });
        assert!(text.contains("ann of acme") && !text.contains("hidden"), "{text}");
    }
}
