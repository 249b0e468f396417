//! Tools of other languages: which of several is there, running it, and what to say when none is.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::plugin::Error;

/// A way to call a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tool {
    program: OsString,
    /// Before all other arguments: `-m ziglang`.
    first: Vec<OsString>,
}

impl Tool {
    pub(crate) fn new(program: impl Into<OsString>, first: &[&str]) -> Self {
        Self { program: program.into(), first: first.iter().map(Into::into).collect() }
    }

    /// A command in that directory. What the tool prints goes to stderr, as talk does.
    pub(crate) fn command(&self, directory: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.first).current_dir(directory).stdin(Stdio::null()).stdout(io::stderr());
        command
    }

    /// Whether it is there: whether it answers.
    fn answers(&self, question: &str) -> bool {
        let mut command = Command::new(&self.program);
        command.args(&self.first).arg(question);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    /// How it is called, for people.
    pub(crate) fn shown(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.first);
        words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }
}

/// The first of the candidates that answers `question`, such as `--version`.
///
/// # Errors
///
/// `missing`, which names the tool and the command that installs it.
pub(crate) fn first(candidates: Vec<(Tool, &str)>, missing: &str) -> Result<Tool, Error> {
    candidates
        .into_iter()
        .find(|(tool, question)| tool.answers(question))
        .map(|(tool, _)| tool)
        .ok_or_else(|| Error::Failed(missing.to_owned()))
}

/// A program in one of these directories below the plugin's, or below one that the plugin is in: where package
/// managers put what belongs to a project.
pub(crate) fn nearby(plugin: &Path, place: &str, program: &str) -> Option<PathBuf> {
    plugin.ancestors().map(|at| at.join(place).join(program)).find(|path| path.is_file())
}

/// Runs it to its end; its own messages have said why it failed.
///
/// # Errors
///
/// [`Error::Failed`] names the tool and its end.
pub(crate) fn run(tool: &Tool, command: &mut Command) -> Result<(), Error> {
    say(&format!("running {}", tool.shown()));
    let status =
        command.status().map_err(|e| Error::Failed(format!("start {}: {e}", tool.shown())))?;
    match status.success() {
        true => Ok(()),
        false => Err(Error::Failed(format!(
            "the plugin was not built: {} ended with {status}; its messages stand above",
            tool.shown()
        ))),
    }
}

/// A line for people.
pub(crate) fn say(text: &str) {
    // Nobody is left to tell when stderr is gone.
    writeln!(io::stderr(), "blitz: {text}").ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_tool_that_is_there_is_taken() {
        let none = || (Tool::new("/nonexistent/cc", &[]), "--version");
        let shell = || (Tool::new("sh", &["-c"]), "exit 0");
        let broken = || (Tool::new("sh", &["-c"]), "exit 3");
        assert_eq!(first(vec![none(), broken(), shell()], "?").unwrap(), shell().0);
        let missing = first(vec![none(), broken()], "no C compiler").unwrap_err();
        assert_eq!(missing.to_string(), "no C compiler");
    }

    #[test]
    fn a_failure_names_the_tool() {
        let tool = Tool::new("sh", &["-c"]);
        let failed = run(&tool, tool.command(Path::new("/")).arg("exit 3")).unwrap_err();
        assert_eq!(
            failed.to_string(),
            "the plugin was not built: sh -c ended with exit status: 3; its messages stand above"
        );
    }

    #[test]
    fn tools_of_a_project_are_found_from_below() {
        let place = tempfile::tempdir().unwrap();
        let bin = place.path().join("node_modules/.bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::write(bin.join("tool"), "").unwrap();
        let plugin = place.path().join("plugins/mine");
        assert_eq!(nearby(&plugin, "node_modules/.bin", "tool"), Some(bin.join("tool")));
        assert_eq!(nearby(&plugin, "node_modules/.bin", "other"), None);
    }
}
