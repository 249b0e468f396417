//! Plugins in JavaScript: `index.js`, an ES module that exports `tool`, made a component by componentize-js, which
//! puts an engine into the file.

use std::fs;
use std::path::Path;

use blitz_contract::{Capability, Manifest};

use crate::plugin::build::tool::{self, Tool};
use crate::plugin::{Error, sdk};

const MISSING: &str = "componentize-js is missing, which makes components of JavaScript: run \
                       'npm install @bytecodealliance/componentize-js' beside plugin.toml";

/// Builds the component. `fetch`, which brings the imports of `wasi:http` along, is in it only when the plugin asks
/// for the web and names it: what a component imports is what people are shown of it.
///
/// # Errors
///
/// [`Error::Failed`] when the tool is missing or fails.
pub(crate) fn component(directory: &Path, manifest: &Manifest) -> Result<Vec<u8>, Error> {
    let name = "componentize-js";
    let own = tool::nearby(directory, "node_modules/.bin", name);
    let candidates = own.iter().map(|path| (Tool::new(path, &[]), "--version"));
    let anywhere = (Tool::new(name, &[]), "--version");
    let node = tool::first(candidates.chain([anywhere]).collect(), MISSING)?;

    let scratch = super::pack::scratch(directory)?;
    let made = scratch.path().join("made.wasm");
    let mut command = node.command(directory);
    command
        .args(["index.js", "--world-name", "plugin", "--wit"])
        .arg(sdk::directory(directory).join("wit/blitz-plugin-0.1.0"))
        // For components that are servers.
        .args(["--disable", "fetch-event"])
        .arg("--out")
        .arg(&made);
    let source = fs::read_to_string(directory.join("index.js")).unwrap_or_default();
    if !manifest.capabilities.contains(&Capability::Web) || !source.contains("fetch(") {
        command.args(["--disable", "http"]);
    }
    tool::run(&node, &mut command)?;
    fs::read(&made).map_err(|e| Error::Failed(format!("{} made no file: {e}", node.shown())))
}
