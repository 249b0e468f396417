//! `_changes`: what is asked for, and the answer that ends by itself. [`feed`](super::feed) has the
//! answers that wait for more.

use super::{
    call::{Call, Server},
    feed::{self, Form},
    filter::{self, FeedError, First},
    query,
    refusal::{Refusal, allow},
    reply::{self, Broken, Handled, Pieces},
};
use crate::{
    document::render,
    feed::{
        change::{Change, RowStyle},
        filter::Filter,
        hub::Follower,
    },
    selector::{Selector, split_path},
    sequence::{Sequence, Since, read_since},
    store::{
        database::Database,
        list::{Changes, ChangesRange, Detail},
    },
    user::User,
};
use http::StatusCode;
use serde_json::{Map, Value};
use std::{sync::Arc, time::Duration};

/// The largest body of a `_changes`, in bytes: a selector or a list of ids, kept as long as the feed.
const BODY_BYTES_MAX: usize = 1 << 20;

/// How long a feed without a heartbeat waits for a change; CouchDB's `changes_timeout`.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A request for changes.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) server: Arc<Server>,
    pub(crate) database: Arc<Database>,
    pub(crate) user: Arc<User>,
    pub(crate) form: Form,
    pub(crate) since: Sequence,
    pub(crate) limit: u64,
    pub(crate) descending: bool,
    pub(crate) style: RowStyle,
    pub(crate) detail: Detail,
    pub(crate) filter: Arc<Filter>,
    /// What the filter is known by to the hub; None when the feed tries each commit itself.
    filter_name: Option<Box<str>>,
    /// `fields` beside a selector: the paths that documents are cut down to.
    fields: Option<Vec<Vec<String>>>,
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) timeout: Duration,
    /// What a filter function let through before the answer began.
    pub(crate) first: First,
}

/// `_changes`.
pub(crate) async fn changes(call: &Call, database: &Arc<Database>) -> Handled {
    allow(&call.method, &["GET", "POST", "HEAD"])?;
    let ask = read(call, database).await?;
    filter::begin(&ask).await?;
    if ask.form == Form::Normal {
        let tag = ask.database.token(ask.database.feed.committed().sequence).to_string();
        let mut reply = reply::produced(StatusCode::OK, "application/json", async move |pieces| {
            if write_once(&ask, &pieces).await.is_err() {
                drop(pieces.send(Err(Broken)).await);
            }
        });
        reply::etag(&mut reply, &tag);
        return Ok(reply);
    }
    Ok(feed::start(ask))
}

async fn read(call: &Call, database: &Arc<Database>) -> Result<Ask, Refusal> {
    let query = &call.query;
    let body = body(call).await?;
    let form = Form::read(query.get("feed").unwrap_or("normal"))?;
    let heartbeat = heartbeat(query.get("heartbeat"))?;
    let bad_number = |name: &str| Refusal::query(format!("Invalid value for integer: {name}"));
    let timeout = match query.get("timeout") {
        Some(text) => {
            let number = query::integer(text).and_then(|number| u64::try_from(number).ok());
            Duration::from_millis(number.ok_or_else(|| bad_number("timeout"))?)
        }
        None => TIMEOUT,
    };
    let limit = match query.get("limit") {
        None => u64::MAX,
        // CouchDB takes a negative limit for none.
        Some(text) => {
            let number = query::integer(text).ok_or_else(|| bad_number("limit"))?;
            u64::try_from(number).unwrap_or(u64::MAX)
        }
    };
    // Every row has its sequence here, so that the interval changes nothing.
    let interval = call.query.get("seq_interval").map(query::integer);
    if interval.is_some_and(|number| number.is_none_or(|number| number < 1)) {
        return Err(Refusal::bad_request("invalid_seq_interval"));
    }
    let all_leaves = match query.get("style").unwrap_or("main_only") {
        "main_only" => false,
        "all_docs" => true,
        _ => return Err(Refusal::query("`style` is `main_only` or `all_docs`")),
    };
    let include_docs = query.is_true("include_docs");
    let filter = filter(call, database, &body).await?;
    let fields = match (&filter, body.get("fields")) {
        (Filter::Selector { .. }, Some(Value::Array(fields))) if include_docs => {
            let paths = fields.iter().filter_map(Value::as_str).map(split_path);
            Some(paths.collect())
        }
        _ => None,
    };
    let last_id = call.parts.headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let last_id = last_id.filter(|_| form == Form::EventSource);
    let since = query.either("since", "last-event-id").or(last_id).unwrap_or("0");
    let since = match read_since(since, database.identity)? {
        Since::Sequence(sequence) => call.server.trouble.rewound(sequence),
        Since::Now => database.feed.committed().sequence,
    };
    let detail = Detail {
        documents: include_docs,
        conflicts: include_docs && query.is_true("conflicts"),
        attachments: include_docs && query.is_true("attachments"),
        leaves: all_leaves,
    };
    let descending = query.is_true("descending");
    let filter_name = if is_simple(detail, descending) { filter.name() } else { None };
    Ok(Ask {
        server: Arc::clone(&call.server),
        database: Arc::clone(database),
        user: Arc::clone(&call.user),
        form,
        since,
        limit,
        descending,
        style: RowStyle { all_leaves, include_docs },
        detail,
        filter: Arc::new(filter),
        filter_name,
        fields,
        heartbeat,
        timeout,
        first: First::default(),
    })
}

