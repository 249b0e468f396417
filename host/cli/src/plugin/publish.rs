//! `blitz plugin publish`: signs a file with its manifest, sends it, and waits until engines can run it.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use blitz_contract::native::SYMBOL;
use blitz_contract::{Manifest, package};
use blitz_jobs::plugin::{Carrier, FILE_BYTES_MAX, Release};
use blitz_runtime::{ChildProgram, Runtime, RuntimeConfig};
use bytes::Bytes;
use tokio::time::Instant;

use crate::api::Gateway;
use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::list::{print_json, print_table, size};
use crate::plugin::elf::Elf;
use crate::plugin::file::{PLUGIN_TOML, find};
use crate::plugin::label::gateway;
use crate::plugin::{Error, key};
use crate::run::say;
use crate::text::without_os_code;
use crate::wire::{Plugin, Published, RegionReady};

/// `blitz plugin publish`.
#[derive(Debug, clap::Args)]
pub(crate) struct PublishArgs {
    /// The file that 'blitz plugin build' made, or the directory that it is built in
    #[arg(value_name = "FILE", default_value = ".")]
    file: PathBuf,
    /// The only regions that may run it, until it is promoted; repeat or use commas
    #[arg(long, value_name = "REGION", value_delimiter = ',')]
    only: Vec<String>,
    /// For your own tenant alone: nobody else sees or runs it
    #[arg(long)]
    private: bool,
    /// The plugin.toml of a native library, which has none inside [default: the one beside it]
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Do not wait until engines can run it
    #[arg(long)]
    no_wait: bool,
    /// What the gateway knows of the version, as JSON
    #[arg(long)]
    json: bool,
    /// The publisher's secret key [default: ~/.config/blitz/plugin.key] [env: BLITZ_PLUGIN_KEY]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The gateway; its token stands in BLITZ_TOKEN [env: BLITZ_HOST]
    #[arg(long, value_name = "URL")]
    host: Option<String>,
}

/// Engines are waited for so long: a Python component is compiled for 11 s, on a busy machine of small cores for
/// minutes, and the compiler itself is given up after five.
const READY_MAX: Duration = Duration::from_secs(330);

/// The gateway is asked again after this long, doubled up to the ceiling.
const ASK_AGAIN: Duration = Duration::from_millis(25);
const ASK_AGAIN_MAX: Duration = Duration::from_millis(500);

pub(crate) async fn run(args: PublishArgs, environment: &Environment) -> Result<ExitCode, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Failed(error.to_string());
    if args.only.iter().any(String::is_empty) {
        return Err(Error::Usage("--only has an empty name; use --only virginia,japan".to_owned()));
    }
    let args = PublishArgs { file: find(&args.file)?, ..args };
    let file = read(&args.file)?;
    let (carrier, text) = manifest(&file, &args, environment).await?;
    let Manifest { name, version, .. } = Manifest::from_json(&text).map_err(|e| failed(&e))?;
    let gateway = gateway("blitz plugin publish", args.host.as_deref(), environment)?;
    let path = key::path(args.key.clone(), environment).map_err(|e| Error::Usage(e.to_string()))?;
    let key = key::own(&path).map_err(|e| failed(&e))?;
    let release = Release::sign(&key, carrier, &text, &file, args.only.clone());
    let release = Release { private: args.private, ..release.map_err(|e| failed(&e))? };
    // Told here before 64 MiB are sent to be told there.
    let checked = release.check(&name, &version, &file);
    checked.map_err(|error| Error::Failed(format!("{name}@{version}: {error}")))?;
    let mut body = serde_json::to_vec(&release).map_err(|e| failed(&e))?;
    body.push(b'\n');
    body.extend_from_slice(&file);
    drop(file);

    let published = gateway.publish(&name, &version, Bytes::from(body)).await?;
    if !args.json {
        print_table(&headline(&published));
    }
    let plugin =
        if args.no_wait { published.plugin } else { wait(&gateway, published.plugin).await? };
    if args.json {
        print_json(&Published { new: published.new, plugin: plugin.clone() });
    } else if !args.no_wait {
        print_table(&readiness(&plugin.regions));
    }
    for region in &plugin.regions {
        for refusal in &region.refused {
            let (engine, reason) = (&refusal.engine, &refusal.reason);
            say(&format!("blitz: engine {engine} in {} refuses it: {reason}", region.name));
        }
    }
    let waits: Vec<&str> = waiting(&plugin.regions).map(|region| region.name.as_str()).collect();
    if !args.no_wait && !waits.is_empty() {
        let (limit, waits) = (READY_MAX.as_secs(), waits.join(", "));
        return Err(Error::Failed(format!(
            "engines in {waits} do not have it after {limit} s; 'blitz plugin list {name}' shows when \
             they do"
        )));
    }
    let is_refused = plugin.regions.iter().any(|region| !region.refused.is_empty());
    Ok(if is_refused && !args.no_wait { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |error: std::io::Error| {
        let error = without_os_code(&error.to_string());
        Error::Usage(format!("cannot read '{}': {error}", path.display()))
    };
    let mut bytes = Vec::new();
    let limit = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX);
    let mut file = File::open(path).map_err(failed)?.take(limit + 1);
    file.read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > FILE_BYTES_MAX {
        let limit = size(limit);
        return Err(Error::Usage(format!("'{}' has more than {limit}", path.display())));
    }
    Ok(bytes)
}

