//! The second life of the program: a child process of the runtime that compiles what is not trusted, or runs a
//! native plugin in a cage.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::compile::{self, CompileLimits};

/// The first argument of a child: nobody types it.
pub const CHILD: &str = "--blitz-runtime-child";

/// How the runtime starts a child: a program whose `main` calls [`child_main`] when its first argument is
/// [`CHILD`].
#[derive(Debug, Clone)]
pub struct ChildProgram {
    /// The program.
    pub program: PathBuf,
    /// What a child that compiles may use.
    pub compile: CompileLimits,
}

impl ChildProgram {
    /// The program that runs now: by its link, and not by its path, as an update may have replaced the file.
    #[must_use]
    pub fn this() -> Self {
        Self { program: PathBuf::from("/proc/self/exe"), compile: CompileLimits::default() }
    }
}

/// The life of a child, from the arguments behind [`CHILD`].
pub fn child_main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments;
    match arguments.next().as_deref().and_then(|word| word.to_str()) {
        Some(compile::WORD) => compile::child_main(arguments),
        Some("native") => crate::native::child_main(),
        _ => ExitCode::FAILURE,
    }
}