async fn body(call: &Call) -> Result<Map<String, Value>, Refusal> {
    if call.is_read() {
        return Ok(Map::new());
    }
    call.need_json()?;
    let received = call.body(BODY_BYTES_MAX).await?;
    if received.bytes.is_empty() {
        return Ok(Map::new());
    }
    match query::parse(received.text()?)? {
        Value::Object(members) => Ok(members),
        _ => Err(Refusal::bad_request("Request body must be a JSON object")),
    }
}

fn heartbeat(text: Option<&str>) -> Result<Option<Duration>, Refusal> {
    match text {
        None => Ok(None),
        Some("true") => Ok(Some(TIMEOUT)),
        Some(text) => match query::integer(text).and_then(|number| u64::try_from(number).ok()) {
            Some(0) => Err(Refusal::bad_request(
                "The heartbeat value should be a positive integer (in milliseconds).",
            )),
            Some(number) => Ok(Some(Duration::from_millis(number))),
            None => Err(Refusal::bad_request(
                "Invalid heartbeat value. Expecting a positive integer value (in milliseconds).",
            )),
        },
    }
}

async fn filter(
    call: &Call,
    database: &Arc<Database>,
    body: &Map<String, Value>,
) -> Result<Filter, Refusal> {
    match call.query.get("filter") {
        None | Some("") => Ok(Filter::All),
        Some("_design") => Ok(Filter::Design),
        Some("_doc_ids") => {
            let listed = match body.get("doc_ids") {
                Some(value) => Some(value.clone()),
                None => call.query.json("doc_ids")?,
            };
            let ids = listed.and_then(|value| serde_json::from_value(value).ok());
            ids.map(Filter::Ids).ok_or_else(|| {
                Refusal::bad_request("`doc_ids` filter parameter is not a list of doc ids.")
            })
        }
        Some("_selector") if call.is_read() => {
            Err(Refusal::bad_request("Selector must be specified in POST payload"))
        }
        Some("_selector") => {
            let selector = body.get("selector").unwrap_or(&Value::Null);
            let text = selector.to_string().into();
            Ok(Filter::Selector { selector: Selector::parse(selector)?, text })
        }
        Some("_view") if call.query.get("view").is_none() => {
            Err(Refusal::bad_request("`view` filter parameter is not provided."))
        }
        Some("_view") => filter::view(call, database).await,
        Some(name) if name.starts_with('_') => {
            Err(Refusal::bad_request("unknown builtin filter name"))
        }
        Some(name) => {
            let body = if call.is_read() { None } else { Some(body) };
            filter::function(call, database, name, body).await
        }
    }
}

/// Whether the rows are those that the hub remembers.
fn is_simple(detail: Detail, descending: bool) -> bool {
    !detail.conflicts && !detail.attachments && !descending
}

