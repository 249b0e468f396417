//! Whom an engine believes: the digests and keys of its configuration, and a file of this machine that is read
//! again when it changes.
//!
//! Roots of trust are the engine's own, never documents: whoever can write to the control database must not be
//! able to make an engine run anything.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use blitz_jobs::plugin::{BadKey, PublicKey};

/// Which plugins an engine believes.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// sha256 in hexadecimal of components that are believed by themselves: the built-ins.
    pub digests: HashSet<String>,
    /// Keys of publishers, for components.
    pub keys: BTreeSet<PublicKey>,
    /// Keys of publishers, for components and native libraries.
    pub native_keys: BTreeSet<PublicKey>,
    /// A file with more keys, one a line. It may come, change and go while the engine runs.
    pub file: Option<PathBuf>,
}

/// What a key is believed for. A native library has no sandbox of WASM around it: who may publish components need
/// not be let to publish machine code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Components.
    Components,
    /// Components and native libraries.
    Native,
}

/// The word behind a key that is believed for native libraries too.
pub const NATIVE: &str = "native";

/// A line of a trust file that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// It begins with something else than a key.
    #[error(transparent)]
    Key(#[from] BadKey),
    /// Another word stands behind the key.
    #[error("behind a key may stand {NATIVE:?}, and not {0:?}")]
    Word(String),
}

/// Bytes of a trust file: 1,000 keys with a comment each.
const FILE_BYTES_MAX: u64 = 128 << 10;

