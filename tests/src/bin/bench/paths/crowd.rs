//! A hundred traceroutes at once on one engine, each to a target of its own whose path is known: no answer may come to
//! another's probe.

use std::sync::Arc;
use std::time::{Duration, Instant};

use blitz_tests::net::path::{Delay, Family, Path, Spread, TWIN_TARGETS, output, target};
use tokio::task::JoinSet;

use super::{ROUTERS, SLOW_LINK, SLOW_MS, carrier, wait_until_ready};
use crate::sample::{Sample, print_heads, say};

const TRACEROUTES: u8 = 100;

/// The nearest node that is a target, and the router that has a twin: half of the targets behind it are reached by
/// that one.
const NEAREST: u8 = 5;
const TWIN: u8 = 4;

/// So far every answer is under way for longer than all traceroutes take to begin.
const FAR_MS: u64 = 40;

pub(super) async fn measure() {
    let path = Path::builder(ROUTERS)
        .twin(TWIN, Spread::Targets)
        .silent(&[SLOW_LINK])
        .slow(SLOW_LINK, Delay::ms(SLOW_MS))
        .slow(TWIN + 2, Delay::ms(FAR_MS));
    let Some(path) = path.build(&carrier()).await else { return };
    let path = Arc::new(path);
    let slots = TRACEROUTES.to_string();
    let _engine = path.engine(&["--region", "local", "--slots", &slots]).await;
    wait_until_ready(&path).await;
    let started = Instant::now();
    let mut running = JoinSet::new();
    for n in 0..TRACEROUTES {
        let path = Arc::clone(&path);
        running.spawn(async move { one(&path, n).await });
    }
    let (mut times, mut right, mut wrong) = (Sample::default(), 0, Vec::new());
    while let Some(done) = running.join_next().await {
        let (took, verdict) = done.expect("a traceroute that ends");
        times.add(took);
        match verdict {
            None => right += 1,
            Some(verdict) => wrong.push(verdict),
        }
    }
    let took = started.elapsed().as_secs_f64() * 1e3;
    print_heads();
    times.print(&format!("{TRACEROUTES} traceroutes at once, each"), "");
    say(&format!(
        "all of them in {took:.0} ms; {right} of {TRACEROUTES} saw their own path   aim all"
    ));
    for wrong in wrong {
        say(&wrong);
    }
}

/// What it took, and what is wrong with it.
async fn one(path: &Path, n: u8) -> (Duration, Option<String>) {
    let nodes = path.destination_node() - NEAREST + 1;
    let node = NEAREST + n % nodes;
    let number = n + if n.is_multiple_of(2) { 1 } else { TWIN_TARGETS };
    let to = target(node, number, Family::V4);
    let started = Instant::now();
    let outcome = path.blitz(&["traceroute", "-r", "local", "-n", &to]).await;
    let took = started.elapsed();
    let hops = output::traceroute(&outcome.stdout);
    let seen: Vec<_> = hops.iter().map(|hop| hop.only().map(str::to_owned)).collect();
    let expected = path.to(node, number, Family::V4);
    let verdict = (seen != expected)
        .then(|| format!("{to}: {expected:?}\n{}{}", outcome.stdout, outcome.stderr));
    (took, verdict)
}
