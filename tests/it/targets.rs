//! The address matrix: every form of an address that is not public, by every way in which it can come to an
//! engine. Nothing may leave for it, not one packet; and no public address may be refused.
//!
//! In network namespaces with counters (`blitz_tests::net`), so that "nothing" is exact. Without the right to
//! make namespaces the tests say so and pass, unless `BLITZ_TEST_NETNS` is 1.

mod addresses;
mod case;
mod channels;
mod games;
mod guests;
mod rules;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use blitz_tests::net::{Count, Lab, STORE};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use case::Case;

/// The program and the servers of the namespaces.
fn carrier() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_bench"))
}

/// Cases at the same time: enough to keep two cores busy.
const AT_ONCE: usize = 8;

/// The aims of the matrix.
const CASES_MIN: usize = 300;
const PUBLIC_MIN: usize = 50;

/// Failures that are told in full.
const TOLD_MAX: usize = 40;

fn matrix() -> Vec<Case> {
    let mut cases = Vec::new();
    channels::literals(&mut cases);
    channels::names(&mut cases);
    channels::rebinding(&mut cases);
    channels::redirects(&mut cases);
    channels::resolve(&mut cases);
    channels::connect_to(&mut cases);
    channels::resolver(&mut cases);
    channels::store(&mut cases);
    games::hosts(&mut cases);
    games::urls(&mut cases);
    games::zones(&mut cases);
    games::options(&mut cases);
    games::proxies(&mut cases);
    let mut seen = HashSet::new();
    cases.retain(|case| seen.insert(case.args.clone()));
    cases
}

/// How the cases of a matrix ended.
#[derive(Debug, Default)]
struct Ends {
    refused: usize,
    answered: usize,
    /// No URL, no name, no option's value: how many by each exit code.
    malformed: BTreeMap<i32, usize>,
    wrong: Vec<String>,
}

/// Runs all cases, some at a time.
async fn run(lab: &Arc<Lab>, region: &'static str, cases: &[Case]) -> Ends {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for case in cases.iter().cloned() {
        let (lab, places) = (Arc::clone(lab), Arc::clone(&places));
        running.spawn(async move {
            let _place = places.acquire_owned().await.expect("it is never closed");
            let mut args = vec!["curl", "-r", region, "-sS", "--max-time", "20"];
            args.extend(case.args.iter().map(String::as_str));
            let outcome = lab.run(&args).await;
            (outcome.code, case.judge(&outcome))
        });
    }
    let mut ends = Ends::default();
    while let Some(ended) = running.join_next().await {
        let (code, wrong) = ended.expect("a case that ends");
        match (code, wrong) {
            (_, Some(wrong)) => ends.wrong.push(wrong),
            (Some(122), _) => ends.refused += 1,
            (Some(0), _) => ends.answered += 1,
            (code, _) => *ends.malformed.entry(code.unwrap_or(-1)).or_default() += 1,
        }
    }
    ends.wrong.sort();
    ends
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leaves_for_an_address_that_is_not_public() {
    let Some(lab) = Lab::start(carrier()).await else { return };
    let lab = Arc::new(lab);
    let _gateway = lab.gateway(&["plain"]).await;
    let _engine = lab.engine("plain", STORE, PUBLIC_ONLY, games::PROXIES).await;
    let cases = matrix();
    let mut ends = run(&lab, "plain", &cases).await;

    let (packets, destinations) = lab.packets();
    // What the servers saw comes in order: when this probe is there, everything before it is.
    lab.probe(carrier(), PROBES).await;
    let log = lab.log();
    for name in cases.iter().filter_map(|case| case.asked_once.as_ref()) {
        let family = if name.contains(".6-") { "28" } else { "1" };
        let asked = log.iter().filter(|line| line.ends_with(&format!(" {family} {name}"))).count();
        if asked != 1 {
            ends.wrong.push(format!("rebinding: {name} was asked for {asked} times"));
        }
    }
    say(&format!(
        "address matrix: {} cases ({}): {} refused, {:?} malformed, {} answered, {} wrong; {}",
        cases.len(),
        by_channel(&cases),
        ends.refused,
        ends.malformed,
        ends.answered,
        ends.wrong.len(),
        told(&packets),
    ));
    assert_nothing_wrong(&ends);
    assert!(packets.is_empty(), "{} went to {destinations:?}", told(&packets));
    assert!(cases.len() >= CASES_MIN && addresses::PUBLIC.len() >= PUBLIC_MIN);

    // The counters do see what leaves, also what nobody answers.
    let (packets, destinations) = lab.packets();
    for place in ["engine", "world"] {
        for kind in ["metadata", "private", "embedded"] {
            let counted = packets.iter().any(|count| count.place == place && count.kind == kind);
            assert!(counted, "{kind} in {place}: {}", told(&packets));
        }
    }
    assert!(packets.iter().any(|count| count.kind == "own"), "{}", told(&packets));
    assert!(destinations.iter().any(|d| d == "169.254.169.254 udp 80"), "{destinations:?}");
}

/// How the engine of the matrix is started: as an operator does who says nothing about targets.
const PUBLIC_ONLY: &[&str] = &[];

/// What the counters must see when it is sent.
const PROBES: &[&str] = &[
    "169.254.169.254:80",
    "10.0.0.1:80",
    "[fd00:ec2::254]:80",
    "[64:ff9b::a9fe:a9fe]:80",
    "[2a00:1450:4001::5efe:a00:1]:80",
    "127.0.0.1:80",
    "5.5.5.2:80",
];

fn assert_nothing_wrong(ends: &Ends) {
    let told: Vec<_> = ends.wrong.iter().take(TOLD_MAX).map(String::as_str).collect();
    assert!(told.is_empty(), "{} wrong, among them:\n{}", ends.wrong.len(), told.join("\n"));
}

fn told(packets: &[Count]) -> String {
    match packets {
        [] => "0 packets at the canaries".to_owned(),
        packets => {
            let packets: Vec<_> = packets.iter().map(ToString::to_string).collect();
            format!("packets at the canaries: {}", packets.join(", "))
        }
    }
}

fn by_channel(cases: &[Case]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for case in cases {
        *counts.entry(case.channel).or_default() += 1;
    }
    let counts: Vec<_> = counts.iter().map(|(channel, n)| format!("{channel} {n}")).collect();
    counts.join(", ")
}

/// Says a line that is seen also when the test passes.
fn say(line: &str) {
    std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes()).ok();
}
