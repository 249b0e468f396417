//! The file with what API keys are stored under: made when it is missing, never replaced. Another one in its place, and no key that
//! was made before is known any more.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::text::without_os_code;

/// Bytes behind it.
const BYTES: usize = 32;

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file.
    #[error("cannot keep the accounts key in '{}': {}", path.display(), without_os_code(&source.to_string()))]
    File { path: PathBuf, source: io::Error },
    /// What is in it.
    #[error(
        "'{}' is no accounts key, which is 64 hexadecimal digits; name another file, or take this one away to have a new one \
         made, with which no API key of before is known",
        path.display()
    )]
    NoKey { path: PathBuf },
}

/// The key in the file, or `new` after writing it there for its owner alone; and whether it is new.
pub(crate) fn kept(path: &Path, new: &str) -> Result<([u8; BYTES], bool), Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let no_key = || Error::NoKey { path: path.to_owned() };
    match fs::read_to_string(path) {
        Ok(text) => return Ok((read(&text).ok_or_else(no_key)?, false)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let mut open = OpenOptions::new();
    match open.write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            let written = file.write_all(new.as_bytes()).and_then(|()| file.sync_all());
            written.map_err(failed)?;
            Ok((read(new).ok_or_else(no_key)?, true))
        }
        // Another gateway that starts beside this one was first.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let text = fs::read_to_string(path).map_err(failed)?;
            Ok((read(&text).ok_or_else(no_key)?, false))
        }
        Err(error) => Err(failed(error)),
    }
}

fn read(text: &str) -> Option<[u8; BYTES]> {
    let digits = text.trim().as_bytes();
    if digits.len() != BYTES * 2 {
        return None;
    }
    let mut key = [0; BYTES];
    for (byte, pair) in key.iter_mut().zip(digits.chunks(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok());
        *byte = digit(*pair.first()?)? << 4 | digit(*pair.last()?)?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_stays_and_what_is_none_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("accounts.key");
        let (first, second) = ("0f".repeat(32), "b".repeat(64));
        assert_eq!(kept(&path, &first).unwrap(), ([0x0f; 32], true));
        assert_eq!(kept(&path, &second).unwrap(), ([0x0f; 32], false));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for rubbish in ["", "rubbish", &"g".repeat(64), &"0".repeat(63)] {
            fs::write(&path, rubbish).unwrap();
            let refused = kept(&path, &second).unwrap_err();
            assert!(matches!(refused, Error::NoKey { .. }), "{rubbish}: {refused}");
            assert_eq!(fs::read_to_string(&path).unwrap(), rubbish);
        }
        fs::write(&path, format!("{second}\n")).unwrap();
        assert_eq!(kept(&path, &first).unwrap(), ([0xbb; 32], false));
    }
}
