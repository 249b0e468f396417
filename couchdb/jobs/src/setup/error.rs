//! Why something could not be set up: each with the thing, the limit and the next step.

use blitz_couchdb::Error;

use crate::id::BadName;

/// Why a store, a cluster or a region could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The name cannot be one of a region or of a cluster.
    #[error(transparent)]
    Region(#[from] BadName),
    /// The store did not do it.
    #[error("set up the store: could not {0}")]
    Store(#[from] Error),
    /// A cluster did not do it.
    #[error("set up cluster '{cluster}': could not {source}")]
    Cluster {
        /// Which cluster.
        cluster: String,
        /// What came of it.
        source: Error,
    },
    /// A cluster that must answer does not.
    #[error(
        "cluster '{cluster}' does not answer: could not {source}; start it, or mend the way to it, and run this again"
    )]
    Silent {
        /// Which cluster.
        cluster: String,
        /// What came instead of an answer.
        source: Error,
    },
    /// Nobody has told this process how to enter a cluster.
    #[error(
        "cluster '{cluster}' cannot be entered from here: write [{cluster}] with its url, user and password into the clusters file"
    )]
    NoEntry {
        /// Which cluster.
        cluster: String,
    },
    /// Databases are made by administrators of the server.
    #[error(
        "cluster '{cluster}' is entered without an operator's rights: give it an administrator's user and password and \
         operator = true in the clusters file"
    )]
    NotOperator {
        /// Which cluster.
        cluster: String,
    },
    /// The one store has no name.
    #[error(
        "the near store has no name, and other clusters would not know what to call it: give --cluster NAME"
    )]
    NoName,
    /// No document of this name.
    #[error(
        "no cluster '{name}'; known: {known}; add it with 'blitz cluster add {name} --url URL'"
    )]
    UnknownCluster {
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// No document of this name.
    #[error(
        "no region '{name}'; known: {known}; make it with 'blitz region add {name} --home CLUSTER'"
    )]
    UnknownRegion {
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// A region has a home, from its first day.
    #[error("region '{region}' needs a home: give --home CLUSTER; known: {known}")]
    NoHome {
        /// Which region.
        region: String,
        /// The clusters that there are.
        known: String,
    },
    /// The home would replicate to itself.
    #[error(
        "region '{region}': cluster '{cluster}' is its home and cannot be its hub, too: leave it out of --hub"
    )]
    HubIsHome {
        /// Which region.
        region: String,
        /// Which cluster.
        cluster: String,
    },
    /// Two regions would answer to one word.
    #[error(
        "region '{region}': the word '{word}' means region '{other}' already; leave it out, or take it from there first"
    )]
    Word {
        /// Which region.
        region: String,
        /// Which word.
        word: String,
        /// Whose it is.
        other: String,
    },
    /// A region of this name is there, and is another.
    #[error(
        "region '{region}' is there already, with another {differs}; change it with 'blitz region set {region}', or its home \
         with 'blitz region move {region} --to CLUSTER'"
    )]
    Duplicate {
        /// Which region.
        region: String,
        /// What is not as it was asked for.
        differs: String,
    },
    /// A server that lacks what blitz needs.
    #[error(
        "cluster '{cluster}' is CouchDB {version}, and blitz needs 3.3 or later: earlier ones replicate each document by a \
         request of its own (no _bulk_get), which is too slow for the output of jobs, and get no security fixes; upgrade it"
    )]
    Version {
        /// Which cluster.
        cluster: String,
        /// Its version.
        version: String,
    },
    /// Another server than the one that was added.
    #[error(
        "cluster '{cluster}' answers at {url} as another server: its uuid is {found}, and {wanted} was added; mend its \
         address, or, if it was wiped or replaced, run 'blitz cluster add {cluster} --url {url} --renew': jobs that it had \
         begun and that must not run twice end as lost"
    )]
    Identity {
        /// Which cluster.
        cluster: String,
        /// Where it answered.
        url: String,
        /// The uuid of its document.
        wanted: String,
        /// The uuid that it has.
        found: String,
    },
    /// One server under two names would replicate to itself, round and round.
    #[error(
        "clusters '{cluster}' and '{other}' are the same server (uuid {uuid}): a replication between them would be a loop; \
         mend the url of one of them"
    )]
    Twins {
        /// The one.
        cluster: String,
        /// The other.
        other: String,
        /// Who they are.
        uuid: String,
    },
    /// A database whose claims would count otherwise than those of others.
    #[error(
        "database {database} of cluster '{cluster}' keeps {found} copies of each document (n), and the cluster was added with \
         {wanted}: make the cluster whole again, or move its regions away, drop the database there and run this again"
    )]
    Copies {
        /// Which cluster.
        cluster: String,
        /// Which database.
        database: String,
        /// Its n.
        found: u32,
        /// The n of the cluster's document.
        wanted: u32,
    },
    /// Beats of two clusters in one database: engines that are dead would seem alive, and the reverse.
    #[error(
        "cluster '{cluster}' replicates beats by its document '{document}' of _replicator: beats are true in one cluster \
         only; delete that document and run this again"
    )]
    Beats {
        /// Which cluster.
        cluster: String,
        /// Which document.
        document: String,
    },
    /// Somebody else wrote the same document.
    #[error(
        "document '{document}' of cluster '{cluster}' was changed by somebody else in this moment: run this again"
    )]
    Changed {
        /// Which cluster.
        cluster: String,
        /// Which document.
        document: String,
    },
    /// The system has no randomness for a password.
    #[error("make a password: the system's random source does not answer")]
    Random,
}

impl SetupError {
    /// An answer of a cluster that was not the wanted one, or none.
    pub(super) fn of(cluster: &str, source: Error) -> Self {
        let cluster = cluster.to_owned();
        match source {
            Error::Unreachable { .. } | Error::Timeout { .. } => Self::Silent { cluster, source },
            source => Self::Cluster { cluster, source },
        }
    }
}
