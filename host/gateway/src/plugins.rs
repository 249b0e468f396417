//! The part of the API about plugins: who is there, publishing, and what is said of a version later.
//!
//! What is checked here is what needs no trust: that names, digest and signature fit together. Whether to
//! believe the publisher is each engine's own question; its answer comes back in the engine's document and is
//! shown beside the version. How much there may be of it, `room` says.

mod room;

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use blitz_jobs::clock::now_ms;
use blitz_jobs::plugin::marks::{MarkKind, REASON_CHARS_MAX};
use blitz_jobs::plugin::release::MANIFEST_BYTES_MAX;
use blitz_jobs::plugin::{
    Created, FILE_BYTES_MAX, Mark, PluginDocument, PublishError, Release, check_contract, create,
    mark,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::catalog::Owner;
use crate::failure::{Failure, Unknown};
use crate::routes::{Method, Routes, Who};
use crate::server::{Gateway, Shared};
use crate::strict::{self, Params, Strict};
use crate::submit;

pub(crate) use room::Publishings;

/// The line before the file, in bytes: the manifest as a JSON string may have each character escaped.
const LINE_BYTES_MAX: usize = MANIFEST_BYTES_MAX * 6 + (64 << 10);

/// A publishing's body.
const PUBLISH_BYTES_MAX: usize = FILE_BYTES_MAX + LINE_BYTES_MAX;

/// A file must have arrived within this time: 64 MiB at 10 Mbit/s, nearly.
const ARRIVAL_MAX: Duration = Duration::from_secs(60);

/// `GET /v1/plugins`: every version.
pub(crate) async fn list(
    State(shared): Gateway,
    Extension(caller): Extension<Caller>,
) -> Json<Value> {
    Json(json!({"plugins": shared.catalog.plugin_views(&caller)}))
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
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Params(wanted): Params<Wanted>,
) -> Result<Json<Value>, Failure> {
    let words: Vec<&str> = wanted.regions.iter().flat_map(|list| list.split(',')).collect();
    let regions = submit::regions_of(&shared.catalog, &words, &caller)?;
    let plugin = shared.catalog.plugin(&name, wanted.version.as_deref(), &regions, &caller)?;
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
    Extension(caller): Extension<Caller>,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<Value>, Failure> {
    let plugin = known(&shared, &caller, &name, &version)?;
    Ok(Json(json!(shared.catalog.plugin_view(&plugin, &caller))))
}

/// `PUT /v1/plugins/{name}/{version}`: the release as one line of JSON, then the file.
pub(crate) async fn publish(
    State(shared): Gateway,
    Extension(caller): Extension<Caller>,
    Path((name, version)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Failure> {
    if !caller.may_publish() {
        return Err(not_a_publisher());
    }
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let announced = announced.and_then(|text| text.parse().ok()).unwrap_or(0);
    if announced > PUBLISH_BYTES_MAX {
        return Err(too_large());
    }
    // Before the body is read: what waits here holds no memory.
    let _publishing = shared.publishings.begin(&caller).await?;
    let arrived =
        tokio::time::timeout(ARRIVAL_MAX, to_bytes(request.into_body(), PUBLISH_BYTES_MAX));
    let body = match arrived.await {
        Ok(Ok(body)) => body,
        Ok(Err(error)) if error.to_string().contains("length limit") => return Err(too_large()),
        Ok(Err(error)) => return Err(strict::broken(&error)),
        Err(_) => {
            let limit = ARRIVAL_MAX.as_secs();
            return Err(Failure::bad_request(format!("the file did not arrive within {limit} s")));
        }
    };
    let line_end = body.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n');
    let line_end = line_end.ok_or_else(|| {
        Failure::bad_request("a publishing is the release as one line of JSON, then the file")
    })?;
    let mut release: Release = strict::read(&body[..line_end])
        .map_err(|error| Failure::bad_request(format!("the release cannot be read: {error}")))?;
    release.only = canonical(&shared, &caller, &release.only)?;
    let file = body.slice(line_end + 1..);

    // 64 MiB are digested for some tenths of a second: not beside other requests.
    let label = format!("{name}@{version}");
    let digested = file.clone();
    let checked = tokio::task::spawn_blocking(move || {
        let checked = release.check(&name, &version, &digested)?;
        Ok(checked.document(release, now_ms()))
    });
    let document: PluginDocument = match checked.await {
        Ok(Ok(document)) => {
            PluginDocument { tenant: caller.tenant().map(str::to_owned), ..document }
        }
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
    may_name(&document, &caller, shared.catalog.owner(&document.manifest.name))?;
    submit::granted(&caller, &document)?;
    room::has_room(&shared.catalog, &caller, &document)?;
    let created =
        create(shared.config.clusters.near(), &document, &file).await.map_err(|e| refuse(&e))?;
    // At once, so that whoever published finds it here; the feed says the same a moment later.
    shared.catalog.hear_control(&document.document_id(), json!(document));
    let status = if created == Created::New { StatusCode::CREATED } else { StatusCode::OK };
    let view = shared.catalog.plugin_view(&document, &caller);
    Ok((status, Json(json!(Published { new: created == Created::New, view }))).into_response())
}

/// A name is its owner's: under another hand, its next version would go to all who ask for the newest. Whose it is is told to
/// who may see it: a tenant learns of another's private plugin that its name is taken, and nothing more.
fn may_name(
    document: &PluginDocument,
    caller: &Caller,
    owner: Option<Owner>,
) -> Result<(), Failure> {
    let name = &document.manifest.name;
    let is_signed_by = |key| document.signature.as_ref().is_some_and(|s| s.key == key);
    let reason = match (owner, caller.tenant()) {
        (None, _) => return Ok(()),
        // Which key it signs with is the tenant's own affair, and whether to believe it each engine's.
        (Some(Owner::Tenant(owner)), Some(tenant)) if owner == tenant => return Ok(()),
        (Some(Owner::Publisher(key)), None) if is_signed_by(key.clone()) => return Ok(()),
        (Some(Owner::Tenant(owner)), None) => {
            format!("{name:?} belongs to tenant {owner:?}; take another name")
        }
        (Some(Owner::Publisher(key)), None) => format!(
            "{name:?} was first published by another publisher, with the key {key}; publish with that key, or \
             take another name"
        ),
        (Some(Owner::Operator), _) | (Some(Owner::Publisher(_)), Some(_)) => {
            format!("{name:?} is a plugin of this gateway's operator; take another name")
        }
        (Some(Owner::Tenant(_)), Some(_)) => {
            format!("the name {name:?} is taken; take another name")
        }
    };
    Err(Failure::conflict("name_taken", reason))
}

fn not_a_publisher() -> Failure {
    Failure::forbidden(
        "plugins are published with an admin key of the tenant, or with one that has the scope may_publish",
    )
}

/// A version that the caller may take back or promote: its own, or any for the operator.
fn own(
    shared: &Shared,
    caller: &Caller,
    name: &str,
    version: &str,
) -> Result<PluginDocument, Failure> {
    let plugin = known(shared, caller, name, version)?;
    if !caller.may_publish() {
        return Err(not_a_publisher());
    }
    if caller.tenant().is_some() && plugin.tenant.as_deref() != caller.tenant() {
        let label = plugin.label();
        return Err(Failure::forbidden(format!("{label} is not your tenant's")));
    }
    Ok(plugin)
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
    Extension(caller): Extension<Caller>,
    Path((name, version)): Path<(String, String)>,
    Strict(Yank { reason }): Strict<Yank>,
) -> Result<Json<Value>, Failure> {
    let chars = reason.chars().count();
    if chars > REASON_CHARS_MAX {
        return Err(Failure::usage(format!(
            "the reason has {chars} characters, {REASON_CHARS_MAX} are the limit"
        )));
    }
    let plugin = own(&shared, &caller, &name, &version)?;
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
    Extension(caller): Extension<Caller>,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<Value>, Failure> {
    let plugin = own(&shared, &caller, &name, &version)?;
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

/// A version that is there for the caller.
fn known(
    shared: &Shared,
    caller: &Caller,
    name: &str,
    version: &str,
) -> Result<PluginDocument, Failure> {
    let found = shared.catalog.version(name, version).filter(|plugin| caller.sees(plugin));
    found.ok_or_else(|| {
        let versions = shared.catalog.labels(name, caller);
        Failure::unknown(Unknown::Plugin, &format!("{name}@{version}"), versions)
    })
}

/// The regions' own names, each once: the caller may have used other words for them.
fn canonical(shared: &Shared, caller: &Caller, words: &[String]) -> Result<Vec<String>, Failure> {
    let names: BTreeSet<String> = words
        .iter()
        .map(|word| Ok(shared.catalog.region(word, caller)?.name))
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
pub(crate) fn routes() -> Routes {
    use Method::{Get, Post, Put};
    Routes::default()
        .at(Who::Callers, Get, "/v1/plugins", list)
        .at(Who::Callers, Get, "/v1/plugins/{name}", newest)
        .at(Who::Callers, Get, "/v1/plugins/{name}/{version}", one)
        .at(Who::Callers, Put, "/v1/plugins/{name}/{version}", publish)
        .at(Who::Callers, Post, "/v1/plugins/{name}/{version}/yank", yank)
        .at(Who::Callers, Post, "/v1/plugins/{name}/{version}/promote", promote)
}

#[cfg(test)]
mod tests {
    use blitz_jobs::accounts::Scopes;
    use blitz_jobs::plugin::{Carrier, SigningKey};

    use super::*;

    fn document(key: &SigningKey, capabilities: &str) -> PluginDocument {
        let text = format!(
            r#"{{"name":"hops","version":"0.1.0","summary":"s","contract":"0.1.0","capabilities":[{capabilities}]}}"#
        );
        let file = b"\0asm";
        let release = Release::sign(key, Carrier::Component, &text, file, Vec::new()).unwrap();
        release.check("hops", "0.1.0", file).unwrap().document(release, 7)
    }

    #[test]
    fn a_name_is_its_owners() {
        let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let mine = document(&key, "");
        let acme = Caller::member("acme", Scopes::default(), &[]);
        let tenant = |name: &str| Some(Owner::Tenant(name.to_owned()));
        let publisher = |key: &SigningKey| Some(Owner::Publisher(key.public()));
        for (caller, owner, refusal) in [
            (&acme, None, None),
            (&acme, tenant("acme"), None),
            (&acme, tenant("umbrella"), Some("the name \"hops\" is taken")),
            (&acme, publisher(&key), Some("of this gateway's operator")),
            (&acme, Some(Owner::Operator), Some("of this gateway's operator")),
            (&Caller::Operator, None, None),
            (&Caller::Operator, publisher(&key), None),
            (&Caller::Operator, publisher(&other), Some("first published by another publisher")),
            (&Caller::Operator, tenant("acme"), Some("belongs to tenant \"acme\"")),
        ] {
            let said = may_name(&mine, caller, owner.clone()).err().map(|f| format!("{f:?}"));
            match (&said, refusal) {
                (None, None) => {}
                (Some(said), Some(refusal)) => {
                    assert!(said.replace("\\\"", "\"").contains(refusal), "{refusal}: {said}");
                    assert!(caller.tenant().is_none() || !said.contains("umbrella"), "{said}");
                }
                _ => panic!("{caller:?} {owner:?}: {said:?}"),
            }
        }
    }

    #[test]
    fn keys_publish_whose_scopes_say_so_what_their_plan_grants() {
        let scopes = |is_admin, may_publish| Scopes { is_admin, may_publish, ..Scopes::default() };
        for (scopes, may) in [
            (scopes(false, false), false),
            (scopes(true, false), true),
            (scopes(false, true), true),
        ] {
            assert_eq!(Caller::member("acme", scopes, &[]).may_publish(), may);
        }
        let key = SigningKey::generate().unwrap();
        let of_tenant =
            |rights| PluginDocument { tenant: Some("acme".to_owned()), ..document(&key, rights) };
        let acme = Caller::member("acme", Scopes::default(), &["web"]);
        assert_eq!(submit::granted(&acme, &of_tenant("\"web\"")), Ok(()));
        let refused = submit::granted(&acme, &of_tenant("\"web\",\"load\"")).unwrap_err();
        assert!(format!("{refused:?}").contains("load"), "{refused:?}");
        assert_eq!(submit::granted(&Caller::Operator, &of_tenant("\"load\"")), Ok(()));
        assert_eq!(
            submit::granted(&acme, &document(&key, "\"load\"")),
            Ok(()),
            "the operator's own"
        );
    }
}
