//! Documents of `_users`: what they must have, who may read and change them, and how a password in
//! one becomes a hash. The rules are those of CouchDB's `couch_users_db` and its `_design/_auth`.

use super::{auth::password, call::Call, refusal::Refusal, security};
use crate::{
    document::object::{self, Members},
    revision::Revision,
    store::{
        database::Database,
        edit::{Edit, Kind},
        read::{Found, Opened, Which},
    },
    user::User,
};
use serde_json::{Value, json};

/// What the id of a user's document begins with.
const PREFIX: &str = "org.couchdb.user:";

/// What a hash of a password consists of, and the password.
const PASSWORD_MEMBERS: [&str; 8] = [
    "derived_key",
    "iterations",
    "password",
    "password_scheme",
    "password_sha",
    "preserve_salt",
    "pbkdf2_prf",
    "salt",
];

/// Whether documents of this database are users. Logins look at `_users` alone.
pub(crate) fn is_users(name: &str) -> bool {
    name == "_users" || name.ends_with("/_users")
}

/// Lets one who does not administer the database at a path in it: only to what is its own.
pub(crate) fn enter(call: &Call, rest: &[String]) -> Result<(), Refusal> {
    let reads = call.is_read() || call.method.as_str() == "COPY";
    match rest.first().map(String::as_str) {
        None | Some("_bulk_docs" | "_ensure_full_commit" | "_security" | "_revs_limit") => Ok(()),
        Some(id) if id == "_design" || id.starts_with("_design/") => Err(Refusal::forbidden(
            "Only administrators can view design docs in the users database.",
        )),
        Some(id) if id.starts_with('_') => call.need_admin(),
        Some(id) if reads && !is_own(&call.user, id) => Err(Refusal::not_found("missing")),
        Some(_) => Ok(()),
    }
}

fn is_own(user: &User, id: &str) -> bool {
    user.name.is_some() && id.strip_prefix(PREFIX) == user.name.as_deref()
}

/// Lets an edit through, its password hashed.
pub(crate) async fn admit(
    call: &Call,
    database: &Database,
    mut edit: Edit,
) -> Result<Edit, Refusal> {
    if edit.id.starts_with("_design/") {
        return Ok(edit);
    }
    let user = &call.user;
    let admin = security::is_admin(user, database);
    if !admin && user.name.is_some() && !is_own(user, &edit.id) {
        return Err(Refusal::not_found("missing"));
    }
    let winner = open(call, database, &edit.id, Which::Winner).await?;
    let revision = winner.as_ref().map(|winner| winner.revision.clone());
    allow(call, database, &mut edit, winner, admin).await?;
    if admin {
        return Ok(edit);
    }
    // Roles that were taken from a user meanwhile must not come back.
    let then = Box::new(edit.kind);
    Ok(Edit { id: edit.id, kind: Kind::IfWinner { winner: revision, then } })
}

/// Whether this user may make the edit beside this winner; hashes the password in it.
async fn allow(
    call: &Call,
    database: &Database,
    edit: &mut Edit,
    winner: Option<Found>,
    admin: bool,
) -> Result<(), Refusal> {
    let user = &call.user;
    let old = old(call, database, edit, winner).await?;
    let old = old.as_deref().map(read).transpose()?;
    let (text, deleted) = match &mut edit.kind {
        Kind::Update { text, deleted, .. } | Kind::Merge { text, deleted, .. } => (text, *deleted),
        Kind::Delete { .. } => return may_delete(user, old.as_ref()),
        Kind::PutAttachment { .. } | Kind::DeleteAttachment { .. } | Kind::IfWinner { .. } => {
            // The document stays what it is; one that is not there would be no user.
            let document = old.clone().unwrap_or_else(|| json!({}));
            return check(&edit.id, &document, old.as_ref(), user, admin);
        }
    };
    if deleted {
        return may_delete(user, old.as_ref());
    }
    let mut document = read(text)?;
    let password = document.get("password").filter(|password| !password.is_null()).cloned();
    if password.is_some()
        && let Some(document) = document.as_object_mut()
    {
        // What is given beside a password is replaced by what is made of it.
        document.retain(|name, _| !PASSWORD_MEMBERS[..].contains(&name.as_str()));
    }
    check(&edit.id, &document, old.as_ref(), user, admin)?;
    match password {
        None => {}
        Some(Value::String(password)) => *text = hashed(call, text, password).await?,
        Some(other) => {
            return Err(Refusal::forbidden(format!("Password value of '{other}' is invalid.")));
        }
    }
    Ok(())
}

/// The text of the revision that the edit follows, or of the winner; None when there is no living one.
async fn old(
    call: &Call,
    database: &Database,
    edit: &Edit,
    winner: Option<Found>,
) -> Result<Option<String>, Refusal> {
    let parent: Option<&Revision> = match &edit.kind {
        Kind::Update { parent, .. } => parent.first(),
        Kind::Delete { revision }
        | Kind::PutAttachment { revision, .. }
        | Kind::DeleteAttachment { revision, .. } => revision.as_ref(),
        Kind::Merge { .. } | Kind::IfWinner { .. } => None,
    };
    let living =
        |found: Option<Found>| found.filter(|found| !found.deleted).map(|found| found.body.text);
    if let Some(parent) = parent {
        let which = Which::These { revisions: vec![parent.clone()], latest: false };
        if let Some(text) = living(open(call, database, &edit.id, which).await?) {
            return Ok(Some(text));
        }
    }
    Ok(living(winner))
}

