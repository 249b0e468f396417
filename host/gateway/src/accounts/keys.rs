//! `/v1/keys`: makes keys, lists and revokes them. A key is told once, when it is made.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use blitz_jobs::accounts::{Key, KeyKind, Revoked, Scopes, Secret, Subject, is_name};
use blitz_jobs::clock::now_ms;
use blitz_jobs::read;
use serde::Deserialize;
use serde_json::{Value, json};

use super::entry::told;
use super::tenants::{
    accounts, ended, no_name, reason, revoke, revoked_view, tenant, unknown_tenant,
};
use crate::audit::Told;
use crate::caller::Caller;
use crate::failure::Failure;
use crate::routes::{Method, Routes, Who};
use crate::server::Gateway;
use crate::strict::{Params, Strict};

/// Keys of one tenant that are neither over nor revoked: one for each person and each pipeline, and no more by mistake.
const KEYS_PER_TENANT_MAX: usize = 1000;

/// Keys that a tenant ever had: what was made stays in the memory of all gateways, a kilobyte each, so that a revoked key is known.
const KEYS_EVER_MAX: usize = 10_000;

/// The longest label, in characters: a line of a listing.
const LABEL_CHARS_MAX: usize = 100;

/// The most plugins, or regions, that a key names: more is a tenant of its own.
const SCOPES_MAX: usize = 100;

/// The longest name of a plugin or a region in scopes, in bytes: longer ones there are none.
const SCOPE_BYTES_MAX: usize = 64;

pub(super) fn routes() -> Routes {
    Routes::default()
        .at(Who::Callers, Method::Get, "/v1/keys", list)
        .at(Who::Callers, Method::Post, "/v1/keys", make)
        .at(Who::Callers, Method::Delete, "/v1/keys/{id}", end)
}

/// `POST /v1/keys`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Whose; for an API key, its own tenant.
    tenant: Option<String>,
    user: String,
    #[serde(default)]
    label: String,
    #[serde(default)]
    scopes: AskedScopes,
    expires_at_ms: Option<u64>,
}

/// Scopes as they are asked for: a word that is not known might have been meant to narrow them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedScopes {
    #[serde(default)]
    plugins: Vec<String>,
    #[serde(default)]
    regions: Vec<String>,
    rate_per_minute: Option<u32>,
    #[serde(default)]
    is_admin: bool,
    #[serde(default)]
    may_publish: bool,
}

async fn make(
    State(shared): Gateway,
    Extension(caller): Extension<Caller>,
    Strict(asked): Strict<Asked>,
) -> Result<Response, Failure> {
    let accounts = accounts(&shared)?;
    let pepper = shared.book.pepper().ok_or_else(no_accounts_key)?;
    let now = now_ms();
    let name = whose(&caller, asked.tenant.as_deref())?;
    caller.must_be_admin("make keys")?;
    let asked = checked(&caller, asked, now)?;
    tenant(&shared, &accounts, &name).await?;
    if shared.book.revoked(&Subject::Tenant(name.clone())).is_some() {
        return Err(ended(&name));
    }
    let user = Subject::User { tenant: name.clone(), user: asked.user.clone() };
    if shared.book.revoked(&user).is_some() {
        let reason =
            format!("user '{}' was revoked, which is for good; take another name", asked.user);
        return Err(Failure::conflict("user_revoked", reason));
    }
    let keys = shared.book.keys(|key| key.tenant == name);
    if keys.len() >= KEYS_EVER_MAX && caller.tenant().is_some() {
        let reason = format!(
            "tenant '{name}' has made {KEYS_EVER_MAX} keys, which is the limit; more are your operator's to make"
        );
        return Err(Failure::conflict("too_many_keys", reason));
    }
    let stand = keys.iter().filter(|(key, revoked)| !key.is_over(now) && revoked.is_none());
    if stand.count() >= KEYS_PER_TENANT_MAX {
        let reason = format!(
            "tenant '{name}' has {KEYS_PER_TENANT_MAX} keys, which is the limit; revoke some ('blitz keys revoke ID')"
        );
        return Err(Failure::conflict("too_many_keys", reason));
    }
    let mut random = [0; 48];
    getrandom::fill(&mut random).map_err(|error| {
        tracing::error!(%error, "the system gives no random numbers");
        Failure::busy()
    })?;
    let secret = Secret::new(random);
    let AskedScopes { plugins, regions, rate_per_minute, is_admin, may_publish } = asked.scopes;
    let key = Key {
        kind: KeyKind::Key,
        blitz: blitz_jobs::BUILD.to_owned(),
        id: secret.id().to_owned(),
        tenant: name,
        user: asked.user,
        label: asked.label,
        hash: secret.hash(pepper),
        scopes: Scopes { plugins, regions, rate_per_minute, is_admin, may_publish },
        created_at_ms: now,
        expires_at_ms: asked.expires_at_ms,
    };
    // Two keys of one id there are never: 36^10 of them.
    if !key.create(&accounts).await.map_err(|error| Failure::store(&error))? {
        return Err(Failure::busy());
    }
    let answer = json!({"secret": secret.text(), "key": view(&key, None)});
    let Key { id, tenant, user, scopes, .. } = &key;
    let rights = if scopes.is_admin { ", admin" } else { "" };
    let told = Told::of(format!("{id} of {tenant}/{user}{rights}"));
    shared.book.hear_key(key);
    Ok((StatusCode::CREATED, told, Json(answer)).into_response())
}

