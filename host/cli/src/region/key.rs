//! `blitz region key`: the keys to which secrets of command lines are sealed. The public half goes into the region's document, the
//! private half into a file, for engines and for gateways that issue tokens.

use std::path::PathBuf;

use blitz_jobs::clock::now_ms;
use blitz_jobs::region::Region;
use blitz_jobs::setup::{Known, Operators, SetupError, sealing};
use clap::Args;

use crate::cluster::operate::{Error, OperatorArgs};
use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::key_file;
use crate::list::list_or_dash;
use crate::run::{print, say};
use crate::serve;
use crate::stack::new_region_key;

/// `blitz region key`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct KeyArgs {
    /// Which region
    name: String,
    /// The file to which the private half is added; - prints it [default: NAME.keys]
    #[arg(long, value_name = "FILE", conflicts_with = "retire")]
    out: Option<PathBuf>,
    /// Seal nothing to this key any more, and make no new one
    #[arg(long, value_name = "ID")]
    retire: Option<String>,
    #[command(flatten)]
    operator: OperatorArgs,
}

const AFTER_HELP: &str = "\
To change the key: make a new one, start engines again with its file (or the gateway that hands it out, with
--region-keys), and retire the old one. Jobs are sealed to the new one once all engines of the region have it. Keep the
old one in the file until no job waits that was sealed to it.";

pub(super) async fn run(args: KeyArgs, environment: &Environment) -> Result<ExitCode, Error> {
    let operators = args.operator.enter(environment).await?;
    if let Some(id) = &args.retire {
        return retire(&operators, &args.name, id).await;
    }
    // A file for a region that is not there would be of no use.
    let region = find(&operators, &args.name).await?;
    let name = &region.name;
    let key = new_region_key().map_err(serve::Error::from)?;
    let file = args.out.unwrap_or_else(|| PathBuf::from(format!("{name}.keys")));
    let is_printed = file.as_os_str() == "-";
    // Kept first: nothing may be sealed to a key that is lost.
    let printed = match is_printed {
        true => print(&key_file::line(name, &key)),
        false => {
            key_file::keep(&file, name, &key)?;
            ExitCode::SUCCESS
        }
    };
    sealing::add(&operators, name, &key.sealing_key(now_ms())).await?;
    if is_printed {
        return Ok(printed);
    }
    Ok(print(&format!(
        "made key {} of region {name}\nprivate half in {}; give it to engines: blitz engine --region {name} --region-keys {}\n",
        key.id(),
        file.display(),
        file.display(),
    )))
}

async fn retire(operators: &Operators, name: &str, id: &str) -> Result<ExitCode, Error> {
    let (region, is_retired) = sealing::retire(operators, name, id).await?;
    let known: Vec<String> = region.sealing_keys().map(|key| key.id.clone()).collect();
    let region = region.name;
    if !is_retired {
        let (id, known) = (id.to_owned(), list_or_dash(&known));
        return Err(Error::NoKey { region, id, known });
    }
    if known.is_empty() {
        say(&format!(
            "blitz: region {region} has no key now, and commands with secrets are refused there; \
             'blitz region key {region}' makes one"
        ));
    }
    Ok(print(&format!("retired key {id} of region {region}\n")))
}

async fn find(operators: &Operators, name: &str) -> Result<Region, Error> {
    let known = Known::read(operators).await?;
    let unknown =
        || SetupError::UnknownRegion { name: name.to_owned(), known: known.region_names() };
    Ok(known.region(name).cloned().ok_or_else(unknown)?)
}
