//! Words become a job: checks the arguments against the plugin's manifest, reads the files that they
//! name, and hands everything to the gateway.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blitz_contract::{Arguments, Manifest, UsageError};

use crate::api::{self, Gateway};
use crate::commands::global_flags;
use crate::load::{self, LoadOptions};
use crate::pin::Pin;
use crate::settings::{Format, Settings};
use crate::suggest::nearest;
use crate::text::without_os_code;
use crate::wire::{Input, Submission, Submitted};
use crate::words::{GlobalFlag, SplitError, Typed};

/// Bytes of all input files of one command. They travel inside the job's documents.
const INPUT_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// How other load generators name connections, threads and time.
const OF_OTHER_TOOLS: [&str; 3] = ["-c", "-t", "-z"];

/// A command line that fits its plugin.
pub(crate) struct Order {
    pub(crate) manifest: Manifest,
    pub(crate) version: String,
    /// The file that the user named by its digest.
    pub(crate) sha256: Option<String>,
    pub(crate) args: Vec<String>,
    pub(crate) arguments: Arguments,
    /// It is a load test, and this is asked of it.
    pub(crate) load: Option<LoadOptions>,
}

/// Why a command line does not become a job. The texts read after `blitz curl: `.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It does not fit the manifest.
    #[error("{usage}{hint}; 'blitz help {plugin}' lists what is")]
    Unsupported { plugin: String, usage: UsageError, hint: String },
    /// The same, for the other mistakes.
    #[error("{usage}; see 'blitz help {plugin}'")]
    Usage { plugin: String, usage: UsageError },
    /// The same, and `--json` was given, which the plugin has too.
    #[error("{usage}; --json is blitz's own, the one of {plugin} goes behind '--'")]
    Shadowed { plugin: String, usage: UsageError },
    /// An option that is ours for load tests.
    #[error(transparent)]
    Load(#[from] load::options::Error),
    /// One that is not for this plugin.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// `-h`, and the plugin has no such option.
    #[error("help")]
    WantsHelp(Box<Manifest>),
    /// An input file.
    #[error("cannot read {name}: {}", without_os_code(&source.to_string()))]
    Input { name: String, source: io::Error },
    /// Together too large.
    #[error("{name} brings the input files over {} MiB", INPUT_BYTES_MAX / 1024 / 1024)]
    InputTooLarge { name: String },
    /// The file of this version is another one.
    #[error("{name}@{version} has the SHA-256 {found}, not {sha256}; no job was made")]
    Digest { name: String, version: String, sha256: String, found: String },
    /// The gateway.
    #[error(transparent)]
    Api(#[from] api::Error),
}

/// What a command line asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) pin: &'a Pin,
    pub(crate) settings: &'a Settings,
}

/// Asks for the plugin's manifest and checks what was typed against it.
pub(crate) async fn order(
    gateway: &Gateway,
    wanted: Wanted<'_>,
    mut typed: Typed,
) -> Result<Order, Error> {
    let Wanted { pin, settings } = wanted;
    let info = gateway.plugin(pin, &settings.regions).await?;
    if let Some(sha256) = pin.sha256.as_ref().filter(|sha256| **sha256 != info.sha256) {
        let (name, version) = (pin.name.clone(), info.version);
        return Err(Error::Digest { name, version, sha256: sha256.clone(), found: info.sha256 });
    }
    let plugin = pin.to_string();
    let manifest = info.manifest;
    let load = load_options(&manifest, &mut typed, settings)?;
    let args = typed.args;
    let arguments = match Arguments::parse(&manifest, &args) {
        Ok(arguments) => arguments,
        Err(UsageError::Unknown { option }) if option == "-h" => {
            return Err(Error::WantsHelp(Box::new(manifest)));
        }
        Err(UsageError::Unknown { option }) => {
            let hint = hint(&option, &manifest);
            return Err(Error::Unsupported { plugin, usage: UsageError::Unknown { option }, hint });
        }
        Err(usage) => {
            let is_shadowed = settings.format == Format::Json
                && manifest.arguments.iter().any(|a| a.name == "json");
            return Err(match is_shadowed {
                true => Error::Shadowed { plugin, usage },
                false => Error::Usage { plugin, usage },
            });
        }
    };
    let (version, sha256) = (info.version, pin.sha256.clone());
    Ok(Order { version, sha256, manifest, args, arguments, load })
}

