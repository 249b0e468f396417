//! Views of design documents: rows, groups, reductions, and the state of their indexes.
//!
//! [`options`] reads what is asked, [`rows`] and [`reduce`] (with [`script`]) answer it.

mod chores;
mod options;
mod refused;
mod reduce;
mod rows;
mod script;

pub(crate) use chores::{cleanup, compact};

use super::{
    attachment,
    call::{Call, Server},
    refusal::{Refusal, allow},
    reply::{self, Broken, Handled, Pieces},
};
use crate::{
    document::check::NotJson,
    error::StoreError,
    script::ScriptError,
    store::{
        database::Database,
        read::{Opened, Which},
    },
    view::{
        collation::Collation,
        design::{Group, Named, Reduce},
        index::{self, Index},
        reduce::BadValue,
        update::{self, UpdateError},
    },
};
use http::StatusCode;
use options::{Asked, Options, Update};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What lies below a design document and is none of its attachments.
pub(crate) async fn design(
    call: &Call,
    database: &Arc<Database>,
    id: String,
    rest: &[String],
) -> Handled {
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    match rest.as_slice() {
        ["_view"] | ["_view", ""] => Err(Refusal::method(&["GET", "POST", "HEAD"])),
        ["_view", name] => {
            let body = open(call, database, &id).await?;
            allow(&call.method, &["GET", "POST", "HEAD"])?;
            query(call, database, &body, name).await
        }
        ["_view", name, "queries"] => {
            let body = open(call, database, &id).await?;
            allow(&call.method, &["POST"])?;
            queries(call, database, &body, name).await
        }
        ["_info"] => {
            let body = open(call, database, &id).await?;
            if !call.is_read() {
                return Err(Refusal::method(&["GET"]));
            }
            chores::info(call, database, &id, &body).await
        }
        [part, ..] if ELSEWHERE.contains(part) => {
            Err(Refusal::not_implemented(&format!("functions of design documents ({part})")))
        }
        _ => attachment::route(call, database, id, rest.join("/")).await,
    }
}

/// What CouchDB has below a design document, and this server does not.
const ELSEWHERE: &[&str] = &[
    "_show",
    "_list",
    "_update",
    "_rewrite",
    "_search",
    "_search_info",
    "_nouveau",
    "_nouveau_info",
    "_geo",
];

/// `_temp_view` is no more.
pub(crate) fn temporary() -> Refusal {
    let reason = "Temporary views are not supported in CouchDB";
    Refusal::new(StatusCode::GONE, "gone", reason)
}

