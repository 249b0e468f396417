//! A job's documents: its inputs and its spec, each created once however often it must be sent.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blitz_couchdb::{Client, Database, Put, PutOptions};
use blitz_jobs::Spec;
use blitz_jobs::id::DocumentId;
use blitz_jobs::spec::{INPUT_PIECE_BYTES, INPUTS_INLINE_BYTES_MAX, Input, InputKind, InputPiece};
use serde::Serialize;

use crate::failure::Failure;

/// An input as it came, decoded.
pub(super) struct Content {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// Writes large inputs first and the spec last: whoever hears of the job finds all of it.
pub(super) async fn write(
    store: &Client,
    mut spec: Spec,
    contents: &[Content],
) -> Result<(), Failure> {
    let jobs = store.database(&spec.job.jobs_database());
    let mut next_piece = 0;
    let mut inlined = 0;
    for content in contents {
        let bytes = content.bytes.len() as u64;
        let name = content.name.clone();
        if inlined + content.bytes.len() <= INPUTS_INLINE_BYTES_MAX {
            inlined += content.bytes.len();
            let base64 = Some(STANDARD.encode(&content.bytes));
            spec.inputs.push(Input { name, bytes, base64, pieces: None });
            continue;
        }
        let first = next_piece;
        for piece in content.bytes.chunks(INPUT_PIECE_BYTES) {
            let id = DocumentId::Input(spec.job.clone(), next_piece).to_string();
            let piece = InputPiece {
                kind: InputKind::In,
                blitz: blitz_jobs::BUILD.to_owned(),
                base64: STANDARD.encode(piece),
            };
            create(&jobs, &id, &piece).await?;
            next_piece += 1;
        }
        spec.inputs.push(Input {
            name,
            bytes,
            base64: None,
            pieces: Some((first, next_piece - first)),
        });
    }
    let id = DocumentId::Spec(spec.job.clone()).to_string();
    create(&jobs, &id, &spec).await
}

/// A create whose answer was lost is looked for, and sent again, so many times in all.
const CREATE_TRIES: u32 = 3;

/// Between two tries: a store that restarts takes about a second.
const CREATE_AGAIN: Duration = Duration::from_millis(300);

/// Creates a document that nobody else creates. Doing it again is harmless: the same body is the same revision.
async fn create<T: Serialize + Sync>(
    database: &Database,
    id: &str,
    body: &T,
) -> Result<(), Failure> {
    let mut tries = 0;
    loop {
        tries += 1;
        match database.put(id, None, body, PutOptions::default()).await {
            // Fewer copies than asked took it, and will give it to the others.
            Ok(Put::Created(_) | Put::Accepted(_)) => return Ok(()),
            // With an earlier try of ours, unless the body is another.
            Ok(Put::Conflict) if tries > 1 && is_stored(database, id, body).await => return Ok(()),
            Ok(Put::Conflict) => {
                return Err(Failure::bad_request(format!("{id} exists already")));
            }
            Err(error) if error.is_outcome_unknown() && tries < CREATE_TRIES => {
                tracing::warn!(id, %error, "no clear answer to a create, looking for it");
                if is_stored(database, id, body).await {
                    return Ok(());
                }
                tokio::time::sleep(CREATE_AGAIN).await;
            }
            Err(error) => return Err(Failure::store(&error)),
        }
    }
}

/// Whether the store has this very document.
async fn is_stored<T: Serialize + Sync>(database: &Database, id: &str, body: &T) -> bool {
    let Ok(wanted) = serde_json::to_value(body) else { return false };
    match database.get::<serde_json::Value>(id).await {
        Ok(Some(stored)) => stored.body == wanted,
        Ok(None) => false,
        Err(error) => {
            tracing::warn!(id, %error, "cannot look for a document");
            false
        }
    }
}
