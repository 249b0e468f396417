//! Files with the private keys of regions: a line each, `REGION ID KEY`. Only their owner may read them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use blitz_jobs::region::is_name;
use blitz_jobs::sealing::{PrivateKey, RegionKeys};
use zeroize::Zeroizing;

use crate::text::without_os_code;

/// Bytes of a file: a thousand keys have 80,000.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a new file begins with.
const HEAD: &str = "# private keys of regions: region, id, key\n";

/// A file of keys that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadKeyFile {
    /// The system.
    #[error("the keys of regions in '{}': {}", path.display(), without_os_code(&source.to_string()))]
    Io { path: PathBuf, source: io::Error },
    /// Somebody else may have read the keys.
    #[error(
        "the file '{}' is open to others (mode {mode:04o}) and holds private keys of regions: 'chmod 600' it, and make new \
         keys with 'blitz region key' if others have read it", path.display()
    )]
    OpenToOthers { path: PathBuf, mode: u32 },
    /// Not a file of keys. The line is not quoted, as it may be a key.
    #[error("line {line} of '{}' is no key of a region: REGION ID KEY, as 'blitz region key' writes it", path.display())]
    Line { path: PathBuf, line: usize },
}

/// The keys of a file.
pub(crate) fn read(path: &Path) -> Result<RegionKeys, BadKeyFile> {
    let io = |source| BadKeyFile::Io { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(io)?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(BadKeyFile::OpenToOthers { path: path.to_owned(), mode });
    }
    if metadata.len() > FILE_BYTES_MAX {
        let large = format!("it has more than {FILE_BYTES_MAX} bytes");
        return Err(io(io::Error::other(large)));
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(io)?);
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let keys = RegionKeys::default();
    for (line, text) in lines {
        let bad = || BadKeyFile::Line { path: path.to_owned(), line };
        let (region, key) = parse(text).ok_or_else(bad)?;
        keys.add(&region, key);
    }
    Ok(keys)
}

fn parse(line: &str) -> Option<(String, PrivateKey)> {
    let mut words = line.split_whitespace();
    let (region, id, key) = (words.next()?, words.next()?, words.next()?);
    let key = PrivateKey::read(key).ok()?;
    let is_right = is_name(region) && key.id() == id && words.next().is_none();
    is_right.then(|| (region.to_owned(), key))
}

/// Adds a key to a file, which is made for its owner alone; it is on the disk when this returns. A file that is no file of keys,
/// or that others can read, is left as it is.
pub(crate) fn keep(path: &Path, region: &str, key: &PrivateKey) -> Result<(), BadKeyFile> {
    let io = |source| BadKeyFile::Io { path: path.to_owned(), source };
    match read(path) {
        Err(BadKeyFile::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        other => drop(other?),
    }
    let mut options = OpenOptions::new();
    let mut file = options.append(true).create(true).mode(0o600).open(path).map_err(io)?;
    let head = if file.metadata().map_err(io)?.len() == 0 { HEAD } else { "" };
    let text = Zeroizing::new(format!("{head}{}", *line(region, key)));
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)
}

/// A line of a file of keys.
pub(crate) fn line(region: &str, key: &PrivateKey) -> Zeroizing<String> {
    Zeroizing::new(format!("{region} {} {}\n", key.id(), *key.text()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_for_their_owner() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        let (one, two) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
        keep(&path, "japan", &one).unwrap();
        keep(&path, "japan", &two).unwrap();
        keep(&path, "ireland", &one).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let keys = read(&path).unwrap();
        let mut ids = [one.id().to_owned(), two.id().to_owned()];
        ids.sort();
        assert_eq!(keys.ids("japan"), ids);
        assert_eq!(keys.ids("ireland"), [one.id()]);
    }

    #[test]
    fn another_file_is_told_without_its_text_and_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        let key = PrivateKey::generate().unwrap();
        let text = key.text();
        for (bad, line) in
            [("rubbish", 1), ("# x\njapan 12 34", 2), (&format!("japan 12 {}", *text), 1)]
        {
            fs::write(&path, bad).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let error = read(&path).unwrap_err();
            assert!(matches!(error, BadKeyFile::Line { line: at, .. } if at == line), "{error}");
            assert!(!error.to_string().contains(text.as_str()), "{error}");
            assert!(keep(&path, "japan", &key).is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), bad);
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("mode 0640") && error.contains("chmod 600"), "{error}");
    }
}
