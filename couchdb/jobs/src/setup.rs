//! Creates what blitz needs: in one store ([`install`]), or in many clusters. Doing it again changes nothing.
//!
//! For many: [`Operators`] are the clusters that we can enter, [`Known`] what they know, [`inspect()`] tells whether one is who
//! it should be. [`crate::topology`] says what must stand, [`apply()`] makes it so, and [`prune()`] takes away what is over;
//! [`regions`] and [`clusters`] do all of that for one of them. [`replications`] writes the documents of `_replicator`.

mod apply;
pub mod clusters;
mod error;
mod inspect;
mod known;
mod operators;
mod prune;
pub mod regions;
pub mod replications;

use blitz_couchdb::{Client, Error, Put, PutOptions};

use crate::design;
use crate::region::{CONTROL, Region};

pub use apply::{Applied, Step, What, apply, crowded};
pub use error::SetupError;
pub use inspect::{Inspected, inspect};
pub use known::Known;
pub use operators::Operators;
pub use prune::prune;

/// Creates the control database and everything of these regions.
///
/// # Errors
///
/// [`SetupError`] for the first name or answer that is not as it should be.
pub async fn install(store: &Client, regions: &[&str]) -> Result<(), SetupError> {
    let regions: Vec<Region> =
        regions.iter().map(|name| Region::new(name)).collect::<Result<_, _>>()?;
    ensure(store, CONTROL).await?;
    for region in &regions {
        install_region(store, region).await?;
    }
    // Also in regions that were there before.
    design::install_everywhere(store).await;
    Ok(())
}

/// Makes sure that a database is there. Who may not make one needs none when an operator has made it.
async fn ensure(store: &Client, name: &str) -> Result<(), Error> {
    let database = store.database(name);
    match database.create().await {
        Ok(_) => Ok(()),
        Err(refused @ (Error::Unauthorized { .. } | Error::Forbidden { .. })) => {
            database.info().await.map(drop).map_err(|_| refused)
        }
        Err(error) => Err(error),
    }
}

async fn install_region(store: &Client, region: &Region) -> Result<(), Error> {
    for name in region
        .jobs_databases()
        .chain(region.output_databases())
        .chain([region.engines_database(), region.beats_database()])
    {
        ensure(store, &name).await?;
    }
    // The document comes last: whoever sees a region finds its databases. One that is there is the operator's.
    let control = store.database(CONTROL);
    match control.put(&region.document_id(), None, region, PutOptions::default()).await? {
        Put::Created(_) | Put::Accepted(_) | Put::Conflict => Ok(()),
    }
}
