//! A job's documents: its inputs and its spec, each created once however often, and at however many places, it must be sent.
//!
//! The same body is the same revision everywhere, so that a job that was written in two clusters is one job when they meet.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blitz_couchdb::{Database, Put, PutOptions};
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

/// One job's documents.
pub(super) struct Papers<'a> {
    spec: Spec,
    /// What is too large to stand in the spec.
    large: Vec<&'a Content>,
}

/// How a job's documents were taken at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stored {
    /// By fewer copies than were asked, or nobody said by how many.
    Fewer,
    /// By as many as were asked.
    Enough,
}

/// Why documents were not taken.
#[derive(Debug)]
pub(super) enum NotStored {
    /// They cannot be, anywhere.
    Refused(Failure),
    /// This place did not do it.
    Store(blitz_couchdb::Error),
}

impl<'a> Papers<'a> {
    /// Puts small inputs into the spec.
    pub(super) fn new(mut spec: Spec, contents: &'a [Content]) -> Self {
        let mut large = Vec::new();
        let (mut next_piece, mut inlined) = (0, 0);
        for content in contents {
            let (name, bytes) = (content.name.clone(), content.bytes.len() as u64);
            let input = if inlined + content.bytes.len() <= INPUTS_INLINE_BYTES_MAX {
                inlined += content.bytes.len();
                Input { name, bytes, base64: Some(STANDARD.encode(&content.bytes)), pieces: None }
            } else {
                let count = content.bytes.chunks(INPUT_PIECE_BYTES).map(|_| 1).sum();
                let first = next_piece;
                next_piece += count;
                large.push(content);
                Input { name, bytes, base64: None, pieces: Some((first, count)) }
            };
            spec.inputs.push(input);
        }
        Self { spec, large }
    }

    /// Writes large inputs first and the spec last: whoever hears of the job finds all of it. `quorum` copies are to take
    /// each document. With `patience` each answer is waited for so long, once; without, what was lost is looked for.
    pub(super) async fn write(
        &self,
        jobs: &Database,
        quorum: Option<u32>,
        patience: Option<Duration>,
    ) -> Result<Stored, NotStored> {
        let options = PutOptions { quorum, timeout: patience };
        let pieces = self.large.iter().flat_map(|input| input.bytes.chunks(INPUT_PIECE_BYTES));
        let mut stored = Stored::Enough;
        for (number, piece) in (0..).zip(pieces) {
            let id = DocumentId::Input(self.spec.job.clone(), number).to_string();
            let piece = InputPiece {
                kind: InputKind::In,
                blitz: blitz_jobs::BUILD.to_owned(),
                base64: STANDARD.encode(piece),
            };
            stored = stored.min(create(jobs, &id, &piece, options).await?);
        }
        let id = DocumentId::Spec(self.spec.job.clone()).to_string();
        Ok(stored.min(create(jobs, &id, &self.spec, options).await?))
    }
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
    options: PutOptions,
) -> Result<Stored, NotStored> {
    let mut tries = 0;
    loop {
        tries += 1;
        match database.put(id, None, body, options).await {
            Ok(Put::Created(_)) => return Ok(Stored::Enough),
            // Fewer copies than asked took it, and will give it to the others.
            Ok(Put::Accepted(_)) => return Ok(Stored::Fewer),
            // With an earlier try of ours, or by replication, unless the body is another.
            Ok(Put::Conflict) => match is_stored(database, id, body).await {
                Ok(true) => return Ok(Stored::Fewer),
                Ok(false) => {
                    let reason = format!("{id} exists already");
                    return Err(NotStored::Refused(Failure::bad_request(reason)));
                }
                Err(error) => return Err(NotStored::Store(error)),
            },
            // With a limit there is another place, where the same is written at once.
            Err(error)
                if options.timeout.is_none()
                    && error.is_outcome_unknown()
                    && tries < CREATE_TRIES =>
            {
                tracing::warn!(id, %error, "no clear answer to a create, looking for it");
                match is_stored(database, id, body).await {
                    Ok(true) => return Ok(Stored::Fewer),
                    Ok(false) => {}
                    Err(error) => tracing::warn!(id, %error, "cannot look for a document"),
                }
                tokio::time::sleep(CREATE_AGAIN).await;
            }
            Err(error) => return Err(NotStored::Store(error)),
        }
    }
}

/// Whether the store has this very document.
async fn is_stored<T: Serialize + Sync>(
    database: &Database,
    id: &str,
    body: &T,
) -> Result<bool, blitz_couchdb::Error> {
    let Ok(wanted) = serde_json::to_value(body) else { return Ok(false) };
    let stored = database.get::<serde_json::Value>(id).await?;
    Ok(stored.is_some_and(|stored| stored.body == wanted))
}
