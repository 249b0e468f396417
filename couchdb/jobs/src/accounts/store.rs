//! How accounts are stored: what is created once, and what may be changed. A document that was edited on two sides is its
//! strictest reading, whoever reads it: [`Tenant::merged`], [`Plan::merged`].

use blitz_couchdb::{Database, Document, Error, Put, PutOptions, Revision};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Key, Plan, Revoked, Subject, Target, Tenant};
use crate::read;

/// A change that meets another one is tried this often: operators are few.
const CHANGE_TRIES: u32 = 5;

/// How a change ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed<T> {
    /// It is stored so.
    Stored(T),
    /// There is no such document.
    Missing,
    /// Others change it all the time: nothing was done.
    Contended,
}

/// A document that may be changed.
pub trait Changing: Serialize + DeserializeOwned + Clone {
    /// What several leaves say together; `None` when there is none. Never less strict than any of them.
    fn merged(leaves: &[Self]) -> Option<Self>;
}

impl Changing for Tenant {
    fn merged(leaves: &[Self]) -> Option<Self> {
        Self::merged(leaves)
    }
}

impl Changing for Plan {
    fn merged(leaves: &[Self]) -> Option<Self> {
        Self::merged(leaves)
    }
}

impl Tenant {
    /// Creates it; false when there is one of this name.
    ///
    /// # Errors
    ///
    /// What the store answers.
    pub async fn create(&self, accounts: &Database) -> Result<bool, Error> {
        create(accounts, &Self::id(&self.name), self).await
    }

    /// Changes it, and ends its conflicts.
    ///
    /// # Errors
    ///
    /// What the store answers; asking again is harmless.
    pub async fn change(
        accounts: &Database,
        name: &str,
        changes: impl Fn(&mut Self),
    ) -> Result<Changed<Self>, Error> {
        change(accounts, &Self::id(name), changes).await
    }
}

impl Plan {
    /// Creates it, or puts it in the place of the one of this name with all its conflicts.
    ///
    /// # Errors
    ///
    /// What the store answers; asking again is harmless.
    pub async fn put(&self, accounts: &Database) -> Result<Changed<Self>, Error> {
        let id = Self::id(&self.name);
        if create(accounts, &id, self).await? {
            return Ok(Changed::Stored(self.clone()));
        }
        change(accounts, &id, |plan: &mut Self| *plan = self.clone()).await
    }

    /// Deletes it with all its leaves; false when there was none.
    ///
    /// # Errors
    ///
    /// What the store answers; asking again is harmless.
    pub async fn delete(accounts: &Database, name: &str) -> Result<bool, Error> {
        let id = Self::id(name);
        let leaves = accounts.leaves::<Value>(&id, None).await?;
        for leaf in &leaves {
            remove(accounts, &id, &leaf.revision, &tombstone(leaf)).await?;
        }
        Ok(!leaves.is_empty())
    }
}

impl Key {
    /// Creates it; false when there is one of this id.
    ///
    /// # Errors
    ///
    /// What the store answers.
    pub async fn create(&self, accounts: &Database) -> Result<bool, Error> {
        create(accounts, &Self::document_id(&self.id), self).await
    }
}

impl Target {
    /// Creates it; false when there is one of this tenant and host.
    ///
    /// # Errors
    ///
    /// What the store answers.
    pub async fn create(&self, accounts: &Database) -> Result<bool, Error> {
        create(accounts, &Self::id(&self.tenant, &self.host), self).await
    }

    /// The target as all its leaves say it; `None` when there is none that can be read.
    ///
    /// # Errors
    ///
    /// What the store answers.
    pub async fn find(
        accounts: &Database,
        tenant: &str,
        host: &str,
    ) -> Result<Option<Self>, Error> {
        let id = Self::id(tenant, host);
        let leaves = accounts.leaves::<Value>(&id, None).await?;
        let leaves: Vec<Self> =
            leaves.into_iter().filter_map(|leaf| read::document(&id, leaf.body)).collect();
        Ok(Self::merged(&leaves))
    }

    /// Changes it, and ends its conflicts.
    ///
    /// # Errors
    ///
    /// What the store answers; asking again is harmless.
    pub async fn change(
        accounts: &Database,
        tenant: &str,
        host: &str,
        changes: impl Fn(&mut Self),
    ) -> Result<Changed<Self>, Error> {
        change(accounts, &Self::id(tenant, host), changes).await
    }
}

impl Revoked {
    /// Takes it back; false when it was before.
    ///
    /// # Errors
    ///
    /// What the store answers; asking again is harmless.
    pub async fn create(&self, accounts: &Database, what: &Subject) -> Result<bool, Error> {
        create(accounts, &what.document_id(), self).await
    }
}

async fn create(accounts: &Database, id: &str, body: &impl Serialize) -> Result<bool, Error> {
    Ok(accounts.put(id, None, body, PutOptions::default()).await? != Put::Conflict)
}

async fn change<T: Changing>(
    accounts: &Database,
    id: &str,
    changes: impl Fn(&mut T),
) -> Result<Changed<T>, Error> {
    for _ in 0..CHANGE_TRIES {
        let Some(winner) = accounts.get::<Value>(id).await? else { return Ok(Changed::Missing) };
        let leaves = accounts.leaves::<Value>(id, None).await?;
        let others: Vec<(Revision, Value)> = leaves
            .iter()
            .filter(|leaf| leaf.revision != winner.revision)
            .map(|leaf| (leaf.revision.clone(), tombstone(leaf)))
            .collect();
        let readable: Vec<T> =
            leaves.into_iter().filter_map(|leaf| read::document(id, leaf.body)).collect();
        let Some(mut document) = T::merged(&readable) else { return Ok(Changed::Missing) };
        changes(&mut document);
        let put =
            accounts.put(id, Some(&winner.revision), &document, PutOptions::default()).await?;
        if put == Put::Conflict {
            continue;
        }
        // Afterwards: between the two all leaves count, which is stricter.
        for (revision, tombstone) in others {
            remove(accounts, id, &revision, &tombstone).await?;
        }
        return Ok(Changed::Stored(document));
    }
    Ok(Changed::Contended)
}

/// With the kind of what it takes the place of, by which replications choose what they carry: it is to be gone everywhere.
fn tombstone(leaf: &Document<Value>) -> Value {
    json!({"_deleted": true, "kind": leaf.body["kind"]})
}

/// One that is gone already is as good.
async fn remove(
    accounts: &Database,
    id: &str,
    revision: &Revision,
    tombstone: &Value,
) -> Result<(), Error> {
    match accounts.put(id, Some(revision), tombstone, PutOptions::default()).await? {
        Put::Created(_) | Put::Accepted(_) | Put::Conflict => Ok(()),
    }
}
