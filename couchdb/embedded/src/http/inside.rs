//! Connections from inside this process: pipes in memory, served as sockets are, but whose user is known.

use super::{Caller, call::Server, serve_http};
use crate::user::User;
use std::sync::Arc;
use tokio::{io::DuplexStream, sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// Serves the pipes that come, until no more can. Dropped, it cuts them.
pub(crate) async fn serve(
    server: Arc<Server>,
    user: Arc<User>,
    mut pipes: mpsc::Receiver<DuplexStream>,
) {
    // Who opened the pipes decides when they end, and so the last requests of those who stop with the
    // server are still answered.
    let never = CancellationToken::new();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            pipe = pipes.recv() => match pipe {
                Some(pipe) => {
                    let (server, user) = (Arc::clone(&server), Caller::Inside(Arc::clone(&user)));
                    let never = never.clone();
                    connections.spawn(async move { serve_http(server, user, pipe, &never).await });
                }
                None => break,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    while connections.join_next().await.is_some() {}
}
