//! The paths of the server itself: welcome, databases, identifiers, statistics.

use super::{
    call::Call,
    database, query,
    refusal::{Refusal, allow},
    replicate,
    reply::{self, Handled},
    session,
};
use crate::{document::object, replicator::show, store::database::random_id};
use http::{StatusCode, header};
use serde_json::{Value, json};

/// The version of CouchDB whose protocol is spoken.
const PROTOCOL: &str = "3.5.0";

/// How many identifiers one request may ask for; CouchDB's own.
const UUIDS_MAX: u64 = 1000;

/// How many databases `_dbs_info` tells of at once; CouchDB's own.
const DBS_INFO_MAX: usize = 100;

/// `GET /`.
pub(crate) fn welcome(call: &Call) -> Handled {
    allow(&call.method, &["GET", "HEAD"])?;
    let version = env!("CARGO_PKG_VERSION");
    Ok(reply::json(
        StatusCode::OK,
        &json!({
            "couchdb": "Welcome",
            "version": PROTOCOL,
            "git_sha": "",
            "uuid": call.store().uuid(),
            "features": [],
            "vendor": {"name": "blitz-embedded", "version": version},
        }),
    ))
}

/// Handles what starts with an underscore; None leaves the path to the databases.
pub(crate) async fn route(call: &Call, first: &str, rest: &[String]) -> Option<Handled> {
    let last = rest.is_empty();
    Some(match first {
        "_up" if last => up(call),
        "_uuids" if last => uuids(call),
        "_active_tasks" if last => active_tasks(call),
        "_all_dbs" if last => all_dbs(call),
        "_dbs_info" if last => dbs_info(call).await,
        "_membership" if last => membership(call),
        "_session" if last => session::session(call).await,
        "_node" => node(call, rest),
        "_utils" | "favicon.ico" => Err(Refusal::not_found("there is no web page here")),
        "_replicate" if last => replicate::replicate(call).await,
        "_scheduler" => replicate::scheduler(call, rest).await,
        "_db_updates" | "_cluster_setup" | "_reshard" | "_search_analyze" | "_nouveau_analyze" => {
            Err(Refusal::not_implemented(first))
        }
        _ => return None,
    })
}

fn up(call: &Call) -> Handled {
    allow(&call.method, &["GET", "HEAD"])?;
    if !call.store().is_alive() {
        let reason = "a thread of the store has died; restart the server";
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        return Err(Refusal::new(unavailable, "service_unavailable", reason));
    }
    Ok(reply::json(StatusCode::OK, &json!({"status": "ok", "seeds": {}})))
}

fn uuids(call: &Call) -> Handled {
    allow(&call.method, &["GET"])?;
    let count: u64 = match call.query.get("count") {
        None => 1,
        Some(text) => {
            text.parse().map_err(|_| Refusal::bad_request("count must be a positive integer"))?
        }
    };
    if count > UUIDS_MAX {
        return Err(Refusal::bad_request("count parameter too large"));
    }
    let uuids: Vec<String> = (0..count).map(|_| random_id()).collect();
    let mut reply = reply::json(StatusCode::OK, &json!({"uuids": uuids}));
    reply::set(&mut reply, header::CACHE_CONTROL, "no-cache");
    reply::set(&mut reply, header::PRAGMA, "no-cache");
    reply::etag(&mut reply, &random_id());
    Ok(reply)
}

fn active_tasks(call: &Call) -> Handled {
    allow(&call.method, &["GET", "HEAD"])?;
    call.need_admin()?;
    let compacting = call.store().catalog().all().into_iter().filter(|db| db.is_compacting());
    let mut tasks: Vec<Value> = compacting
        .map(|db| json!({"type": "database_compaction", "database": db.name, "node": NODE}))
        .collect();
    tasks.extend(show::tasks(&call.server.replicator.jobs));
    Ok(reply::json(StatusCode::OK, &Value::from(tasks)))
}

