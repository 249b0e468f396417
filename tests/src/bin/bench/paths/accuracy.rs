//! How far the times of traceroute and ping are from those of the packets, as they passed the link of the source:
//! on an idle machine, and while guests of the same engine keep all cores busy.

use std::time::Duration;

use blitz_tests::FIXTURE;
use blitz_tests::net::path::{Delay, Family, Path, Running, output, target};

use super::truth::{Times, Truth};
use super::{ROUTERS, SILENT, SLOW_LINK, SLOW_MS, carrier, wait_until_ready};
use crate::sample::{Sample, say};

/// Traceroutes of each tool, each to a target of its own.
const TRACEROUTES: u8 = 30;

/// Echoes of one ping, and the time between them in seconds.
const ECHOES: &str = "50";
const INTERVAL: &str = "0.05";

/// The arguments that every tool has: what they are called, and the program.
const TOOLS: [(&str, &[&str]); 5] = [
    ("blitz traceroute", &["blitz", "traceroute", "-r", "local", "-n"]),
    ("blitz traceroute -I", &["blitz", "traceroute", "-r", "local", "-n", "-I"]),
    ("blitz traceroute -T", &["blitz", "traceroute", "-r", "local", "-n", "-T"]),
    ("traceroute -q 1", &["traceroute", "-n", "-q", "1"]),
    ("mtr -r -c 1 -G 1", &["mtr", "-n", "-r", "-c", "1", "-G", "1"]),
];

pub(super) async fn measure() {
    let path = Path::builder(ROUTERS).silent(&SILENT).slow(SLOW_LINK, Delay::ms(SLOW_MS));
    let Some(path) = path.build(&carrier()).await else { return };
    let sha256 = blitz_jobs::plugin::sha256(FIXTURE);
    let _engine = path.engine(&["--region", "local", "--trust", &sha256]).await;
    wait_until_ready(&path).await;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    say(&format!("times against packets, difference in ms; {cores} cores"));
    say(&format!("{:<46} {:>5} {:>8} {:>8} {:>8}   aim", "", "n", "p50", "p95", "max"));
    round(&path, "idle", "").await;
    let Some(mut loops) = busy(&path, cores).await else { return };
    round(&path, "all cores busy", "p95 < 1").await;
    let are_running = loops.iter_mut().all(Running::is_running);
    assert!(are_running, "the guests that keep the cores busy ended before the measurement did");
}

async fn round(path: &Path, when: &str, aim: &str) {
    for (number, (name, words)) in (0..).zip(TOOLS) {
        if words[0] != "blitz" && !path.has(words[0]).await {
            say(&format!("{name}: left out, {:?} is not here", words[0]));
            continue;
        }
        let Some(truth) = Truth::start(path).await else {
            say("times against packets: left out, 'tcpdump' does not run here");
            return;
        };
        let mut seen = Vec::new();
        for n in 0..TRACEROUTES {
            let node = path.destination_node() - n % 2;
            let to = target(node, number * TRACEROUTES + n, Family::V4);
            seen.push((to.clone(), run(path, words, &to).await));
        }
        let times = truth.end().await;
        let errors = errors(&times, &seen);
        let aim = if words[0] == "blitz" { aim } else { "" };
        print(&format!("{name}, {when}"), &errors, aim);
    }
    for words in [&["blitz", "ping", "-r", "local"][..], &["ping"]] {
        if words[0] == "blitz" || path.has(words[0]).await {
            ping(path, words, when).await;
        }
    }
}

async fn run(path: &Path, words: &[&str], to: &str) -> String {
    let words = [words, &[to]].concat();
    match words.split_first() {
        Some((&"blitz", args)) => path.blitz(args).await.stdout,
        _ => path.run(&words).await.stdout,
    }
}

