//! Where engines ask for their tokens, and operators for join tokens.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use blitz_couchdb::Database;
use blitz_jobs::clock::{now_ms, since_1970};
use blitz_jobs::engine::EngineDocument;
use blitz_jobs::join::{Join, JoinToken, Joined, Revoked, Use, hash, is_engine};
use blitz_jobs::region::{CONTROL, Region};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Issuer;
use super::identity::Instance;
use super::joins::Arriving;
use super::key::short_digest;
use super::token::{Bearer, TOKEN_LIFE};
use crate::failure::Failure;
use crate::routes::{Method, Routes, Who};
use crate::server::{Gateway, Shared};
use crate::strict::Strict;

/// The largest request, in bytes: an identity document with its signature has 2,000.
const REQUEST_BYTES_MAX: usize = 32 << 10;

/// How long a join token is good when nobody says.
const JOIN_LIFE: Duration = Duration::from_secs(3600);

/// The longest life of a join token: who needs more joins by an identity, or makes tokens when they are needed.
const JOIN_LIFE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// Fewer characters of a nonce could be guessed by who has the token too.
const NONCE_CHARS_MIN: usize = 32;

/// What is open to all: [`open`] stands before it.
pub(crate) fn open_routes() -> Routes {
    Routes::default().at(Who::All, Method::Post, "/v1/join", join).at(
        Who::All,
        Method::Post,
        "/v1/join/renew",
        renew,
    )
}

/// What operators ask, with the gateway's token.
pub(crate) fn operators_routes() -> Routes {
    Routes::default().at(Who::Operator, Method::Post, "/v1/regions/{name}/tokens", make).at(
        Who::Operator,
        Method::Put,
        "/v1/engines/{id}/revoked",
        revoke,
    )
}

/// Names are checked, and no token of the gateway's is asked for.
pub(crate) fn open(router: Router<Arc<Shared>>, shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    router
        .layer(middleware::from_fn_with_state(Arc::clone(shared), under_own_name))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
}

async fn under_own_name(State(shared): Gateway, request: Request, next: Next) -> Response {
    match shared.guard.check_names(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    }
}

/// `POST /v1/join`. What engines of later versions say beside this is passed over.
#[derive(Deserialize)]
struct Asked {
    region: String,
    engine: String,
    /// What only the engine knows: with it the same use may be asked for again, and the token be renewed.
    nonce: String,
    #[serde(default)]
    join_token: Option<String>,
    #[serde(default)]
    ec2: Option<AskedByEc2>,
}

#[derive(Deserialize)]
struct AskedByEc2 {
    /// As the instance's metadata has it, byte by byte.
    document: String,
    /// In base64.
    signature: String,
}

async fn join(
    State(shared): Gateway,
    arriving: Arriving,
    Strict(asked): Strict<Asked, REQUEST_BYTES_MAX>,
) -> Result<Json<Value>, Failure> {
    drop(arriving);
    let issuer = issuer(&shared)?;
    let Asked { engine, nonce, .. } = &asked;
    if !is_engine(engine) {
        return Err(Failure::usage(format!("'{engine}' cannot be an engine's id")));
    }
    if nonce.len() < NONCE_CHARS_MIN {
        return Err(Failure::usage(format!("a nonce has at least {NONCE_CHARS_MIN} characters")));
    }
    let _place = shared.joins.serve()?;
    let control = shared.config.clusters.near().database(CONTROL);
    // First of all: which regions there are, and who was revoked, is not for everybody.
    let proved = match (&asked.join_token, &asked.ec2) {
        (Some(token), None) => prove_by_token(&control, token).await?,
        (None, Some(ec2)) => prove_by_identity(issuer, engine, ec2)?,
        _ => {
            let reason = "show a join token ('join_token') or an identity ('ec2'), one of them";
            return Err(Failure::usage(reason));
        }
    };
    let region = region(&shared, &control, &asked.region).await?;
    refuse_revoked(&control, engine).await?;
    match &proved {
        Proved::Token(token, join) => {
            use_token(&shared, &control, &asked, token, join, &region).await?;
        }
        Proved::Instance(instance) => refuse_elsewhere(instance, &region)?,
    }
    give(issuer, Bearer { engine: engine.clone(), region: region.name, proof: hash(nonce) })
}

/// What somebody has shown.
enum Proved {
    /// A token that was made here; it may have been used.
    Token(JoinToken, Join),
    /// The instance that the engine is named after.
    Instance(Instance),
}

/// `POST /v1/join/renew`, with the current token and what the engine joined with.
#[derive(Deserialize)]
struct Renewing {
    token: String,
    nonce: String,
}