impl Ask {
    /// Starts to follow the database.
    pub(crate) fn follow(&self) -> Follower<'_> {
        self.database.feed.follow_filtered(self.filter_name.as_deref(), &self.filter)
    }

    /// The next wanted changes after `position`, up to `until` at least; from memory if it has them.
    pub(crate) async fn next(
        &self,
        position: Sequence,
        until: Sequence,
        limit: u64,
    ) -> Result<Changes, FeedError> {
        if let Filter::Script(script) = &*self.filter {
            return filter::next(self, script, position, until, limit).await;
        }
        self.page(position, until, limit).await
    }

    /// The same, before a function of a design document is asked.
    pub(super) async fn page(
        &self,
        position: Sequence,
        until: Sequence,
        limit: u64,
    ) -> Result<Changes, FeedError> {
        let stats = self.server.store.stats();
        if is_simple(self.detail, self.descending)
            && let Some(recent) = self.database.feed.recent(position)
        {
            return Ok(self.choose(recent, position, until, limit));
        }
        stats.feed_pages_read.add(1);
        let range = ChangesRange { position, until, descending: self.descending, limit };
        let filter = Arc::clone(&self.filter);
        Ok(self.server.store.changes(&self.database, range, filter, self.detail).await?)
    }

    fn choose(
        &self,
        recent: Vec<Arc<Change>>,
        position: Sequence,
        until: Sequence,
        limit: u64,
    ) -> Changes {
        let mut page = Changes { changes: Vec::new(), position: position.max(until), more: false };
        for change in recent {
            if !self.filter.wants(&change) {
                page.position = page.position.max(change.sequence);
                continue;
            }
            if u64::try_from(page.changes.len()).is_ok_and(|count| count >= limit) {
                page.more = true;
                break;
            }
            page.position = page.position.max(change.sequence);
            page.changes.push(change);
        }
        if page.more {
            page.position = page.changes.last().map_or(position, |change| change.sequence);
        }
        let count = u64::try_from(page.changes.len()).unwrap_or(u64::MAX);
        self.server.store.stats().feed_rows_recent.add(count);
        page
    }

    /// Writes one row without its end.
    pub(crate) fn write(&self, text: &mut Vec<u8>, change: &Change) {
        let cut = self.fields.as_ref().map(|fields| project(change.value(), fields).to_string());
        change.write(text, self.database.identity, self.style, cut.as_deref());
    }

    /// How many changes the client has not seen, as CouchDB counts them.
    pub(crate) async fn pending(&self, position: Sequence, written: u64) -> Result<u64, FeedError> {
        let by_id = matches!(*self.filter, Filter::Ids(_) | Filter::Design);
        let from = match (self.descending, by_id) {
            (true, _) => 0,
            (false, true) => self.since,
            (false, false) => {
                return Ok(self.server.store.pending(&self.database, position).await?);
            }
        };
        let all = self.server.store.pending(&self.database, from).await?;
        Ok(all.saturating_sub(written))
    }

    /// Where reading starts.
    pub(crate) fn start(&self) -> Sequence {
        // CouchDB reads backwards from the end, wherever the client has come to.
        if self.descending { BEHIND_ALL } else { self.since }
    }
}

/// Greater than every sequence, and still one of SQLite's integers.
const BEHIND_ALL: Sequence = 1 << 62;

/// A document cut down to these paths.
fn project(document: &Value, fields: &[Vec<String>]) -> Value {
    let mut kept = Map::new();
    for path in fields {
        if let Some(found) = path.iter().try_fold(document, |value, name| value.get(name)) {
            keep(&mut kept, path, found);
        }
    }
    Value::Object(kept)
}

fn keep(kept: &mut Map<String, Value>, path: &[String], found: &Value) {
    match path {
        [] => {}
        [name] => drop(kept.insert(name.clone(), found.clone())),
        [name, rest @ ..] => {
            let inner = kept.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                keep(inner, rest, found);
            }
        }
    }
}

/// Writes the answer that ends by itself.
async fn write_once(ask: &Ask, pieces: &Pieces) -> Result<(), Broken> {
    let mut text = Vec::from(b"{\"results\":[");
    let until = ask.database.feed.committed().sequence;
    // What changes while this is read is found further on: it is read to the end, but not for ever after writers that
    // are faster.
    let state = ask.database.state();
    let documents = state.documents.saturating_add(state.tombstones);
    let end = until.saturating_add(documents);
    let mut position = ask.start();
    let mut written = 0;
    while written < ask.limit && (ask.descending || position < end) {
        let page = match ask.next(position, until, ask.limit - written).await {
            Ok(page) => page,
            Err(error) => {
                filter::fail(&mut text, error)?;
                return reply::flush(pieces, &mut text, true).await;
            }
        };
        for change in &page.changes {
            text.extend_from_slice(if written == 0 { b"\n" } else { b",\n" });
            ask.write(&mut text, change);
            written += 1;
            reply::flush(pieces, &mut text, false).await?;
        }
        position = page.position;
        if !page.more {
            break;
        }
    }
    let last = if position == BEHIND_ALL { until } else { position };
    finish(ask, &mut text, last, written).await?;
    reply::flush(pieces, &mut text, true).await
}

/// Writes the end of `{"results":[..`.
pub(crate) async fn finish(
    ask: &Ask,
    text: &mut Vec<u8>,
    position: Sequence,
    written: u64,
) -> Result<(), Broken> {
    let pending = ask.pending(position, written).await.map_err(|_| Broken)?;
    text.extend_from_slice(b"\n],\n\"last_seq\":");
    render::append(text, &ask.database.token(position));
    text.extend_from_slice(b",\"pending\":");
    render::append(text, &pending);
    text.extend_from_slice(b"}\n");
    Ok(())
}
