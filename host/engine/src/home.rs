//! What an engine must know of its region before it begins: the region's document, and how many copies the store
//! keeps of its databases.

use std::collections::HashMap;

use blitz_couchdb::{Client, Database};
use blitz_jobs::region::{CONTROL, Region};

use crate::error::Error;

/// The region and its databases.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) region: Region,
    /// Of each jobs database: a claim asks for the agreement of all.
    pub(crate) copies: HashMap<String, u32>,
    pub(crate) beats: Kept,
    pub(crate) engines: Kept,
}

/// A database for documents of this engine's own.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) database: Database,
    pub(crate) copies: u32,
}

impl Home {
    /// Reads all of it.
    pub(crate) async fn read(store: &Client, name: &str) -> Result<Self, Error> {
        let region = region(store, name).await?;
        let mut copies = HashMap::new();
        for name in region.jobs_databases() {
            copies.insert(name.clone(), Kept::read(store, &name).await?.copies);
        }
        let beats = Kept::read(store, &region.beats_database()).await?;
        let engines = Kept::read(store, &region.engines_database()).await?;
        Ok(Self { region, copies, beats, engines })
    }
}

impl Kept {
    async fn read(store: &Client, name: &str) -> Result<Self, Error> {
        let database = store.database(name);
        let copies = database.info().await?.cluster.n;
        Ok(Self { database, copies })
    }
}

async fn region(store: &Client, name: &str) -> Result<Region, Error> {
    let known = store.database(CONTROL).get::<Region>(&format!("region:{name}")).await;
    match known {
        Ok(Some(region)) => Ok(region.body),
        Ok(None) | Err(blitz_couchdb::Error::NotFound { .. }) => {
            Err(Error::UnknownRegion(name.to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}