/// What an option that nobody has may have meant: a slip of the pen, or a word of other load generators.
fn hint(option: &str, manifest: &Manifest) -> String {
    let is_load = load::is_load(manifest);
    if is_load && OF_OTHER_TOOLS.contains(&option) {
        return "; how many and how long are one option: -p 10:30 is 10 users for 30 seconds"
            .to_owned();
    }
    let ours = if is_load { load::options::flags() } else { Vec::new() };
    let ours: Vec<GlobalFlag> = global_flags().into_iter().chain(ours).collect();
    let own = manifest.arguments.iter().filter(|argument| !argument.positional);
    let known = own.map(|argument| argument.name.as_str());
    let known = known.chain(ours.iter().map(|flag| flag.long.as_str()));
    let word = option.strip_prefix("--").unwrap_or_default();
    nearest(word, known).map_or_else(String::new, |near| format!("; did you mean --{near}?"))
}

/// Takes the options of a load test out of what was typed; for any other plugin they are its own.
fn load_options(
    manifest: &Manifest,
    typed: &mut Typed,
    settings: &Settings,
) -> Result<Option<LoadOptions>, Error> {
    if !load::is_load(manifest) {
        typed.needs_no_plugin()?;
        return Ok(None);
    }
    let options = LoadOptions::read(&typed.take(&load::options::flags())?)?;
    options.check(settings)?;
    Ok(Some(options))
}

/// Reads the input files that the arguments name; `-` is stdin.
pub(crate) fn read_inputs(names: &BTreeSet<&str>) -> Result<Vec<Input>, Error> {
    let encoded = |(name, bytes): (String, Vec<u8>)| Input { name, base64: STANDARD.encode(bytes) };
    Ok(read_files(names)?.into_iter().map(encoded).collect())
}

/// The same as they are.
pub(crate) fn read_files(names: &BTreeSet<&str>) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut files = Vec::new();
    let mut left = INPUT_BYTES_MAX;
    for &name in names {
        let shown = if name == "-" { "stdin".to_owned() } else { format!("'{name}'") };
        let bytes = read(name, left)
            .map_err(|source| Error::Input { name: shown.clone(), source })?
            .ok_or(Error::InputTooLarge { name: shown })?;
        left -= bytes.len() as u64;
        files.push((name.to_owned(), bytes));
    }
    Ok(files)
}

/// At most `max` bytes of a file; `None` when there are more.
fn read(name: &str, max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let read = if name == "-" {
        io::stdin().lock().take(max + 1).read_to_end(&mut bytes)?
    } else {
        File::open(name)?.take(max + 1).read_to_end(&mut bytes)?
    };
    Ok((read as u64 <= max).then_some(bytes))
}

/// Makes the jobs.
pub(crate) async fn submit(
    gateway: &Gateway,
    order: &Order,
    inputs: Vec<Input>,
    settings: &Settings,
) -> Result<Submitted, Error> {
    let milliseconds =
        |d: std::time::Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX).max(1);
    let submission = Submission {
        plugin: &order.manifest.name,
        version: &order.version,
        sha256: order.sha256.as_deref(),
        args: &order.args,
        regions: &settings.regions,
        engines: settings.engines,
        inputs,
        timeout_ms: settings.timeout.map(milliseconds),
        queue_timeout_ms: settings.queue_timeout.map(milliseconds),
        detached: settings.detach,
    };
    Ok(gateway.submit(&submission).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_files_are_read_up_to_a_limit() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        std::fs::write(at("small"), b"hi").unwrap();
        std::fs::write(at("large"), vec![0; usize::try_from(INPUT_BYTES_MAX).unwrap()]).unwrap();
        let (small, large, missing) = (at("small"), at("large"), at("missing"));
        let inputs = read_inputs(&BTreeSet::from([small.as_str()])).unwrap();
        assert_eq!(inputs, [Input { name: small.clone(), base64: "aGk=".to_owned() }]);
        let error = |names: &[&str]| {
            read_inputs(&BTreeSet::from_iter(names.iter().copied())).unwrap_err().to_string()
        };
        assert_eq!(
            error(&[&large, &small]),
            format!("'{small}' brings the input files over 8 MiB")
        );
        assert_eq!(
            error(&[&missing]),
            format!("cannot read '{missing}': No such file or directory")
        );
        let here = directory.path().display().to_string();
        assert_eq!(error(&[&here]), format!("cannot read '{here}': Is a directory"));
    }
}