/// Why a view gives no rows.
#[derive(Debug, thiserror::Error)]
enum ViewError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Script(#[from] ScriptError),
    #[error(transparent)]
    Value(#[from] BadValue),
    #[error(transparent)]
    NotJson(#[from] NotJson),
}

impl From<UpdateError> for ViewError {
    fn from(error: UpdateError) -> ViewError {
        match error {
            UpdateError::Store(error) => error.into(),
            UpdateError::Script(error) => error.into(),
            UpdateError::Value(error) => error.into(),
        }
    }
}

/// A view whose index is open.
struct View {
    index: Arc<Index>,
    /// Among the views of its group.
    place: usize,
}

impl View {
    fn collation(&self) -> Collation {
        self.index.group.views.get(self.place).map_or(Collation::Unicode, |view| view.collation)
    }
}

/// The body of a design document.
async fn open(call: &Call, database: &Database, id: &str) -> Result<Value, Refusal> {
    let read = call.store().document(database, id.to_owned(), Which::Winner, false).await?;
    let opened = read.and_then(|document| document.revisions.into_iter().next());
    match opened {
        Some(Opened::Found(found)) if found.deleted => Err(Refusal::not_found("deleted")),
        Some(Opened::Found(found)) => super::query::parse(&found.body.text),
        Some(Opened::Missing(_)) | None => Err(Refusal::not_found("missing")),
    }
}

/// `_view/{name}`.
async fn query(call: &Call, database: &Arc<Database>, body: &Value, name: &str) -> Handled {
    let options = if call.is_read() {
        Options::of_url(&call.query)?
    } else {
        call.need_json()?;
        let received = call.json_body().await?;
        Options::of_body(received.text()?, &call.query)?
    };
    let answer = answer(call, database, body, name, &[options]).await?;
    Ok(stream(call, database, answer, false))
}

/// `_view/{name}/queries`: several questions, one answer.
async fn queries(call: &Call, database: &Arc<Database>, body: &Value, name: &str) -> Handled {
    call.need_json()?;
    let received = call.json_body().await?;
    let options = Options::of_queries(received.text()?, &call.query)?;
    let answer = answer(call, database, body, name, &options).await?;
    Ok(stream(call, database, answer, true))
}

/// Questions that were found sound, on an index that is as new as they ask.
struct Answer {
    view: View,
    reduce: Option<Reduce>,
    asked: Vec<Asked>,
    /// The first of them, begun: what can go wrong does so before the status is sent.
    first: Option<Part>,
}

enum Part {
    Rows(rows::Rows),
    Groups(reduce::Groups),
}

async fn answer(
    call: &Call,
    database: &Arc<Database>,
    body: &Value,
    name: &str,
    options: &[Options],
) -> Result<Answer, Refusal> {
    let group = Group::read(body)?;
    let missing = || Refusal::not_found("missing_named_view");
    let Named { view: place, reduce } = group.named(name).cloned().ok_or_else(missing)?;
    let collation = group.views.get(place).map_or(Collation::Unicode, |view| view.collation);
    let check = |options: &Options| options.check(reduce.is_some() && options.reduces(), collation);
    let asked = options.iter().map(check).collect::<Result<Vec<_>, _>>()?;
    options.iter().try_for_each(|options| options.check_range(collation))?;
    let updates: Vec<Update> = options.iter().map(Options::update).collect();
    let begun = prepare(call, database, &group, name, place, &asked, &updates).await;
    let begun = match begun {
        Err((Some(index), ViewError::Store(error))) if index::is_damaged(&error) => {
            tracing::warn!(%error, database = database.name, "a view's index is made again");
            call.server.views.discard(database.identity, &index).await;
            prepare(call, database, &group, name, place, &asked, &updates).await
        }
        begun => begun,
    };
    let (view, reduce, first) = begun.map_err(|(_, error)| error)?;
    Ok(Answer { view, reduce, asked, first })
}

type Begun = (View, Option<Reduce>, Option<Part>);

/// Opens the index, brings it up to date if that is asked, and reads the first rows.
async fn prepare(
    call: &Call,
    database: &Arc<Database>,
    group: &Group,
    name: &str,
    place: usize,
    asked: &[Asked],
    updates: &[Update],
) -> Result<Begun, (Option<Arc<Index>>, ViewError)> {
    let server = &call.server;
    let index = server.views.index(database.identity, group).await;
    let index = index.map_err(|error| (None, error.into()))?;
    let failed = |error: ViewError| (Some(Arc::clone(&index)), error);
    if updates.contains(&Update::Before) {
        refresh(server, database, &index).await.map_err(failed)?;
    } else if updates.contains(&Update::After) {
        drop(start_update(server, database, &index));
    }
    // The function in the index is the one that is compiled already.
    let reduce = index.group.named(name).and_then(|named| named.reduce.clone());
    let view = View { index: Arc::clone(&index), place };
    let first = match asked.first() {
        None => None,
        Some(asked) => {
            let first = begin(&view, reduce.as_ref(), server, database, asked.clone());
            Some(first.await.map_err(failed)?)
        }
    };
    Ok((view, reduce, first))
}

/// Reads the first rows that are asked for.
async fn begin(
    view: &View,
    how: Option<&Reduce>,
    server: &Server,
    database: &Database,
    asked: Asked,
) -> Result<Part, ViewError> {
    match how {
        Some(how) if asked.level.is_some() => {
            let groups = reduce::begin(view, how.clone(), server, database, asked);
            Ok(Part::Groups(groups.await?))
        }
        _ => Ok(Part::Rows(rows::begin(view, database, asked).await?)),
    }
}

impl Answer {
    async fn write(
        self,
        server: &Server,
        database: &Database,
        pieces: &Pieces,
        text: &mut Vec<u8>,
    ) -> Result<(), Broken> {
        let Answer { view, reduce, asked, mut first } = self;
        for (index, asked) in asked.into_iter().enumerate() {
            if index > 0 {
                text.extend_from_slice(b",\n");
            }
            let part = match first.take() {
                Some(part) => part,
                None => {
                    let part = begin(&view, reduce.as_ref(), server, database, asked).await;
                    part.map_err(|error| {
                        tracing::warn!(%error, "the answer of a view was cut off");
                        Broken
                    })?
                }
            };
            match part {
                Part::Rows(rows) => rows.write(server, database, pieces, text).await?,
                Part::Groups(groups) => groups.write(server, pieces, text).await?,
            }
        }
        Ok(())
    }
}

fn stream(call: &Call, database: &Arc<Database>, answer: Answer, is_list: bool) -> reply::Reply {
    let (server, database) = (Arc::clone(&call.server), Arc::clone(database));
    reply::produced(StatusCode::OK, "application/json", async move |pieces| {
        let work = async {
            let mut text = Vec::new();
            if is_list {
                text.extend_from_slice(b"{\"results\":[\n");
            }
            answer.write(&server, &database, &pieces, &mut text).await?;
            text.extend_from_slice(if is_list { b"\n]}\n" } else { b"\n" });
            reply::flush(&pieces, &mut text, true).await
        };
        if work.await.is_err() {
            drop(pieces.send(Err(Broken)).await);
        }
    })
}

/// Waits until the index has everything that the database has now.
async fn refresh(
    server: &Arc<Server>,
    database: &Arc<Database>,
    index: &Arc<Index>,
) -> Result<(), ViewError> {
    if update::is_current(index, &database.state()).await? {
        return Ok(update::check(index).await?);
    }
    let done = start_update(server, database, index).await;
    Ok(done.map_err(|_| StoreError::Closed)??)
}

/// Starts an update, which goes on when nobody waits for it any more.
fn start_update(
    server: &Arc<Server>,
    database: &Arc<Database>,
    index: &Arc<Index>,
) -> oneshot::Receiver<Result<(), UpdateError>> {
    let (answer, wait) = oneshot::channel();
    let (shared, database, index) = (Arc::clone(server), Arc::clone(database), Arc::clone(index));
    server.views.spawn(async move {
        let work = update::update(&index, &shared.store, &database, &shared.scripts);
        tokio::select! {
            done = work => {
                if let Err(error) = &done {
                    tracing::debug!(%error, database = database.name, "a view is not up to date");
                }
                // Who asked may have gone.
                drop(answer.send(done));
            }
            () = shared.stop.cancelled() => {}
        }
    });
    wait
}
