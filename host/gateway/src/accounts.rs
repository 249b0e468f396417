//! Tenants and keys as a gateway knows them. [`book`] has all of them in memory and says whom a key lets in; [`feed`] fills it
//! from the near cluster, [`doors`] keeps those out who try too often, and [`entry`] says who comes in. [`tenants`], [`keys`], [`plans`], [`usage`] and [`me`] are the part of the API
//! about them.
//!
//! What takes a right away is never forgotten while this process lives, whatever becomes of the store: a database that was put
//! back to an earlier day gets its revocations again.

mod book;
mod doors;
mod entry;
mod feed;
mod keys;
mod me;
mod plans;
mod tenants;
mod usage;

pub(crate) use book::{Book, Refused};
pub(crate) use doors::Doors;
pub(crate) use entry::{enter, take};
pub(crate) use feed::Followed;
pub(crate) use tenants::{ended, reason, tenant};

use crate::routes::Routes;

/// What of the API is here.
pub(crate) fn routes() -> Routes {
    me::routes()
        .merge(tenants::routes())
        .merge(keys::routes())
        .merge(plans::routes())
        .merge(usage::routes())
}
