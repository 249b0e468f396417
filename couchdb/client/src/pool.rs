//! Connections that wait for the next request.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::Connection;

/// How long a connection may wait before it is closed instead of used.
///
/// Well below the 5 minutes after which CouchDB closes it (and the 60 s of common load balancers), so
/// that a write seldom meets a connection that the server is closing: it could not be repeated.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// The idle connections of one client, the last used on top.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    /// The connection that was used last and is still open.
    pub(crate) fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        prune(&mut idle);
        idle.pop().map(|idle| idle.connection)
    }

    /// Keeps a connection whose last response was read to its end.
    ///
    /// There are never more of them than requests were under way at once, which the client limits.
    pub(crate) fn put_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        prune(&mut idle);
        if !connection.is_closed() {
            idle.push(Idle { connection, since: Instant::now() });
        }
    }
}

fn prune(idle: &mut Vec<Idle>) {
    idle.retain(|idle| !idle.connection.is_closed() && idle.since.elapsed() < IDLE_MAX);
}
