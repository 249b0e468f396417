//! `_security`: who may see a database, and who may administer it.
//!
//! [`enter`] is asked for every path inside a database before its handler, as CouchDB's
//! `chttpd_auth_request` and `couch_db` do. The texts are CouchDB's.

use super::{
    call::{BODY_BYTES_MAX, Call},
    query,
    refusal::{Refusal, allow},
    reply::{self, Handled},
    users,
};
use crate::{
    store::{database::Database, databases, edit::Edit, transaction::Transaction},
    user::{ADMIN_ROLE, User},
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// The largest `_security`, in bytes: it is held in memory for every database.
const SECURITY_BYTES_MAX: usize = 64 << 10;

/// Names and roles.
#[derive(Debug, Default, Deserialize)]
struct Group {
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    roles: Vec<String>,
}

impl Group {
    fn has(&self, user: &User) -> bool {
        let role = |role: &String| role == ADMIN_ROLE || self.roles.contains(role);
        let name = user.name.as_ref();
        user.roles.iter().any(role) || name.is_some_and(|name| self.names.contains(name))
    }
}

/// The parts of `_security` that decide.
#[derive(Debug, Default, Deserialize)]
struct Security {
    #[serde(default)]
    admins: Group,
    members: Option<Group>,
    /// What `members` was called long ago.
    readers: Option<Group>,
}

impl Security {
    fn of(database: &Database) -> Security {
        // It was checked when it was set; should it ever be unreadable, only administrators of the server
        // come in.
        let administrators = || {
            let group = || Group { names: Vec::new(), roles: vec![String::from(ADMIN_ROLE)] };
            Security { admins: group(), members: Some(group()), readers: None }
        };
        serde_json::from_str(&database.state().security()).unwrap_or_else(|_| administrators())
    }

    fn has_member(&self, user: &User) -> bool {
        let nobody = Group::default();
        let members = self.members.as_ref().or(self.readers.as_ref()).unwrap_or(&nobody);
        let public = members.names.is_empty() && members.roles.is_empty();
        public || members.has(user) || self.admins.has(user)
    }
}

/// Whether the user administers the database.
pub(crate) fn is_admin(user: &User, database: &Database) -> bool {
    user.is_admin() || Security::of(database).admins.has(user)
}

/// Whether the user may see the database.
pub(crate) fn is_member(user: &User, database: &Database) -> bool {
    Security::of(database).has_member(user)
}

/// Lets a request into a database, or not. `rest` is its path below the database.
pub(crate) fn enter(call: &Call, database: &Database, rest: &[String]) -> Result<(), Refusal> {
    if call.user.is_admin() {
        return Ok(());
    }
    let first = rest.first().map_or("", String::as_str);
    let of_system = database.name.starts_with('_');
    let listing = matches!(first, "_all_docs" | "_changes");
    let for_server = matches!(first, "_purge" | "_purged_infos_limit" | "_sync_shards");
    if of_system && listing || for_server {
        return call.need_admin();
    }
    need_member(call, database)?;
    if is_admin(&call.user, database) {
        return Ok(());
    }
    match first {
        "_compact" | "_view_cleanup" => {
            Err(Refusal::unauthorized("You are not a server or db admin."))
        }
        "_security" | "_revs_limit" | "_index" if !call.is_read() => Err(not_admin(&call.user)),
        _ if users::is_users(&database.name) => users::enter(call, rest),
        // Its documents hold passwords of other servers.
        _ if is_replicator(&database.name) => Err(not_admin(&call.user)),
        _ => Ok(()),
    }
}

/// Refuses a database that is not there, in the words for those who may know.
pub(crate) fn no_database(call: &Call, name: &str) -> Refusal {
    let hidden = name.starts_with('_') && !matches!(name, "_users" | "_replicator");
    match call.need_admin() {
        Err(refusal) if hidden => refusal,
        _ => Refusal::no_database(),
    }
}

/// Whether the edit may be made: design documents are for administrators of the database.
pub(crate) fn may_edit(user: &User, database: &Database, edit: &Edit) -> Result<(), Refusal> {
    if edit.id.starts_with("_design/") && !is_admin(user, database) {
        return Err(not_admin(user));
    }
    Ok(())
}

/// Whether `_local` documents may be written, by whatever door. Beside users they are the places that
/// replications have come to, and [`enter`] lets only administrators at them by their paths.
pub(crate) fn may_write_local(call: &Call, database: &Database) -> Result<(), Refusal> {
    if users::is_users(&database.name) && !is_admin(&call.user, database) {
        return call.need_admin();
    }
    Ok(())
}

fn need_member(call: &Call, database: &Database) -> Result<(), Refusal> {
    if is_member(&call.user, database) {
        return Ok(());
    }
    Err(match call.user.name {
        None => Refusal::unauthorized("You are not authorized to access this db."),
        Some(_) => Refusal::forbidden("You are not allowed to access this db."),
    })
}

fn not_admin(user: &User) -> Refusal {
    let reason = "You are not a db or server admin.";
    match user.name {
        None => Refusal::unauthorized(reason),
        Some(_) => Refusal::forbidden(reason),
    }
}

/// Whether documents of this database are replications.
fn is_replicator(name: &str) -> bool {
    name == "_replicator" || name.ends_with("/_replicator")
}

/// `_security`.
pub(crate) async fn security(call: &Call, database: &Arc<Database>) -> Handled {
    allow(&call.method, &["PUT", "GET"])?;
    if call.is_read() {
        let security = query::parse(&database.state().security())?;
        return Ok(reply::json(StatusCode::OK, &security));
    }
    let received = call.body(SECURITY_BYTES_MAX.min(BODY_BYTES_MAX)).await?;
    let security = query::parse(received.text()?)?;
    check(&security)?;
    let text: Arc<str> = security.to_string().into();
    let changed = Arc::clone(database);
    let set = move |transaction: &mut Transaction<'_>| {
        databases::set_security(transaction, &changed, text)
    };
    call.store().write(set).await?;
    // Its feeds look whether they may go on.
    database.feed.nudge();
    Ok(reply::ok(StatusCode::OK))
}

