//! `blitz plugin check`: what a plugin's file can do, read from its own imports, and whether an engine would take it.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use blitz_contract::native::SYMBOL;
use blitz_contract::{Capability, Manifest};
use blitz_jobs::plugin::check_contract;
use blitz_runtime::{
    CPU_MAX, GRACE_MAX, MEMORY_DEFAULT_BYTES, MEMORY_MAX_BYTES, OUTPUT_MAX_BYTES, SOCKETS_MAX,
    TargetPolicy,
};

use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::list::print_table;
use crate::plugin::Error;
use crate::plugin::contents::{Carrier, Contents};
use crate::plugin::elf::Elf;
use crate::plugin::file::{self, Form, PluginFile};
use crate::text::size;

/// `blitz plugin check`.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// The plugin's file, or the directory that it is built in
    #[arg(default_value = ".")]
    file: PathBuf,
}

pub(crate) async fn run(args: CheckArgs, environment: &Environment) -> Result<ExitCode, Error> {
    let file = PluginFile::read(&args.file)?;
    let verdict = match file.form() {
        Form::Component => check_component(&file, environment).await?,
        Form::Elf => check_native(&file),
        Form::Module => Verdict::refused(file.module_text()),
        Form::Other => Verdict::refused(
            "neither a component (WebAssembly) nor a native library (ELF)".to_owned(),
        ),
    };
    let printed = print_table(&verdict.text(&file));
    let is_refused = !verdict.refusals.is_empty();
    Ok(if is_refused { ExitCode::FAILURE } else { printed })
}

/// What is said of a file.
#[derive(Debug, Default)]
struct Verdict {
    title: String,
    facts: Vec<(&'static str, Vec<String>)>,
    warnings: Vec<String>,
    /// Why an engine would not take it.
    refusals: Vec<String>,
}

impl Verdict {
    fn refused(reason: String) -> Self {
        Self { refusals: vec![reason], ..Self::default() }
    }

