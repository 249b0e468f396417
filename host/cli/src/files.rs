//! Output files on the user's machine (`-o FILE`).
//!
//! A plugin names a file in its output; it is written only when the user's own command line named the
//! same file as an output, and it is created with its first bytes. With several regions each writes its
//! own: `page.html.japan`. Devices (`/dev/null`) and pipes keep their name.
//!
//! Everything goes through tokio's blocking threads: a named pipe opens only when somebody reads it,
//! and until then ^C must be heard. A write that is given up in the middle is not taken up again.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use tokio::fs::File;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

use crate::text::without_os_code;

/// Names of files left out that are told: as many as the host lets one run write.
const LEFT_OUT_TOLD_MAX: usize = 64;

/// The files of one command.
#[derive(Debug)]
pub(crate) struct OutputFiles {
    declared: BTreeSet<String>,
    /// A suffix for each job; `None` when there is only one job.
    suffixes: Vec<Option<String>>,
    open: BTreeMap<(usize, String), File>,
    /// The names that were not declared, as far as they were told.
    left_out: BTreeSet<String>,
}

/// What became of bytes for a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Yes,
    /// The user's command line does not name this file; the bytes are dropped. To be told.
    LeftOut,
    /// The same, and it was told before.
    LeftOutAgain,
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
        Self {
            declared,
            suffixes: suffixes.collect(),
            open: BTreeMap::new(),
            left_out: BTreeSet::new(),
        }
    }

    /// Appends to the file, which the first bytes create or empty.
    pub(crate) async fn write(
        &mut self,
        job: usize,
        name: &str,
        bytes: &[u8],
    ) -> Result<Written, FileError> {
        if !self.declared.contains(name) {
            return Ok(self.leave_out(name));
        }
        let path = self.path(job, name).await;
        let file = match self.open.entry((job, name.to_owned())) {
            Entry::Occupied(open) => Ok(open.into_mut()),
            Entry::Vacant(vacant) => File::create(&path).await.map(|file| vacant.insert(file)),
        };
        let written = async {
            let file = file?;
            file.write_all(bytes).await?;
            // Flushed, or the next error would be this one's, and the end of the process its loss.
            file.flush().await
        };
        written.await.map(|()| Written::Yes).map_err(|source| FileError { path, source })
    }

    /// Empties what this job has written: another attempt writes it again.
    pub(crate) async fn reset(&mut self, job: usize) -> Result<(), FileError> {
        let names: Vec<String> =
            self.open.keys().filter(|(j, _)| *j == job).map(|(_, name)| name.clone()).collect();
        for name in names {
            let path = self.path(job, &name).await;
            let Some(file) = self.open.get_mut(&(job, name)) else { continue };
            if file.metadata().await.is_ok_and(|m| m.is_file()) {
                let emptied = async {
                    file.set_len(0).await?;
                    file.rewind().await
                };
                emptied.await.map_err(|source| FileError { path, source })?;
            }
        }
        Ok(())
    }

    /// A file that the command line does not name: told once.
    fn leave_out(&mut self, name: &str) -> Written {
        let is_told = self.left_out.contains(name) || self.left_out.len() >= LEFT_OUT_TOLD_MAX;
        if is_told {
            return Written::LeftOutAgain;
        }
        self.left_out.insert(name.to_owned());
        Written::LeftOut
    }

    async fn path(&self, job: usize, name: &str) -> PathBuf {
        let plain = PathBuf::from(name);
        match &self.suffixes[job] {
            Some(suffix) if !is_special(&plain).await => PathBuf::from(format!("{name}.{suffix}")),
            _ => plain,
        }
    }
}

/// Whether something stands there that is not a regular file.
async fn is_special(path: &Path) -> bool {
    tokio::fs::metadata(path).await.is_ok_and(|m| !m.is_file() && !m.is_dir())
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

    fn files(directory: &Path, labels: &[&str]) -> (OutputFiles, String) {
        let name = directory.join("out").display().to_string();
        let labels: Vec<String> = labels.iter().map(|l| (*l).to_owned()).collect();
        (OutputFiles::new(BTreeSet::from([name.clone()]), &labels), name)
    }

    #[tokio::test]
    async fn only_declared_files_are_written() {
        let directory = tempfile::tempdir().unwrap();
        let (mut files, name) = files(directory.path(), &["japan"]);
        let foreign = directory.path().join("foreign");
        let foreign = foreign.display().to_string();
        assert_eq!(files.write(0, &foreign, b"x").await.unwrap(), Written::LeftOut);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        assert_eq!(files.write(0, &name, b"a\xff").await.unwrap(), Written::Yes);
        assert_eq!(files.write(0, &name, b"b").await.unwrap(), Written::Yes);
        assert_eq!(std::fs::read(&name).unwrap(), b"a\xffb");
        files.reset(0).await.unwrap();
        files.write(0, &name, b"new").await.unwrap();
        assert_eq!(std::fs::read(&name).unwrap(), b"new");
    }

    #[tokio::test]
    async fn a_file_that_is_left_out_is_told_once() {
        let mut files =
            OutputFiles::new(BTreeSet::new(), &["japan".to_owned(), "ireland".to_owned()]);
        for (job, name, written) in [
            (0, "a", Written::LeftOut),
            (0, "a", Written::LeftOutAgain),
            (1, "a", Written::LeftOutAgain),
            (0, "b", Written::LeftOut),
        ] {
            assert_eq!(files.write(job, name, b"x").await.unwrap(), written, "{job} {name}");
        }
        let mut told = 2;
        for number in 0..LEFT_OUT_TOLD_MAX * 2 {
            let written = files.write(0, &number.to_string(), b"x").await.unwrap();
            told += usize::from(written == Written::LeftOut);
        }
        assert_eq!(told, LEFT_OUT_TOLD_MAX);
    }

    #[tokio::test]
    async fn each_region_has_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let (mut several, name) = files(directory.path(), &["japan", "../us/2"]);
        several.write(0, &name, b"j").await.unwrap();
        several.write(1, &name, b"u").await.unwrap();
        assert_eq!(std::fs::read(format!("{name}.japan")).unwrap(), b"j");
        assert_eq!(std::fs::read(format!("{name}.__.us.2")).unwrap(), b"u");
        let mut null = OutputFiles::new(
            BTreeSet::from(["/dev/null".to_owned()]),
            &["a".to_owned(), "b".to_owned()],
        );
        assert_eq!(null.write(0, "/dev/null", b"x").await.unwrap(), Written::Yes);
        null.reset(0).await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_written_is_named() {
        let name = "/proc/no-such-directory/out".to_owned();
        let mut files = OutputFiles::new(BTreeSet::from([name.clone()]), &["a".to_owned()]);
        let error = files.write(0, &name, b"x").await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot write '{name}': No such file or directory"));
    }
}
