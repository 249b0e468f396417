//! A simulated network: a client whose connections a test accepts from memory, while time stands still.

use tokio::io::DuplexStream;
use tokio::sync::mpsc;

use crate::client::{Client, Config};
use crate::connection::Dial;

#[path = "../tests/tcp/script.rs"]
pub(crate) mod wire;

pub(crate) type Wire = wire::Wire<DuplexStream>;

/// Connections that wait to be accepted; the next one hangs, as with a server that is too busy.
const BACKLOG: usize = 1;

/// The listening side.
pub(crate) struct Network(mpsc::Receiver<DuplexStream>);

impl Network {
    /// A client with these settings and the server that it reaches.
    pub(crate) fn with(config: Config) -> (Client, Self) {
        let (dial, listener) = mpsc::channel(BACKLOG);
        (Client::through(config, Dial::Pipes(dial)).unwrap(), Self(listener))
    }

    /// A client with the defaults.
    pub(crate) fn new() -> (Client, Self) {
        Self::with(Config::new("http://couch:5984"))
    }

    /// The next connection of the client.
    pub(crate) async fn accept(&mut self) -> Wire {
        Wire::new(wire::soon(self.0.recv()).await.expect("the client is gone"))
    }
}
