//! `/v1/tenants`: operators make tenants, give them plans, and end them or one of their users for good.

use std::collections::BTreeSet;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use blitz_couchdb::Database;
use blitz_jobs::accounts::{
    ACCOUNTS, Changed, Key, REASON_CHARS_MAX, Revoked, Subject, Tenant, UNLIMITED, is_name,
};
use blitz_jobs::clock::now_ms;
use blitz_jobs::{Spec, read};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::entry::told;
use crate::audit::Told;
use crate::caller::Caller;
use crate::ending;
use crate::failure::{Failure, Unknown};
use crate::routes::{Method, Routes, Who};
use crate::server::{Gateway, Shared};
use crate::strict::{self, Strict};

/// Tenants of one installation: all of them are in the memory of each gateway, with a kilobyte each.
const TENANTS_MAX: usize = 10_000;

pub(super) fn routes() -> Routes {
    use Method::{Delete, Get, Patch, Post};
    Routes::default()
        .at(Who::Callers, Get, "/v1/tenants", list)
        .at(Who::Operator, Post, "/v1/tenants", make)
        .at(Who::Operator, Patch, "/v1/tenants/{name}", change)
        .at(Who::Operator, Delete, "/v1/tenants/{name}", end)
        .at(Who::Callers, Delete, "/v1/tenants/{name}/users/{user}", end_user)
}

/// `POST /v1/tenants`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    name: String,
    plan: Option<String>,
}

/// `PATCH /v1/tenants/{name}`: what is absent stays.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    plan: Option<String>,
    /// `null`: the plan does not end.
    #[serde(default, deserialize_with = "given")]
    plan_until_ms: Option<Option<u64>>,
}

/// Tells `null` from what is absent.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

