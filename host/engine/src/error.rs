//! Why an engine could not start, or had to end: nothing else ends it.

/// Why an engine could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The region has no document in the control database.
    #[error(
        "no region {0:?} in the store; 'blitz gateway --region {0}' or 'blitz up --region {0}' makes one"
    )]
    UnknownRegion(String),
    /// The store did not answer as it should.
    #[error("start engine: {0}")]
    Store(#[from] blitz_couchdb::Error),
    /// No random bytes.
    #[error("start engine: the system gives no random numbers: {0}")]
    Random(String),
    /// Another process has this engine's id, and was started later.
    #[error(
        "engine {id:?} was started a second time, by another process; this one has given its jobs back and ends. \
         Give each engine an id of its own with --id, or none"
    )]
    Replaced {
        /// The id of both.
        id: String,
    },
}
