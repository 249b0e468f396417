//! Filter functions of design documents in `_changes`: `filter=design/name` and `filter=_view`.
//!
//! A page of changes is read first and then tried as a whole by the pool of interpreters, so that a slow
//! function takes nobody's reader.

use super::{
    call::Call,
    changes::Ask,
    database,
    query::Parameter,
    refusal::Refusal,
    reply::Broken,
    validate::{refusal, security},
};
use crate::{
    document::{object, render},
    error::StoreError,
    feed::{
        change::Change,
        filter::{Filter, Script},
    },
    script::{Design, ScriptError},
    sequence::Sequence,
    store::{
        database::{Database, random_id},
        list::Changes,
        read::{Opened, Which},
    },
};
use http::{StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use std::sync::{Arc, Mutex, PoisonError};

/// Why a feed ends early.
#[derive(Debug)]
pub(crate) enum FeedError {
    Store(StoreError),
    Script(ScriptError),
}

impl From<StoreError> for FeedError {
    fn from(error: StoreError) -> FeedError {
        FeedError::Store(error)
    }
}

/// The first page of a feed with a filter function: it is made before the answer begins, so that a
/// function that fails at once has an answer with a status.
#[derive(Debug, Default)]
pub(crate) struct First(Mutex<Option<(Sequence, Changes)>>);

impl First {
    /// The page, when it is one for this position; it serves once.
    fn take(&self, position: Sequence) -> Option<Changes> {
        let first = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.filter(|(from, _)| *from == position).map(|(_, page)| page)
    }

    fn put(&self, position: Sequence, page: Changes) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((position, page));
    }
}

/// The filter `filter=_view&view=design/name`.
pub(crate) async fn view(call: &Call, database: &Arc<Database>) -> Result<Filter, Refusal> {
    let name = call.query.get("view").unwrap_or_default();
    let (design, view) = name
        .split_once('/')
        .ok_or_else(|| Refusal::bad_request("`view` must be of the form `designname/viewname`"))?;
    let text = open(call, database, design).await?;
    let function = member(&text, &["views", view, "map"])?;
    script(call, &text, function, None).await
}

/// The filter `filter=design/name`. `body` is that of a POST.
pub(crate) async fn function(
    call: &Call,
    database: &Arc<Database>,
    name: &str,
    body: Option<&Map<String, Value>>,
) -> Result<Filter, Refusal> {
    let parts: Vec<&str> = name.split('/').filter(|part| !part.is_empty()).collect();
    let (design, name) = match parts.as_slice() {
        [] => return Ok(Filter::All),
        [design, name] => (design, name),
        _ => {
            let reason = "`filter` must be of the form `designname/filtername`";
            return Err(Refusal::bad_request(reason));
        }
    };
    let text = open(call, database, design).await?;
    let function = member(&text, &["filters", name])?;
    let request = request(call, database, body).to_string();
    script(call, &text, function, Some(request.into())).await
}

/// Compiles the function, which is the first thing that may fail.
async fn script(
    call: &Call,
    library: &str,
    function: String,
    request: Option<Box<str>>,
) -> Result<Filter, Refusal> {
    let design = Design { library: Some(library.into()), functions: vec![function.into()] };
    let design = Arc::new(design);
    call.server.scripts.compile(&design).await.map_err(refusal)?;
    Ok(Filter::Script(Script { design, request }))
}

/// The text of a living design document.
async fn open(call: &Call, database: &Arc<Database>, design: &str) -> Result<String, Refusal> {
    let id = format!("_design/{design}");
    let found = call.store().document(database, id.clone(), Which::Winner, false).await?;
    let opened = found.and_then(|found| found.revisions.into_iter().next());
    let Some(Opened::Found(found)) = opened else { return Err(Refusal::not_found("missing")) };
    if found.deleted {
        return Err(Refusal::not_found("deleted"));
    }
    Ok(String::from_utf8(found.render(&id).finish()).unwrap_or_default())
}

/// The text at a path of the design document.
fn member(design: &str, path: &[&str]) -> Result<String, Refusal> {
    let mut text = design;
    for &name in path {
        let found = object::members(text)?.and_then(|members| members.get(name));
        let Some(found) = found else {
            let mut refusal = Refusal::not_found("missing");
            refusal.reason = format!("missing json key: {name}").into();
            return Err(refusal);
        };
        text = found.get();
    }
    // What is no text is no function either, and the interpreter says so.
    Ok(serde_json::from_str(text).unwrap_or_else(|_| text.to_owned()))
}

