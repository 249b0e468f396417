//! Views: what can be asked of a region's databases by any client of the store.
//!
//! | database | view of its design document | key | value |
//! |---|---|---|---|
//! | jobs | `waiting` | `region` | how many jobs wait for an engine, with `group=true` |
//! | jobs | `jobs` | `[tenant, day, hour]` | how many were asked for, with `group=true` or a `group_level` |
//! | output | `hits` | `[job, second]` | `[hits, errors, timeouts, sent_bytes, received_bytes]`, with `group=true` |
//! | output | `latency` | `[job, second, bucket_us]` | how many answers took so long, with `group=true` |
//! | engines | `alive` | `engine` | `[counter, slots, build, gone]`, a row an engine |
//!
//! The functions in `design/` say what is in them, and run on Apache CouchDB and on the embedded store alike. A document
//! has a number: another content is another number, so that two versions of blitz serve side by side while one is
//! replaced. Keys are narrow and values are short, as a reduce that grows is an error inside a 200. Nothing in blitz itself
//! is decided by a view: an index may be behind. Each cluster has its own: design documents are not replicated.

use blitz_couchdb::{AllDocs, Client, Database, Error, Put, PutOptions};
use serde_json::{Value, json};

use crate::read;
use crate::region::{CONTROL, DatabaseKind, Region};

/// The id of the document in databases of jobs.
pub const JOBS_DESIGN: &str = "_design/blitz-1";

/// The id of the document in databases of output.
pub const OUTPUT_DESIGN: &str = "_design/blitz-1";

/// The id of the document in databases of engines.
pub const ENGINES_DESIGN: &str = "_design/blitz-1";

const WAITING: &str = include_str!("../design/waiting.js");
const JOBS: &str = include_str!("../design/jobs.js");
const HITS: &str = include_str!("../design/hits.js");
const LATENCY: &str = include_str!("../design/latency.js");
const ALIVE: &str = include_str!("../design/alive.js");

/// The design document of databases of jobs.
#[must_use]
pub fn jobs() -> Value {
    document(&json!({
        "waiting": {"map": WAITING, "reduce": "_sum"},
        "jobs": {"map": JOBS, "reduce": "_sum"},
    }))
}

/// The design document of databases of output: what happens in load tests, while they run. All attempts of a job are
/// summed: what must not run twice has one.
#[must_use]
pub fn output() -> Value {
    document(&json!({
        "hits": {"map": HITS, "reduce": "_sum"},
        "latency": {"map": LATENCY, "reduce": "_sum"},
    }))
}

/// The design document of databases of engines.
#[must_use]
pub fn engines() -> Value {
    document(&json!({"alive": {"map": ALIVE}}))
}

fn document(views: &Value) -> Value {
    // An index is made when somebody asks for it, and not beside every job.
    json!({"language": "javascript", "autoupdate": false, "views": views})
}

/// The design document of this kind of database and its id, for those that have views.
#[must_use]
pub fn of(kind: DatabaseKind) -> Option<(&'static str, Value)> {
    match kind {
        DatabaseKind::Jobs => Some((JOBS_DESIGN, jobs())),
        DatabaseKind::Output => Some((OUTPUT_DESIGN, output())),
        DatabaseKind::Engines => Some((ENGINES_DESIGN, engines())),
        DatabaseKind::Control
        | DatabaseKind::Beats
        | DatabaseKind::Accounts
        | DatabaseKind::Audit => None,
    }
}

/// The ids of the design documents that a database has.
///
/// # Errors
///
/// What the store answers.
pub async fn installed(database: &Database) -> Result<Vec<String>, Error> {
    let query = AllDocs { include_docs: false, ..read::range("_design/", "_design0") };
    let rows = database.all_docs::<Value>(&query).await?.rows;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Puts the views of a region's database into it; its name says which. One that is there stays.
///
/// # Errors
///
/// What the store answers.
pub async fn install(database: &Database) -> Result<(), Error> {
    let Some((id, design)) = DatabaseKind::of(database.name()).and_then(of) else { return Ok(()) };
    match database.put(id, None, &design, PutOptions::default()).await? {
        Put::Created(_) | Put::Accepted(_) | Put::Conflict => Ok(()),
    }
}

/// Puts the views into the databases of all regions that the store has. Without them everything else works: what cannot
/// be done is logged.
pub(crate) async fn install_everywhere(store: &Client) {
    let control = store.database(CONTROL);
    let regions = match read::list::<Region>(&control, read::range("region:", "region;")).await {
        Ok(regions) => regions,
        Err(error) => return tracing::warn!(%error, "the views are not installed"),
    };
    let databases = |region: Region| {
        let own = region.jobs_databases().chain(region.output_databases());
        own.chain([region.engines_database()]).collect::<Vec<_>>()
    };
    for name in regions.into_iter().flat_map(|(_, _, region)| databases(region)) {
        match install(&store.database(&name)).await {
            Ok(()) => {}
            // Who only serves leaves it to operators, whose doctor tells them.
            Err(error @ (Error::Unauthorized { .. } | Error::Forbidden { .. })) => {
                tracing::debug!(database = name, %error, "the views are not installed");
            }
            Err(error) => tracing::warn!(database = name, %error, "the views are not installed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_installed_once_never_changes_under_its_number() {
        for (id, functions, wanted) in [
            (OUTPUT_DESIGN, [HITS, LATENCY].concat(), "8e7fb46d2a0d86f3"),
            (JOBS_DESIGN, [WAITING, JOBS].concat(), "288510aca33fadfb"),
            (ENGINES_DESIGN, ALIVE.to_owned(), "aa1c578fc54a2f73"),
        ] {
            assert_eq!(
                &blake3::hash(functions.as_bytes()).to_hex()[..16],
                wanted,
                "stores have {id} with another content: give the new one the next number, and the digest here"
            );
        }
    }
}
