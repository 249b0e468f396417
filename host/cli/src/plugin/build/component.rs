//! From what a tool chain left to a component that a host can run: core modules, which C compilers make, get the
//! adapter from WASI 0.1; components are looked at, and left as they are.

use std::fs;
use std::path::Path;

use blitz_contract::CONTRACT_VERSION;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Encoding, Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::plugin::{Error, sdk};
use crate::text::without_os_code;

/// What a plain command exports, of any minor version.
const COMMAND: &str = "wasi:cli/run@0.2.";

/// What a module exports that is a command of WASI 0.1.
const START: &str = "_start";

/// The component in a file, or made of the module in it.
///
/// # Errors
///
/// As [`of`]; and what the file system says.
pub(crate) fn of_file(path: &Path) -> Result<Vec<u8>, Error> {
    let bytes = fs::read(path)
        .map_err(|e| Error::Usage(without_os_code(&format!("read {}: {e}", path.display()))))?;
    if !bytes.starts_with(b"\0asm") {
        return Err(Error::Usage(format!(
            "{} is not WASM; a native library is built with --native, and its manifest stays beside it",
            path.display()
        )));
    }
    of(&bytes)
}

/// A component of these bytes, which is a plugin by its exports.
///
/// # Errors
///
/// [`Error::Failed`] when they are not WASM, or nothing in them can be run.
pub(crate) fn of(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let made = match is_component(bytes)? {
        true => bytes.to_vec(),
        false => adapted(bytes)?,
    };
    let exports = exports(&made)?;
    let is_plugin = |name: &String| *name == tool() || name.starts_with(COMMAND);
    if exports.iter().any(is_plugin) {
        return Ok(made);
    }
    Err(Error::Failed(format!(
        "not a plugin: a component exports {} or {COMMAND}x, and this one {}",
        tool(),
        listed(&exports)
    )))
}

/// The interface of a plugin.
fn tool() -> String {
    format!("blitz:plugin/tool@{CONTRACT_VERSION}")
}

fn is_component(bytes: &[u8]) -> Result<bool, Error> {
    match Parser::new(0).parse_all(bytes).next() {
        Some(Ok(Payload::Version { encoding, .. })) => Ok(encoding == Encoding::Component),
        Some(Err(error)) => Err(broken(&error)),
        _ => Err(Error::Failed("not a plugin: the file is empty".to_owned())),
    }
}

/// A core module as a component.
fn adapted(module: &[u8]) -> Result<Vec<u8>, Error> {
    let found = Module::read(module)?;
    let run = format!("{}#run", tool());
    let is_tool = found.exports.contains(&run);
    let adapter = match (is_tool, found.exports.iter().any(|name| name == START)) {
        (true, _) => WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
        (false, true) => WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
        (false, false) => {
            return Err(Error::Failed(format!(
                "not a plugin: a module exports {START} or {run}, and this one {}",
                listed(&found.exports)
            )));
        }
    };
    let mut module = module.to_vec();
    // Modules that bindings were linked into say themselves what their functions are.
    if found.needs_types {
        embed_contract(&mut module, is_tool)
            .map_err(|e| Error::Failed(format!("describe the module's imports: {e:#}")))?;
    }
    let encode = || {
        ComponentEncoder::default()
            .validate(true)
            .module(&module)?
            .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter)?
            .encode()
    };
    encode().map_err(|e| Error::Failed(format!("make the module a component: {e:#}")))
}

/// Tells the encoder what the functions of the contract take and give.
fn embed_contract(module: &mut Vec<u8>, is_tool: bool) -> Result<(), Box<dyn std::error::Error>> {
    let mut resolve = Resolve::default();
    let package = resolve.push_source("plugin.wit", sdk::wit().unwrap_or_default())?;
    let world = resolve.select_world(&[package], Some("plugin"))?;
    if !is_tool {
        // A command that calls the host, and is none of our own exports.
        resolve.worlds[world].exports.clear();
    }
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8)?;
    Ok(())
}

/// What a core module says of itself.
struct Module {
    exports: Vec<String>,
    /// It has functions of the contract, and nothing says what they are.
    needs_types: bool,
}

impl Module {
    fn read(bytes: &[u8]) -> Result<Self, Error> {
        let mut exports = Vec::new();
        let (mut is_of_contract, mut is_typed) = (false, false);
        let ours = |name: &str| name.starts_with("blitz:plugin/");
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(|e| broken(&e))? {
                Payload::ExportSection(section) => {
                    for export in section {
                        let name = export.map_err(|e| broken(&e))?.name;
                        is_of_contract |= ours(name);
                        exports.push(name.to_owned());
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        is_of_contract |= ours(import.map_err(|e| broken(&e))?.module);
                    }
                }
                Payload::CustomSection(section) => {
                    is_typed |= section.name().starts_with("component-type");
                }
                _ => {}
            }
        }
        Ok(Self { exports, needs_types: is_of_contract && !is_typed })
    }
}

/// The names that a component exports; not those of the parts inside of it.
fn exports(component: &[u8]) -> Result<Vec<String>, Error> {
    let mut depth = 0usize;
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(|e| broken(&e))? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    names.push(export.map_err(|e| broken(&e))?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

fn listed(exports: &[String]) -> String {
    /// Names of a module that has many: enough to see which file it is.
    const SHOWN_MAX: usize = 8;
    match exports {
        [] => "exports nothing".to_owned(),
        few if few.len() <= SHOWN_MAX => few.join(", "),
        many => format!("{} and {} more", many[..SHOWN_MAX].join(", "), many.len() - SHOWN_MAX),
    }
}

fn broken(error: &wasmparser::BinaryReaderError) -> Error {
    Error::Failed(format!("not WASM: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module with one function of no arguments, exported by this name.
    fn module(export: &str) -> Vec<u8> {
        let mut bytes = b"\0asm\x01\0\0\0".to_vec();
        // Types, functions, memory, exports, code.
        bytes.extend([1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 5, 3, 1, 0, 1, 7]);
        let length = u8::try_from(export.len()).unwrap();
        bytes.extend([length + 13, 2, 6]);
        bytes.extend(b"memory\x02\0");
        bytes.push(length);
        bytes.extend(export.as_bytes());
        bytes.extend([0, 0, 10, 4, 1, 2, 0, 0x0b]);
        bytes
    }

    #[test]
    fn a_command_of_wasi_0_1_becomes_a_component() {
        let made = of(&module(START)).unwrap();
        assert!(is_component(&made).unwrap());
        assert!(exports(&made).unwrap().iter().any(|name| name.starts_with(COMMAND)));
        assert_eq!(of(&made).unwrap(), made, "which stays as it is");
    }

    #[test]
    fn what_cannot_be_run_says_what_it_exports() {
        let text = of(&module("helper")).unwrap_err().to_string();
        assert_eq!(
            text,
            "not a plugin: a module exports _start or blitz:plugin/tool@0.1.0#run, and this one memory, helper"
        );
        let text = of(b"\0asm\x0d\0\x01\0").unwrap_err().to_string();
        assert!(text.ends_with("and this one exports nothing"), "{text}");
        for bytes in [&b""[..], b"\0asm", b"hello", b"\0asm\x01\0\0\0\x07\x7f"] {
            assert!(of(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_wrong_type_of_a_function_of_the_contract_is_told() {
        let text = of(&module("blitz:plugin/tool@0.1.0#run")).unwrap_err().to_string();
        assert!(text.starts_with("make the module a component: "), "{text}");
    }
}
