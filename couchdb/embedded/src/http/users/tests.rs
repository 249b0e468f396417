//! The rules of documents of users, as a table.

use super::*;

fn user(name: Option<&str>) -> User {
    User {
        name: name.map(str::to_owned),
        roles: Vec::new(),
        proof: None,
        holds: crate::user::Holds::Always,
    }
}

fn said(id: &str, new: &Value, old: Option<&Value>, by: &User, admin: bool) -> String {
    check(id, new, old, by, admin).err().map_or_else(String::new, |refusal| {
        assert_eq!(refusal.status, 403);
        refusal.reason.into_owned()
    })
}

#[test]
fn a_user_has_a_name_roles_and_a_type() {
    let admin = user(Some("root"));
    let full = json!({"name": "ann", "roles": [], "type": "user"});
    for (member, value, reason) in [
        ("type", json!("admin"), "doc.type must be user"),
        ("type", json!(null), "doc.type must be user"),
        ("type", json!(["user"]), "doc.type must be user"),
        ("name", json!(""), "doc.name is required"),
        ("name", json!(null), "doc.name is required"),
        ("name", json!(5), "doc.name is required"),
        ("name", json!("bob"), "Doc ID must be of the form org.couchdb.user:name"),
        ("name", json!("ann\0"), "Doc ID must be of the form org.couchdb.user:name"),
        ("roles", json!(null), "doc.roles must exist"),
        ("roles", json!("_admin"), "doc.roles must be an array"),
        ("roles", json!({"0": "_admin"}), "doc.roles must be an array"),
        ("roles", json!([["_admin"]]), "doc.roles can only contain strings"),
        ("roles", json!(["_admin"]), "No system roles (starting with underscore) in users db."),
        ("roles", json!(["a", "_x"]), "No system roles (starting with underscore) in users db."),
        ("roles", json!(["a", "_metrics"]), ""),
        ("password_scheme", json!("bcrypt"), "Password scheme `bcrypt` not supported."),
        ("password_scheme", json!("pbkdf2"), "iterations must be a number."),
        ("password_scheme", json!("simple"), ""),
        (
            "password_sha",
            json!("abc"),
            "Users with password_sha must have a salt.See /_utils/script/couch.js for example code.",
        ),
    ] {
        let mut new = full.clone();
        new[member] = value;
        assert_eq!(said("org.couchdb.user:ann", &new, None, &admin, true), reason, "{new}");
    }
    for (name, reason) in [
        ("_ann", "Username may not start with underscore."),
        ("a:b", "Character `:` is not allowed in usernames."),
        ("jos\u{e9} \u{65e5}", ""),
    ] {
        let new = json!({"name": name, "roles": [], "type": "user"});
        assert_eq!(said(&format!("{PREFIX}{name}"), &new, None, &admin, true), reason, "{name}");
    }
}

#[test]
fn an_ordinary_user_changes_itself_and_not_its_roles() {
    let doc = |roles: &[&str]| json!({"name": "ann", "roles": roles, "type": "user"});
    let (ann, nobody) = (user(Some("ann")), user(None));
    let id = "org.couchdb.user:ann";
    let old = doc(&["a", "b"]);
    for (by, new, old, reason) in [
        (&ann, doc(&["b", "a"]), Some(&old), ""),
        (&ann, doc(&["a", "b", "boss"]), Some(&old), "Only _admin may edit roles"),
        (&ann, doc(&["a"]), Some(&old), "Only _admin may edit roles"),
        (&ann, doc(&["a", "a"]), Some(&old), "Only _admin may edit roles"),
        (&nobody, doc(&["a", "b"]), Some(&old), "You may only update your own user document."),
        (&nobody, doc(&[]), None, ""),
        (&nobody, doc(&["a"]), None, "Only _admin may set roles"),
    ] {
        assert_eq!(said(id, &new, old, by, false), reason, "{by:?} {new}");
    }
    assert!(may_delete(&ann, Some(&old)).is_ok());
    assert!(may_delete(&nobody, Some(&json!({"name": null}))).is_err());
    assert!(may_delete(&user(Some("bob")), Some(&old)).is_err());
}

#[test]
fn what_is_ones_own() {
    assert!(is_own(&user(Some("ann")), "org.couchdb.user:ann"));
    assert!(!is_own(&user(Some("ann")), "org.couchdb.user:anna"));
    assert!(!is_own(&user(None), "org.couchdb.user:"));
    assert!(!is_own(&user(None), "x"));
    assert!(is_users("_users") && is_users("a/_users") && !is_users("a_users"));
}
