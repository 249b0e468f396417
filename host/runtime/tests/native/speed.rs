//! How long a whole native run takes that does nothing. Not a test of time: run it by hand, in release.

use std::time::{Duration, Instant};

use blitz_contract::Exit;

use crate::support::{hostile, load, runtime, simple};

#[tokio::test]
#[ignore = "a measurement"]
async fn a_whole_run() {
    const RUNS: usize = 300;
    let runtime = runtime();
    let plugin = load(&runtime, hostile()).await;
    let mut took: Vec<Duration> = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let started = Instant::now();
        assert_eq!(simple(&plugin, &["noop"]).await.0, Exit::Status(0));
        took.push(started.elapsed());
    }
    took.sort_unstable();
    println!("min {:?}  p50 {:?}  p99 {:?}", took[0], took[RUNS / 2], took[RUNS * 99 / 100]);
}
