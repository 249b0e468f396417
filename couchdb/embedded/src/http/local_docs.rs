//! `_local_docs`: `_local` documents in the order of their ids.

use super::{
    asked::Asked,
    call::Server,
    reply::{self, Broken, Pieces},
};
use crate::{
    document::render,
    store::{
        database::Database,
        list::{Detail, End},
        local::Local,
    },
};
use serde_json::{Value, json};

/// Writes `{"total_rows": null, "offset": null, "rows": [..]}`: as in CouchDB they are not counted.
pub(super) async fn write(
    server: &Server,
    database: &Database,
    asked: Asked,
    pieces: &Pieces,
    text: &mut Vec<u8>,
) -> Result<(), Broken> {
    text.extend_from_slice(b"{\"total_rows\":null,\"offset\":null");
    if asked.update_seq {
        text.extend_from_slice(b",\"update_seq\":null");
    }
    text.extend_from_slice(b",\"rows\":[");
    match asked.keys.clone() {
        Some(keys) => write_keys(server, database, &asked, keys, pieces, text).await?,
        None => write_range(server, database, asked, pieces, text).await?,
    }
    text.extend_from_slice(b"\n]}");
    Ok(())
}

async fn write_range(
    server: &Server,
    database: &Database,
    asked: Asked,
    pieces: &Pieces,
    text: &mut Vec<u8>,
) -> Result<(), Broken> {
    let Asked { mut range, mut skip, mut limit, detail, .. } = asked;
    let mut first = true;
    while limit > 0 {
        let read = server.store.locals(database, range.clone(), skip, limit, detail.documents);
        let page = read.await.map_err(|_| Broken)?;
        let Some(last) = page.last() else { break };
        let next = End::Beside(last.id.clone());
        *(if range.descending { &mut range.high } else { &mut range.low }) = next;
        skip = 0;
        limit = limit.saturating_sub(u64::try_from(page.len()).unwrap_or(u64::MAX));
        for local in page {
            let key = Value::from(local.id.as_str());
            write_row(text, std::mem::take(&mut first), &key, Some(&local), detail);
            reply::flush(pieces, text, false).await?;
        }
    }
    Ok(())
}

async fn write_keys(
    server: &Server,
    database: &Database,
    asked: &Asked,
    mut keys: Vec<Value>,
    pieces: &Pieces,
    text: &mut Vec<u8>,
) -> Result<(), Broken> {
    if asked.range.descending {
        keys.reverse();
    }
    let skip = usize::try_from(asked.skip).unwrap_or(usize::MAX);
    let limit = usize::try_from(asked.limit).unwrap_or(usize::MAX);
    let mut first = true;
    for key in keys.iter().skip(skip).take(limit) {
        let id = key.as_str().unwrap_or("").to_owned();
        let local = server.store.local(database, id).await.map_err(|_| Broken)?;
        write_row(text, std::mem::take(&mut first), key, local.as_ref(), asked.detail);
        reply::flush(pieces, text, false).await?;
    }
    Ok(())
}

fn write_row(text: &mut Vec<u8>, first: bool, key: &Value, local: Option<&Local>, detail: Detail) {
    text.extend_from_slice(if first { b"\n" } else { b",\n" });
    let Some(local) = local else {
        text.extend_from_slice(b"{\"key\":");
        render::append(text, key);
        text.extend_from_slice(b",\"error\":\"not_found\"}");
        return;
    };
    let revision = format!("0-{}", local.revision);
    let row = json!({"id": local.id, "key": key, "value": {"rev": revision}}).to_string();
    text.extend_from_slice(row.strip_suffix('}').unwrap_or(&row).as_bytes());
    if detail.documents {
        text.extend_from_slice(b",\"doc\":");
        text.extend_from_slice(&local.render());
    }
    text.push(b'}');
}
