//! Who may do what in a store: the names of roles, and what each database lets them do.
//!
//! [`security`] is who enters a database; [`matrix`] is who writes which documents in it, and [`validation()`] makes the
//! design document that sees to it. Both hold in every store alike, Apache CouchDB and the embedded one.
//!
//! # Who needs what
//!
//! | process | roles of its user | where |
//! |---|---|---|
//! | `blitz engine` | [`ENGINE`] and [`engine_of`] its region; its user's name is its engine id | home and hubs of its region |
//! | `blitz gateway` | [`GATEWAY`] and [`KEEPER`] | its own cluster, and the clusters that it submits to |
//! | replications | [`REPLICATOR`] | every cluster that they read from or write to |
//! | `blitz cluster`, `blitz region`, a gateway that rotates and mends | an administrator of the server | where databases and design documents are made |
//! | who only edits regions and clusters | [`OPERATOR`] | control |
//! | `blitz-boot`, which launches and ends machines of engines | [`SCALER`] | the homes of its fleet's regions |
//!
//! The gateway's user may only write: a gateway with it finds databases and design documents that an administrator has made
//! (`blitz region add`), and makes none. Replications of an Apache CouchDB are written by its administrator, who puts the
//! replicator's name and password into them.
//!
//! All clusters are one circle of trust: every administrator, and whoever has [`OPERATOR`] or [`REPLICATOR`] anywhere, writes
//! documents of clusters and regions, and so says where engines, gateways and replications send their passwords and
//! tokens. Give these roles only to whom you would give those.
//!
//! A user may have several roles, and then what any of them may. A name proves who writes: an engine's identity is the
//! name of its user (`sub` of its token), and nobody else writes what is an engine's own.

use serde_json::{Value, json};

use crate::region::DatabaseKind;

pub mod matrix;
mod validation;

pub use validation::{VALIDATION, install, is_validated, validation};

/// Runs jobs of one region: it has [`engine_of`] beside this.
pub const ENGINE: &str = "blitz-engine";

/// Submits jobs and reads what comes of them.
pub const GATEWAY: &str = "blitz-gateway";

/// Ends what no engine can.
pub const KEEPER: &str = "blitz-keeper";

/// Carries documents from cluster to cluster.
pub const REPLICATOR: &str = "blitz-replicator";

/// Makes regions and clusters.
pub const OPERATOR: &str = "blitz-operator";

/// Says how many engines there are: it asks them to leave, takes away what those left that are gone, and notes what it
/// launches. Accounts and the output of jobs it cannot read.
pub const SCALER: &str = "blitz-scaler";

/// The role of engines of one region, beside [`ENGINE`].
#[must_use]
pub fn engine_of(region: &str) -> String {
    format!("{ENGINE}-{region}")
}

/// The `_security` of a database: who may enter it. `region` is absent for those that are of no region.
#[must_use]
pub fn security(kind: DatabaseKind, region: Option<&str>) -> Value {
    let engine = region.map_or_else(|| ENGINE.to_owned(), engine_of);
    let mut roles = vec![engine.as_str(), GATEWAY, KEEPER, REPLICATOR, OPERATOR, SCALER];
    match kind {
        DatabaseKind::Beats => roles.retain(|&role| role != REPLICATOR),
        DatabaseKind::Accounts => roles.retain(|&role| role != engine && role != SCALER),
        DatabaseKind::Audit => roles.retain(|&role| role != engine),
        DatabaseKind::Output => roles.retain(|&role| role != SCALER),
        DatabaseKind::Control | DatabaseKind::Jobs | DatabaseKind::Engines => {}
    }
    json!({"admins": {"names": [], "roles": ["_admin"]}, "members": {"names": [], "roles": roles}})
}
