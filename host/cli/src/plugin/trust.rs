//! `blitz plugin trust`: the file of publishers' keys that engines of this machine believe. They read it again
//! when it changes.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use blitz_engine::trust::{NATIVE, Scope, key_of_line, parse, read};
use blitz_jobs::plugin::PublicKey;

use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::plugin::Error;
use crate::run::print;
use crate::text::without_os_code;

/// `blitz plugin trust`.
#[derive(Debug, clap::Args)]
pub(crate) struct TrustArgs {
    /// The publisher's key, as 'blitz plugin key' prints it
    #[arg(value_name = "KEY", required_unless_present_any = ["list", "remove"])]
    key: Option<PublicKey>,
    /// Trust its native plugins too, which run without the sandbox of components
    #[arg(long, conflicts_with_all = ["list", "remove"])]
    native: bool,
    /// List the keys that are trusted
    #[arg(long, conflicts_with_all = ["key", "remove"])]
    list: bool,
    /// Trust this key no more
    #[arg(long, value_name = "KEY", conflicts_with = "key")]
    remove: Option<PublicKey>,
    /// The file with the keys [default: ~/.config/blitz/trusted-keys]
    #[arg(long, value_name = "FILE")]
    trust_file: Option<PathBuf>,
}

pub(crate) async fn run(args: TrustArgs, environment: &Environment) -> Result<ExitCode, Error> {
    let path = args.trust_file.or_else(|| environment.trust_file.clone());
    let path = path.ok_or_else(|| {
        Error::Usage(
            "no place for the trusted keys: give --trust-file FILE, or set HOME".to_owned(),
        )
    })?;
    let failed = |error: io::Error| {
        let error = without_os_code(&error.to_string());
        Error::Failed(format!("cannot write '{}': {error}", path.display()))
    };
    let text = read(&path).map_err(|error| Error::Failed(error.to_string()))?.unwrap_or_default();
    let (keys, _) = parse(&text);
    if args.list {
        let lines = keys.iter().map(|(key, scope)| line(key, *scope));
        return Ok(print(&lines.collect::<String>()));
    }
    if let Some(key) = args.remove {
        if !keys.contains_key(&key) {
            return Err(Error::Failed(format!("{key} is not in '{}'", path.display())));
        }
        replace(&path, &without(&text, &key)).map_err(failed)?;
        return Ok(print(&format!("trusted no more: {key}\n")));
    }
    let Some(key) = args.key else { return Ok(ExitCode::USAGE) };
    let scope = if args.native { Scope::Native } else { Scope::Components };
    let written = line(&key, scope);
    if let Some(known) = keys.get(&key).filter(|known| **known >= scope) {
        return Ok(print(&format!("trusted already: {}", line(&key, *known))));
    }
    append(&path, &text, &written).map_err(failed)?;
    Ok(print(&format!(
        "trusted: {written}engines that read '{}' run its plugins within a second\n",
        path.display()
    )))
}

/// A key as its line in the file.
fn line(key: &PublicKey, scope: Scope) -> String {
    match scope {
        Scope::Components => format!("{key}\n"),
        Scope::Native => format!("{key} {NATIVE}\n"),
    }
}

/// One write at the end of the file: two commands at once both have their key in it.
fn append(path: &Path, text: &str, line: &str) -> io::Result<()> {
    if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let begin = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    file.write_all(format!("{begin}{line}").as_bytes())
}

/// The text without the lines of a key; comments and all else stay.
fn without(text: &str, key: &PublicKey) -> String {
    let is_other =
        |line: &&str| !matches!(key_of_line(line), Some(Ok((found, _))) if found == *key);
    text.lines().filter(is_other).map(|line| format!("{line}\n")).collect()
}

/// An engine sees the old file or the new one, never half of one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| fs::rename(&beside, path));
    written.inspect_err(|_| drop(fs::remove_file(&beside)))
}

#[cfg(test)]
mod tests {
    use blitz_jobs::plugin::SigningKey;

    use super::*;

    #[test]
    fn keys_are_added_and_removed_and_comments_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("blitz/trusted-keys");
        let keys: Vec<PublicKey> =
            (0..2).map(|_| SigningKey::generate().unwrap().public()).collect();
        append(&path, "", &line(&keys[0], Scope::Components)).unwrap();
        fs::write(&path, format!("# us\n{} # me", keys[0])).unwrap();
        append(&path, &read(&path).unwrap().unwrap(), &line(&keys[1], Scope::Native)).unwrap();
        let text = read(&path).unwrap().unwrap();
        assert_eq!(text, format!("# us\n{} # me\n{} native\n", keys[0], keys[1]));
        replace(&path, &without(&text, &keys[0])).unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), format!("# us\n{} native\n", keys[1]));
        assert_eq!(without(&text, &keys[1]), format!("# us\n{} # me\n", keys[0]));
    }
}