    fn text(&self, file: &PluginFile) -> String {
        let size = size(u64::try_from(file.bytes.len()).unwrap_or(u64::MAX));
        let mut text = format!("{}: {}{size}\n", file.path.display(), self.title);
        let mut line = |title: &str, line: &str| {
            let _never = writeln!(text, "{title:<10}{line}");
        };
        line("sha256", &file.sha256);
        for (title, lines) in &self.facts {
            for (at, fact) in lines.iter().enumerate() {
                line(if at == 0 { title } else { "" }, fact);
            }
        }
        for warning in &self.warnings {
            line("warning", warning);
        }
        for refusal in &self.refusals {
            line("error", refusal);
        }
        line(
            "verdict",
            match self.refusals.is_empty() {
                true => "engines of this version take it",
                false => "an engine would refuse it",
            },
        );
        text
    }
}

async fn check_component(file: &PluginFile, environment: &Environment) -> Result<Verdict, Error> {
    let mut verdict = Verdict::default();
    let contents = match Contents::read(&file.bytes) {
        Ok(contents) => contents,
        Err(cause) => return Ok(Verdict::refused(format!("not a whole component: {cause}"))),
    };
    let written = match file.written_manifest() {
        Ok(written) => written,
        Err(error) => {
            verdict.refusals.push(format!("its section with the manifest: {error}"));
            None
        }
    };
    let runtime = file::runtime(TargetPolicy::public_only(), Vec::new(), environment)?;
    let told = match runtime.load(file.bytes.clone(), &file.sha256).await {
        Ok(plugin) if contents.carrier() == Carrier::Tool => match plugin.describe().await {
            Ok(manifest) => Some(manifest),
            Err(error) => {
                verdict.refusals.push(error.to_string());
                None
            }
        },
        Ok(_) => None,
        Err(error) => {
            verdict.refusals.push(error.to_string());
            None
        }
    };
    if let (Some(written), Some(told)) = (&written, &told)
        && written != told
    {
        verdict.refusals.push(
            "its section with the manifest is not what describe() tells; build it again".to_owned(),
        );
    }
    if written.is_none() && verdict.refusals.is_empty() {
        verdict
            .warnings
            .push("it has no section with its manifest: 'blitz plugin build' packs one".to_owned());
    }
    describe(&mut verdict, &contents, written.or(told).as_ref());
    Ok(verdict)
}

/// What follows from the contents and the manifest. Pure.
fn describe(verdict: &mut Verdict, contents: &Contents, manifest: Option<&Manifest>) {
    let carrier = match contents.carrier() {
        Carrier::Tool => "a component",
        Carrier::Command => "a WASI command",
        Carrier::Neither => {
            verdict.refusals.push(
                "it exports neither blitz:plugin/tool nor wasi:cli/run: there is nothing to run"
                    .to_owned(),
            );
            "a component"
        }
    };
    verdict.title = match manifest {
        Some(manifest) => format!("{} {}, {carrier}, ", manifest.name, manifest.version),
        None => format!("{carrier}, "),
    };
    if contents.carrier() == Carrier::Command && manifest.is_none() {
        verdict.refusals.push(
            "a WASI command tells nothing of itself, and it has no section with a manifest"
                .to_owned(),
        );
    }
    let built_for = contents.contract().or(manifest.map(|m| m.contract.as_str()));
    if let Some(contract) = built_for {
        verdict.facts.push(("contract", vec![contract.to_owned()]));
    }
    // Engines go by the manifest; what the imports say they find when they load it.
    let mut told = vec![built_for, manifest.map(|m| m.contract.as_str())];
    told.dedup();
    let unspoken = told.into_iter().flatten().filter_map(|contract| check_contract(contract).err());
    verdict.refusals.extend(unspoken.map(|unspoken| unspoken.to_string()));
    verdict.facts.push(("it can", abilities(contents, manifest)));
    if let Some(manifest) = manifest {
        rights(verdict, contents, manifest);
        limits(verdict, manifest);
        if let Some(own) = contents.contract().filter(|own| *own != manifest.contract) {
            verdict.warnings.push(format!(
                "its manifest says contract {}, its imports and exports say {own}",
                manifest.contract
            ));
        }
    }
    let wasi = contents.wasi();
    if !wasi.is_empty() {
        verdict.facts.push(("WASI", vec![wasi.join(", ")]));
    }
    let start = size(contents.memory_bytes);
    let limit = manifest.and_then(|m| m.limits.memory_bytes).unwrap_or(MEMORY_DEFAULT_BYTES);
    let limit = limit.min(MEMORY_MAX_BYTES);
    verdict.facts.push(("memory", vec![format!("{start} at its start, {} at most", size(limit))]));
    if contents.memory_bytes > limit {
        verdict.refusals.push(format!(
            "it needs {start} of memory to start, and its limit is {}; ask for more (limits.memory_bytes)",
            size(limit)
        ));
    }
    for stranger in contents.strangers() {
        verdict
            .refusals
            .push(format!("it imports {stranger}, which no engine of this version gives"));
    }
}

/// A line for each thing, those that need a right first.
fn abilities(contents: &Contents, manifest: Option<&Manifest>) -> Vec<String> {
    let asked = |right: &Capability| manifest.is_some_and(|m| m.capabilities.contains(right));
    let with_right = contents.rights().into_iter().map(|right| {
        let how = match asked(&right) {
            true => "asked for",
            // Interpreters and the SDK import every interface, whatever their program does: what is called cannot be
            // told from what is imported, and no right is wanted for what is never called.
            false => "imported, not asked for: denied if it is called",
        };
        format!("{} ({}: {how})", right.in_words(), right.name())
    });
    let free = contents.abilities().into_iter().map(str::to_owned);
    let all: Vec<String> = with_right.chain(free).collect();
    match all.is_empty() {
        true => vec!["compute, and return a status".to_owned()],
        false => all,
    }
}

fn rights(verdict: &mut Verdict, contents: &Contents, manifest: &Manifest) {
    let imported = contents.rights();
    for right in &manifest.capabilities {
        match right {
            Capability::Unknown(name) => verdict.refusals.push(format!(
                "its manifest asks for the right {name:?}, which engines of this version do not know"
            )),
            known if !imported.contains(known) => verdict.warnings.push(format!(
                "its manifest asks for {}, and it imports nothing that needs it: asked for, not used",
                known.name()
            )),
            _ => {}
        }
    }
}

fn limits(verdict: &mut Verdict, manifest: &Manifest) {
    let asked = &manifest.limits;
    let ms = |most: Duration| u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    for (name, asked, most) in [
        ("memory_bytes", asked.memory_bytes, MEMORY_MAX_BYTES),
        ("output_bytes", asked.output_bytes, OUTPUT_MAX_BYTES),
        ("cpu_ms", asked.cpu_ms, ms(CPU_MAX)),
        ("sockets", asked.sockets.map(u64::from), u64::from(SOCKETS_MAX)),
        ("grace_ms", asked.grace_ms, ms(GRACE_MAX)),
    ] {
        if let Some(asked) = asked.filter(|asked| *asked > most) {
            verdict.warnings.push(format!("limits.{name} is {asked}; engines lower it to {most}"));
        }
    }
}

fn check_native(file: &PluginFile) -> Verdict {
    let mut verdict = Verdict::default();
    let Some(elf) = Elf::read(&file.bytes) else {
        return Verdict::refused("its ELF header is cut off".to_owned());
    };
    verdict.title = format!("a native library for {}, ", elf.machine);
    verdict.facts.push((
        "it can",
        vec![
            "a native file has no import section to read: it runs as machine code, in a caged process of its own"
                .to_owned(),
            "with the rights that its manifest asks for and the operator grants; engines believe only signatures \
             of their operator"
                .to_owned(),
        ],
    ));
    match file.written_manifest() {
        Ok(Some(manifest)) => {
            verdict.title = format!("{} {}, {}", manifest.name, manifest.version, verdict.title);
            let rights: Vec<String> = manifest
                .capabilities
                .iter()
                .map(|right| format!("{}: {}", right.name(), right.in_words()))
                .collect();
            let none = || vec!["none".to_owned()];
            verdict.facts.push(("contract", vec![manifest.contract.clone()]));
            verdict.facts.push(("rights", if rights.is_empty() { none() } else { rights }));
            let unspoken = check_contract(&manifest.contract).err();
            verdict.refusals.extend(unspoken.map(|unspoken| unspoken.to_string()));
            limits(&mut verdict, &manifest);
        }
        Ok(None) if !elf.has_symbol => {}
        Ok(None) => verdict
            .warnings
            .push(format!("no {} beside it: its manifest goes with it", file::PLUGIN_TOML)),
        Err(error) => verdict.refusals.push(error.to_string()),
    }
    if !elf.is_library {
        verdict.refusals.push("not a shared library of 64 bits in little-endian order".to_owned());
    }
    if !elf.has_symbol {
        verdict.refusals.push(format!("it has no symbol {SYMBOL}: not a plugin"));
    }
    if !elf.is_of_this_machine() {
        verdict.warnings.push(format!(
            "engines on {} run it; this machine is {}",
            elf.machine,
            std::env::consts::ARCH
        ));
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(extra: &str) -> Manifest {
        let toml = format!(
            "name = \"x\"\nversion = \"0.1.0\"\nsummary = \"s\"\ncontract = \"0.1.0\"\n{extra}"
        );
        Manifest::from_toml(&toml).unwrap()
    }

    fn verdict(imports: &[&str], manifest: Option<&Manifest>) -> Verdict {
        let contents = Contents {
            imports: imports.iter().map(|&import| import.to_owned()).collect(),
            exports: vec!["blitz:plugin/tool@0.1.0".to_owned()],
            memory_bytes: 1 << 20,
            ..Contents::default()
        };
        let mut verdict = Verdict::default();
        describe(&mut verdict, &contents, manifest);
        verdict
    }

    #[test]
    fn imports_and_manifest_are_held_against_each_other() {
        const WEB: &str = "blitz:plugin/web@0.1.0";
        const SOCKETS: &str = "wasi:sockets/tcp@0.2.0";
        for (imports, extra, warning, refusal) in [
            (&[WEB][..], "capabilities = [\"web\"]", "", ""),
            (&[WEB], "", "", ""),
            (&[SOCKETS], "", "", ""),
            (&[], "capabilities = [\"dns\"]", "its manifest asks for dns", ""),
            (&["wasi:nn/graph@0.2.0"], "", "", "it imports wasi:nn/graph@0.2.0"),
            (&[], "limits = { memory_bytes = 9 }", "", "it needs 1 MiB of memory"),
            (&[], "limits = { cpu_ms = 9999999999 }", "limits.cpu_ms is 9999999999; engines", ""),
            (
                &[],
                "limits = { sockets = 1001 }",
                "limits.sockets is 1001; engines lower it to 1000",
                "",
            ),
            (
                &[],
                "limits = { grace_ms = 801 }",
                "limits.grace_ms is 801; engines lower it to 800",
                "",
            ),
            (&[], "limits = { sockets = 1000, grace_ms = 800 }", "", ""),
            (&["blitz:plugin/web@0.2.0"], "capabilities = [\"web\"]", "", ""),
        ] {
            let verdict = verdict(imports, Some(&manifest(extra)));
            for (found, wanted) in [(&verdict.warnings, warning), (&verdict.refusals, refusal)] {
                let found = found.join("\n");
                assert!(
                    found.starts_with(wanted) && found.is_empty() == wanted.is_empty(),
                    "{imports:?} {extra}: {found}"
                );
            }
        }
    }

    #[test]
    fn what_becomes_of_each_right_is_said() {
        for (import, extra, says) in [
            ("blitz:plugin/web@0.1.0", "capabilities = [\"web\"]", "(web: asked for)"),
            (
                "blitz:plugin/web@0.1.0",
                "",
                "(web: imported, not asked for: denied if it is called)",
            ),
            (
                "wasi:sockets/tcp@0.2.0",
                "",
                "(sockets: imported, not asked for: denied if it is called)",
            ),
        ] {
            let verdict = verdict(&[import], Some(&manifest(extra)));
            let can = &verdict.facts.iter().find(|(title, _)| *title == "it can").unwrap().1;
            assert!(can[0].ends_with(says), "{can:?}");
        }
    }

    #[test]
    fn another_contract_is_refused() {
        let old = manifest("").clone();
        let newer = Manifest { contract: "0.2.0".to_owned(), ..old };
        for export in ["wasi:cli/run@0.2.0", "blitz:plugin/tool@0.1.0"] {
            let contents = Contents { exports: vec![export.to_owned()], ..Contents::default() };
            let mut verdict = Verdict::default();
            describe(&mut verdict, &contents, Some(&newer));
            let reason = verdict.refusals.join("\n");
            assert!(reason.starts_with("it was built for contract 0.2.0"), "{export}: {reason}");
            assert_eq!(verdict.refusals.len(), 1, "{export}");
        }
    }
}
