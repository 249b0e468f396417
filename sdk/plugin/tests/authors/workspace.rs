//! A workspace of authors' crates.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A crate that compiles: each case changes something of it.
pub(crate) const PLUGIN_TOML: &str = r#"name = "greet"
version = "0.1.0"
summary = "says hello"
contract = "0.1.0"
capabilities = ["web"]
[limits]
cpu_ms = 5
[[arguments]]
name = "NAME"
positional = true
[[arguments]]
name = "times"
kind = "integer"
default = "1"
"#;
pub(crate) const LIB_RS: &str = "use blitz_plugin::{Call, Failure, Host, Plugin};
blitz_plugin::arguments!(pub struct Args);
pub struct Greet;
blitz_plugin::export!(Greet);
impl Plugin for Greet {
    fn run(call: &Call, _: &mut dyn Host) -> Result<u8, Failure> {
        let args = Args::of(call);
        Ok(u8::try_from(args.times)?)
    }
}
";

/// One crate of the workspace.
pub(crate) struct Author {
    pub(crate) name: String,
    /// `None` writes no `plugin.toml`.
    pub(crate) plugin_toml: Option<String>,
    pub(crate) lib_rs: String,
    /// Other files, by path.
    pub(crate) more: Vec<(PathBuf, String)>,
}

pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Writes the crates below `target/tmp/NAME`, in the place of what was there.
    pub(crate) fn new(name: &str, authors: &[Author]) -> Self {
        let root = tests_directory().join(name);
        fs::remove_dir_all(&root).ok();
        let mut members = String::new();
        for author in authors {
            author.write(&root);
            members.push_str(&format!("{:?},\n", author.name));
        }
        let manifest = format!("[workspace]\nresolver = \"3\"\nmembers = [\n{members}]\n");
        write(&root.join("Cargo.toml"), &manifest);
        write(&root.join("Cargo.lock"), &read(&repository().join("Cargo.lock")));
        Self { root }
    }

    /// Runs cargo here, without the network.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Output {
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .current_dir(&self.root)
            .args(arguments)
            .arg("--offline")
            // Not that of the outer build, whose lock the outer cargo may hold.
            .env("CARGO_TARGET_DIR", tests_directory().join("authors-target"))
            // A third of the time of a first build.
            .env("CARGO_PROFILE_DEV_DEBUG", "false")
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            // They say what crate this test is.
            .env_remove("CARGO_MANIFEST_DIR")
            .env_remove("CARGO_PKG_VERSION");
        cargo.output().expect("cargo runs this test, so it is there")
    }

    /// The errors of each crate, as (crate, what rustc shows). A build and no check: tests share what it made of
    /// the SDK.
    pub(crate) fn errors(&self) -> Vec<(String, String)> {
        let output = self.cargo(&["build", "--workspace", "--keep-going", "--message-format=json"]);
        let mut errors = Vec::new();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let Ok(message) = serde_json::from_str::<Value>(line) else { continue };
            let told = &message["message"];
            if message["reason"] != "compiler-message" || told["level"] != "error" {
                continue;
            }
            let name = message["target"]["name"].as_str().unwrap_or_default();
            let text = told["rendered"].as_str().unwrap_or_default();
            errors.push((name.to_owned(), text.to_owned()));
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!errors.is_empty() || output.status.success(), "cargo build: {stderr}");
        errors
    }
}

impl Author {
    /// A crate that compiles.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            plugin_toml: Some(PLUGIN_TOML.to_owned()),
            lib_rs: LIB_RS.to_owned(),
            more: Vec::new(),
        }
    }

    fn write(&self, root: &Path) {
        let directory = root.join(&self.name);
        let sdk = env!("CARGO_MANIFEST_DIR");
        let manifest = format!(
            "[package]\nname = {:?}\nversion = \"0.1.0\"\nedition = \"2024\"\n\
             [lib]\ncrate-type = [\"cdylib\"]\n\
             [dependencies]\nblitz-plugin = {{ path = {sdk:?} }}\n",
            self.name
        );
        write(&directory.join("Cargo.toml"), &manifest);
        write(&directory.join("src/lib.rs"), &self.lib_rs);
        if let Some(text) = &self.plugin_toml {
            write(&directory.join("plugin.toml"), text);
        }
        for (path, text) in &self.more {
            write(&directory.join(path), text);
        }
    }
}

/// Where cargo lets tests write.
fn tests_directory() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

fn write(path: &Path, text: &str) {
    let written =
        path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, text));
    written.unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
}