/// The tenant that a key is for. Another one than a member's own is not there for it.
fn whose(caller: &Caller, asked: Option<&str>) -> Result<String, Failure> {
    match (caller.tenant(), asked) {
        (None, Some(asked)) => Ok(asked.to_owned()),
        (None, None) => Err(Failure::usage("whose key? name the tenant (tenant; --tenant NAME)")),
        (Some(own), Some(asked)) if own != asked => Err(unknown_tenant(asked)),
        (Some(own), _) => Ok(own.to_owned()),
    }
}

fn checked(caller: &Caller, mut asked: Asked, now: u64) -> Result<Asked, Failure> {
    if !is_name(&asked.user) {
        return Err(no_name("user", &asked.user));
    }
    asked.label = asked.label.trim().to_owned();
    if asked.label.chars().count() > LABEL_CHARS_MAX || asked.label.chars().any(char::is_control) {
        let reason = format!("a label has up to {LABEL_CHARS_MAX} characters, on one line");
        return Err(Failure::usage(reason));
    }
    for (what, names) in [("plugins", &asked.scopes.plugins), ("regions", &asked.scopes.regions)] {
        let fits = |name: &String| {
            (1..=SCOPE_BYTES_MAX).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_graphic())
        };
        if names.len() > SCOPES_MAX || !names.iter().all(fits) {
            return Err(Failure::usage(format!(
                "a key names up to {SCOPES_MAX} {what} by their names"
            )));
        }
    }
    if asked.scopes.rate_per_minute == Some(0) {
        return Err(Failure::usage(
            "a key with 0 submissions a minute is of no use; leave the rate out",
        ));
    }
    if asked.expires_at_ms.is_some_and(|at| at <= now) {
        return Err(Failure::usage("the key would be over before it is made"));
    }
    if let Caller::Member(member) = caller {
        let AskedScopes { plugins, regions, rate_per_minute, is_admin, may_publish } =
            &asked.scopes;
        let given = Scopes {
            plugins: plugins.clone(),
            regions: regions.clone(),
            rate_per_minute: *rate_per_minute,
            is_admin: *is_admin,
            may_publish: *may_publish,
        };
        if !member.key.scopes.contain(&given) {
            return Err(Failure::refused(
                "a key makes no key that may do more than itself; name plugins, regions and a rate within its own \
                 ('blitz whoami' shows them)",
            ));
        }
        let lasts_longer = |own: u64| asked.expires_at_ms.is_none_or(|given| given > own);
        if member.key.expires_at_ms.is_some_and(lasts_longer) {
            return Err(Failure::refused(
                "a key makes no key that lasts longer than itself; name an earlier end ('blitz whoami' shows its own)",
            ));
        }
    }
    Ok(asked)
}

#[derive(Debug, Deserialize)]
struct Wanted {
    tenant: Option<String>,
}

async fn list(
    State(shared): Gateway,
    Extension(caller): Extension<Caller>,
    Params(Wanted { tenant }): Params<Wanted>,
) -> Result<Json<Value>, Failure> {
    shared.book.may_be_believed().map_err(|refused| told(&refused))?;
    if let (Some(own), Some(asked)) = (caller.tenant(), tenant.as_deref())
        && own != asked
    {
        return Err(unknown_tenant(asked));
    }
    let keys = shared.book.keys(|key| {
        tenant.as_ref().is_none_or(|tenant| *tenant == key.tenant)
            && caller.owns(Some(&key.tenant), Some(&key.user))
    });
    let keys: Vec<Value> = keys.iter().map(|(key, revoked)| view(key, revoked.as_ref())).collect();
    Ok(Json(json!({"keys": keys})))
}

/// Revokes a key: the operator any, an administrator those of its tenant, and everybody their own.
async fn end(
    State(shared): Gateway,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    let reason = reason(&body)?;
    let accounts = accounts(&shared)?;
    let unknown = || Failure::missing("unknown_key", &format!("no key '{id}'"));
    let key = match shared.book.key(&id) {
        Some(key) => Key::clone(&key),
        None if Secret::is_id(&id) => {
            // Another gateway may have made it just now.
            let document = Key::document_id(&id);
            let found = accounts.get::<Value>(&document).await;
            let found = found.map_err(|error| Failure::store(&error))?;
            let found = found.and_then(|found| read::document::<Key>(&document, found.body));
            found.filter(|key| key.id == id).ok_or_else(unknown)?
        }
        None => return Err(unknown()),
    };
    if !caller.owns(Some(&key.tenant), Some(&key.user)) {
        return Err(unknown());
    }
    let is_new = revoke(&shared, &accounts, Subject::Key(id.clone()), &reason, &caller).await?;
    Ok(Json(json!({"key": id, "revoked": true, "new": is_new})))
}

fn no_accounts_key() -> Failure {
    let reason = "this gateway has nothing to store keys under; its operator starts it with --accounts-key FILE";
    Failure::conflict("no_accounts_key", reason)
}

/// Without the hash.
fn view(key: &Key, revoked: Option<&Revoked>) -> Value {
    json!({
        "id": key.id,
        "tenant": key.tenant,
        "user": key.user,
        "label": key.label,
        "scopes": key.scopes,
        "created_at_ms": key.created_at_ms,
        "expires_at_ms": key.expires_at_ms,
        "revoked": revoked.map(revoked_view),
    })
}