/// How the file is run, and its manifest's JSON: from inside the file, from `describe`, or, for a native
/// library, from the file beside it.
async fn manifest(
    file: &[u8],
    args: &PublishArgs,
    environment: &Environment,
) -> Result<(Carrier, String), Error> {
    let shown = args.file.display();
    if let Some(elf) = Elf::read(file) {
        // A plugin.toml beside it is not its own.
        if !elf.has_symbol {
            return Err(Error::Usage(format!(
                "'{shown}': it has no symbol {SYMBOL}: not a plugin"
            )));
        }
        let beside = Some(args.file.with_file_name(PLUGIN_TOML)).filter(|path| path.is_file());
        let path = args.manifest.clone().or(beside).ok_or_else(|| {
            Error::Usage(format!(
                "'{shown}' is a native library, and no {PLUGIN_TOML} beside it: give --manifest FILE"
            ))
        })?;
        let wrong = |error: &dyn std::fmt::Display| {
            let error = without_os_code(&error.to_string());
            Error::Usage(format!("'{}': {error}", path.display()))
        };
        let text = std::fs::read_to_string(&path).map_err(|e| wrong(&e))?;
        let manifest = Manifest::from_toml(&text).map_err(|e| wrong(&e))?;
        return Ok((Carrier::Native, serde_json::to_string(&manifest).map_err(|e| wrong(&e))?));
    }
    if args.manifest.is_some() {
        let text = "--manifest is for native libraries: a component has its manifest inside";
        return Err(Error::Usage(text.to_owned()));
    }
    if let Some(text) = package::manifest(file) {
        return Ok((Carrier::Component, text.to_owned()));
    }
    let failed = |error: &dyn std::fmt::Display| Error::Failed(format!("'{shown}': {error}"));
    let runtime = Runtime::new(RuntimeConfig {
        cache_dir: environment.compiled_directory(),
        child: Some(ChildProgram::this()),
        ..RuntimeConfig::default()
    });
    let runtime = runtime.map_err(|e| failed(&e))?;
    let sha256 = blitz_jobs::plugin::sha256(file);
    let plugin = runtime.load(Bytes::copy_from_slice(file), &sha256).await;
    let manifest = plugin.map_err(|e| failed(&e))?.describe().await.map_err(|e| failed(&e))?;
    Ok((Carrier::Component, serde_json::to_string(&manifest).map_err(|e| failed(&e))?))
}

fn headline(published: &Published) -> String {
    let Published { new, plugin } = published;
    let word = if *new { "published" } else { "was published before:" };
    let Plugin { name, version, sha256, size_bytes, .. } = plugin;
    format!("{word} {name}@{version} sha256:{sha256} ({})\n", size(*size_bytes))
}

/// Asks until all engines that may run it have answered, or the time is over.
async fn wait(gateway: &Gateway, mut plugin: Plugin) -> Result<Plugin, Error> {
    let limit = Instant::now() + READY_MAX;
    let mut pause = ASK_AGAIN;
    while waiting(&plugin.regions).next().is_some() && Instant::now() < limit {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(ASK_AGAIN_MAX);
        plugin = gateway.plugin_version(&plugin.name, &plugin.version).await?;
    }
    Ok(plugin)
}

/// The regions with engines that have not answered yet.
fn waiting(regions: &[RegionReady]) -> impl Iterator<Item = &RegionReady> {
    regions.iter().filter(|region| region.ready + region.refused.len() < region.engines)
}

/// `ready in virginia (1 engine), japan (2 engines)`.
fn readiness(regions: &[RegionReady]) -> String {
    let engines = |n: usize| if n == 1 { "1 engine".to_owned() } else { format!("{n} engines") };
    let list = |regions: Vec<String>| regions.join(", ");
    let ready = regions.iter().filter(|region| region.ready > 0);
    let ready = ready.map(|region| format!("{} ({})", region.name, engines(region.ready)));
    let empty = regions.iter().filter(|region| region.engines == 0);
    let empty = empty.map(|region| region.name.clone());
    let mut text = String::new();
    for (words, regions) in
        [("ready in", list(ready.collect())), ("no engine yet in", list(empty.collect()))]
    {
        if !regions.is_empty() {
            text.push_str(&format!("{words} {regions}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::RefusedBy;

    fn region(name: &str, engines: usize, ready: usize, refused: usize) -> RegionReady {
        let by = RefusedBy { engine: "e".to_owned(), reason: "r".to_owned() };
        RegionReady { name: name.to_owned(), engines, ready, refused: vec![by; refused] }
    }

    #[test]
    fn regions_are_told_by_what_they_have() {
        let regions =
            [region("virginia", 1, 1, 0), region("japan", 3, 2, 1), region("ireland", 0, 0, 0)];
        assert_eq!(
            readiness(&regions),
            "ready in virginia (1 engine), japan (2 engines)\nno engine yet in ireland\n"
        );
        assert_eq!(waiting(&regions).count(), 0);
        assert_eq!(waiting(&[region("japan", 2, 0, 1)]).count(), 1);
    }
}