/// Write permission for others than the owner.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Why the keys of a trust file do not count.
#[derive(Debug, thiserror::Error)]
pub enum TrustFileError {
    /// Somebody else could add a key.
    #[error(
        "the trust file '{}' can be written by others (mode {mode:04o}); 'chmod 600' it", path.display()
    )]
    WritableByOthers {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Somebody else owns it.
    #[error(
        "the trust file '{}' belongs to user {owner}; it must be root's or that of the engine's user",
        path.display()
    )]
    OfAnother {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// It is no list of keys.
    #[error("the trust file '{}' has more than {FILE_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("cannot read the trust file '{}': {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The keys in the text of a trust file: one in base64 a line, `native` behind it when it is believed for native
/// libraries too, `#` begins a comment. Of two lines with one key the wider counts. Second, the numbers of the
/// lines that hold something else.
#[must_use]
pub fn parse(text: &str) -> (BTreeMap<PublicKey, Scope>, Vec<usize>) {
    let (mut keys, mut wrong) = (BTreeMap::new(), Vec::new());
    for (at, line) in text.lines().enumerate() {
        match key_of_line(line) {
            None => {}
            Some(Ok((key, scope))) => {
                let known = keys.entry(key).or_insert(scope);
                *known = scope.max(*known);
            }
            Some(Err(_)) => wrong.push(at + 1),
        }
    }
    (keys, wrong)
}

/// The key of one line of a trust file; `None` when it holds none.
pub fn key_of_line(line: &str) -> Option<Result<(PublicKey, Scope), BadLine>> {
    let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
    let key = words.next()?.parse::<PublicKey>();
    let scope = match (words.next(), words.next()) {
        (None, _) => Ok(Scope::Components),
        (Some(NATIVE), None) => Ok(Scope::Native),
        (Some(NATIVE), Some(word)) | (Some(word), _) => Err(BadLine::Word(word.to_owned())),
    };
    Some(key.map_err(BadLine::from).and_then(|key| Ok((key, scope?))))
}

/// The text of a trust file that nobody but its owner or root can have written; `None` when there is none.
/// Anybody may read it: public keys are no secret.
///
/// # Errors
///
/// [`TrustFileError`].
pub fn read(path: &Path) -> Result<Option<String>, TrustFileError> {
    let unreadable = |source| TrustFileError::Unreadable { path: path.to_owned(), source };
    // What is looked at is what is read: the file that is open, and not its name a second time.
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let metadata = file.metadata().map_err(unreadable)?;
    let me = rustix::process::geteuid().as_raw();
    check(path, metadata.uid(), metadata.mode(), me)?;
    if metadata.len() > FILE_BYTES_MAX {
        return Err(TrustFileError::TooLarge { path: path.to_owned() });
    }
    let mut text = String::new();
    file.by_ref().take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    Ok(Some(text))
}

fn check(path: &Path, owner: u32, mode: u32, me: u32) -> Result<(), TrustFileError> {
    let path = || path.to_owned();
    if owner != me && owner != 0 {
        return Err(TrustFileError::OfAnother { path: path(), owner });
    }
    match mode & 0o7777 {
        mode if mode & WRITABLE_BY_OTHERS != 0 => {
            Err(TrustFileError::WritableByOthers { path: path(), mode })
        }
        _ => Ok(()),
    }
}

/// What is believed at this moment.
#[derive(Debug)]
pub(crate) struct Roots {
    trust: Trust,
    of_file: BTreeMap<PublicKey, Scope>,
    /// What the file looked like when it was read: it is read again when that is not so any more.
    seen: Option<Seen>,
    looked: bool,
}

/// A file's device, number, length and instant of its last change.
type Seen = (u64, u64, u64, i64, i64);

impl Roots {
    pub(crate) fn new(trust: Trust) -> Self {
        let mut roots = Self { trust, of_file: BTreeMap::new(), seen: None, looked: false };
        roots.look();
        roots
    }

    /// Reads the file again when it has changed; true when other keys are believed now.
    pub(crate) fn look(&mut self) -> bool {
        let Some(path) = &self.trust.file else { return false };
        let seen = fs::metadata(path)
            .ok()
            .map(|file| (file.dev(), file.ino(), file.len(), file.ctime(), file.ctime_nsec()));
        if self.looked && seen == self.seen {
            return false;
        }
        (self.looked, self.seen) = (true, seen);
        let keys = match read(path) {
            Ok(text) => {
                let (keys, wrong) = parse(text.as_deref().unwrap_or_default());
                if !wrong.is_empty() {
                    tracing::warn!(path = %path.display(), lines = ?wrong, "lines that are no keys");
                }
                keys
            }
            // No key of it counts: it may be that none of them is the operator's.
            Err(error) => {
                tracing::warn!(%error, "no key of the trust file is believed");
                BTreeMap::new()
            }
        };
        let is_other = keys != self.of_file;
        self.of_file = keys;
        is_other
    }

    /// Whether a file with this digest is believed whoever published it.
    pub(crate) fn has_digest(&self, sha256: &str) -> bool {
        self.trust.digests.contains(sha256)
    }

    /// Whether this publisher's components are believed.
    pub(crate) fn has_key(&self, key: &PublicKey) -> bool {
        self.trust.keys.contains(key) || self.of_file.contains_key(key) || self.has_native_key(key)
    }

    /// Whether this publisher's native libraries are believed.
    pub(crate) fn has_native_key(&self, key: &PublicKey) -> bool {
        self.trust.native_keys.contains(key) || self.of_file.get(key) == Some(&Scope::Native)
    }

    /// Whether there is a file to look at.
    pub(crate) fn has_file(&self) -> bool {
        self.trust.file.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use blitz_jobs::plugin::SigningKey;

    use super::*;

    fn key() -> PublicKey {
        SigningKey::generate().unwrap().public()
    }

    #[test]
    fn a_file_has_a_key_a_line() {
        let (mine, theirs) = (key(), key());
        let text = format!(
            "# publishers\n{mine}\n\n  {theirs}  native # of the other team\nnonsense\n{theirs}\n\
             {mine} nativ\n{mine} native too\n"
        );
        let keys = [(mine, Scope::Components), (theirs, Scope::Native)].into();
        assert_eq!(parse(&text), (keys, vec![5, 7, 8]));
    }

    #[test]
    fn a_key_for_components_is_none_for_native_libraries() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trusted-keys");
        let [plain, wide, of_file] = [key(), key(), key()];
        fs::write(&path, format!("{of_file}\n")).unwrap();
        let trust = Trust {
            keys: [plain.clone()].into(),
            native_keys: [wide.clone()].into(),
            file: Some(path.clone()),
            ..Trust::default()
        };
        let mut roots = Roots::new(trust);
        assert!([&plain, &wide, &of_file].iter().all(|key| roots.has_key(key)));
        let native = [&plain, &wide, &of_file].map(|key| roots.has_native_key(key));
        assert_eq!(native, [false, true, false]);
        fs::write(&path, format!("{of_file} native\n")).unwrap();
        assert!(roots.look() && roots.has_native_key(&of_file), "the same key, wider");
    }

    #[test]
    fn keys_come_and_go_with_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trusted-keys");
        let (always, mine) = (key(), key());
        let trust =
            Trust { keys: [always.clone()].into(), file: Some(path.clone()), ..Trust::default() };
        let mut roots = Roots::new(trust);
        assert!(roots.has_key(&always) && !roots.has_key(&mine));
        assert!(!roots.look(), "no file is no change");
        let write = |text: &str, mode| {
            let beside = directory.path().join("new");
            fs::write(&beside, text).unwrap();
            fs::set_permissions(&beside, fs::Permissions::from_mode(mode)).unwrap();
            fs::rename(&beside, &path).unwrap();
        };
        write(&mine.to_string(), 0o644);
        assert!(roots.look() && roots.has_key(&mine));
        assert!(!roots.look(), "read once");
        write(&mine.to_string(), 0o666);
        assert!(roots.look() && !roots.has_key(&mine), "others could have written it");
        write(&mine.to_string(), 0o600);
        assert!(roots.look() && roots.has_key(&mine));
        fs::remove_file(&path).unwrap();
        assert!(roots.look() && !roots.has_key(&mine) && roots.has_key(&always));
    }

    #[test]
    fn only_the_owner_or_root_may_have_written_it() {
        let path = Path::new("trusted-keys");
        for (owner, mode, me, is_good) in [
            (7, 0o100_600, 7, true),
            (0, 0o100_644, 7, true),
            (8, 0o100_600, 7, false),
            (7, 0o100_620, 7, false),
            (7, 0o100_602, 7, false),
        ] {
            assert_eq!(check(path, owner, mode, me).is_ok(), is_good, "{owner} {mode:o}");
        }
    }
}
