//! What an edit of `_replicator` must be: a replication, written by its owner.

use super::task::Task;
use crate::{
    document::object,
    store::edit::{Edit, Kind},
    user::User,
};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Why an edit is not made; the answer is 403.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAdmitted {
    #[error("Can't update replication documents from other users.")]
    Owner,
    #[error(
        "`user_ctx` names a user or roles that are not yours: a replication runs for who wrote it"
    )]
    Context,
    #[error(transparent)]
    Task(#[from] super::task::BadTask),
}

/// Checks an edit and completes it: `owner` as CouchDB does, and `user_ctx` where a local database is
/// opened for the writer later.
pub(crate) fn admit(user: &User, uuid: &str, mut edit: Edit) -> Result<Edit, NotAdmitted> {
    if edit.id.starts_with("_design/") {
        return Ok(edit);
    }
    match &mut edit.kind {
        Kind::Update { deleted: false, text, .. } => {
            let document = parse(text);
            let mut added = Map::new();
            match document.get("owner") {
                None => drop(added.insert("owner".into(), json!(user.name))),
                Some(owner) if *owner == json!(user.name) => {}
                Some(_) if user.is_admin() => {}
                Some(_) => return Err(NotAdmitted::Owner),
            }
            check_context(user, &document)?;
            let task = Task::parse(&document, Arc::new(user.clone()), uuid)?;
            let is_local = task.source.is_local() || task.target.is_local();
            if is_local && !document.contains_key("user_ctx") {
                let context = json!({"name": user.name, "roles": user.roles});
                added.insert("user_ctx".into(), context);
            }
            append(text, &added);
        }
        // A replica may be of a document that somebody else owns, as in CouchDB; but nobody brings
        // in more rights than they have.
        Kind::Merge { deleted: false, text, .. } => check_context(user, &parse(text))?,
        _ => {}
    }
    Ok(edit)
}

fn parse(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

fn check_context(user: &User, document: &Map<String, Value>) -> Result<(), NotAdmitted> {
    let Some(context) = document.get("user_ctx") else { return Ok(()) };
    let name = context.get("name").unwrap_or(&Value::Null);
    let no_roles = Vec::new();
    let roles = context.get("roles").and_then(Value::as_array).unwrap_or(&no_roles);
    let own = |role: &Value| user.roles.iter().any(|own| role.as_str() == Some(own));
    if user.is_admin() || *name == json!(user.name) && roles.iter().all(own) {
        Ok(())
    } else {
        Err(NotAdmitted::Context)
    }
}

/// Adds members to the text of an object, which stays as it was written.
fn append(text: &mut String, added: &Map<String, Value>) {
    let has_members = object::members(text).ok().flatten().is_some_and(|all| !all.0.is_empty());
    let added: Vec<String> = added
        .iter()
        .map(|(name, value)| format!("{}:{value}", Value::from(name.as_str())))
        .collect();
    if let Some(inner) = text.strip_suffix('}')
        && !added.is_empty()
    {
        let comma = if has_members { "," } else { "" };
        *text = format!("{inner}{comma}{}}}", added.join(","));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user::ADMIN_ROLE;
    use crate::user::Holds;

    fn ask(user: &User, document: &Value, merge: bool) -> Result<Value, NotAdmitted> {
        let (deleted, text, attachments) = (false, document.to_string(), Vec::new());
        let kind = if merge {
            Kind::Merge { path: Vec::new(), deleted, text, attachments }
        } else {
            let (parent, unknown_parent) = (Vec::new(), false);
            Kind::Update { parent, unknown_parent, deleted, text, attachments }
        };
        let edit = admit(user, "uuid", Edit { id: String::from("d"), kind })?;
        let (Kind::Update { text, .. } | Kind::Merge { text, .. }) = edit.kind else { panic!() };
        Ok(serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn a_document_belongs_to_its_writer_and_runs_for_nobody_else() {
        let admin = User {
            name: Some("root".into()),
            roles: vec![String::from(ADMIN_ROLE)],
            proof: Some("default"),
            holds: Holds::Always,
        };
        let (name, roles) = (Some("ann".into()), vec!["r".into()]);
        let ann = User { name, roles, proof: None, holds: Holds::Always };
        let remote = json!({"source": "http://h/a", "target": "http://h/b"});
        let with = |more: Value| {
            let mut document = remote.clone();
            document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            document
        };
        assert_eq!(ask(&ann, &remote, false).unwrap(), with(json!({"owner": "ann"})));
        let context = json!({"name": "ann", "roles": ["r"]});
        let local = ask(&ann, &with(json!({"source": "a"})), false).unwrap();
        assert_eq!(local["user_ctx"], context);
        let other = with(json!({"owner": "bob"}));
        assert_eq!(ask(&ann, &other, false), Err(NotAdmitted::Owner));
        assert_eq!(ask(&admin, &other, false).unwrap(), other);
        for (context, may) in [
            (json!({"name": "ann", "roles": []}), true),
            (json!({"name": "ann", "roles": ["_admin"]}), false),
            (json!({"name": "bob", "roles": []}), false),
            (json!({"roles": ["_admin"]}), false),
        ] {
            let document = with(json!({"owner": "ann", "user_ctx": context}));
            for merge in [false, true] {
                assert_eq!(ask(&ann, &document, merge).is_ok(), may, "{document}");
                assert!(ask(&admin, &document, merge).is_ok());
            }
        }
        let nothing = ask(&ann, &json!({"source": "http://h/a"}), false).unwrap_err();
        assert_eq!(nothing.to_string(), "Missing replicator database");
    }
}
