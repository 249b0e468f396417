//! What a component holds, read from its bytes: imports, exports and memories. It cannot lie about them, for what is
//! not imported cannot be called.
//!
//! Only the outermost component's imports reach a host. What a component inside imports was given by the one around
//! it, out of those or of its own making; its memories count all the same.

use std::collections::BTreeSet;

use blitz_contract::Capability;
use blitz_runtime::{capability_of_import, import_in_words};
use wasmparser::{Encoding, Parser, Payload};

/// Bytes of a page of linear memory, unless the memory says otherwise.
const PAGE_BYTES: u64 = 65_536;

/// The interface that makes a component a plugin, and the one of a plain WASI command, without their versions.
const TOOL: &str = "blitz:plugin/tool";
const COMMAND: &str = "wasi:cli/run";

/// The words of the other interfaces.
const TYPES: &str = "blitz:plugin/types";

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Contents {
    /// In the order of the file: `blitz:plugin/web@0.1.0`.
    pub(super) imports: Vec<String>,
    pub(super) exports: Vec<String>,
    /// All memories as they are at the start.
    pub(super) memory_bytes: u64,
    /// Core modules, and components inside.
    pub(super) modules: usize,
    pub(super) components: usize,
}

/// How a component is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier {
    /// It exports our interface.
    Tool,
    /// It exports `wasi:cli/run`.
    Command,
    /// Neither.
    Neither,
}

