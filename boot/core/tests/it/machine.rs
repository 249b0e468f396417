//! A machine at its first boot: a directory that is its root, with the real sh, curl and openssl, and a systemctl that notes what
//! it was told.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

pub(crate) struct Machine {
    directory: TempDir,
    /// Where its programs are, behind the stubs.
    programs: String,
}

/// How a script ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) is_good: bool,
    pub(crate) said: String,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let machine = Self { directory, programs: env!("PATH").to_owned() };
        fs::create_dir(machine.path("bin")).unwrap();
        fs::create_dir(machine.path("root")).unwrap();
        // What programs are told on their command lines, everybody on the machine can read.
        machine.stub("systemctl", "");
        let curl = real("curl");
        machine.stub("curl", &format!("exec '{}' \"$@\"", curl.display()));
        machine
    }

    /// A machine that has these programs and no others.
    pub(crate) fn with_only(names: &[&str]) -> Self {
        let mut machine = Self::new();
        let programs = machine.path("programs");
        fs::create_dir(&programs).unwrap();
        for name in names {
            std::os::unix::fs::symlink(real(name), programs.join(name)).unwrap();
        }
        fs::remove_file(machine.path("bin").join("curl")).unwrap();
        machine.programs = programs.to_str().unwrap().to_owned();
        machine
    }

    /// What a package manager does, in few words: the program is there.
    pub(crate) fn install_by(&self, manager: &str, program: &str) {
        let (from, to) = (real(program), self.path("bin").join(program));
        self.stub(
            manager,
            &format!("'{}' -s '{}' '{}'", real("ln").display(), from.display(), to.display()),
        );
    }

    /// A program that notes its words, and then does this.
    pub(crate) fn stub(&self, name: &str, then: &str) {
        let path = self.path("bin").join(name);
        let log = self.path(name);
        let text = format!("#!/bin/sh\nprintf '%s\\n' \"$*\" >>'{}'\n{then}\n", log.display());
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What a stub was told, a line for each time.
    pub(crate) fn told(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// A file of the machine.
    pub(crate) fn root(&self, path: &str) -> PathBuf {
        self.path("root").join(path)
    }

    pub(crate) fn read(&self, path: &str) -> String {
        let path = self.root(path);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.root(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Runs a script as `curl ... | sh` does, with these variables.
    pub(crate) fn run(&self, script: &str, variables: &[(&str, &str)]) -> Ended {
        self.run_by(&["sh"], script, variables)
    }

    /// The same by another shell.
    pub(crate) fn run_by(&self, shell: &[&str], script: &str, variables: &[(&str, &str)]) -> Ended {
        let path = format!("{}:{}", self.path("bin").display(), self.programs);
        let mut sh = Command::new(real(shell[0]));
        sh.args(&shell[1..]).env_clear().env("PATH", path).env("DESTDIR", self.path("root"));
        sh.envs(variables.iter().copied()).stdin(Stdio::piped());
        sh.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = sh.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A script that ends early does not read to its end.
        std::io::Write::write_all(&mut stdin, script.as_bytes()).ok();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        Ended {
            is_good: output.status.success(),
            said: String::from_utf8_lossy(&said).into_owned(),
        }
    }

    /// Fails unless nothing of blitz is there, and nothing was started.
    pub(crate) fn has_nothing(&self, what: &str) {
        let started: Vec<String> = self.told("systemctl");
        assert_eq!(started, Vec::<String>::new(), "{what}: something was started");
        let left = files(&self.path("root"));
        let left: Vec<_> = left.iter().filter(|path| !path.ends_with("join-token")).collect();
        assert!(left.is_empty(), "{what}: {left:?} are left");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// All files below a directory that are no directories.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

/// Where a program of this machine is.
fn real(name: &str) -> PathBuf {
    let mut places = env!("PATH").split(':').map(|place| Path::new(place).join(name));
    places.find(|path| path.is_file()).unwrap_or_else(|| panic!("no {name}: install it"))
}
