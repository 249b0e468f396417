//! Mango queries: `_find` and `_explain`. `_index` is in [`index`](super::index).

use super::{
    call::Call,
    index,
    refusal::{Refusal, allow},
    reply::{self, Broken, Handled, Pieces},
};
use crate::{
    document::object,
    mango::{
        error::BadQuery,
        explain,
        plan::{self, Plan, Purpose},
        query::Query,
        run::{Failed, Rows},
    },
    store::database::Database,
};
use http::StatusCode;
use std::{sync::Arc, time::Instant};

/// `_find`, `_explain`, `_index` and what lies below it.
pub(crate) async fn route(call: &Call, database: &Arc<Database>, rest: &[String]) -> Handled {
    match rest {
        [name] if name == "_find" => find(call, database).await,
        [name] if name == "_explain" => {
            let (query, plan) = read(call, database, Purpose::Explain).await?;
            let told = explain::explain(&database.name, &query, &plan);
            Ok(reply::json(StatusCode::OK, &told))
        }
        [_, below @ ..] => index::route(call, database, below).await,
        [] => Err(Refusal::not_found("missing")),
    }
}

async fn read(
    call: &Call,
    database: &Arc<Database>,
    purpose: Purpose,
) -> Result<(Query, Plan), Refusal> {
    allow(&call.method, &["POST"])?;
    call.need_json()?;
    let received = call.json_body().await?;
    if received.text()?.contains("\"$text\"") {
        return Err(Refusal::not_implemented("text search ($text)"));
    }
    let members = object::members(received.text()?)?
        .ok_or_else(|| Refusal::bad_request("Request body must be a JSON object"))?;
    let query = Query::read(&members)?;
    let plan = plan::plan(&query, index::all(call, database).await?, purpose)?;
    Ok((query, plan))
}

async fn find(call: &Call, database: &Arc<Database>) -> Handled {
    let started = Instant::now();
    let (query, plan) = read(call, database, Purpose::Find).await?;
    let store = Arc::clone(&call.server.store);
    let mut rows = Rows::new(store, Arc::clone(database), query, plan)?;
    // What is refused is refused before the first byte.
    let first = rows.next().await?;
    Ok(reply::produced(StatusCode::OK, "application/json", async move |pieces| {
        if write(rows, first, started, &pieces).await.is_err() {
            drop(pieces.send(Err(Broken)).await);
        }
    }))
}

async fn write(
    mut rows: Rows,
    mut page: Option<Vec<String>>,
    started: Instant,
    pieces: &Pieces,
) -> Result<(), Broken> {
    let mut text = Vec::from(b"{\"docs\":[");
    let mut before = "\n";
    while let Some(documents) = page {
        for document in documents {
            text.extend_from_slice(before.as_bytes());
            text.extend_from_slice(document.as_bytes());
            before = ",\n";
            reply::flush(pieces, &mut text, false).await?;
        }
        page = rows.next().await.map_err(|_| Broken)?;
    }
    text.extend_from_slice(b"\n]");
    for (name, value) in rows.end(started.elapsed().as_secs_f64() * 1000.0) {
        text.extend_from_slice(format!(",\n\"{name}\": {value}").as_bytes());
    }
    text.extend_from_slice(b"}\n");
    reply::flush(pieces, &mut text, true).await
}

impl From<BadQuery> for Refusal {
    fn from(bad: BadQuery) -> Refusal {
        let status = match bad {
            BadQuery::DesignConflict => StatusCode::CONFLICT,
            _ => StatusCode::BAD_REQUEST,
        };
        Refusal::new(status, bad.word(), bad.to_string())
    }
}

impl From<Failed> for Refusal {
    fn from(failed: Failed) -> Refusal {
        match failed {
            Failed::Query(bad) => bad.into(),
            Failed::Store(error) => error.into(),
        }
    }
}
