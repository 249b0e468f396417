//! Runs the binary in a directory of its own, with nothing of the outer environment that it reads.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::gateway::{Gateway, TOKEN};

/// A place to run `blitz` in.
pub(crate) struct Blitz {
    directory: tempfile::TempDir,
}

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Blitz {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The command, not started.
    pub(crate) fn command(&self, gateway: Option<&Gateway>, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_blitz"));
        command
            .args(line.split_whitespace())
            .current_dir(self.directory())
            .env_clear()
            .env("HOME", self.directory())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(gateway) = gateway {
            command.env("BLITZ_HOST", &gateway.url).env("BLITZ_TOKEN", TOKEN);
        }
        command
    }

    /// Runs to the end.
    pub(crate) fn run(&self, gateway: &Gateway, line: &str) -> Ran {
        self.command(Some(gateway), line).output().unwrap().into()
    }

    /// Runs without any gateway.
    pub(crate) fn run_alone(&self, line: &str) -> Ran {
        self.command(None, line).output().unwrap().into()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// Fails with everything that the run gave.
    #[track_caller]
    pub(crate) fn check(&self, code: i32, stdout: &str, stderr: &str) {
        let expected = (Some(code), stdout, stderr);
        assert_eq!((self.code, self.stdout.as_str(), self.stderr.as_str()), expected);
    }
}
