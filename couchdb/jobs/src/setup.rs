//! Creates what blitz needs in a store: databases and region documents. Doing it again changes nothing.

use blitz_couchdb::{Client, Error, Put, PutOptions};

use crate::id::BadName;
use crate::region::{CONTROL, Region};

/// Why a store could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The name cannot be one of a region.
    #[error(transparent)]
    Region(#[from] BadName),
    /// The store did not do it.
    #[error("set up the store: {0}")]
    Store(#[from] Error),
}

/// Creates the control database and everything of these regions.
///
/// # Errors
///
/// [`SetupError`] for the first name or answer that is not as it should be.
pub async fn install(store: &Client, regions: &[&str]) -> Result<(), SetupError> {
    let regions: Vec<Region> =
        regions.iter().map(|name| Region::new(name)).collect::<Result<_, _>>()?;
    store.database(CONTROL).create().await?;
    for region in &regions {
        install_region(store, region).await?;
    }
    Ok(())
}

async fn install_region(store: &Client, region: &Region) -> Result<(), Error> {
    for name in region
        .jobs_databases()
        .chain(region.output_databases())
        .chain([region.engines_database(), region.beats_database()])
    {
        store.database(&name).create().await?;
    }
    // The document comes last: whoever sees a region finds its databases. One that is there is the operator's.
    let control = store.database(CONTROL);
    match control.put(&region.document_id(), None, region, PutOptions::default()).await? {
        Put::Created(_) | Put::Accepted(_) | Put::Conflict => Ok(()),
    }
}
