//! The program as a user who may nothing: another id, no group, no capability, and no way to get one.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};

use tempfile::TempDir;
use tokio::process::Command;

use super::{Engine, Path, ended, up};
use crate::Outcome;

/// The id of `nobody`, and of its group.
const NOBODY: u32 = 65534;

/// The directory of such a user, with the program in it.
#[derive(Debug)]
pub(super) struct Home(TempDir);

impl Home {
    /// `carrier` is the binary that acts as the program.
    fn new(carrier: &str) -> Self {
        let home = TempDir::new().expect("a temporary directory");
        let program = home.path().join("blitz");
        // Where the program was built others may not look.
        let copied =
            fs::hard_link(carrier, &program).or_else(|_| fs::copy(carrier, &program).map(drop));
        copied.expect("a copy of the program");
        fs::set_permissions(home.path(), Permissions::from_mode(0o755)).expect("its own directory");
        chown(home.path(), Some(NOBODY), Some(NOBODY)).expect("root may give files away");
        Self(home)
    }

    fn text(&self) -> &str {
        self.0.path().to_str().expect("a path that is text")
    }
}

impl Path {
    /// Runs `blitz` on the source as such a user, who has no engine: what it needs it starts by itself.
    ///
    /// # Panics
    ///
    /// When it does not end, or its files cannot be made.
    pub async fn blitz_as_nobody(&self, args: &[&str]) -> Outcome {
        ended(self.nobody_command(args), &format!("blitz {args:?} as nobody")).await
    }

    /// As [`Path::engine`], by such a user.
    ///
    /// # Panics
    ///
    /// As there.
    pub async fn engine_as_nobody(&self, args: &[&str]) -> Engine {
        let command = self.nobody_command(&up(args));
        let home = self.nobody.get().expect("it was made for the command");
        self.started_engine(command, &home.0.path().join("up.json")).await
    }

    fn nobody_command(&self, args: &[&str]) -> Command {
        let home = self.nobody.get_or_init(|| Home::new(&self.carrier()));
        let (id, program) = (NOBODY.to_string(), format!("{}/blitz", home.text()));
        let words = [
            &["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"][..],
            &["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--no-new-privs"],
            &[&program],
            args,
        ];
        let mut command = self.command(0, &words.concat());
        command.env("HOME", home.text()).current_dir(home.text());
        command
    }
}