fn all_dbs(call: &Call) -> Handled {
    allow(&call.method, &["GET", "HEAD"])?;
    call.need_admin()?;
    let query = &call.query;
    let text = |name, other| -> Result<Option<String>, Refusal> {
        let value = match query.json(name)? {
            None => query.json(other)?,
            value => value,
        };
        Ok(value.and_then(|value| value.as_str().map(str::to_owned)))
    };
    let number = |name| -> Result<Option<usize>, Refusal> {
        let Some(text) = query.get(name) else { return Ok(None) };
        let number = query::integer(text).and_then(|number| usize::try_from(number).ok());
        let wrong = || Refusal::query(format!("Invalid value for integer: {name}"));
        number.map(Some).ok_or_else(wrong)
    };
    let descending = query.is_true("descending");
    let start = text("startkey", "start_key")?;
    let end = text("endkey", "end_key")?;
    let (low, high) = if descending { (end, start) } else { (start, end) };
    let mut names: Vec<String> = call
        .store()
        .catalog()
        .all()
        .iter()
        .map(|database| database.name.clone())
        .filter(|name| low.as_ref().is_none_or(|low| name >= low))
        .filter(|name| high.as_ref().is_none_or(|high| name <= high))
        .collect();
    if descending {
        names.reverse();
    }
    let limit = number("limit")?.unwrap_or(usize::MAX);
    let names: Vec<String> =
        names.into_iter().skip(number("skip")?.unwrap_or(0)).take(limit).collect();
    Ok(reply::json(StatusCode::OK, &json!(names)))
}

async fn dbs_info(call: &Call) -> Handled {
    allow(&call.method, &["GET", "HEAD", "POST"])?;
    call.need_admin()?;
    let names: Vec<String> = if call.is_read() {
        let all = call.store().catalog().all();
        all.iter().take(DBS_INFO_MAX).map(|database| database.name.clone()).collect()
    } else {
        call.need_json()?;
        let received = call.json_body().await?;
        let members = object::members(received.text()?)?;
        let keys = members.and_then(|members| members.read::<Vec<String>>("keys"));
        keys.ok_or_else(|| Refusal::bad_request("`keys` member must exist."))?
    };
    if names.len() > DBS_INFO_MAX {
        return Err(Refusal::bad_request(format!(
            "`keys` has {} names, at most {DBS_INFO_MAX} are told of at once",
            names.len()
        )));
    }
    let infos: Vec<Value> = names
        .into_iter()
        .map(|name| match call.store().catalog().get(&name) {
            Some(database) => json!({"key": name, "info": database::info(&call.server, &database)}),
            None => json!({"key": name, "error": "not_found"}),
        })
        .collect();
    Ok(reply::json(StatusCode::OK, &Value::from(infos)))
}

/// The only node there is.
pub(super) const NODE: &str = "blitz@127.0.0.1";

fn membership(call: &Call) -> Handled {
    allow(&call.method, &["GET", "HEAD"])?;
    call.need_admin()?;
    Ok(reply::json(StatusCode::OK, &json!({"all_nodes": [NODE], "cluster_nodes": [NODE]})))
}

fn node(call: &Call, rest: &[String]) -> Handled {
    call.need_admin()?;
    match rest {
        [_] => {
            allow(&call.method, &["GET"])?;
            Ok(reply::json(StatusCode::OK, &json!({"name": NODE})))
        }
        [_, stats, path @ ..] if stats == "_stats" => {
            allow(&call.method, &["GET"])?;
            let all = call.store().stats().to_json();
            let found = path.iter().try_fold(&all, |value, name| value.get(name));
            let found = found.ok_or_else(|| Refusal::not_found("missing"))?;
            Ok(reply::json(StatusCode::OK, found))
        }
        _ => Err(Refusal::not_implemented("this part of _node")),
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        error::StoreError,
        options::{Options, Storage},
        serve,
        store::Store,
    };
    use std::sync::Arc;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };
    use tokio_util::sync::CancellationToken;

    #[tokio::test]
    async fn a_server_whose_store_died_is_not_up() {
        let store = Store::open(Storage::Memory, Options::default()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let served = tokio::spawn(serve(Arc::clone(&store), listener, stop.clone()));
        let up = async || {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = b"GET /_up HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
            stream.write_all(request).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        assert!(up().await.starts_with("HTTP/1.1 200 "));
        let died = store.write(|_| -> Result<(), StoreError> { panic!("for this test") }).await;
        assert!(died.is_err());
        // The queue is closed while the thread unwinds.
        while store.is_alive() {
            tokio::task::yield_now().await;
        }
        let answer = up().await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("restart"), "{answer}");
        stop.cancel();
        served.await.unwrap().unwrap();
    }
}