impl Contents {
    /// Reads a component.
    ///
    /// # Errors
    ///
    /// The reader's words, with the place in the file.
    pub(super) fn read(wasm: &[u8]) -> Result<Self, String> {
        let mut contents = Self::default();
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.map_err(|error| error.to_string())? {
                Payload::Version { encoding, .. } => {
                    match encoding {
                        Encoding::Module => contents.modules += 1,
                        Encoding::Component if depth > 0 => contents.components += 1,
                        Encoding::Component => {}
                    }
                    depth += 1;
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 1 => {
                    for import in section {
                        let import = import.map_err(|error| error.to_string())?;
                        contents.imports.push(import.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 1 => {
                    for export in section {
                        let export = export.map_err(|error| error.to_string())?;
                        contents.exports.push(export.name.name.to_owned());
                    }
                }
                Payload::MemorySection(section) => {
                    for memory in section {
                        let memory = memory.map_err(|error| error.to_string())?;
                        let page = memory
                            .page_size_log2
                            .map_or(Some(PAGE_BYTES), |log2| 1_u64.checked_shl(log2));
                        let bytes = memory.initial.saturating_mul(page.unwrap_or(u64::MAX));
                        contents.memory_bytes = contents.memory_bytes.saturating_add(bytes);
                    }
                }
                _ => {}
            }
        }
        Ok(contents)
    }

    pub(super) fn carrier(&self) -> Carrier {
        let has = |wanted: &str| self.exports.iter().any(|export| interface(export) == wanted);
        match (has(TOOL), has(COMMAND)) {
            (true, _) => Carrier::Tool,
            (false, true) => Carrier::Command,
            (false, false) => Carrier::Neither,
        }
    }

    /// The contract that it was built for, as its own names say: the version of `blitz:plugin`.
    pub(super) fn contract(&self) -> Option<&str> {
        let names = self.exports.iter().chain(&self.imports);
        let mut ours = names.filter(|name| name.starts_with("blitz:plugin/"));
        Some(ours.next()?.split_once('@')?.1)
    }

    /// The rights that its imports are for, in the order of their names.
    pub(super) fn rights(&self) -> BTreeSet<Capability> {
        self.imports.iter().filter_map(|import| capability_of_import(import)).collect()
    }

    /// What it can do without any right, each once, in the order of the file.
    pub(super) fn abilities(&self) -> Vec<&'static str> {
        let mut abilities = Vec::new();
        // Types are no ability: an interface of ours with calls stands beside them.
        let imports = self.imports.iter().filter(|import| interface(import) != TYPES);
        for import in imports {
            let words = import_in_words(import).filter(|_| capability_of_import(import).is_none());
            if let Some(words) = words.filter(|words| !abilities.contains(words)) {
                abilities.push(words);
            }
        }
        abilities
    }

    /// Imports that no engine of this version gives.
    pub(super) fn strangers(&self) -> Vec<&str> {
        let strangers = self.imports.iter().filter(|import| import_in_words(import).is_none());
        strangers.map(String::as_str).collect()
    }

    /// The parts of WASI that it imports: `cli 0.2.6`.
    pub(super) fn wasi(&self) -> Vec<String> {
        let mut parts: Vec<String> = Vec::new();
        for import in &self.imports {
            let Some((package, rest)) =
                import.strip_prefix("wasi:").and_then(|i| i.split_once('/'))
            else {
                continue;
            };
            let part = match rest.split_once('@') {
                Some((_, version)) => format!("{package} {version}"),
                None => package.to_owned(),
            };
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        parts
    }
}

/// `wasi:cli/run` of `wasi:cli/run@0.2.6`
fn interface(name: &str) -> &str {
    name.split_once('@').map_or(name, |(interface, _)| interface)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name as the binary format has it, behind the byte of its form.
    fn name(text: &str) -> Vec<u8> {
        [&[0, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
    }

    fn section(id: u8, content: &[u8]) -> Vec<u8> {
        [&[id, u8::try_from(content.len()).unwrap()], content].concat()
    }

    /// A component that imports the interfaces, each an empty instance, and holds `inside`.
    fn component(imports: &[&str], inside: &[u8]) -> Vec<u8> {
        let mut wasm = b"\0asm\x0d\0\x01\0".to_vec();
        // One type: an instance that exports nothing.
        wasm.extend(section(7, &[1, 0x42, 0]));
        for import in imports {
            wasm.extend(section(10, &[&[1], &name(import)[..], &[5, 0]].concat()));
        }
        wasm.extend(inside);
        wasm
    }

    #[test]
    fn only_the_outermost_imports_count_and_all_memories() {
        // A module with one memory of two pages.
        let module = [&b"\0asm\x01\0\0\0"[..], &section(5, &[1, 0, 2])].concat();
        let inner = component(&["wasi:sockets/tcp@0.2.0"], &section(1, &module));
        let inside = [section(1, &module), section(4, &inner)].concat();
        let outer = component(&["blitz:plugin/web@0.1.0", "wasi:cli/stdin@0.2.3"], &inside);
        let contents = Contents::read(&outer).unwrap();
        assert_eq!(contents.imports, ["blitz:plugin/web@0.1.0", "wasi:cli/stdin@0.2.3"]);
        assert_eq!((contents.modules, contents.components), (2, 1));
        assert_eq!(contents.memory_bytes, 4 * PAGE_BYTES);
        assert_eq!(contents.rights(), BTreeSet::from([Capability::Web]));
        assert_eq!(contents.wasi(), ["cli 0.2.3"]);
        assert_eq!(contents.contract(), Some("0.1.0"));
        assert_eq!(contents.carrier(), Carrier::Neither);
        assert_eq!(contents.strangers(), [""; 0]);
        let types = Contents::read(&component(&["blitz:plugin/types@0.1.0"], b"")).unwrap();
        assert_eq!((types.abilities().len(), types.strangers().len()), (0, 0));
    }

    #[test]
    fn what_is_broken_is_said() {
        for wasm in [&b""[..], b"\0asm", b"\0asm\x0d\0\x01\0\x0a\xff"] {
            assert!(Contents::read(wasm).is_err(), "{wasm:?}");
        }
        let strange = component(&["wasi:nn/graph@0.2.0"], b"");
        assert_eq!(Contents::read(&strange).unwrap().strangers(), ["wasi:nn/graph@0.2.0"]);
    }
}
