//! Embedded stores on loopback, each a cluster with a name; they stop, come back and are wiped.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use blitz_couchdb::{Client, Config};
use blitz_embedded::{Admin, Options, Storage, Store, serve};
use blitz_jobs::cluster::Clusters;
use blitz_jobs::setup::Operators;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::PATIENCE;

/// How often a condition that must come is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Looks until it is so, but not for ever.
pub(super) async fn until(mut is_so: impl AsyncFnMut() -> bool) -> bool {
    let end = Instant::now() + PATIENCE;
    while !is_so().await {
        if Instant::now() > end {
            return false;
        }
        tokio::time::sleep(LOOK).await;
    }
    true
}

/// Some clusters.
pub(super) struct Site {
    stores: BTreeMap<String, One>,
}

struct One {
    address: SocketAddr,
    store: Arc<Store>,
    running: Option<(CancellationToken, JoinHandle<std::io::Result<()>>)>,
}

fn store() -> Arc<Store> {
    let admin = Admin { name: "a".to_owned(), password: "b".to_owned() };
    Store::open(Storage::Memory, Options { admins: vec![admin], ..Options::default() }).unwrap()
}

impl One {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut one = Self { address, store: store(), running: None };
        one.serve(listener);
        one
    }

    fn serve(&mut self, listener: TcpListener) {
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(Arc::clone(&self.store), listener, stop.clone()));
        self.running = Some((stop, task));
    }

    async fn stop(&mut self) {
        if let Some((stop, task)) = self.running.take() {
            stop.cancel();
            task.await.unwrap().unwrap();
        }
    }

    async fn resume(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serve(listener);
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for One {
    fn drop(&mut self) {
        if let Some((stop, _)) = &self.running {
            stop.cancel();
        }
    }
}

impl Site {
    pub(super) async fn start(names: &[&str]) -> Self {
        let mut stores = BTreeMap::new();
        for &name in names {
            stores.insert(name.to_owned(), One::start().await);
        }
        Self { stores }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.stores.keys().cloned().collect()
    }

    pub(super) fn urls(&self) -> BTreeMap<String, String> {
        self.stores.iter().map(|(name, one)| (name.clone(), one.url())).collect()
    }

    /// A client with an administrator's rights.
    pub(super) fn client(&self, name: &str) -> Client {
        client(&self.stores[name].url())
    }

    /// An operator beside the first cluster.
    pub(super) fn operators(&self) -> Operators {
        self.operators_near(&self.names()[0])
    }

    pub(super) fn operators_near(&self, near: &str) -> Operators {
        let others = self.names().into_iter().filter(|name| name != near);
        let others = others.map(|name| (name.clone(), self.client(&name))).collect();
        let clusters = Clusters::new(near, self.client(near), others);
        Operators { clusters, names: BTreeSet::from_iter(self.names()) }
    }

    pub(super) async fn stop(&mut self, name: &str) {
        self.one(name).stop().await;
    }

    pub(super) async fn resume(&mut self, name: &str) {
        self.one(name).resume().await;
    }

    /// Another server with nothing in it takes the place of this one.
    pub(super) async fn wipe(&mut self, name: &str) {
        let one = self.one(name);
        one.stop().await;
        one.store = store();
        one.resume().await;
    }

    fn one(&mut self, name: &str) -> &mut One {
        self.stores.get_mut(name).unwrap()
    }
}

pub(super) fn client(url: &str) -> Client {
    let with_admin = url.replacen("http://", "http://a:b@", 1);
    // A store that was stopped refuses at once; nothing here waits for a lost packet.
    Client::with(Config::new(with_admin)).unwrap()
}
