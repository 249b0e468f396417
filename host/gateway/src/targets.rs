//! The part of the API about targets: the hosts that a tenant may load. A tenant says that a host is its own, puts what it is
//! told where it is told, and has it looked for by a [`Prover`]; an operator may answer for a host without that.
//!
//! `proofs` is what a submission asks here, and `pace` counts what all tenants send to one host.
//!
//! *Invariant:* the gateway itself connects to no target: a [`Prover`] does, which the program gives to it.

mod pace;
mod prover;
mod proofs;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use blitz_couchdb::{AllDocs, Database};
use blitz_jobs::accounts::{
    ACCOUNTS, Changed, PROVED_FOR, Revoked, Target, TargetHost, TargetState, is_name,
};
use blitz_jobs::clock::now_ms;
use blitz_jobs::{Spec, read};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::accounts::{ended, reason, tenant as tenant_there};
use crate::audit::Told;
use crate::caller::Caller;
use crate::ending;
use crate::failure::Failure;
use crate::reach::Site;
use crate::routes::{Method, Routes, Who};
use crate::server::Gateway;
use crate::stores::Stores;
use crate::strict::{Params, Strict};

pub(crate) use pace::{Paces, TARGET_JOBS_PER_MINUTE};
pub(crate) use proofs::Proving;
use prover::Looks;
pub use prover::{Prover, Proves};

/// Targets of a tenant: each of them is a host that somebody cares for.
const TARGETS_MAX: u64 = 500;

/// How often a tenant may take a host back and add it again. Each time stays for ever in the memory of all gateways, as what takes
/// a right away is never forgotten.
const GENERATIONS_MAX: u32 = 100;

/// Rows in one answer to an operator, who sees those of all tenants.
const LISTED_MAX: u64 = 5000;

/// As the revocation of an operator names who did it. No user is named so: theirs have a slash.
const OPERATOR: &str = "operator";

/// What is shared by all requests about targets.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    looks: Looks,
    pub(crate) paces: Paces,
}

/// What of the API is here.
pub(crate) fn routes() -> Routes {
    Routes::default()
        .at(Who::Callers, Method::Get, "/v1/targets", list)
        .at(Who::Callers, Method::Post, "/v1/targets", add)
        .at(Who::Callers, Method::Post, "/v1/targets/{host}/verify", verify)
        .at(Who::Callers, Method::Delete, "/v1/targets/{host}", remove)
}

#[derive(Debug, Deserialize)]
struct Whose {
    tenant: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    host: String,
    tenant: Option<String>,
    #[serde(default)]
    pre_authorised: bool,
}

/// `GET /v1/targets`.
async fn list(
    State(shared): Gateway,
    Extension(caller): Extension<Caller>,
    Params(whose): Params<Whose>,
) -> Result<Json<Value>, Failure> {
    let is_of_all = caller.tenant().is_none() && whose.tenant.is_none();
    let tenant = if is_of_all { None } else { Some(tenant_of(&caller, whose.tenant)?) };
    let (kind, limit) = match &tenant {
        Some(tenant) => (format!("target:{tenant}:"), TARGETS_MAX),
        None => ("target:".to_owned(), LISTED_MAX),
    };
    let accounts = accounts(&shared.stores);
    let targets = rows(&accounts, &kind, limit).await?;
    let mut views = Vec::new();
    for (id, doc) in targets {
        let Some(target) = read::document::<Target>(&id, doc) else { continue };
        // With a tenant go its targets.
        let revoked = match shared.book.tenant(&target.tenant) {
            Some((_, Some(why))) => Some(why),
            _ => revoked(&accounts, &target).await?,
        };
        views.push(View::of(&target, revoked.as_ref()));
    }
    Ok(Json(json!({"targets": views})))
}

