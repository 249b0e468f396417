//! `blitz plugin key`: the publisher's own key, a file that is made at its first use.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use blitz_jobs::plugin::SigningKey;

use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::plugin::Error;
use crate::run::{print, say};
use crate::text::without_os_code;

/// `blitz plugin key`.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyArgs {
    /// The file of the secret key [default: ~/.config/blitz/plugin.key] [env: BLITZ_PLUGIN_KEY]
    #[arg(long, value_name = "FILE")]
    pub(super) key: Option<PathBuf>,
}

/// Why there is no key. Texts read after "blitz: ".
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// No place for it.
    #[error("no place for the publisher's key: set BLITZ_PLUGIN_KEY, or HOME")]
    NoPlace,
    /// Somebody else may have read it.
    #[error(
        "the key '{}' is open to others (mode {mode:04o}); 'chmod 600' it, and make a new one if \
         somebody may have read it", path.display()
    )]
    OpenToOthers { path: PathBuf, mode: u32 },
    /// Not what was written.
    #[error("the key '{}' is none; move it away and a new one is made", path.display())]
    Broken { path: PathBuf },
    /// The system.
    #[error("cannot read or make the key '{}': {}", path.display(), without_os_code(&source.to_string()))]
    Io { path: PathBuf, source: io::Error },
}

pub(crate) async fn run(args: KeyArgs, environment: &Environment) -> Result<ExitCode, Error> {
    let path = path(args.key, environment).map_err(|e| Error::Usage(e.to_string()))?;
    let key = own(&path).map_err(|e| Error::Failed(e.to_string()))?.public();
    say(&format!(
        "blitz: the key in '{}'; who lets your plugins run: blitz plugin trust",
        path.display()
    ));
    Ok(print(&format!("{key}\n")))
}

/// Where the key is.
pub(crate) fn path(named: Option<PathBuf>, environment: &Environment) -> Result<PathBuf, KeyError> {
    named.or_else(|| environment.plugin_key.clone()).ok_or(KeyError::NoPlace)
}

/// The key in the file, which is made when there is none.
pub(crate) fn own(path: &Path) -> Result<SigningKey, KeyError> {
    let io = |source| KeyError::Io { path: path.to_owned(), source };
    match read(path)? {
        Some(key) => return Ok(key),
        None => make(path).map_err(io)?,
    }
    // Another process may have made it first: what stands there counts.
    read(path)?.ok_or_else(|| KeyError::Broken { path: path.to_owned() })
}

fn read(path: &Path) -> Result<Option<SigningKey>, KeyError> {
    let io = |source| KeyError::Io { path: path.to_owned(), source };
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    match file.metadata().map_err(io)?.mode() & 0o777 {
        mode if mode & 0o077 != 0 => {
            return Err(KeyError::OpenToOthers { path: path.to_owned(), mode });
        }
        _ => {}
    }
    let mut text = String::new();
    let limit = io::Read::take(io::Read::by_ref(&mut file), KEY_FILE_BYTES_MAX);
    io::Read::read_to_string(&mut { limit }, &mut text).map_err(io)?;
    let key = SigningKey::from_secret_text(&text);
    key.map(Some).map_err(|_| KeyError::Broken { path: path.to_owned() })
}

/// Bytes of a key's file: ours has 45.
const KEY_FILE_BYTES_MAX: u64 = 1024;

/// Makes a new key under a name of its own and links it to its place: nobody ever sees half of one, and one
/// that is there is never replaced.
fn make(path: &Path) -> io::Result<()> {
    if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let key = SigningKey::generate().map_err(|_| io::Error::other("no random numbers"))?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let linked = file
        .write_all(format!("{}\n", key.to_secret_text()).as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&beside, path));
    fs::remove_file(&beside)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("blitz/plugin.key");
        let first = own(&path).unwrap().public();
        assert_eq!(own(&path).unwrap().public(), first);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = own(&path).unwrap_err().to_string();
        assert!(error.contains("open to others (mode 0640)"), "{error}");
        fs::write(&path, "rubbish").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(own(&path), Err(KeyError::Broken { .. })), "and it is not replaced");
    }

    #[test]
    fn who_comes_second_takes_the_key_that_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("plugin.key");
        let first = own(&path).unwrap().public();
        make(&path).unwrap();
        assert_eq!(own(&path).unwrap().public(), first);
    }
}
