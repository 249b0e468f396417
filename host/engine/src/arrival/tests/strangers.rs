//! What somebody can do to an engine who can write documents, and whom it does not believe. Nothing is fetched.

use blitz_couchdb::Client;
use blitz_jobs::plugin::{Carrier, Release, SigningKey};
use blitz_runtime::{Runtime, RuntimeConfig};

use super::super::sizes::KNOWN_BYTES_MAX;
use super::super::*;

const FILE: &[u8] = b"\0asm\x0d\0\x01\0";

fn desk(believed: &SigningKey) -> Desk {
    let runtime = Runtime::new(RuntimeConfig::default()).unwrap();
    let control = Client::new("http://127.0.0.1:1").unwrap().database("control");
    let trust = Trust { keys: [believed.public()].into(), ..Trust::default() };
    Desk {
        shelf: Shelf::new(control, runtime, std::sync::Arc::default()),
        region: "japan".to_owned(),
        roots: Roots::new(trust),
        offers: mpsc::channel(1).0,
        waiting: VecDeque::new(),
        loads: JoinSet::new(),
        pauses: JoinSet::new(),
        sizes: Sizes::default(),
    }
}

fn document(key: &SigningKey, name: &str, summary: &str) -> (String, Value) {
    let text = json!({"name": name, "version": "0.1.0", "summary": summary, "contract": "0.1.0"})
        .to_string();
    let release = Release::sign(key, Carrier::Component, &text, FILE, Vec::new()).unwrap();
    let document = release.check(name, "0.1.0", FILE).unwrap().document(release, 7);
    (document.document_id(), json!(document))
}

#[tokio::test]
async fn who_is_not_believed_keeps_nobody_out_and_takes_bounded_memory() {
    let (ours, theirs) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let mut desk = desk(&ours);
    let long = "x".repeat(200 << 10);
    for number in 0..400 {
        let (id, doc) = document(&theirs, &format!("junk-{number}"), &long);
        desk.hear(&id, doc);
    }
    assert!(desk.sizes.sum <= KNOWN_BYTES_MAX, "{}", desk.sizes.sum);
    let (id, doc) = document(&ours, "hops", &long);
    desk.hear(&id, doc);
    let stand = desk.shelf.read(|known| known.items.get(&id).map(|item| item.stand.clone()));
    assert_eq!(stand, Some(Stand::Loading));
    assert!(desk.sizes.sum <= KNOWN_BYTES_MAX, "{}", desk.sizes.sum);
    assert_eq!(desk.shelf.read(|known| known.items.len()), desk.sizes.of.len());
}

#[tokio::test]
async fn a_yank_of_a_strangers_version_does_not_offer_the_file_that_it_names() {
    let (ours, theirs) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let mut desk = desk(&ours);
    let yank = |name: &str| json!(Mark::new(MarkKind::Yanked, name, "0.1.0", "", 7));
    for (key, name, offers) in [(&theirs, "junk", 0), (&ours, "hops", 1)] {
        let (id, doc) = document(key, name, "s");
        desk.hear(&id, doc);
        let offered = desk.hear(&format!("yanked:{name}:0.1.0"), yank(name));
        assert_eq!(offered.len(), offers, "{name}: {offered:?}");
    }
}
