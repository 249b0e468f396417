//! The secrets of a command line: masked in what is stored and shown, and sealed to the region's key beside it. Behind this nothing
//! of the gateway sees them.

use blitz_contract::arguments::SecretWord;
use blitz_contract::secret::MASK;
use blitz_contract::{Arguments, Manifest};
use blitz_jobs::JobId;
use blitz_jobs::plugin::PluginDocument;
use blitz_jobs::region::Region;
use blitz_jobs::sealing;
use blitz_jobs::spec::Sealed;

use crate::catalog::Catalog;
use crate::failure::Failure;

/// A command line as documents have it.
pub(super) struct Words {
    /// With the secrets masked.
    pub(super) args: Vec<String>,
    pub(super) sealed: Vec<Sealed>,
    /// What its user should know.
    pub(super) note: Option<String>,
}

/// Seals the secrets of a job's command line.
pub(super) fn seal(
    catalog: &Catalog,
    region: &Region,
    plugin: &PluginDocument,
    job: &JobId,
    args: &[String],
) -> Result<Words, Failure> {
    let arguments = parse(&plugin.manifest, args)?;
    let secrets = arguments.secrets(&plugin.manifest);
    let mut masked = args.to_vec();
    for SecretWord { word, bytes, .. } in &secrets {
        masked[*word].replace_range(bytes.clone(), MASK);
    }
    let Some(first) = secrets.first() else {
        return Ok(Words { args: masked, sealed: Vec::new(), note: None });
    };
    let no_key = || Failure::no_region_key(&named(&plugin.manifest, first), &region.name);
    let (key, is_held) = catalog.sealing_key(region).ok_or_else(no_key)?;
    let place = sealing::Place { job, sha256: &plugin.sha256, masked: &masked };
    let seal = |secret: &SecretWord| place.seal(secret.word, &args[secret.word], &key);
    let sealed = secrets.iter().map(seal).collect::<Result<Vec<_>, sealing::NotSealed>>();
    let sealed = sealed.map_err(|error| {
        tracing::error!(region = region.name, key = key.id, %error, "a key of a region is none");
        no_key()
    })?;
    let note = (!is_held).then(|| {
        format!(
            "no engine of region {} has said that it has key {}, to which a secret was sealed: it waits for one that has it \
             (blitz engine --region-keys FILE)",
            region.name, key.id
        )
    });
    Ok(Words { args: masked, sealed, note })
}

/// Matches a command line with its plugin. What is wrong is told without what was typed: answers are logged by others, and a
/// secret may stand where none belongs. Users of the command line were told by it already, in full.
pub(super) fn parse(manifest: &Manifest, args: &[String]) -> Result<Arguments, Failure> {
    Arguments::parse(manifest, args)
        .map_err(|error| Failure::usage(format!("{}: {}", manifest.name, error.without_values())))
}

/// An argument as its user calls it.
fn named(manifest: &Manifest, secret: &SecretWord) -> String {
    let name = &secret.argument;
    match manifest.arguments.iter().find(|argument| argument.name == *name) {
        Some(argument) if argument.positional => format!("argument {name}"),
        _ => format!("option --{name}"),
    }
}
