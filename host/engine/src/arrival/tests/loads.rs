//! What becomes of a version when its load ends, without a store.

use std::sync::Arc;

use blitz_couchdb::Client;
use blitz_runtime::{Runtime, RuntimeConfig};
use tokio::sync::Notify;

use super::super::*;

const ID: &str = "plugin:hops:0.1.0";

fn sha256() -> String {
    "ab".repeat(32)
}

/// A desk that believes one file; nobody serves its control database.
fn desk() -> Desk {
    let control = Client::new("http://127.0.0.1:9").unwrap().database("blitz");
    let runtime = Runtime::new(RuntimeConfig::default()).unwrap();
    let trust = Trust { digests: [sha256()].into(), ..Trust::default() };
    Desk {
        shelf: Shelf::new(control, runtime, Arc::new(Notify::new())),
        region: "japan".to_owned(),
        roots: Roots::new(trust),
        offers: mpsc::channel(1).0,
        waiting: VecDeque::new(),
        loads: JoinSet::new(),
        pauses: JoinSet::new(),
        sizes: Sizes::default(),
    }
}

fn document(capabilities: &[&str]) -> Value {
    json!({"kind": "plugin", "blitz": "0", "sha256": sha256(), "size_bytes": 2,
        "manifest": {"name": "hops", "version": "0.1.0", "summary": "s", "contract": "0.1.0",
            "capabilities": capabilities}})
}

impl Desk {
    fn stand(&self) -> Stand {
        self.shelf.read(|known| known.items[ID].stand.clone())
    }

    /// The end of a load of the document that is known now.
    fn load(&self, tries: u32, result: Result<(), NotLoaded>) -> Loaded {
        let document = self.shelf.read(|known| known.items[ID].document.clone());
        Loaded { wanted: Wanted { id: ID.to_owned(), tries }, document, result }
    }
}

fn failed(is_passing: bool) -> Result<(), NotLoaded> {
    Err(NotLoaded { reason: "it".to_owned(), is_passing })
}

#[tokio::test]
async fn a_load_says_nothing_of_the_next_document_with_the_same_file() {
    let mut desk = desk();
    assert_eq!(desk.hear(ID, document(&[])), []);
    let narrow = desk.load(0, Ok(()));
    assert_eq!(desk.hear(ID, document(&["web"])), []);
    assert_eq!(desk.loaded(narrow), [], "what was checked asked for less");
    assert_eq!(desk.stand(), Stand::Loading);
    let wide = desk.load(0, failed(false));
    assert_eq!(desk.loaded(wide), []);
    assert_eq!(desk.stand(), Stand::Spoiled("it".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_failed_by_no_fault_of_the_file_is_tried_again_a_few_times() {
    let mut desk = desk();
    desk.hear(ID, document(&[]));
    for tries in 0..LOADS_MAX - 1 {
        let load = desk.load(tries, failed(true));
        assert_eq!(desk.loaded(load), []);
        assert_eq!(desk.stand(), Stand::Failed("it".to_owned()));
        let wanted = desk.pauses.join_next().await.unwrap().unwrap();
        assert_eq!(wanted.tries, tries + 1);
        desk.try_again(wanted);
        assert_eq!(desk.stand(), Stand::Loading);
    }
    let last = desk.load(LOADS_MAX - 1, failed(true));
    desk.loaded(last);
    assert_eq!(desk.stand(), Stand::Spoiled("it".to_owned()));
    assert!(desk.pauses.is_empty());
}

#[tokio::test]
async fn a_file_that_goes_bad_before_a_job_is_offered_no_more() {
    let mut desk = desk();
    desk.hear(ID, document(&[]));
    let load = desk.load(0, Ok(()));
    assert_eq!(desk.loaded(load), [Offer::Add(sha256())]);
    assert_eq!(desk.gone_bad(vec![sha256()]), [], "another version still has it");
    desk.set(ID, Stand::Spoiled("it".to_owned()));
    assert_eq!(desk.gone_bad(vec![sha256()]), [Offer::Remove(sha256())]);
}
