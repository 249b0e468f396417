//! Many traceroutes at once on one engine: each sees the path to its own target, and nothing of the others'.

use std::sync::Arc;

use blitz_tests::net::path::{Delay, Family, Path, Spread, TWIN_TARGETS, output, target};
use tokio::task::JoinSet;

use super::{Rights, from, ours, path_with_engine_of, said};

/// Traceroutes at once. Of IPv6 a node has fewer addresses, so some of them have the same target.
const TRACEROUTES: u8 = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traceroutes_at_once_do_not_hear_each_others_answers() {
    for rights in Rights::ALL {
        nobody_hears_anothers_answers(rights).await;
    }
}

async fn nobody_hears_anothers_answers(rights: Rights) {
    // The link takes so long that all of them are under way together.
    let path = Path::builder(7).twin(3, Spread::Targets).silent(&[2]).slow(2, Delay::ms(50));
    let slots = TRACEROUTES.to_string();
    let args = ["--slots", &slots];
    let engine = path_with_engine_of(rights, path, &args).await;
    let Some((path, _engine)) = engine else { return };
    let path = Arc::new(path);
    for protocol in ["-U", "-I", "-T"] {
        let mut running = JoinSet::new();
        for n in 0..TRACEROUTES {
            let path = Arc::clone(&path);
            running.spawn(async move {
                let family = if n % 3 == 0 { Family::V6 } else { Family::V4 };
                let node = 4 + n % 5;
                let first = if n % 2 == 0 { 1 } else { TWIN_TARGETS };
                let number = first + n % 4;
                let to = target(node, number, family);
                let outcome = ours(&path, "traceroute", &[protocol, "-n", &to]).await;
                let seen = from(&output::traceroute(&outcome.stdout));
                assert_eq!(
                    seen,
                    path.to(node, number, family),
                    "{rights:?} {to}: {}",
                    said(&outcome)
                );
            });
        }
        while let Some(done) = running.join_next().await {
            done.expect("a traceroute that sees its own path");
        }
    }
}
