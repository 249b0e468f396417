//! A document whose attachments are too large to travel in base64: they are fetched one by one, and sent
//! behind the document as the bytes that they are.

use super::{patience::Patience, run::RunError};
use crate::{
    document::{object, render},
    store::database::random_id,
};
use blitz_couchdb::{Database, Error, Wanted};
use serde_json::value::RawValue;

/// Brings one revision from the source to the target. `document` is its text with stubs.
pub(super) async fn carry(
    source: &Database,
    target: &Database,
    patience: Patience,
    wanted: &Wanted,
    document: &RawValue,
) -> Result<(), RunError> {
    let boundary = random_id();
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    let unread = || RunError::from(unread(wanted));
    let members = object::members(document.get()).ok().flatten().ok_or_else(unread)?;
    for (name, value) in &members.0 {
        head.push(if head.is_empty() { b'{' } else { b',' });
        render::append(&mut head, name);
        head.push(b':');
        if name != "_attachments" {
            head.extend_from_slice(value.get().as_bytes());
            continue;
        }
        let attachments = object::members(value.get()).ok().flatten().ok_or_else(unread)?;
        head.push(b'{');
        for (index, (name, told)) in attachments.0.iter().enumerate() {
            let fetch = || source.attachment_of(wanted, name);
            let bytes = patience.with(fetch).await?.ok_or_else(unread)?;
            if index > 0 {
                head.push(b',');
            }
            render::append(&mut head, name);
            head.push(b':');
            head.extend_from_slice(&follows(told, bytes.len()).ok_or_else(unread)?);
            tail.extend_from_slice(format!("\r\n--{boundary}\r\n\r\n").as_bytes());
            tail.extend_from_slice(&bytes);
        }
        head.push(b'}');
    }
    head.push(b'}');
    let mut parts = format!("--{boundary}\r\nContent-Type: application/json\r\n\r\n").into_bytes();
    parts.append(&mut head);
    parts.append(&mut tail);
    parts.extend_from_slice(format!("\r\n--{boundary}--").as_bytes());
    let parts = bytes::Bytes::from(parts);
    patience.with(|| target.merge_parts(&wanted.id, &boundary, parts.clone())).await?;
    Ok(())
}

/// What is told of an attachment whose bytes follow.
fn follows(told: &RawValue, length: usize) -> Option<Vec<u8>> {
    let told = object::members(told.get()).ok().flatten()?;
    let seen = serde_json::json!({
        "content_type": told.read::<String>("content_type")?,
        "revpos": told.read::<u64>("revpos")?,
        "length": length,
        "follows": true,
    });
    serde_json::to_vec(&seen).ok()
}

/// The source says something else than it said a moment ago, or something that is no document.
fn unread(wanted: &Wanted) -> Error {
    Error::Invalid {
        what: "a document with attachments",
        value: wanted.id.clone(),
        reason: String::from("its attachments cannot be read one by one"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Storage, Store, serve};
    use blitz_couchdb::{Client, Fetched};
    use bytes::Bytes;
    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;

    async fn database() -> Database {
        let store = Store::open(Storage::Memory, Options::default()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(store, listener, CancellationToken::new()));
        let database = Client::new(&url).unwrap().database("db");
        database.create().await.unwrap();
        database
    }

    #[tokio::test]
    async fn attachments_travel_one_by_one_and_keep_their_revision() {
        let (source, target) = (database().await, database().await);
        let mut revision = None;
        for (name, kind, bytes) in [
            ("a text", "text/plain", Bytes::from("words ".repeat(1000))),
            ("b/c", "application/octet-stream", Bytes::from(vec![7; 300_000])),
            ("empty", "image/png", Bytes::new()),
        ] {
            let put = source.put_attachment("a doc", name, revision.as_ref(), kind, bytes).await;
            let blitz_couchdb::Put::Created(next) = put.unwrap() else { panic!("{name}") };
            revision = Some(next);
        }
        let wanted = Wanted { id: String::from("a doc"), revision: revision.unwrap() };
        let seen = async |database: &Database, with_bytes| {
            let fetched = database.fetch(std::slice::from_ref(&wanted), with_bytes).await.unwrap();
            let Some(Fetched::Found { document, .. }) = fetched.into_iter().next() else {
                panic!("it is there")
            };
            document
        };
        let stubs = seen(&source, false).await;
        carry(&source, &target, Patience::default(), &wanted, &stubs).await.unwrap();
        assert_eq!(seen(&source, true).await.get(), seen(&target, true).await.get());
    }
}