/// `POST /v1/targets`: the same again says the same. A host that was taken back begins anew, with another token.
async fn add(
    State(shared): Gateway,
    Extension(caller): Extension<Caller>,
    Strict(new): Strict<New>,
) -> Result<Response, Failure> {
    let tenant = tenant_of(&caller, new.tenant)?;
    let is_operator = caller.tenant().is_none();
    if new.pre_authorised && !is_operator {
        return Err(Failure::forbidden(
            "only the gateway's operator answers for a host that shows no proof; leave pre_authorised out",
        ));
    }
    let key = shared.config.accounts_key.ok_or_else(no_accounts)?;
    match shared.book.tenant(&tenant) {
        Some((_, None)) => {}
        Some((_, Some(_))) => return Err(ended(&tenant)),
        // Another gateway has just made it, or there is none.
        None => drop(tenant_there(&shared, &accounts(&shared.stores), &tenant).await?),
    }
    let host = TargetHost::parse(&new.host).map_err(|error| Failure::usage(error.to_string()))?;
    let accounts = accounts(&shared.stores);
    let known = find(&accounts, &tenant, host.as_str()).await?;
    let mut status = StatusCode::OK;
    let mut target = match known {
        Some(target) => target,
        None => {
            let all = rows(&accounts, &format!("target:{tenant}:"), TARGETS_MAX).await?;
            if u64::try_from(all.len()).unwrap_or(u64::MAX) >= TARGETS_MAX {
                return Err(Failure::conflict(
                    "too_many_targets",
                    format!(
                        "tenant {tenant} has {TARGETS_MAX} targets, which is the limit; a wider agreement is the operator's to give (--load-target)"
                    ),
                ));
            }
            let target = Target::new(&key, &tenant, &host, now_ms());
            target.create(&accounts).await.map_err(store)?;
            status = StatusCode::CREATED;
            // Somebody else's, when two did it at once: it is the same.
            target
        }
    };
    if let Some(revoked) = revoked(&accounts, &target).await? {
        if revoked.by == OPERATOR && !is_operator {
            return Err(Failure::refused(format!(
                "{host} was taken back by the gateway's operator, who alone can add it again{}",
                because(&revoked.reason)
            )));
        }
        if target.generation >= GENERATIONS_MAX && !is_operator {
            return Err(Failure::refused(format!(
                "{host} was taken back and added again {GENERATIONS_MAX} times, which is the limit; the gateway's operator can add it"
            )));
        }
        target = renewed(&accounts, &target, &key).await?;
        status = StatusCode::CREATED;
    }
    if new.pre_authorised {
        target = change(&accounts, &target, |target| {
            target.state = TargetState::PreAuthorised { by: OPERATOR.to_owned() };
        })
        .await?;
    }
    let told = Told::of(format!("{} of {tenant}", target.host));
    Ok((status, told, Json(View::of(&target, None))).into_response())
}

/// `POST /v1/targets/{host}/verify`: has it looked for.
async fn verify(
    State(shared): Gateway,
    Extension(caller): Extension<Caller>,
    Path(host): Path<String>,
    Params(whose): Params<Whose>,
) -> Result<Json<View>, Failure> {
    let tenant = tenant_of(&caller, whose.tenant)?;
    let accounts = accounts(&shared.stores);
    let target = known(&accounts, &tenant, &host).await?;
    if let TargetState::PreAuthorised { .. } = target.state {
        return Ok(Json(View::of(&target, None)));
    }
    let Some(prover) = &shared.config.prover else {
        return Err(Failure::no_prover());
    };
    let way = shared.targets.looks.look(&**prover, &target).await?;
    let (generation, at_ms) = (target.generation, now_ms());
    let target = change(&accounts, &target, |target| {
        let is_operators = matches!(target.state, TargetState::PreAuthorised { .. });
        if target.generation == generation && !is_operators {
            target.state = TargetState::Proved { way, at_ms };
        }
    })
    .await?;
    Ok(Json(View::of(&target, revoked(&accounts, &target).await?.as_ref())))
}

/// `DELETE /v1/targets/{host}`: for good, as this one. What runs against it is ended.
async fn remove(
    State(shared): Gateway,
    Extension(caller): Extension<Caller>,
    Path(host): Path<String>,
    Params(whose): Params<Whose>,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    let reason = reason(&body)?;
    let tenant = tenant_of(&caller, whose.tenant)?;
    let accounts = accounts(&shared.stores);
    // Again is harmless, and ends what was not ended the first time.
    let target = there(&accounts, &tenant, &host).await?;
    let by = match &caller {
        Caller::Operator => OPERATOR.to_owned(),
        Caller::Member(member) => format!("{}/{}", member.key.tenant, member.key.user),
    };
    let why = Revoked::new(&reason, &by, now_ms());
    let is_new = why.create(&accounts, &target.subject()).await.map_err(store)?;
    let before = if is_new { None } else { revoked(&accounts, &target).await? };
    if by == OPERATOR && before.is_some_and(|before| before.by != OPERATOR) {
        // The tenant's own removal was there first, and would let it add the host again: the next one is the operator's.
        let key = shared.config.accounts_key.ok_or_else(no_accounts)?;
        let next = renewed(&accounts, &target, &key).await?;
        why.create(&accounts, &next.subject()).await.map_err(store)?;
    }
    let is_there = |spec: &Spec| spec.terms.proofs.iter().any(|proof| proof.host == target.host);
    let ended = ending::end(&shared, &tenant, is_there).await?;
    Ok(Json(json!({"host": target.host, "tenant": tenant, "state": "removed", "ended": ended})))
}

/// A target as the API shows it.
#[derive(Debug, Serialize)]
struct View {
    host: String,
    tenant: String,
    token: String,
    /// `waiting`, `proved`, `proof_expired`, `pre_authorised` or `removed`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    way: Option<blitz_contract::load::Way>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified_at_ms: Option<u64>,
    /// Why it is as it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    /// What to put where, while there is need to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ways: Vec<String>,
}