/// `admins` and `members` are objects whose `names` and `roles` are lists of texts.
fn check(security: &Value) -> Result<(), Refusal> {
    let texts =
        |value: &Value| value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
    let group = |value: &Value| {
        let part = |name| value.get(name).is_none_or(texts);
        value.is_object() && part("names") && part("roles")
    };
    let sound = security.is_object()
        && ["admins", "members", "readers"].iter().all(|name| security.get(name).is_none_or(group));
    if sound {
        return Ok(());
    }
    Err(Refusal::bad_request(
        "`_security` is an object; `admins` and `members` in it have lists of `names` and `roles`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user::Holds;
    use serde_json::json;

    fn user(name: Option<&str>, roles: &[&str]) -> User {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        User { name: name.map(str::to_owned), roles, proof: None, holds: Holds::Always }
    }

    #[test]
    fn names_and_roles_let_in() {
        let (nobody, ann, engine) =
            (user(None, &[]), user(Some("ann"), &[]), user(Some("e"), &["engine"]));
        let root = user(Some("root"), &[ADMIN_ROLE]);
        for (security, members, admins) in [
            (json!({}), [true, true, true], [false; 3]),
            (json!({"members": {"names": ["ann"]}}), [false, true, false], [false; 3]),
            (json!({"members": {"roles": ["engine"]}}), [false, false, true], [false; 3]),
            (json!({"readers": {"names": ["ann"]}}), [false, true, false], [false; 3]),
            (
                json!({"members": {"roles": ["x"]}, "admins": {"names": ["ann"]}}),
                [false, true, false],
                [false, true, false],
            ),
            (json!({"admins": {"roles": ["engine"]}}), [true; 3], [false, false, true]),
        ] {
            let read: Security = serde_json::from_value(security.clone()).unwrap();
            for (index, user) in [&nobody, &ann, &engine].into_iter().enumerate() {
                assert_eq!(read.has_member(user), members[index], "{security} {user:?}");
                assert_eq!(read.admins.has(user), admins[index], "{security} {user:?}");
            }
            assert!(read.has_member(&root) && read.admins.has(&root));
        }
    }

    #[test]
    fn what_would_not_be_understood_is_not_stored() {
        for bad in [
            json!([1]),
            json!("x"),
            json!({"admins": 5}),
            json!({"members": {"names": "x"}}),
            json!({"members": {"roles": [5]}}),
            json!({"members": null}),
            json!({"readers": []}),
        ] {
            assert!(check(&bad).is_err(), "{bad}");
        }
        assert!(check(&json!({"extra": 1, "members": {}})).is_ok());
    }
}