/// `req` as CouchDB gives it, without what proves who asks. The address of the client is not known
/// here.
fn request(call: &Call, database: &Arc<Database>, body: Option<&Map<String, Value>>) -> Value {
    let secret = [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION];
    let mut headers = Map::new();
    for (name, value) in &call.parts.headers {
        if !secret.contains(name) {
            let value = String::from_utf8_lossy(value.as_bytes());
            headers.insert(canonical(name.as_str()), Value::from(value));
        }
    }
    let mut query = Map::new();
    for Parameter { name, value, .. } in call.query.parameters() {
        // CouchDB reads these as JSON here too.
        let read = matches!(name.as_str(), "startkey" | "endkey" | "key" | "descending");
        let parsed = if read { serde_json::from_str(value).ok() } else { None };
        query.insert(name.to_owned(), parsed.unwrap_or_else(|| Value::from(value.as_str())));
    }
    let path: Vec<String> = call.parts.uri.path().split('/').skip(1).map(decoded).collect();
    let raw = call.parts.uri.path_and_query().map_or("", |path| path.as_str());
    json!({
        "info": database::info(&call.server, database),
        "uuid": random_id(),
        "id": null,
        "method": call.method.as_str(),
        "requested_path": path,
        "path": path,
        "raw_path": raw,
        "query": query,
        "headers": headers,
        "body": body.map_or_else(|| Value::from("undefined"), |body| Value::Object(body.clone())),
        "peer": "",
        "form": {},
        "cookie": {},
        "userCtx": call.user.context(&database.name),
        "secObj": serde_json::from_str::<Value>(&security(database)).unwrap_or_default(),
    })
}

fn decoded(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

/// `user-agent` as `User-Agent`.
fn canonical(name: &str) -> String {
    let mut after = '-';
    let upper = |letter: char| {
        let made = if after == '-' { letter.to_ascii_uppercase() } else { letter };
        after = letter;
        made
    };
    name.chars().map(upper).collect()
}

/// Makes the first page of a feed with a filter function.
pub(crate) async fn begin(ask: &Ask) -> Result<(), Refusal> {
    let Filter::Script(script) = &*ask.filter else { return Ok(()) };
    let (position, until) = (ask.start(), ask.database.feed.committed().sequence);
    if ask.limit == 0 || !ask.descending && position >= until {
        return Ok(());
    }
    match next(ask, script, position, until, ask.limit).await {
        Ok(page) => {
            ask.first.put(position, page);
            Ok(())
        }
        Err(FeedError::Store(error)) => Err(error.into()),
        Err(FeedError::Script(error)) => Err(failed(error)),
    }
}

/// The next changes that the function lets through.
pub(crate) async fn next(
    ask: &Ask,
    script: &Script,
    position: Sequence,
    until: Sequence,
    limit: u64,
) -> Result<Changes, FeedError> {
    if let Some(first) = ask.first.take(position) {
        return Ok(first);
    }
    let mut page = ask.page(position, until, u64::MAX).await?;
    let mut documents = Vec::with_capacity(page.changes.len());
    // Which change each document is of, and its revision where that is not the winner.
    let mut places = Vec::with_capacity(page.changes.len());
    for (place, change) in page.changes.iter().enumerate() {
        if ask.style.all_leaves && change.leaves.len() > 1 {
            for (revision, document) in leaves(ask, change).await? {
                places.push((place, Some(revision)));
                documents.push(document);
            }
        } else if let Some(document) = &change.document {
            places.push((place, None));
            documents.push(document.clone());
        }
    }
    if documents.is_empty() {
        return Ok(page);
    }
    let scripts = &ask.server.scripts;
    let passed = match &script.request {
        Some(request) => scripts.filter(&script.design, documents, request.clone()).await,
        None => scripts.filter_view(&script.design, documents).await,
    };
    let passed = passed.map_err(FeedError::Script)?;
    let wanted = wanted(&page.changes, places.into_iter().zip(passed));
    cut(&mut page, wanted, limit);
    Ok(page)
}

/// The changes of which something passed, with only the leaves that did.
fn wanted(
    changes: &[Arc<Change>],
    tried: impl Iterator<Item = ((usize, Option<String>), bool)>,
) -> Vec<Arc<Change>> {
    let mut passed: Vec<Option<Vec<String>>> = vec![None; changes.len()];
    for ((place, revision), _) in tried.filter(|(_, passed)| *passed) {
        if let Some(leaves) = passed.get_mut(place) {
            leaves.get_or_insert_default().extend(revision);
        }
    }
    let both = changes.iter().zip(passed);
    both.filter_map(|(change, leaves)| match leaves {
        None => None,
        Some(leaves) if leaves.is_empty() || leaves.len() == change.leaves.len() => {
            Some(Arc::clone(change))
        }
        Some(leaves) => Some(Arc::new(Change::new(
            change.sequence,
            &change.id,
            change.deleted,
            leaves,
            change.document.clone(),
        ))),
    })
    .collect()
}

/// Leaves as many changes in the page as are wanted; the rest is for the next page.
fn cut(page: &mut Changes, mut wanted: Vec<Arc<Change>>, limit: u64) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if wanted.len() > limit {
        wanted.truncate(limit);
        page.more = true;
        page.position = wanted.last().map_or(page.position, |change| change.sequence);
    }
    page.changes = wanted;
}