impl View {
    fn of(target: &Target, revoked: Option<&Revoked>) -> Self {
        let (mut way, mut verified_at_ms, mut reason) = (None, None, String::new());
        let is_believed = target.proof(now_ms()).is_some();
        let mut state = match &target.state {
            TargetState::Waiting => "waiting",
            TargetState::PreAuthorised { by } => {
                reason = format!("{by} answers for it");
                "pre_authorised"
            }
            TargetState::Proved { way: found, at_ms } => {
                (way, verified_at_ms) = (Some(*found), Some(*at_ms));
                if is_believed { "proved" } else { "proof_expired" }
            }
        };
        if state == "proof_expired" {
            reason = format!("it was found more than {} days ago", PROVED_FOR.as_secs() / 86_400);
        }
        if let Some(revoked) = revoked {
            (state, reason) = ("removed", revoked.reason.clone());
        }
        // A proof is looked for at each run: what it needs stays of interest.
        let ways = if state == "removed" || state == "pre_authorised" {
            Vec::new()
        } else {
            proofs::ways(target)
        };
        let Target { host, tenant, token, .. } = target.clone();
        Self { host, tenant, token, state, way, verified_at_ms, reason, ways }
    }
}

/// Whose targets a request is about. Another tenant's are not there.
fn tenant_of(caller: &Caller, asked: Option<String>) -> Result<String, Failure> {
    match (caller.tenant(), asked) {
        (Some(own), Some(asked)) if asked != own => {
            Err(Failure::missing("unknown_tenant", &format!("no tenant '{asked}'")))
        }
        (Some(own), _) => Ok(own.to_owned()),
        (None, Some(asked)) if is_name(&asked) => Ok(asked),
        (None, Some(asked)) => {
            Err(Failure::missing("unknown_tenant", &format!("no tenant '{asked}'")))
        }
        (None, None) => Err(Failure::bad_request(
            "an operator has no targets: say whose it is (tenant; --tenant NAME), or let load tests go there with --load-target",
        )),
    }
}

fn accounts(stores: &Stores) -> Database {
    stores.reach.client(Site::NEAR).database(ACCOUNTS)
}

async fn rows(
    accounts: &Database,
    kind: &str,
    limit: u64,
) -> Result<Vec<(String, Value)>, Failure> {
    let query = AllDocs {
        start: Some(kind.to_owned()),
        // The character behind all that ids are made of.
        end: Some(format!("{kind}\u{ffff}")),
        include_docs: true,
        limit: Some(limit),
        ..AllDocs::default()
    };
    let rows = accounts.all_docs::<Value>(&query).await.map_err(store)?.rows;
    Ok(rows.into_iter().filter_map(|row| Some((row.id, row.doc?))).collect())
}

async fn find(accounts: &Database, tenant: &str, host: &str) -> Result<Option<Target>, Failure> {
    let found = Target::find(accounts, tenant, host).await.map_err(store)?;
    Ok(found.filter(|target| target.tenant == tenant && target.host == host))
}

/// A target that is there and was not taken back.
async fn known(accounts: &Database, tenant: &str, host: &str) -> Result<Target, Failure> {
    let target = there(accounts, tenant, host).await?;
    match revoked(accounts, &target).await? {
        None => Ok(target),
        Some(_) => Err(unknown(tenant, host)),
    }
}

async fn there(accounts: &Database, tenant: &str, host: &str) -> Result<Target, Failure> {
    let parsed = TargetHost::parse(host).map_err(|_| unknown(tenant, host))?;
    find(accounts, tenant, parsed.as_str()).await?.ok_or_else(|| unknown(tenant, host))
}

fn unknown(tenant: &str, host: &str) -> Failure {
    let text =
        format!("tenant {tenant} has no target '{host}'; 'blitz targets add {host}' makes one");
    Failure::missing("unknown_target", &text)
}

/// Whether this generation of it was taken back. Asked of the store itself: what it does not answer is no right.
async fn revoked(accounts: &Database, target: &Target) -> Result<Option<Revoked>, Failure> {
    let id = target.subject().document_id();
    let found = accounts.get::<Value>(&id).await.map_err(store)?;
    Ok(found.map(|document| Revoked::read(document.body)))
}

/// The next generation of a target: nothing of it is proved.
async fn renewed(accounts: &Database, target: &Target, key: &[u8; 32]) -> Result<Target, Failure> {
    let (generation, created) = (target.generation, now_ms());
    change(accounts, target, |target| {
        if target.generation == generation {
            target.renew(key, created);
        }
    })
    .await
}

async fn change(
    accounts: &Database,
    target: &Target,
    changes: impl Fn(&mut Target),
) -> Result<Target, Failure> {
    match Target::change(accounts, &target.tenant, &target.host, changes).await.map_err(store)? {
        Changed::Stored(target) => Ok(target),
        Changed::Missing | Changed::Contended => Err(Failure::busy()),
    }
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

fn no_accounts() -> Failure {
    Failure::missing(
        "no_accounts",
        "this gateway was started without a key for accounts, so that it has no tenants",
    )
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn store(error: blitz_couchdb::Error) -> Failure {
    Failure::store(&error)
}
