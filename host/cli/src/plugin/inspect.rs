//! `blitz plugin inspect`: a plugin's manifest, rights, size and digest, for people or as JSON.

use std::path::PathBuf;
use std::time::Duration;

use blitz_contract::native::SYMBOL;
use blitz_contract::{Capability, Limits, Manifest};
use blitz_runtime::{
    CPU_DEFAULT, CPU_MAX, GRACE_MAX, MEMORY_DEFAULT_BYTES, MEMORY_MAX_BYTES, OUTPUT_DEFAULT_BYTES,
    OUTPUT_MAX_BYTES, SOCKETS_DEFAULT, SOCKETS_MAX,
};
use serde::Serialize;
use serde_json::json;

use crate::commands::global_flags;
use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::help;
use crate::list::print_table;
use crate::plugin::Error;
use crate::plugin::contents::{Carrier, Contents};
use crate::plugin::elf::Elf;
use crate::plugin::file::{self, Form, PluginFile};
use crate::run::print;
use crate::targets::{TargetArgs, Targets};
use crate::text::size;

/// `blitz plugin inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct InspectArgs {
    /// The plugin's file, or the directory that it is built in
    #[arg(default_value = ".")]
    file: PathBuf,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// What `--json` prints. Fields may be added, never changed or removed.
#[derive(Serialize)]
struct Document<'a> {
    file: String,
    sha256: &'a str,
    size_bytes: usize,
    /// `component`, `command`, `native`
    carrier: &'static str,
    manifest: &'a Manifest,
    rights: Vec<serde_json::Value>,
    /// Absent for a native library.
    #[serde(skip_serializing_if = "Option::is_none")]
    imports: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<&'a str>,
}

pub(crate) async fn run(args: InspectArgs, environment: &Environment) -> Result<ExitCode, Error> {
    let file = PluginFile::read(&args.file)?;
    let wrong = |cause: String| Error::Usage(format!("'{}': {cause}", file.path.display()));
    let (contents, elf) = match file.form() {
        Form::Component => (Some(Contents::read(&file.bytes).map_err(wrong)?), None),
        Form::Elf => (None, Elf::read(&file.bytes)),
        Form::Module | Form::Other => {
            return Err(wrong("no plugin; 'blitz plugin check' says why".to_owned()));
        }
    };
    let manifest = match file.written_manifest()? {
        Some(manifest) => manifest,
        None if elf.as_ref().is_some_and(|elf| !elf.has_symbol) => {
            return Err(wrong(format!("it has no symbol {SYMBOL}: not a plugin")));
        }
        None if elf.is_some() => {
            return Err(wrong(format!("a native library, and no {} beside it", file::PLUGIN_TOML)));
        }
        None => {
            let policy = TargetArgs::default().policy(Targets::PublicOnly);
            file.load(&file::runtime(policy, Vec::new(), environment)?).await?.1
        }
    };
    let carrier = match contents.as_ref().map(Contents::carrier) {
        None => "native",
        Some(Carrier::Command) => "command",
        Some(Carrier::Tool | Carrier::Neither) => "component",
    };
    if args.json {
        let document = Document {
            file: file.path.display().to_string(),
            sha256: &file.sha256,
            size_bytes: file.bytes.len(),
            carrier,
            manifest: &manifest,
            rights: manifest.capabilities.iter().map(of_right).collect(),
            imports: contents.as_ref().map(|contents| contents.imports.as_slice()),
            machine: elf.as_ref().map(|elf| elf.machine.as_str()),
        };
        let json = serde_json::to_string_pretty(&document)
            .map_err(|error| Error::Failed(error.to_string()))?;
        return Ok(print(&format!("{json}\n")));
    }
    let mut text = help::of_plugin(&manifest, &global_flags());
    text.push('\n');
    let rights: Vec<String> = manifest
        .capabilities
        .iter()
        .map(|right| format!("{}: {}", right.name(), right.in_words()))
        .collect();
    let mut lines = |title: &str, lines: &[String]| {
        for (at, line) in lines.iter().enumerate() {
            text.push_str(&format!("{:<10}{line}\n", if at == 0 { title } else { "" }));
        }
    };
    lines("rights", &if rights.is_empty() { vec!["none".to_owned()] } else { rights });
    lines("limits", &[of_limits(&manifest.limits)]);
    let bytes = u64::try_from(file.bytes.len()).unwrap_or(u64::MAX);
    lines("file", &[format!("{}, {}, {carrier}", file.path.display(), size(bytes))]);
    lines("sha256", std::slice::from_ref(&file.sha256));
    match (&contents, &elf) {
        (Some(contents), _) => lines("imports", &contents.imports),
        (None, Some(elf)) => {
            lines("machine", &[format!("{}; there is no import section to read", elf.machine)]);
        }
        (None, None) => {}
    }
    Ok(print_table(&text))
}

fn of_right(right: &Capability) -> serde_json::Value {
    json!({"name": right.name(), "words": right.in_words()})
}

/// What one run has: as the manifest names it, lowered to what engines give at most, else the default.
fn of_limits(limits: &Limits) -> String {
    let &Limits { memory_bytes, output_bytes, cpu_ms, sockets, slots, grace_ms } = limits;
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let memory = memory_bytes.unwrap_or(MEMORY_DEFAULT_BYTES).min(MEMORY_MAX_BYTES);
    let output = output_bytes.unwrap_or(OUTPUT_DEFAULT_BYTES).min(OUTPUT_MAX_BYTES);
    let cpu = cpu_ms.unwrap_or(ms(CPU_DEFAULT)).min(ms(CPU_MAX));
    let sockets = sockets.unwrap_or(SOCKETS_DEFAULT).min(SOCKETS_MAX);
    let weight = match slots.unwrap_or(1) {
        1 => String::new(),
        slots => format!("{slots} slots of an engine, "),
    };
    let grace = match grace_ms.unwrap_or(0).min(ms(GRACE_MAX)) {
        0 => "no last words".to_owned(),
        grace => format!("{grace} ms for last words"),
    };
    let (memory, output) = (size(memory), size(output));
    format!(
        "memory {memory}, output {output}, CPU time {cpu} ms, {sockets} sockets, {weight}{grace}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_of_a_run() {
        assert_eq!(
            of_limits(&Limits::default()),
            "memory 64 MiB, output 256 MiB, CPU time 60000 ms, 64 sockets, no last words"
        );
        let limits = Limits { sockets: Some(5000), grace_ms: Some(300), ..Limits::default() };
        assert!(of_limits(&limits).ends_with(" 1000 sockets, 300 ms for last words"));
        let heavy = Limits { slots: Some(20), ..Limits::default() };
        assert!(of_limits(&heavy).ends_with(" 64 sockets, 20 slots of an engine, no last words"));
    }
}