async fn renew(
    State(shared): Gateway,
    arriving: Arriving,
    Strict(Renewing { token, nonce }): Strict<Renewing, REQUEST_BYTES_MAX>,
) -> Result<Json<Value>, Failure> {
    drop(arriving);
    let issuer = issuer(&shared)?;
    let bearer = Bearer::read(&issuer.keys, &token, since_1970());
    let bearer = bearer.filter(|bearer| bearer.proof == hash(&nonce)).ok_or_else(|| {
        Failure::unauthorized(
            "this token is not of this issuer's keys, of another engine, or too old: join again",
        )
    })?;
    let _place = shared.joins.serve()?;
    let control = shared.config.clusters.near().database(CONTROL);
    refuse_revoked(&control, &bearer.engine).await?;
    give(issuer, bearer)
}

pub(super) fn issuer(shared: &Shared) -> Result<&Issuer, Failure> {
    shared.issuer.as_ref().ok_or_else(|| {
        Failure::missing(
            "no_issuer",
            "this gateway issues no tokens: it was started without --issuer-key FILE",
        )
    })
}

fn give(issuer: &Issuer, bearer: Bearer) -> Result<Json<Value>, Failure> {
    let token = bearer.token(&issuer.keys, since_1970()).ok_or_else(Failure::busy)?;
    let Bearer { engine, region, .. } = bearer;
    tracing::info!(engine, region, token = short_digest(&token), key = issuer.keys.id(), "a token");
    // In no log and in no error: of the answer to an engine nobody else sees more than its size.
    let keys = issuer.region_keys.of_region(&region);
    let keys: Vec<Value> = keys.iter().map(|key| json!(*key.text())).collect();
    Ok(Json(json!({
        "token": token,
        "region_keys": keys,
        "expires_in_s": TOKEN_LIFE.as_secs(),
        "store": issuer.store,
        "engine": engine,
        "region": region,
    })))
}

/// The region's document, by any of its words.
async fn region(shared: &Shared, control: &Database, word: &str) -> Result<Region, Failure> {
    let found = control.get::<Value>(&format!("region:{word}")).await;
    let found = found.map_err(|error| Failure::store(&error))?;
    let named = found.and_then(|found| serde_json::from_value::<Region>(found.body).ok());
    let known = || shared.catalog.all_regions();
    let called = named.or_else(|| known().into_iter().find(|region| region.is_called(word)));
    called.ok_or_else(|| {
        let names = known().into_iter().map(|region| region.name).collect();
        Failure::unknown(crate::failure::Unknown::Region, word, names)
    })
}

async fn refuse_revoked(control: &Database, engine: &str) -> Result<(), Failure> {
    match Revoked::is_there(control, engine).await {
        Ok(false) => Ok(()),
        Ok(true) => Err(Failure::refused(format!(
            "the right of engine '{engine}' was taken back; a new engine needs a new id and a new join token"
        ))),
        Err(error) => Err(Failure::store(&error)),
    }
}

fn unknown_token() -> Failure {
    Failure::unauthorized("the join token is unknown here, or of another region")
}

/// A token that was made here and is not over.
async fn prove_by_token(control: &Database, token: &str) -> Result<Proved, Failure> {
    let token = JoinToken::read(token).ok_or_else(unknown_token)?;
    let join = Join::read(control, &token).await.map_err(|error| Failure::store(&error))?;
    let join = join.ok_or_else(unknown_token)?;
    if join.expires_at_ms <= now_ms() {
        return Err(Failure::unauthorized("the join token is over; have a new one made"));
    }
    Ok(Proved::Token(token, join))
}

/// Lets in who shows a token of this region that was not used.
async fn use_token(
    shared: &Shared,
    control: &Database,
    asked: &Asked,
    token: &JoinToken,
    join: &Join,
    region: &Region,
) -> Result<(), Failure> {
    let store = |error: blitz_couchdb::Error| Failure::store(&error);
    if join.region != region.name {
        return Err(unknown_token());
    }
    let engine = &asked.engine;
    match &join.engine {
        Some(named) if named != engine => {
            return Err(Failure::refused(format!("the join token is for engine '{named}'")));
        }
        Some(_) => {}
        None => refuse_taken(shared, control, asked, token, region).await?,
    }
    match Joined::new(engine, &asked.nonce, now_ms()).write(control, token).await {
        Ok(Use::Good) => Ok(()),
        Ok(Use::Used) => Err(Failure::unauthorized("the join token was used; have a new one made")),
        Err(error) => Err(store(error)),
    }
}

