//! The design document that keeps the [matrix](super::matrix): `validate_doc_update`, one for each kind of database.
//!
//! All such functions of a database are asked, and one that refuses is enough. So there is one at a time, and not one
//! for each version of blitz: [`install`] replaces those with a lower number and yields to one with a higher number. A new
//! version must let through what the former version writes.

use blitz_couchdb::{AllDocs, Database, Error, Put, PutOptions};
use serde_json::{Value, json};

use super::matrix::rights;
use crate::read;
use crate::region::DatabaseKind;

/// The number of the function: another content is another number.
pub const VALIDATION: u32 = 3;

/// What stands before the number in an id.
const PREFIX: &str = "_design/blitz-auth-";

/// Tries to replace an older one that somebody else is replacing too.
const INSTALL_TRIES: u32 = 3;

const ALLOW: &str = include_str!("../../design/allow.js");

/// The design document of this kind of database, and its id.
#[must_use]
pub fn validation(kind: DatabaseKind) -> (String, Value) {
    let function = ALLOW.replacen("= RIGHTS;", &format!("= {};", rights(kind)), 1);
    let document = json!({"language": "javascript", "validate_doc_update": function});
    (format!("{PREFIX}{VALIDATION}"), document)
}

/// Whether one of these design documents of a database keeps the matrix, as this version writes it or a later one.
#[must_use]
pub fn is_validated(ids: &[String]) -> bool {
    ids.iter().any(|id| number(id).is_some_and(|number| number >= VALIDATION))
}

/// The number of the function in an id.
fn number(id: &str) -> Option<u32> {
    id.strip_prefix(PREFIX)?.parse().ok()
}

/// Puts it into a database, in the place of older ones. Needs an administrator. False when the database has a newer one,
/// which stays. Doing it again changes nothing.
///
/// # Errors
///
/// What the store answers.
pub async fn install(database: &Database, kind: DatabaseKind) -> Result<bool, Error> {
    let (id, document) = validation(kind);
    let mut is_there = false;
    let mut older = Vec::new();
    let query = AllDocs { include_docs: false, ..read::range(PREFIX, format!("{PREFIX}:")) };
    for row in database.all_docs::<Value>(&query).await?.rows {
        let Some(number) = number(&row.id) else { continue };
        match number.cmp(&VALIDATION) {
            std::cmp::Ordering::Greater => return Ok(false),
            std::cmp::Ordering::Equal => is_there = true,
            std::cmp::Ordering::Less => older.push((row.id, row.revision)),
        }
    }
    if !is_there {
        // A conflict is with another process that puts the same.
        match database.put(&id, None, &document, PutOptions::default()).await? {
            Put::Created(_) | Put::Accepted(_) | Put::Conflict => {}
        }
    }
    // Afterwards: between the two there is more refused, and not less.
    for (id, revision) in older {
        remove(database, &id, revision).await?;
    }
    Ok(true)
}

async fn remove(
    database: &Database,
    id: &str,
    mut revision: blitz_couchdb::Revision,
) -> Result<(), Error> {
    for _ in 0..INSTALL_TRIES {
        match database.delete(id, &revision).await? {
            Put::Created(_) | Put::Accepted(_) => return Ok(()),
            Put::Conflict => match database.get::<Value>(id).await? {
                Some(found) => revision = found.revision,
                None => return Ok(()),
            },
        }
    }
    tracing::warn!(database = database.name(), id, "an older one is there, and is being changed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_installed_once_never_changes_under_its_number() {
        use DatabaseKind::{Accounts, Audit, Beats, Control, Engines, Jobs, Output};
        let mut hasher = blake3::Hasher::new();
        for kind in [Control, Jobs, Output, Engines, Beats, Accounts, Audit] {
            let (_, document) = validation(kind);
            let function = document["validate_doc_update"].as_str().unwrap().to_owned();
            assert!(!function.contains("RIGHTS;") && function.starts_with("function"));
            hasher.update(function.as_bytes());
        }
        assert_eq!(
            &hasher.finalize().to_hex()[..16],
            "b2abf4026e5ac815",
            "stores have {PREFIX}{VALIDATION} with another content: give the new one the next number, and the digest here"
        );
    }
}
