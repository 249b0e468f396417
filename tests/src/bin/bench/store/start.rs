//! Starting with a million documents on disk, after a clean end and after a kill.

use std::time::Instant;

use tempfile::TempDir;

use super::figure::Figures;
use super::server::{DATABASE, Served, scratch};
use super::wire::Wire;
use super::writes::{bulk_request, seconds};

const DOCUMENTS: usize = 1_000_000;
const BULK_DOCS: usize = 5_000;

/// Writes before the kill: about as much log as there ever is.
const BEFORE_KILL: usize = 2_000;

pub(crate) async fn measure() -> Figures {
    let mut figures = Figures::default();
    let directory = TempDir::new_in(scratch()).expect("a directory");
    let served = Served::start(directory.path()).await;
    let mut wire = Wire::connect(&served.address, "").await;
    assert_eq!(wire.ask("PUT", DATABASE, "").await, 201);
    let begun = Instant::now();
    let path = format!("{DATABASE}/_bulk_docs");
    for bulk in 0..DOCUMENTS / BULK_DOCS {
        let request = bulk_request(bulk * BULK_DOCS, BULK_DOCS);
        assert_eq!(wire.ask("POST", &path, &request).await, 201);
    }
    figures.add("writing 1,000,000 documents, s", seconds(begun), "");
    let file = std::fs::metadata(directory.path().join("store.sqlite")).expect("the file").len();
    figures.add("  bytes of the file per document", file as f64 / DOCUMENTS as f64, "");
    let begun = Instant::now();
    served.stop().await;
    figures.add("  stop, ms", seconds(begun) * 1e3, "");

    let served = timed(directory.path(), "start with 1,000,000 documents, ms", &mut figures).await;
    let mut wire = Wire::connect(&served.address, "").await;
    for number in 0..BEFORE_KILL {
        let path = format!("{DATABASE}/last-{number}");
        assert_eq!(wire.ask("PUT", &path, r#"{"a":1}"#).await, 201);
    }
    served.kill().await;
    let name = "start after a kill in the middle of work, ms";
    let served = timed(directory.path(), name, &mut figures).await;
    served.stop().await;
    figures
}

/// From the start of the process to its first answer about the database.
async fn timed(directory: &std::path::Path, name: &str, figures: &mut Figures) -> Served {
    let begun = Instant::now();
    let served = Served::start(directory).await;
    let mut wire = Wire::connect(&served.address, "").await;
    assert_eq!(wire.ask("GET", DATABASE, "").await, 200);
    figures.add(name, seconds(begun) * 1e3, "<= 200");
    served
}
