//! What is known of a name: an administrator of the configuration, a document of `_users`, or both.

use super::{
    super::{call::Server, refusal::Refusal},
    Auth,
    bounded::{Bounded, Digest},
    known::Keyed,
    password::{Stored, Unusable},
};
use crate::{
    document::object,
    sequence::Sequence,
    store::{
        database::Database,
        read::{Opened, Which},
    },
    user::ADMIN_ROLE,
};
use std::sync::{Arc, Mutex, PoisonError};

/// The database of users.
pub(crate) const USERS: &str = "_users";

/// What the id of a user's document begins with.
pub(crate) const USER_PREFIX: &str = "org.couchdb.user:";

/// How many users are remembered: each saves a read of the store with each request.
const REMEMBERED_MAX: usize = 10_000;

/// Larger documents are read anew each time, so that the memory stays bounded.
const REMEMBERED_BYTES_MAX: usize = 4 << 10;

/// What is known of a name.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) roles: Vec<String>,
    /// Part of what signs the user's cookies: a new password has a new one, and ends them.
    pub(crate) salt: String,
    pub(super) stored: Result<Stored, Unusable>,
    /// A second factor is asked for, which this server cannot check.
    pub(super) second_factor: bool,
}

/// Users that were read, as of a sequence of their database.
#[derive(Debug)]
pub(super) struct Profiles {
    keyed: Keyed,
    read: Mutex<Bounded<Remembered>>,
}

#[derive(Debug)]
struct Remembered {
    /// The database may be deleted and made again.
    database: i64,
    /// Any later write may have changed the user.
    sequence: Sequence,
    profile: Arc<Profile>,
}

impl Profiles {
    pub(super) fn new() -> Profiles {
        Profiles { keyed: Keyed::new(), read: Mutex::new(Bounded::new(REMEMBERED_MAX)) }
    }

    fn get(&self, key: &Digest, database: i64, sequence: Sequence) -> Option<Arc<Profile>> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let known = read.get(key)?;
        let current = known.database == database && known.sequence == sequence;
        current.then(|| Arc::clone(&known.profile))
    }

    fn keep(&self, key: Digest, new: &Arc<Profile>, database: i64, sequence: Sequence) {
        let made = || Remembered { database, sequence, profile: Arc::clone(new) };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        *read.entry(key, made) = made();
    }
}

impl Auth {
    /// What is known of this name; None when nobody has it.
    pub(crate) async fn profile(
        &self,
        server: &Server,
        name: &str,
    ) -> Result<Option<Arc<Profile>>, Refusal> {
        let documented = match server.store.catalog().get(USERS) {
            Some(users) => self.documented(server, &users, name).await,
            None => Ok(None),
        };
        let Some(admin) = self.admins.iter().find(|admin| admin.name == name) else {
            return documented;
        };
        // Whatever is wrong with the document, it does not lock out who was configured.
        let documented = documented.unwrap_or_default();
        let mut roles = vec![String::from(ADMIN_ROLE)];
        roles.extend(documented.iter().flat_map(|profile| profile.roles.iter().cloned()));
        let salt = self.signer.salt(&admin.name, &admin.password);
        let stored = Ok(Stored::Plain(admin.password.clone()));
        Ok(Some(Arc::new(Profile { roles, salt, stored, second_factor: false })))
    }

    async fn documented(
        &self,
        server: &Server,
        users: &Database,
        name: &str,
    ) -> Result<Option<Arc<Profile>>, Refusal> {
        // Before the read: what is read is of this sequence or later.
        let sequence = users.feed.committed().sequence;
        let key = self.profiles.keyed.digest(&[name.as_bytes()]);
        if let Some(known) = self.profiles.get(&key, users.key, sequence) {
            return Ok(Some(known));
        }
        let id = format!("{USER_PREFIX}{name}");
        let document = server.store.document(users, id, Which::Winner, false).await?;
        let Some(document) = document else { return Ok(None) };
        let found = match document.revisions.first() {
            Some(Opened::Found(found)) if !found.deleted => found,
            _ => return Ok(None),
        };
        if !document.tree.conflicts(false).is_empty() {
            return Err(Refusal::unauthorized(CONFLICTS));
        }
        let profile = Arc::new(read(&found.body.text)?);
        if found.body.text.len() <= REMEMBERED_BYTES_MAX {
            self.profiles.keep(key, &profile, users.key, sequence);
        }
        Ok(Some(profile))
    }
}

/// CouchDB's own text.
const CONFLICTS: &str = "User document conflicts must be resolved before the document is used for authentication purposes.";

fn read(text: &str) -> Result<Profile, Refusal> {
    let members = object::members(text)?.ok_or(crate::document::check::NotJson)?;
    let mut roles = members.read::<Vec<String>>("roles").unwrap_or_default();
    // Whatever way it took into the database: a document makes nobody an administrator.
    roles.retain(|role| !role.starts_with('_') || role == METRICS_ROLE);
    Ok(Profile {
        roles,
        salt: members.read("salt").unwrap_or_default(),
        stored: Stored::read(&members),
        second_factor: members.get("totp").is_some(),
    })
}

/// The one role of the system that a user may have: to read statistics.
pub(crate) const METRICS_ROLE: &str = "_metrics";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_makes_nobody_an_administrator() {
        let roles = |text: &str| read(text).unwrap().roles;
        assert_eq!(roles(r#"{"roles":["a","_admin","_metrics","_x"]}"#), ["a", "_metrics"]);
        assert_eq!(roles(r#"{"roles":"_admin"}"#), Vec::<String>::new());
        assert_eq!(roles(r#"{"roles":[["_admin"]]}"#), Vec::<String>::new());
        assert!(read(r#"{"totp":{"key":"x"}}"#).unwrap().second_factor);
    }
}