/// A token for any new engine is none for one that is there: it would write as that one.
async fn refuse_taken(
    shared: &Shared,
    control: &Database,
    asked: &Asked,
    token: &JoinToken,
    region: &Region,
) -> Result<(), Failure> {
    let engine = &asked.engine;
    let engines = shared.config.clusters.near().database(&region.engines_database());
    let found = engines.get::<Value>(&EngineDocument::document_id(engine)).await;
    if found.map_err(|error| Failure::store(&error))?.is_none() {
        return Ok(());
    }
    // It may be the very engine, which did not hear the answer and came in by another way of asking.
    let again = Joined::new(engine, &asked.nonce, now_ms());
    if again.stands(control, token).await.map_err(|error| Failure::store(&error))? {
        return Ok(());
    }
    Err(Failure::conflict(
        "engine_taken",
        format!(
            "region {} has an engine '{engine}'; a token for it is made by 'blitz region token {} --engine {engine}'",
            region.name, region.name
        ),
    ))
}

/// An instance of EC2, under its own id.
fn prove_by_identity(issuer: &Issuer, engine: &str, ec2: &AskedByEc2) -> Result<Proved, Failure> {
    let Some(allowed) = &issuer.ec2 else {
        return Err(Failure::refused(
            "this gateway lets no EC2 instances join: it was started without --ec2-certificate FILE",
        ));
    };
    let instance =
        allowed.check(&ec2.document, &ec2.signature).map_err(|why| Failure::unauthorized(&why))?;
    if instance.id != engine {
        let reason =
            format!("the identity is of '{}': start the engine with this --id", instance.id);
        return Err(Failure::refused(reason));
    }
    Ok(Proved::Instance(instance))
}

/// Instances join the region that has AWS's name of theirs among its words.
fn refuse_elsewhere(instance: &Instance, region: &Region) -> Result<(), Failure> {
    if !region.is_called(&instance.region) {
        let reason = format!(
            "region {} has no alias '{}', where the instance is",
            region.name, instance.region
        );
        return Err(Failure::refused(reason));
    }
    Ok(())
}

/// `POST /v1/regions/{name}/tokens`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Making {
    #[serde(default)]
    expires_in_s: Option<u64>,
    /// The engine that it is for; any that is new when absent.
    #[serde(default)]
    engine: Option<String>,
}

async fn make(
    State(shared): Gateway,
    Path(word): Path<String>,
    Strict(making): Strict<Making, REQUEST_BYTES_MAX>,
) -> Result<Response, Failure> {
    issuer(&shared)?;
    let life = making.expires_in_s.map_or(JOIN_LIFE, Duration::from_secs);
    if life.is_zero() || life > JOIN_LIFE_MAX {
        let days = JOIN_LIFE_MAX.as_secs() / (24 * 3600);
        return Err(Failure::usage(format!("a join token is good for 1 s to {days} days")));
    }
    if let Some(engine) = making.engine.as_ref().filter(|engine| !is_engine(engine)) {
        return Err(Failure::usage(format!("'{engine}' cannot be an engine's id")));
    }
    let control = shared.config.clusters.near().database(CONTROL);
    let region = region(&shared, &control, &word).await?;
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|_| Failure::busy())?;
    let token = JoinToken::new(random);
    let life_ms = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
    let join = Join::new(&token, &region.name, making.engine, now_ms().saturating_add(life_ms));
    let put = control.put(&Join::document_id(&token), None, &join, Default::default()).await;
    // 256 random bits: a conflict is with nobody else's.
    put.map_err(|error| Failure::store(&error)).map(drop)?;
    let told = json!({
        "join_token": token.secret(),
        "region": region.name,
        "engine": join.engine,
        "expires_at_ms": join.expires_at_ms,
    });
    Ok((StatusCode::CREATED, Json(told)).into_response())
}

/// `PUT /v1/engines/{id}/revoked`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoking {
    #[serde(default)]
    reason: String,
}

async fn revoke(
    State(shared): Gateway,
    Path(engine): Path<String>,
    Strict(Revoking { reason }): Strict<Revoking, REQUEST_BYTES_MAX>,
) -> Result<Json<Value>, Failure> {
    if !is_engine(&engine) {
        return Err(Failure::usage(format!("'{engine}' cannot be an engine's id")));
    }
    let control = shared.config.clusters.near().database(CONTROL);
    let revoked = Revoked::new(&engine, &reason, now_ms()).write(&control).await;
    let is_new = revoked.map_err(|error| Failure::store(&error))?;
    Ok(Json(json!({"engine": engine, "revoked": true, "new": is_new})))
}
