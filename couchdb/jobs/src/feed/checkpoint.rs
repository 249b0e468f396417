//! Where a restart goes on: kept in a `_local` document of the followed database, so that it goes with it.
//!
//! It is one server's, without a revision check: never a lease, and never right after the database was replaced.

use blitz_couchdb::{Database, Error, Sequence};
use serde::{Deserialize, Serialize};

/// How far one engine, or one keeper, has heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The database's name.
    pub database: String,
    /// Which database of this name.
    pub instance_start_time: String,
    /// Everything up to here was heard.
    pub since: Sequence,
    /// The id of the oldest job that was open then; every older one had ended. `None`: none was open.
    pub oldest: Option<String>,
}

impl Checkpoint {
    /// Reads the checkpoint that `who` left in a database. One that cannot be read is none: all is listed then.
    ///
    /// # Errors
    ///
    /// What the store answers.
    pub async fn read(database: &Database, who: &str) -> Result<Option<Self>, Error> {
        match database.get_local(&Self::id(who)).await {
            Ok(found) => Ok(found),
            Err(error @ Error::Decode { .. }) => {
                tracing::warn!(database = database.name(), %error, "a checkpoint that cannot be read, ignored");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Leaves the checkpoint of `who` in a database.
    ///
    /// # Errors
    ///
    /// What the store answers.
    pub async fn write(&self, database: &Database, who: &str) -> Result<(), Error> {
        database.put_local(&Self::id(who), self).await
    }

    fn id(who: &str) -> String {
        format!("blitz-{who}")
    }

    /// Whether it is one of this very database.
    pub(super) fn is_of(&self, database: &Database, identity: &str) -> bool {
        self.database == database.name() && self.instance_start_time == identity
    }
}
