//! The part of the API about plugins: who is there, publishing, and what is said of a version later.
//!
//! What is checked here is what needs no trust: that names, digest and signature fit together. Whether to
//! believe the publisher is each engine's own question; its answer comes back in the engine's document and is
//! shown beside the version.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::to_bytes;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use axum::response::{IntoResponse as _, Response};
use blitz_jobs::plugin::marks::{MarkKind, REASON_CHARS_MAX};
use blitz_jobs::plugin::release::MANIFEST_BYTES_MAX;
use blitz_jobs::plugin::{
    Created, FILE_BYTES_MAX, Mark, PluginDocument, PublishError, Release, check_contract, create,
    mark,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::catalog::Owner;
use crate::failure::{Failure, Unknown};
use crate::server::{Gateway, Shared};
use crate::submit::{self, now_ms};

/// The line before the file, in bytes: the manifest as a JSON string may have each character escaped.
const LINE_BYTES_MAX: usize = MANIFEST_BYTES_MAX * 6 + (64 << 10);

/// A publishing's body.
const PUBLISH_BYTES_MAX: usize = FILE_BYTES_MAX + LINE_BYTES_MAX;

/// Publishings under way at once: each holds its file twice, once as it came and once as it is sent to the
/// store. Further ones wait.
const PUBLISHINGS_MAX: usize = 2;

/// A file must have arrived within this time: 64 MiB at 10 Mbit/s, nearly.
const ARRIVAL_MAX: Duration = Duration::from_secs(60);

/// Lets so many publish at once.
#[derive(Debug)]
pub(crate) struct Publishings(Semaphore);

impl Default for Publishings {
    fn default() -> Self {
        Self(Semaphore::new(PUBLISHINGS_MAX))
    }
}

/// `GET /v1/plugins`: every version.
pub(crate) async fn list(State(shared): Gateway) -> Json<Value> {
    Json(json!({"plugins": shared.catalog.plugin_views()}))
}

#[derive(Debug, Deserialize)]
pub(crate) struct Wanted {
    version: Option<String>,
    /// The caller's words for regions, with commas: the version must be one that all of them may run.
    regions: Option<String>,
}

/// `GET /v1/plugins/{name}`: the version that a job would get.
pub(crate) async fn newest(
    State(shared): Gateway,
    Path(name): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Value>, Failure> {
    let words: Vec<&str> = wanted.regions.iter().flat_map(|list| list.split(',')).collect();
    let regions = submit::regions_of(&shared.catalog, &words)?;
    let plugin = shared.catalog.plugin(&name, wanted.version.as_deref(), &regions)?;
    Ok(Json(json!({
        "name": plugin.manifest.name,
        "version": plugin.manifest.version,
        "sha256": plugin.sha256,
        "manifest": plugin.manifest,
    })))
}

/// `GET /v1/plugins/{name}/{version}`: one version, and which engines can run it.
pub(crate) async fn one(
    State(shared): Gateway,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<Value>, Failure> {
    let plugin = known(&shared, &name, &version)?;
    Ok(Json(json!(shared.catalog.plugin_view(&plugin))))
}

/// `PUT /v1/plugins/{name}/{version}`: the release as one line of JSON, then the file.
pub(crate) async fn publish(
    State(shared): Gateway,
    Path((name, version)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Failure> {
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let announced = announced.and_then(|text| text.parse().ok()).unwrap_or(0);
    if announced > PUBLISH_BYTES_MAX {
        return Err(too_large());
    }
    // Before the body is read: what waits here holds no memory.
    let _permit = shared.publishings.0.acquire().await.map_err(|_| Failure::busy())?;
    let arrived =
        tokio::time::timeout(ARRIVAL_MAX, to_bytes(request.into_body(), PUBLISH_BYTES_MAX));
    let body = match arrived.await {
        Ok(Ok(body)) => body,
        Ok(Err(error)) if error.to_string().contains("length limit") => return Err(too_large()),
        Ok(Err(error)) => {
            return Err(Failure::bad_request(format!("the file did not arrive whole: {error}")));
        }
        Err(_) => {
            let limit = ARRIVAL_MAX.as_secs();
            return Err(Failure::bad_request(format!("the file did not arrive within {limit} s")));
        }
    };
    let line_end = body.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n');
    let line_end = line_end.ok_or_else(|| {
        Failure::bad_request("a publishing is the release as one line of JSON, then the file")
    })?;
    let mut release: Release = serde_json::from_slice(&body[..line_end])
        .map_err(|error| Failure::bad_request(format!("the release cannot be read: {error}")))?;
    release.only = canonical(&shared, &release.only)?;
    let file = body.slice(line_end + 1..);

    // 64 MiB are digested for some tenths of a second: not beside other requests.
    let label = format!("{name}@{version}");
    let digested = file.clone();
    let checked = tokio::task::spawn_blocking(move || {
        let checked = release.check(&name, &version, &digested)?;
        Ok(checked.document(release, now_ms()))
    });
    let document = match checked.await {
        Ok(Ok(document)) => document,
        Ok(Err::<_, blitz_jobs::plugin::ReleaseError>(refused)) => {
            return Err(Failure::usage(format!("{label}: {refused}")));
        }
        Err(_) => return Err(Failure::bad_request("the release could not be checked")),
    };
    if let Some(mark) = shared.catalog.yanked(&document) {
        let sentence = mark.sentence();
        return Err(Failure::conflict("yanked", format!("{sentence}; publish a new version")));
    }
    check_contract(&document.manifest.contract)
        .map_err(|unspoken| Failure::usage(format!("{label}: {unspoken}")))?;
    may_name(&document, shared.catalog.owner(&document.manifest.name))?;
    let created =
        create(shared.config.clusters.near(), &document, &file).await.map_err(|e| refuse(&e))?;
    // At once, so that whoever published finds it here; the feed says the same a moment later.
    shared.catalog.hear_control(&document.document_id(), json!(document));
    let status = if created == Created::New { StatusCode::CREATED } else { StatusCode::OK };
    let view = shared.catalog.plugin_view(&document);
    Ok((status, Json(json!(Published { new: created == Created::New, view }))).into_response())
}

/// A name is its owner's: under another key, its next version would go to all who ask for the newest.
fn may_name(document: &PluginDocument, owner: Option<Owner>) -> Result<(), Failure> {
    let name = &document.manifest.name;
    let reason = match owner {
        None => return Ok(()),
        Some(Owner::Publisher(key))
            if document.signature.as_ref().is_some_and(|s| s.key == key) =>
        {
            return Ok(());
        }
        Some(Owner::Operator) => {
            format!("{name:?} is a plugin of this gateway's operator; take another name")
        }
        Some(Owner::Publisher(key)) => format!(
            "{name:?} was first published by another publisher, with the key {key}; publish with that key, or \
             take another name"
        ),
    };
    Err(Failure::conflict("name_taken", reason))
}

#[derive(Serialize)]
struct Published {
    new: bool,
    #[serde(flatten)]
    view: crate::catalog::PluginView,
}

/// What a caller sends with a yank.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Yank {
    #[serde(default)]
    reason: String,
}

/// `POST /v1/plugins/{name}/{version}/yank`: takes a version back, everywhere and for good.
pub(crate) async fn yank(
    State(shared): Gateway,
    Path((name, version)): Path<(String, String)>,
    yank: Result<Json<Yank>, JsonRejection>,
) -> Result<Json<Value>, Failure> {
    let Json(Yank { reason }) = yank.map_err(|e| Failure::bad_request(e.body_text()))?;
    let chars = reason.chars().count();
    if chars > REASON_CHARS_MAX {
        return Err(Failure::usage(format!(
            "the reason has {chars} characters, {REASON_CHARS_MAX} are the limit"
        )));
    }
    let plugin = known(&shared, &name, &version)?;
    if plugin.signature.is_none() {
        let label = plugin.label();
        return Err(Failure::forbidden(format!(
            "{label} is the operator's own: it is part of blitz and goes with the next version of it"
        )));
    }
    put_mark(&shared, &plugin, MarkKind::Yanked, &reason).await
}

/// `POST /v1/plugins/{name}/{version}/promote`: lets all regions have a version.
pub(crate) async fn promote(
    State(shared): Gateway,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<Value>, Failure> {
    let plugin = known(&shared, &name, &version)?;
    if let Some(mark) = shared.catalog.yanked(&plugin) {
        let sentence = mark.sentence();
        return Err(Failure::conflict("yanked", format!("{sentence}; it cannot be promoted")));
    }
    put_mark(&shared, &plugin, MarkKind::Promoted, "").await
}

async fn put_mark(
    shared: &Shared,
    plugin: &PluginDocument,
    kind: MarkKind,
    reason: &str,
) -> Result<Json<Value>, Failure> {
    let said = Mark::new(kind, &plugin.manifest.name, &plugin.manifest.version, reason, now_ms());
    let is_new =
        mark(shared.config.clusters.near(), &said).await.map_err(|e| Failure::store(&e))?;
    if is_new {
        shared.catalog.hear_control(&said.document_id(), json!(said));
    }
    Ok(Json(json!({"plugin": plugin.label(), "new": is_new})))
}

fn known(shared: &Shared, name: &str, version: &str) -> Result<PluginDocument, Failure> {
    shared.catalog.version(name, version).ok_or_else(|| {
        let versions = shared.catalog.labels(name);
        Failure::unknown(Unknown::Plugin, &format!("{name}@{version}"), versions)
    })
}

/// The regions' own names, each once: the caller may have used other words for them.
fn canonical(shared: &Shared, words: &[String]) -> Result<Vec<String>, Failure> {
    let names: BTreeSet<String> = words
        .iter()
        .map(|word| Ok(shared.catalog.region(word)?.name))
        .collect::<Result<_, Failure>>()?;
    Ok(names.into_iter().collect())
}

fn too_large() -> Failure {
    Failure::input_too_large(format!("a plugin's file may have {FILE_BYTES_MAX} bytes"))
}

fn refuse(error: &PublishError) -> Failure {
    match error {
        PublishError::Taken { .. } => Failure::conflict("version_taken", error.to_string()),
        PublishError::Store(error) => Failure::store(error),
        PublishError::Contended { .. } => Failure::busy(),
    }
}

/// What the router needs of this file in one place.
pub(crate) fn routes() -> axum::Router<Arc<Shared>> {
    use axum::routing::{get, post};
    axum::Router::new()
        .route("/v1/plugins", get(list))
        .route("/v1/plugins/{name}", get(newest))
        .route("/v1/plugins/{name}/{version}", get(one).put(publish))
        .route("/v1/plugins/{name}/{version}/yank", post(yank))
        .route("/v1/plugins/{name}/{version}/promote", post(promote))
}