async fn open(
    call: &Call,
    database: &Database,
    id: &str,
    which: Which,
) -> Result<Option<Found>, Refusal> {
    let document = call.store().document(database, id.to_owned(), which, false).await?;
    let opened = document.and_then(|document| document.revisions.into_iter().next());
    Ok(match opened {
        Some(Opened::Found(found)) => Some(*found),
        _ => None,
    })
}

fn read(text: &str) -> Result<Value, Refusal> {
    Ok(serde_json::from_str(text).map_err(|_| crate::document::check::NotJson)?)
}

fn may_delete(user: &User, old: Option<&Value>) -> Result<(), Refusal> {
    let own =
        old.is_some_and(|old| user.name.is_some() && old["name"].as_str() == user.name.as_deref());
    if user.is_admin() || own {
        return Ok(());
    }
    Err(Refusal::forbidden("Only admins may delete other user docs."))
}

/// Whether the document is a user, and this user may make it so.
fn check(
    id: &str,
    new: &Value,
    old: Option<&Value>,
    user: &User,
    admin: bool,
) -> Result<(), Refusal> {
    let refuse = |reason: &'static str| Err(Refusal::forbidden(reason));
    let is_set = |value: &Value| !matches!(value, Value::Null | Value::Bool(false)) && value != "";
    if new["type"] != "user" {
        return refuse("doc.type must be user");
    }
    let Some(name) = new["name"].as_str().filter(|name| !name.is_empty()) else {
        return refuse("doc.name is required");
    };
    if !is_set(&new["roles"]) {
        return refuse("doc.roles must exist");
    }
    let Some(roles) = new["roles"].as_array() else {
        return refuse("doc.roles must be an array");
    };
    let Some(roles) = roles.iter().map(Value::as_str).collect::<Option<Vec<&str>>>() else {
        return refuse("doc.roles can only contain strings");
    };
    if id.strip_prefix(PREFIX) != Some(name) {
        return refuse("Doc ID must be of the form org.couchdb.user:name");
    }
    if old.is_some_and(|old| old["name"] != new["name"]) {
        return refuse("Usernames can not be changed.");
    }
    check_hash(new)?;
    if !admin {
        check_own(user, name, roles.clone(), old)?;
    }
    if roles.iter().any(|role| role.starts_with('_') && *role != "_metrics") {
        return refuse("No system roles (starting with underscore) in users db.");
    }
    if name.starts_with('_') {
        return refuse("Username may not start with underscore.");
    }
    if name.contains(':') {
        return refuse("Character `:` is not allowed in usernames.");
    }
    Ok(())
}

/// What an ordinary user may do with its own document, and somebody without a name to register.
fn check_own(
    user: &User,
    name: &str,
    mut roles: Vec<&str>,
    old: Option<&Value>,
) -> Result<(), Refusal> {
    let Some(old) = old else {
        if roles.is_empty() {
            return Ok(());
        }
        return Err(Refusal::forbidden("Only _admin may set roles"));
    };
    if user.name.as_deref() != Some(name) {
        return Err(Refusal::forbidden("You may only update your own user document."));
    }
    let old = old["roles"].as_array().map_or(&[][..], Vec::as_slice);
    let mut old: Vec<&str> = old.iter().filter_map(Value::as_str).collect();
    old.sort_unstable();
    roles.sort_unstable();
    if old != roles {
        return Err(Refusal::forbidden("Only _admin may edit roles"));
    }
    Ok(())
}

/// A hash that came instead of a password.
fn check_hash(new: &Value) -> Result<(), Refusal> {
    let has = |name: &str| new[name].as_str().is_some_and(|text| !text.is_empty());
    if has("password_sha") && !has("salt") {
        return Err(Refusal::forbidden(
            "Users with password_sha must have a salt.See /_utils/script/couch.js for example code.",
        ));
    }
    match &new["password_scheme"] {
        Value::Null => Ok(()),
        Value::String(scheme) if scheme.is_empty() => Ok(()),
        Value::String(scheme) if scheme == "simple" || scheme == "simple+pbkdf2" => Ok(()),
        Value::String(scheme) if scheme == "pbkdf2" => {
            if !new["iterations"].is_number() {
                return Err(Refusal::forbidden("iterations must be a number."));
            }
            if !new["derived_key"].is_string() {
                return Err(Refusal::forbidden("derived_key must be a string."));
            }
            Ok(())
        }
        other => {
            let scheme = other.as_str().map_or_else(|| other.to_string(), str::to_owned);
            Err(Refusal::forbidden(format!("Password scheme `{scheme}` not supported.")))
        }
    }
}

/// The document with the hash of its password in the password's place.
async fn hashed(call: &Call, text: &str, password: String) -> Result<String, Refusal> {
    let members = object::members(text)?.unwrap_or(Members(Vec::new()));
    let preserved = members.read("preserve_salt") == Some(true);
    let salt: Option<String> = members.read("salt").filter(|_| preserved);
    let work = move || password::hash(&password, salt);
    let (salt, key) = call.server.auth.hashing.run(work).await?;
    let hash = json!({
        "password_scheme": "pbkdf2",
        "pbkdf2_prf": "sha256",
        "salt": salt,
        "iterations": password::ITERATIONS,
        "derived_key": key,
    });
    let mut hashed = hash.to_string();
    hashed.pop();
    let others = members.0.iter().filter(|(name, _)| !PASSWORD_MEMBERS.contains(&&**name));
    for (name, value) in others {
        hashed.push(',');
        hashed.push_str(&Value::from(&**name).to_string());
        hashed.push(':');
        hashed.push_str(value.get());
    }
    hashed.push('}');
    Ok(hashed)
}

#[cfg(test)]
mod tests;
