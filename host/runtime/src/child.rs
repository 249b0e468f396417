//! The second life of the program: a child process of the runtime that compiles what is not trusted, or runs a
//! native plugin or a load worker in a cage. What both cages have in common is in `rights`.

pub(crate) mod rights;

use std::ffi::OsString;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::compile::{self, CompileLimits};
use crate::load;

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

/// What a child does with code that is not the runtime's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChildWork {
    /// The life of a load worker, on its line to the engine (see `blitz_contract::load::work`), in a cage that is shut. `None`
    /// makes programs without load tests.
    pub load: Option<fn(UnixStream) -> ExitCode>,
}

/// The life of a child, from the arguments behind [`CHILD`], of a program without load tests.
pub fn child_main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    child_main_with(arguments, ChildWork::default())
}

/// The life of a child, from the arguments behind [`CHILD`].
pub fn child_main_with(arguments: impl Iterator<Item = OsString>, work: ChildWork) -> ExitCode {
    let mut arguments = arguments;
    match arguments.next().as_deref().and_then(|word| word.to_str()) {
        Some(compile::WORD) => compile::child_main(arguments),
        Some("native") => crate::native::child_main(),
        Some(load::CHILD_WORD) => match work.load {
            Some(work) => load::child_main(arguments, work),
            None => ExitCode::FAILURE,
        },
        _ => ExitCode::FAILURE,
    }
}
