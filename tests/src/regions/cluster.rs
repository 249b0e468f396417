//! One cluster: an embedded store in memory, which can be lost and made anew at its address.

use std::net::SocketAddr;

use blitz_couchdb::Client;
use blitz_embedded::{Admin, Options, Storage, Store};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The administrator of all stores.
const ADMIN: (&str, &str) = ("world", "of-a-test");

/// A store that runs.
#[derive(Debug)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Where it listens, without any link between.
    pub address: SocketAddr,
    /// A client of the story itself, which nothing cuts off.
    pub client: Client,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Cluster {
    pub(super) async fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self::serve(name, listener)
    }

    fn serve(name: &str, listener: TcpListener) -> Self {
        let address = listener.local_addr().expect("an address");
        let admin = Admin { name: ADMIN.0.to_owned(), password: ADMIN.1.to_owned() };
        let options = Options { admins: vec![admin], ..Options::default() };
        let store = Store::open(Storage::Memory, options).expect("a store in memory");
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            blitz_embedded::serve(store, listener, stopped).await.expect("a store that serves");
        });
        let client = Client::new(entered(address)).expect("an address");
        Self { name: name.to_owned(), address, client, stop, task }
    }

    /// Loses everything that it had; an empty one of another identity is at its address when this returns.
    pub(super) async fn wipe(self) -> Self {
        self.stop.cancel();
        self.task.await.expect("a store that ends in order");
        let address = self.address;
        let listener = crate::until("the port of the store is free again", || async {
            TcpListener::bind(address).await.ok()
        })
        .await;
        Self::serve(&self.name, listener)
    }
}

/// An address with name and password.
pub(super) fn entered(address: SocketAddr) -> String {
    let (name, password) = ADMIN;
    format!("http://{name}:{password}@{address}")
}
