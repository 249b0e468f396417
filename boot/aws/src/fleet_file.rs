//! The file that says what is wanted of a fleet, for each command that is about one.

use std::fs;
use std::path::PathBuf;

use blitz_boot_core::fleet::{Fleet, FleetRegion};
use blitz_boot_core::provider::ProviderError;
use clap::Args;

use crate::failure::Failure;

/// The flags of a command that is about a fleet.
#[derive(Debug, Clone, Args)]
pub(crate) struct FleetArgs {
    /// What is wanted of each region
    #[arg(long, value_name = "FILE")]
    pub(crate) fleet_file: PathBuf,
}

/// Reads and checks the fleet file.
pub(crate) fn read_fleet(args: &FleetArgs) -> Result<Fleet, Failure> {
    let path = &args.fleet_file;
    let bad = |cause: String| Failure::FleetFile { path: path.clone(), cause };
    let text = fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    Fleet::parse(&text).map_err(|error| bad(error.to_string()))
}

/// These regions of a fleet, or all.
pub(crate) fn chosen(fleet: &Fleet, names: &[String]) -> Result<Vec<FleetRegion>, Failure> {
    if let Some(unknown) = names.iter().find(|name| fleet.region(name).is_none()) {
        let known: Vec<&str> = fleet.regions.iter().map(|region| region.name.as_str()).collect();
        return Err(Failure::from(ProviderError::Invalid(format!(
            "fleet {:?} has no region {unknown:?}; it has {}",
            fleet.name,
            known.join(", ")
        ))));
    }
    let is_chosen = |region: &&FleetRegion| names.is_empty() || names.contains(&region.name);
    Ok(fleet.regions.iter().filter(is_chosen).cloned().collect())
}
