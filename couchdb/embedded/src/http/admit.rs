//! The door that every edit of a document goes through before the store sees it.
//!
//! What is decided here depends on who writes and on documents that are there already. The store's
//! writer decides about revisions alone, and does so afterwards.

use super::{call::Call, refusal::Refusal, security, users, validate};
use crate::{
    replicator::{documents, door},
    store::{database::Database, edit::Edit},
};
use http::StatusCode;
use std::sync::Arc;

/// Lets edits through, some of them changed, or says of each why not. The order stays.
pub(crate) async fn admit(
    call: &Call,
    database: &Arc<Database>,
    edits: Vec<Edit>,
) -> Result<Vec<Result<Edit, Refusal>>, Refusal> {
    let mut admitted = Vec::with_capacity(edits.len());
    for edit in edits {
        admitted.push(match security::may_edit(&call.user, database, &edit) {
            Ok(()) => by_rules_of_system(call, database, edit).await,
            Err(refusal) => Err(refusal),
        });
    }
    validate::validate(call, database, admitted).await
}

/// What `_users` and `_replicator` make of an edit.
async fn by_rules_of_system(
    call: &Call,
    database: &Arc<Database>,
    edit: Edit,
) -> Result<Edit, Refusal> {
    if users::is_users(&database.name) {
        return users::admit(call, database, edit).await;
    }
    if database.name == documents::REPLICATOR {
        return door::admit(&call.user, call.store().uuid(), edit).map_err(|refused| {
            Refusal::new(StatusCode::FORBIDDEN, "forbidden", refused.to_string())
        });
    }
    Ok(edit)
}