/// The leaves of a document with their texts, the winner first.
async fn leaves(ask: &Ask, change: &Change) -> Result<Vec<(String, Box<str>)>, StoreError> {
    let store = &ask.server.store;
    let id = change.id.to_string();
    let revisions = change.leaves.iter().filter_map(|leaf| leaf.parse().ok()).collect();
    let mut which = Which::These { revisions, latest: false };
    let mut made = Vec::with_capacity(change.leaves.len());
    loop {
        let found = store.document(&ask.database, id.clone(), which, false).await?;
        let Some(found) = found else { return Ok(made) };
        for opened in found.revisions {
            if let Opened::Found(leaf) = opened {
                let text = String::from_utf8(leaf.render(&id).finish()).unwrap_or_default();
                made.push((leaf.revision.to_string(), text.into()));
            }
        }
        if found.rest.is_empty() {
            return Ok(made);
        }
        which = Which::These { revisions: found.rest, latest: false };
    }
}

/// A filter that fails is a broken feed, whatever it threw: nobody is forbidden anything.
fn failed(error: ScriptError) -> Refusal {
    let thrown = matches!(error, ScriptError::Thrown { .. });
    let mut told = refusal(error);
    if thrown {
        told.status = StatusCode::INTERNAL_SERVER_ERROR;
    }
    told
}

/// Writes why a feed ends in the middle of it, as CouchDB does; the store's own failures only break it.
pub(crate) fn fail(text: &mut Vec<u8>, error: FeedError) -> Result<(), Broken> {
    let FeedError::Script(error) = error else { return Err(Broken) };
    let told = failed(error);
    text.extend_from_slice(b"\n");
    render::append(text, &json!({"error": told.error, "reason": told.reason}));
    text.extend_from_slice(b"\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(sequence: Sequence, leaves: &[&str]) -> Arc<Change> {
        let leaves = leaves.iter().map(|&leaf| leaf.to_owned()).collect();
        Arc::new(Change::new(sequence, "id", false, leaves, None))
    }

    #[test]
    fn a_change_stays_with_the_leaves_that_passed() {
        let changes = [change(1, &["2-b", "2-a"]), change(2, &["1-a"]), change(3, &["1-b"])];
        let leaf = |text: &str| Some(text.to_owned());
        let tried = [
            ((0, leaf("2-b")), false),
            ((0, leaf("2-a")), true),
            ((1, None), false),
            ((2, None), true),
        ];
        let wanted = wanted(&changes, tried.into_iter());
        let told: Vec<_> = wanted.iter().map(|change| (change.sequence, &*change.leaves)).collect();
        assert_eq!(told, [(1, &[String::from("2-a")][..]), (3, &[String::from("1-b")][..])]);
    }

    #[test]
    fn a_page_ends_where_the_limit_does() {
        let all = [change(1, &["1-a"]), change(5, &["1-a"]), change(7, &["1-a"])];
        for (limit, count, position, more) in
            [(0, 0, 9, true), (2, 2, 5, true), (3, 3, 9, false), (u64::MAX, 3, 9, false)]
        {
            let mut page = Changes { changes: Vec::new(), position: 9, more: false };
            cut(&mut page, all.to_vec(), limit);
            let told = (page.changes.len(), page.position, page.more);
            assert_eq!(told, (count, position, more), "{limit}");
        }
    }

    #[test]
    fn headers_have_the_names_that_people_write() {
        for (name, told) in [("user-agent", "User-Agent"), ("host", "Host"), ("x-a-b", "X-A-B")] {
            assert_eq!(canonical(name), told);
        }
    }

    #[test]
    fn what_a_design_document_lacks_is_named() {
        let design = r#"{"filters":{"a":"x"},"views":{"v":{"map":"m"}}}"#;
        assert_eq!(member(design, &["filters", "a"]).unwrap(), "x");
        assert_eq!(member(design, &["views", "v", "map"]).unwrap(), "m");
        let told = member(design, &["filters", "b"]).unwrap_err();
        assert_eq!(told.reason, "missing json key: b");
    }
}
