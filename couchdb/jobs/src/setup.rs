//! Creates what blitz needs: in one store ([`install`]), or in many clusters. Doing it again changes nothing.
//!
//! For many: [`Operators`] are the clusters that we can enter, [`Known`] what they know, [`inspect()`] tells whether one is who
//! it should be. [`crate::topology`] says what must stand, [`apply()`] makes it so, and [`prune()`] takes away what is over;
//! [`regions`] and [`clusters`] do all of that for one of them. [`replications`] writes the documents of `_replicator`,
//! and [`sealing`] the keys of regions.

mod apply;
pub mod clusters;
mod error;
mod inspect;
mod known;
mod operators;
mod prune;
pub mod regions;
pub mod replications;
pub mod sealing;

use blitz_couchdb::{Client, Creation, Error, Put, PutOptions};

use crate::region::{CONTROL, DatabaseKind, Region};
use crate::topology::EVERYWHERE;
use crate::{design, roles};

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
    for (database, kind) in EVERYWHERE {
        match ensure(store, database).await {
            Ok(Creation::Created) if kind != DatabaseKind::Control => {
                // No engine has any business there, whoever is let in elsewhere.
                store.database(database).put_security(&roles::security(kind, None)).await?;
            }
            Ok(_) => {}
            // A store of an earlier version, whose operator comes later: everything else works without tenants.
            Err(error @ (Error::Unauthorized { .. } | Error::Forbidden { .. }))
                if kind != DatabaseKind::Control =>
            {
                tracing::warn!(database, %error, "there is no such database and it cannot be made here");
            }
            Err(error) => return Err(error.into()),
        }
    }
    for region in &regions {
        install_region(store, region).await?;
    }
    // Also in regions that were there before.
    design::install_everywhere(store).await;
    Ok(())
}

/// Makes sure that a database is there. Who may not make one needs none when an operator has made it.
async fn ensure(store: &Client, name: &str) -> Result<Creation, Error> {
    let database = store.database(name);
    match database.create().await {
        Err(refused @ (Error::Unauthorized { .. } | Error::Forbidden { .. })) => {
            database.info().await.map(|_| Creation::Existed).map_err(|_| refused)
        }
        made => made,
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
