//! The gateway's token of `blitz up`, kept beside its store: who follows a job goes on when `blitz up` is
//! started again.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// A token is 256 random bits in hexadecimal; a file with anything else is replaced.
const TOKEN_DIGITS: usize = 64;

/// The token in the file, or `new` after writing it there for its owner alone.
pub(crate) fn kept(path: &Path, new: String) -> io::Result<String> {
    match fs::read_to_string(path) {
        Ok(token) if is_token(&token) => return Ok(token),
        Ok(_) => fs::remove_file(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(new.as_bytes())?;
    Ok(new)
}

fn is_token(text: &str) -> bool {
    text.len() == TOKEN_DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_token_stays_and_rubbish_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let (first, second) = ("a".repeat(64), "b".repeat(64));
        assert_eq!(kept(&path, first.clone()).unwrap(), first);
        assert_eq!(kept(&path, second.clone()).unwrap(), first);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "rubbish").unwrap();
        assert_eq!(kept(&path, second.clone()).unwrap(), second);
    }
}
