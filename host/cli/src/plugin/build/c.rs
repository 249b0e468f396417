//! Plugins in C: an ordinary `main`, compiled and linked with the SDK's own two files by zig or clang.

use std::fs;
use std::path::Path;

use crate::plugin::build::project::c_sources;
use crate::plugin::build::tool::{self, Tool};
use crate::plugin::{Error, sdk};

const MISSING: &str = "a C compiler for WASM is missing: run 'pip install ziglang', or install zig, or clang \
                       with lld and wasi-libc (on Debian: apt install clang lld wasi-libc libclang-rt-dev-wasm32)";

/// Builds the core module, which is not a component yet.
///
/// # Errors
///
/// [`Error::Failed`] when no compiler is there, or it fails.
pub(crate) fn module(directory: &Path) -> Result<Vec<u8>, Error> {
    let compiler = compiler(directory)?;
    let scratch = super::pack::scratch(directory)?;
    let made = scratch.path().join("made.wasm");
    let sdk = sdk::directory(directory).join("c");
    let mut command = compiler.command(directory);
    command
        // Called more than once, by a host: not `_start`, which runs `main` and ends.
        .args(["-mexec-model=reactor", "-Oz", "-s", "-Wall", "-Wextra"])
        .arg("-I")
        .arg(&sdk)
        .args(c_sources(directory))
        .args(c_sources(&sdk))
        .args(["-lm", "-o"])
        .arg(&made)
        .env("ZIG_LOCAL_CACHE_DIR", scratch.path().join("cache"));
    tool::run(&compiler, &mut command)?;
    fs::read(&made).map_err(|e| Error::Failed(format!("{} made no file: {e}", compiler.shown())))
}

fn compiler(directory: &Path) -> Result<Tool, Error> {
    const ZIG: &[&str] = &["cc", "-target", "wasm32-wasi"];
    let own = tool::nearby(directory, ".venv/bin", "python");
    let python = own.as_deref().unwrap_or(Path::new("python3"));
    let zig_of_python = ["-m", "ziglang", "cc", "-target", "wasm32-wasi"];
    let clang = ["--target=wasm32-wasi", "--sysroot=/usr"];
    tool::first(
        vec![
            (Tool::new("zig", ZIG), "--version"),
            (Tool::new(python, &zig_of_python), "--version"),
            (Tool::new("python-zig", ZIG), "--version"),
            (Tool::new("clang", &clang), "--version"),
        ],
        MISSING,
    )
}
