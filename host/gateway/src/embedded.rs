//! Real stores for the tests of this crate: embedded ones, whose administrator asks.

use std::net::SocketAddr;
use std::time::Duration;

use blitz_couchdb::Client;
use blitz_embedded::{Admin, Options, Storage, Store, serve};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Everything here takes seconds at most; a machine that is very busy may need longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often a condition that must come is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A store, until it is stopped or dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) client: Client,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Server {
    /// A new one in memory.
    pub(crate) async fn start() -> Self {
        Self::open(Storage::Memory, "127.0.0.1:0".parse().unwrap()).await
    }

    /// One on disk, or at the address that it had.
    pub(crate) async fn open(storage: Storage, at: SocketAddr) -> Self {
        let (name, password) = ("admin".to_owned(), "pw".to_owned());
        let options = Options { admins: vec![Admin { name, password }], ..Options::default() };
        let store = Store::open(storage, options).unwrap();
        let listener = TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serves = serve(store, listener, stop.clone());
        let task = tokio::spawn(async move {
            serves.await.unwrap();
        });
        let client = Client::new(format!("http://admin:pw@{address}")).unwrap();
        Self { address, client, stop, task: Some(task) }
    }

    /// Without name and password.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        self.task.take().unwrap().await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Looks until it is so, but not for ever.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let comes = async {
        while !is_so().await {
            tokio::time::sleep(LOOK).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, comes).await.is_ok(), "it never came: {what}");
}
