//! Plugins in Python: `app.py` with a class `Tool`, made a component by componentize-py, which puts the
//! interpreter and the modules that were imported into the file.

use std::fs;
use std::path::Path;

use crate::plugin::build::tool::{self, Tool};
use crate::plugin::{Error, sdk};

const MISSING: &str = "componentize-py is missing, which makes components of Python: run \
                       'pip install componentize-py', or the same in a .venv beside plugin.toml";

/// Builds the component.
///
/// # Errors
///
/// [`Error::Failed`] when the tool is missing or fails.
pub(crate) fn component(directory: &Path) -> Result<Vec<u8>, Error> {
    let name = "componentize-py";
    let own = tool::nearby(directory, ".venv/bin", name);
    let candidates = own.iter().map(|path| (Tool::new(path, &[]), "--version"));
    let anywhere = (Tool::new(name, &[]), "--version");
    let python = tool::first(candidates.chain([anywhere]).collect(), MISSING)?;

    let scratch = super::pack::scratch(directory)?;
    let made = scratch.path().join("made.wasm");
    let mut command = python.command(directory);
    command
        .arg("--quiet")
        .arg("--wit-path")
        .arg(sdk::directory(directory).join("wit/blitz-plugin-0.1.0"))
        .args(["--world", "plugin", "componentize", "app", "--output"])
        .arg(&made);
    // The packages that were installed beside the tool are the plugin's.
    if let Some(environment) = own.as_deref().and_then(|path| path.parent()?.parent()) {
        command.env("VIRTUAL_ENV", environment);
    }
    tool::run(&python, &mut command)?;
    fs::read(&made).map_err(|e| Error::Failed(format!("{} made no file: {e}", python.shown())))
}
