//! Output files on the user's machine (`-o FILE`).
//!
//! A plugin names a file in its output; it is written only when the user's own command line named the
//! same file as an output, and it is created with its first bytes. With several regions each writes its
//! own: `page.html.japan`. Devices (`/dev/null`) and pipes keep their name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::PathBuf;

use crate::text::without_os_code;

/// The files of one command.
#[derive(Debug)]
pub(crate) struct OutputFiles {
    declared: BTreeSet<String>,
    /// A suffix for each job; `None` when there is only one job.
    suffixes: Vec<Option<String>>,
    open: BTreeMap<(usize, String), File>,
}

/// What became of bytes for a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Yes,
    /// The user's command line does not name this file; the bytes are dropped.
    NotDeclared,
}

/// A file that cannot be written. The text reads after `blitz curl: `.
#[derive(Debug, thiserror::Error)]
#[error("cannot write '{}': {}", path.display(), without_os_code(&source.to_string()))]
pub(crate) struct FileError {
    path: PathBuf,
    source: io::Error,
}

impl OutputFiles {
    /// `labels` are the jobs' labels.
    pub(crate) fn new(declared: BTreeSet<String>, labels: &[String]) -> Self {
        let several = labels.len() > 1;
        let suffixes = labels.iter().map(|label| several.then(|| suffix(label)));
        Self { declared, suffixes: suffixes.collect(), open: BTreeMap::new() }
    }

    /// Appends to the file, which the first bytes create or empty.
    pub(crate) fn write(
        &mut self,
        job: usize,
        name: &str,
        bytes: &[u8],
    ) -> Result<Written, FileError> {
        if !self.declared.contains(name) {
            return Ok(Written::NotDeclared);
        }
        let path = self.path(job, name);
        let key = (job, name.to_owned());
        let result = match self.open.get_mut(&key) {
            Some(file) => file.write_all(bytes),
            None => File::create(&path).and_then(|mut file| {
                let written = file.write_all(bytes);
                self.open.insert(key, file);
                written
            }),
        };
        result.map(|()| Written::Yes).map_err(|source| FileError { path, source })
    }

    /// Empties what this job has written: another attempt writes it again.
    pub(crate) fn reset(&mut self, job: usize) -> Result<(), FileError> {
        let names: Vec<String> =
            self.open.keys().filter(|(j, _)| *j == job).map(|(_, name)| name.clone()).collect();
        for name in names {
            let path = self.path(job, &name);
            let Some(file) = self.open.get_mut(&(job, name)) else { continue };
            let is_regular = file.metadata().is_ok_and(|m| m.is_file());
            if is_regular {
                file.set_len(0)
                    .and_then(|()| file.rewind())
                    .map_err(|source| FileError { path, source })?;
            }
        }
        Ok(())
    }

    fn path(&self, job: usize, name: &str) -> PathBuf {
        let plain = PathBuf::from(name);
        match &self.suffixes[job] {
            Some(suffix) if !is_special(&plain) => PathBuf::from(format!("{name}.{suffix}")),
            _ => plain,
        }
    }
}

/// Whether something stands there that is not a regular file.
fn is_special(path: &std::path::Path) -> bool {
    std::fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir())
}

/// A label as part of a file name: it must not lead to another directory.
fn suffix(label: &str) -> String {
    label
        .chars()
        .map(|c| match c {
            '/' => '.',
            c if c.is_ascii_alphanumeric() || c == '-' || c == '_' => c,
            _ => '_',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(directory: &std::path::Path, labels: &[&str]) -> (OutputFiles, String) {
        let name = directory.join("out").display().to_string();
        let labels: Vec<String> = labels.iter().map(|l| (*l).to_owned()).collect();
        (OutputFiles::new(BTreeSet::from([name.clone()]), &labels), name)
    }

    #[test]
    fn only_declared_files_are_written() {
        let directory = tempfile::tempdir().unwrap();
        let (mut files, name) = files(directory.path(), &["japan"]);
        let foreign = directory.path().join("foreign");
        let foreign = foreign.display().to_string();
        assert_eq!(files.write(0, &foreign, b"x").unwrap(), Written::NotDeclared);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        assert_eq!(files.write(0, &name, b"a\xff").unwrap(), Written::Yes);
        assert_eq!(files.write(0, &name, b"b").unwrap(), Written::Yes);
        assert_eq!(std::fs::read(&name).unwrap(), b"a\xffb");
        files.reset(0).unwrap();
        files.write(0, &name, b"new").unwrap();
        assert_eq!(std::fs::read(&name).unwrap(), b"new");
    }

    #[test]
    fn each_region_has_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let (mut several, name) = files(directory.path(), &["japan", "../us/2"]);
        several.write(0, &name, b"j").unwrap();
        several.write(1, &name, b"u").unwrap();
        assert_eq!(std::fs::read(format!("{name}.japan")).unwrap(), b"j");
        assert_eq!(std::fs::read(format!("{name}.__.us.2")).unwrap(), b"u");
        let mut null = OutputFiles::new(
            BTreeSet::from(["/dev/null".to_owned()]),
            &["a".to_owned(), "b".to_owned()],
        );
        assert_eq!(null.write(0, "/dev/null", b"x").unwrap(), Written::Yes);
        null.reset(0).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let name = "/proc/no-such-directory/out".to_owned();
        let mut files = OutputFiles::new(BTreeSet::from([name.clone()]), &["a".to_owned()]);
        let error = files.write(0, &name, b"x").unwrap_err();
        assert_eq!(error.to_string(), format!("cannot write '{name}': No such file or directory"));
    }
}