/// All times that were told, of which the packets are known.
fn errors(times: &Times, seen: &[(String, String)]) -> Sample {
    let mut errors = Sample::default();
    for (to, text) in seen {
        let mut told: Vec<(u8, f64)> = Vec::new();
        for hop in output::traceroute(text) {
            told.extend(hop.rtts.iter().map(|rtt| (hop.ttl, *rtt)));
        }
        for row in output::mtr(text).iter().filter(|row| row.from.is_some()) {
            told.extend(row.times.first().map(|last| (row.ttl, *last)));
        }
        for (ttl, rtt) in told {
            if let Some(error) = times.error(to, ttl, ms(rtt)) {
                errors.add(error);
            }
        }
    }
    errors
}

/// Each time of a ping, and how much they differ from one to the next, against the packets.
async fn ping(path: &Path, words: &[&str], when: &str) {
    let Some(truth) = Truth::start(path).await else { return };
    let to = path.destination(Family::V4);
    let words = [words, &["-n", "-c", ECHOES, "-i", INTERVAL]].concat();
    let text = run(path, &words, &to).await;
    let times = truth.end().await;
    let told: Vec<Duration> = text
        .lines()
        .filter_map(|line| line.split_once("time=")?.1.split_whitespace().next()?.parse().ok())
        .map(ms)
        .collect();
    // An echo request leaves with 64, whoever sends it.
    let seen = times.of(&to, 64);
    let name = if words[0] == "blitz" { "blitz ping" } else { "ping" };
    if told.len() != seen.len() || told.is_empty() {
        let (told, seen) = (told.len(), seen.len());
        say(&format!("{name}, {when}: {told} times for {seen} echoes\n{text}"));
        return;
    }
    let mut errors = Sample::default();
    for (told, seen) in told.iter().zip(seen) {
        errors.add(told.abs_diff(*seen));
    }
    print(&format!("{name}, {when}"), &errors, "");
    let (told, seen) = (jitter(&told), jitter(seen));
    let aim = if when == "idle" && name == "blitz ping" { "< 0.1" } else { "" };
    let error = (told - seen).abs();
    say(&format!(
        "{:<46} {:>5} {error:>8.3} (of {seen:.3})         {aim}",
        format!("{name}, {when}: jitter, the difference"),
        ""
    ));
}

/// The mean difference of a time and the next, in milliseconds.
fn jitter(times: &[Duration]) -> f64 {
    let differences = times.windows(2).map(|pair| pair[0].abs_diff(pair[1]).as_secs_f64() * 1e3);
    let count = u32::try_from(times.len().saturating_sub(1)).unwrap_or(u32::MAX);
    differences.sum::<f64>() / f64::from(count.max(1))
}

/// Endless guests on the same engine, one for each core.
async fn busy(path: &Path, cores: usize) -> Option<Vec<Running>> {
    let file = path.home().join("fixture.wasm");
    std::fs::write(&file, FIXTURE).expect("a file");
    let file = file.to_str().expect("a path that is text");
    let published = path.blitz(&["plugin", "publish", file]).await;
    if published.code != Some(0) {
        say(&format!("busy cores: left out: {}{}", published.stdout, published.stderr));
        return None;
    }
    blitz_tests::until("the fixture on the engine", || async {
        let ran = path.blitz(&["run", "fixture", "-r", "local", "noop"]).await;
        (ran.code == Some(0)).then_some(())
    })
    .await;
    let mut loops = Vec::new();
    for _ in 0..cores {
        loops.push(path.start_blitz(&[
            "run",
            "fixture",
            "-r",
            "local",
            "--timeout",
            "600",
            "spin",
        ]));
    }
    Some(loops)
}

fn ms(number: f64) -> Duration {
    Duration::try_from_secs_f64(number / 1e3).unwrap_or_default()
}

fn print(name: &str, errors: &Sample, aim: &str) {
    let ms = |percent| errors.percentile(percent).as_secs_f64() * 1e3;
    say(&format!(
        "{name:<46} {:>5} {:>8.3} {:>8.3} {:>8.3}   {aim}",
        errors.len(),
        ms(50),
        ms(95),
        ms(100)
    ));
}
