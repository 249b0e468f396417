//! Who may ask for what: tenants, their keys, plans and targets, what they used, and what was done. All of it is for gateways,
//! keepers and operators alone; engines and tenants never enter these databases.
//!
//! | database | document | what it says |
//! |---|---|---|
//! | [`ACCOUNTS`] | `tenant:<name>` | a tenant and its plan ([`Tenant`]) |
//! | | `plan:<name>` | what tenants of this plan may use ([`Plan`]) |
//! | | `key:<id>` | an API key, as a hash, and what it may be used for ([`Key`]) |
//! | | `target:<tenant>:<host>` | a host that a tenant says is its own, and whether that was proved ([`Target`]) |
//! | | `usage:<tenant>:<hour>:<gateway>` | what a tenant used in an hour, as one gateway counted it ([`usage`]; [`quota`] decides by it, [`Tally`] counts) |
//! | | `revoked:<what>:<name>` | a right that is taken back: created once, and deny wins ([`Revoked`]) |
//! | [`AUDIT`] | `audit:<tenant>:<ulid>` | who ran what against whom, from where, and what became of it ([`audit`]) |
//!
//! Both databases are in every cluster and go both ways between all of them. What takes a right away is a document of its own,
//! as an edited one could lose a conflict and give the right back. Nothing here is a secret that could be used: of a key there is
//! its hash alone.

pub mod audit;
mod key;
mod plan;
pub mod quota;
mod revoked;
mod store;
mod tally;
mod target;
mod tenant;
pub mod usage;

pub use key::{Key, KeyId, KeyKind, Scopes, Secret};
pub use plan::{Plan, PlanKind, UNLIMITED};
pub use revoked::{REASON_CHARS_MAX, Revoked, RevokedKind, Subject};
pub use store::{Changed, Changing};
pub use tally::{Due, Tally};
pub use target::{HostError, PROVED_FOR, Target, TargetHost, TargetKind, TargetState};
pub use tenant::{Tenant, TenantKind};

/// The database of accounts.
pub const ACCOUNTS: &str = "blitz-accounts";

/// The database of what was done.
pub const AUDIT: &str = "blitz-audit";

/// Characters of the longest name of a tenant, a user or a plan: it stands in ids and in keys of views.
pub const NAME_CHARS_MAX: usize = 32;

/// Whether a text can be the name of a tenant, a user or a plan: 1 to 32 of a-z, 0-9 and `-`, a letter first.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
