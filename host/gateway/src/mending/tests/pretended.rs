//! Two stores of which only as much is there as the mender asks for, reached over pipes: time may stand still.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::serve::Listener;
use axum::{Json, Router};
use blitz_couchdb::{Client, Config};
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

const FAR: &str = "http://virginia:5984";

/// Connections that wait to be taken.
const WAITING_MAX: usize = 64;

/// Both stores, and the way between them.
#[derive(Debug, Clone, Default)]
pub(super) struct Pretended(Arc<Mutex<World>>);

#[derive(Debug, Default)]
struct World {
    is_cut: bool,
    questions: usize,
    /// Documents of replications, with how often each was written, and whether it fails.
    replications: BTreeMap<String, (u32, bool)>,
}

impl Pretended {
    /// So many replications, all of them well.
    pub(super) fn start(count: usize) -> Self {
        let ids = (0..count).map(|number| format!("blitz:db-{number}:tokyo>virginia"));
        let replications = ids.map(|id| (id, (1, false))).collect();
        Self(Arc::new(Mutex::new(World { replications, ..World::default() })))
    }

    /// The store that runs the replications.
    pub(super) fn near(&self) -> Client {
        let router = Router::new()
            .route("/_scheduler/docs", get(failing))
            .route("/_replicator/{id}", get(document).put(rewritten))
            .with_state(self.clone());
        serve("http://tokyo:5984", router)
    }

    /// The other one. While the way is cut a question is lost, for ever.
    pub(super) fn far(&self, name: &str) -> (String, Client) {
        let router = Router::new().route("/", get(greeting)).with_state(self.clone());
        (name.to_owned(), serve(FAR, router))
    }

    /// Cuts the way, and has all replications fail.
    pub(super) fn cut(&self) {
        let world = &mut *self.0.lock().unwrap();
        world.is_cut = true;
        world.replications.values_mut().for_each(|(_, fails)| *fails = true);
    }

    pub(super) fn heal(&self) {
        self.0.lock().unwrap().is_cut = false;
    }

    /// How many do not fail.
    pub(super) fn mended(&self) -> usize {
        self.0.lock().unwrap().replications.values().filter(|(_, fails)| !fails).count()
    }

    /// How often the far store was asked since the last time.
    pub(super) fn questions(&self) -> usize {
        std::mem::take(&mut self.0.lock().unwrap().questions)
    }
}

async fn failing(State(all): State<Pretended>) -> Json<Value> {
    let world = all.0.lock().unwrap();
    let failing = world.replications.iter().filter(|(_, (_, fails))| *fails);
    let rows: Vec<Value> =
        failing.map(|(id, _)| json!({"doc_id": id, "state": "crashing"})).collect();
    Json(json!({"docs": rows}))
}

async fn document(State(all): State<Pretended>, Path(id): Path<String>) -> Json<Value> {
    let writes = all.0.lock().unwrap().replications[&id].0;
    Json(json!({
        "_id": id, "_rev": format!("{writes}-a"),
        "source": {"url": "http://tokyo:5984/db"}, "target": {"url": format!("{FAR}/db")},
    }))
}

async fn rewritten(
    State(all): State<Pretended>,
    Path(id): Path<String>,
) -> (StatusCode, Json<Value>) {
    let world = &mut *all.0.lock().unwrap();
    let (writes, fails) = world.replications.get_mut(&id).unwrap();
    (*writes, *fails) = (*writes + 1, false);
    (StatusCode::CREATED, Json(json!({"ok": true, "id": id, "rev": format!("{writes}-a")})))
}

async fn greeting(State(all): State<Pretended>) -> Json<Value> {
    let is_lost = {
        let mut world = all.0.lock().unwrap();
        world.questions += 1;
        world.is_cut
    };
    if is_lost {
        std::future::pending::<()>().await;
    }
    Json(json!({"couchdb": "Welcome", "version": "3.5.0"}))
}

fn serve(url: &str, router: Router) -> Client {
    let (pipes, connections) = mpsc::channel(WAITING_MAX);
    tokio::spawn(async move { axum::serve(Pipes(connections), router).await });
    Client::over_pipes(Config::new(url), pipes).unwrap()
}

struct Pipes(mpsc::Receiver<DuplexStream>);

impl Listener for Pipes {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.recv().await {
            Some(pipe) => (pipe, ()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<()> {
        Ok(())
    }
}