async fn list(
    State(shared): Gateway,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, Failure> {
    shared.book.may_be_believed().map_err(|refused| told(&refused))?;
    let tenants = shared.book.tenants().into_iter();
    let seen = tenants.filter(|(tenant, _)| caller.tenant().is_none_or(|own| own == tenant.name));
    let now = now_ms();
    let views: Vec<Value> = seen
        .map(|(tenant, revoked)| {
            let mut view = view(&tenant, revoked.as_ref());
            // Another one, when that of the document is over.
            view["plan_now"] = json!(shared.book.plan_of(&tenant.name, now).name);
            view
        })
        .collect();
    Ok(Json(json!({"tenants": views})))
}

async fn make(
    State(shared): Gateway,
    Strict(Asked { name, plan }): Strict<Asked>,
) -> Result<Response, Failure> {
    let accounts = accounts(&shared)?;
    if !is_name(&name) {
        return Err(no_name("tenant", &name));
    }
    if shared.book.revoked(&Subject::Tenant(name.clone())).is_some() {
        return Err(ended(&name));
    }
    if shared.book.tenants().len() >= TENANTS_MAX {
        let reason =
            format!("there are {TENANTS_MAX} tenants, which is the limit of an installation");
        return Err(Failure::conflict("too_many_tenants", reason));
    }
    let plan = plan.unwrap_or_else(|| UNLIMITED.to_owned());
    check_plan(&shared, &plan)?;
    let told = Told::of(format!("{name}, plan {plan}"));
    let tenant = Tenant::new(&name, &plan, now_ms());
    if !tenant.create(&accounts).await.map_err(|error| Failure::store(&error))? {
        let reason = format!("there is a tenant '{name}' already; 'blitz tenants' lists them");
        return Err(Failure::conflict("tenant_taken", reason));
    }
    let answer = json!({"tenant": view(&tenant, None)});
    // At once, so that whoever made it finds it here; the feed says the same a moment later.
    shared.book.hear_tenant(tenant);
    Ok((StatusCode::CREATED, told, Json(answer)).into_response())
}

async fn change(
    State(shared): Gateway,
    Path(name): Path<String>,
    Strict(wish): Strict<Wish>,
) -> Result<Response, Failure> {
    let accounts = accounts(&shared)?;
    tenant(&shared, &accounts, &name).await?;
    if shared.book.revoked(&Subject::Tenant(name.clone())).is_some() {
        return Err(ended(&name));
    }
    if let Some(plan) = &wish.plan {
        check_plan(&shared, plan)?;
    }
    let until = match wish.plan_until_ms {
        None => String::new(),
        Some(None) => ", without an end".to_owned(),
        Some(Some(until)) => format!(", until {until} ms"),
    };
    let plan = wish.plan.as_deref().map_or_else(String::new, |plan| format!(", plan {plan}"));
    let told = Told::of(format!("{name}{plan}{until}"));
    let changed = Tenant::change(&accounts, &name, |tenant| {
        // Whoever says which plan it is, has ended the quarrel about it.
        tenant.contested.clear();
        if let Some(plan) = &wish.plan {
            tenant.plan.clone_from(plan);
        }
        if let Some(until) = wish.plan_until_ms {
            tenant.plan_until_ms = until;
        }
    });
    match changed.await.map_err(|error| Failure::store(&error))? {
        Changed::Stored(tenant) => {
            let answer = json!({"tenant": view(&tenant, None)});
            shared.book.hear_tenant(tenant);
            Ok((told, Json(answer)).into_response())
        }
        Changed::Missing => Err(unknown_tenant(&name)),
        Changed::Contended => Err(Failure::busy()),
    }
}

async fn end(
    State(shared): Gateway,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    let reason = reason(&body)?;
    let accounts = accounts(&shared)?;
    tenant(&shared, &accounts, &name).await?;
    let is_new =
        revoke(&shared, &accounts, Subject::Tenant(name.clone()), &reason, &caller).await?;
    let ended = ending::end(&shared, &name, |_| true).await?;
    Ok(Json(json!({"tenant": name, "revoked": true, "new": is_new, "ended": ended})))
}

async fn end_user(
    State(shared): Gateway,
    Extension(caller): Extension<Caller>,
    Path((name, user)): Path<(String, String)>,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    let reason = reason(&body)?;
    let accounts = accounts(&shared)?;
    if caller.tenant().is_some_and(|own| own != name) {
        return Err(unknown_tenant(&name));
    }
    caller.must_be_admin("end a user")?;
    tenant(&shared, &accounts, &name).await?;
    if !is_name(&user) {
        return Err(no_name("user", &user));
    }
    // Each revocation stays for ever in the memory of all gateways: an API key makes none of names that nobody has.
    let is_theirs = |key: &Key| key.tenant == name && key.user == user;
    if caller.tenant().is_some() && shared.book.keys(is_theirs).is_empty() {
        return Err(Failure::missing(
            "unknown_user",
            &format!("tenant '{name}' has no user '{user}'; 'blitz keys' lists them"),
        ));
    }
    let what = Subject::User { tenant: name.clone(), user: user.clone() };
    let is_new = revoke(&shared, &accounts, what, &reason, &caller).await?;
    let is_theirs = |spec: &Spec| spec.terms.user.as_deref() == Some(&user);
    let ended = ending::end(&shared, &name, is_theirs).await?;
    Ok(Json(json!({"tenant": name, "user": user, "revoked": true, "new": is_new, "ended": ended})))
}

/// Takes a right back; false when it was before. Here it is so before this returns.
pub(super) async fn revoke(
    shared: &Shared,
    accounts: &Database,
    what: Subject,
    reason: &str,
    caller: &Caller,
) -> Result<bool, Failure> {
    let why = Revoked::new(reason, &caller.name(), now_ms());
    match why.create(accounts, &what).await {
        Ok(is_new) => {
            shared.book.hear_revoked(what, why);
            Ok(is_new)
        }
        Err(error) => {
            // It may be stored all the same: then nobody should come in meanwhile.
            if error.is_outcome_unknown() {
                shared.book.hear_revoked(what, why);
            }
            Err(Failure::store(&error))
        }
    }
}

/// The database of accounts, where there is one that is heard.
pub(super) fn accounts(shared: &Shared) -> Result<Database, Failure> {
    shared.book.may_be_believed().map_err(|refused| told(&refused))?;
    Ok(shared.config.clusters.near().database(ACCOUNTS))
}

/// A tenant that there is; one that another gateway has just made is asked of the store.
pub(crate) async fn tenant(
    shared: &Shared,
    accounts: &Database,
    name: &str,
) -> Result<Tenant, Failure> {
    if let Some((tenant, _)) = shared.book.tenant(name) {
        return Ok(tenant);
    }
    if !is_name(name) {
        return Err(unknown_tenant(name));
    }
    let id = Tenant::id(name);
    let found = accounts.get::<Value>(&id).await.map_err(|error| Failure::store(&error))?;
    let found = found.and_then(|found| read::document::<Tenant>(&id, found.body));
    found.filter(|tenant| tenant.name == name).ok_or_else(|| unknown_tenant(name))
}

fn check_plan(shared: &Shared, plan: &str) -> Result<(), Failure> {
    if shared.book.plan(plan).is_some() {
        return Ok(());
    }
    let plans = shared.book.plans().into_iter().map(|plan| plan.name);
    let known = plans.chain([UNLIMITED.to_owned()]).collect::<BTreeSet<String>>();
    Err(Failure::unknown(Unknown::Plan, plan, known.into_iter().collect()))
}

/// The reason in a body that may be absent.
pub(crate) fn reason(body: &[u8]) -> Result<String, Failure> {
    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Because {
        #[serde(default)]
        reason: String,
    }
    let because: Because = match body {
        b"" => Because::default(),
        body => strict::read(body).map_err(Failure::bad_request)?,
    };
    match because.reason.chars().count() {
        chars if chars > REASON_CHARS_MAX => Err(Failure::usage(format!(
            "the reason has {chars} characters, {REASON_CHARS_MAX} are the limit"
        ))),
        _ => Ok(because.reason),
    }
}

pub(super) fn no_name(what: &str, name: &str) -> Failure {
    Failure::usage(format!(
        "'{name}' cannot be the name of a {what}: 1 to 32 of a-z, 0-9 and '-', a letter first"
    ))
}

pub(super) fn unknown_tenant(name: &str) -> Failure {
    Failure::missing("unknown_tenant", &format!("no tenant '{name}'"))
}

pub(crate) fn ended(name: &str) -> Failure {
    let reason = format!("tenant '{name}' was revoked, which is for good; take another name");
    Failure::conflict("tenant_revoked", reason)
}

fn view(tenant: &Tenant, revoked: Option<&Revoked>) -> Value {
    let Tenant { name, plan, contested, plan_until_ms, created_at_ms, .. } = tenant;
    let mut view = json!({
        "name": name,
        "plan": plan,
        "plan_until_ms": plan_until_ms,
        "created_at_ms": created_at_ms,
        "revoked": revoked.map(revoked_view),
    });
    if !contested.is_empty() {
        view["contested"] = json!(contested);
    }
    view
}

pub(super) fn revoked_view(Revoked { reason, by, at_ms, .. }: &Revoked) -> Value {
    json!({"reason": reason, "by": by, "at_ms": at_ms})
}
