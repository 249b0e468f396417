//! How long a traceroute takes, and how many of the hops that answer it finds: without limits of ICMP, and with
//! those that Linux has by default.

use std::time::{Duration, Instant};

use blitz_tests::net::path::output::{self, Hop};
use blitz_tests::net::path::{Delay, Family, Path};

use super::{ROUTERS, SILENT, SLOW_LINK, SLOW_MS, carrier, wait_until_ready};
use crate::sample::{Sample, say};

/// Runs of each tool where nobody limits.
const RUNS: usize = 12;

/// Runs of each where routers say about six things at once and then one a second, and the pause before each in which
/// they may again.
const LIMITED_RUNS: usize = 6;
const PAUSE: Duration = Duration::from_secs(8);

/// A tool: its name, its words, how its output is read, and the aim.
struct Tool {
    name: &'static str,
    words: &'static [&'static str],
    aim: &'static str,
}

const TOOLS: [Tool; 7] = [
    Tool {
        name: "blitz traceroute",
        words: &["blitz", "traceroute", "-r", "local", "-n"],
        aim: "p50 <= 300",
    },
    Tool {
        name: "blitz traceroute -q 3",
        words: &["blitz", "traceroute", "-r", "local", "-n", "-q", "3"],
        aim: "p50 <= 800",
    },
    Tool { name: "traceroute -q 1", words: &["traceroute", "-n", "-q", "1"], aim: "" },
    Tool { name: "traceroute (-q 3 by default)", words: &["traceroute", "-n"], aim: "" },
    Tool {
        name: "traceroute -I -m 20 -w 5 -q 2 -N 20",
        words: &["traceroute", "-n", "-I", "-m", "20", "-w", "5", "-q", "2", "-N", "20"],
        aim: "",
    },
    Tool { name: "mtr -r -c 1 -G 1", words: &["mtr", "-n", "-r", "-c", "1", "-G", "1"], aim: "" },
    Tool {
        name: "mtr -r -c 3 -i 0.2 -G 1",
        words: &["mtr", "-n", "-r", "-c", "3", "-i", "0.2", "-G", "1"],
        aim: "",
    },
];

#[derive(Debug, Default)]
struct Seen {
    times: Sample,
    /// Answering hops that a run found, and those that it put at a wrong place.
    found: Vec<usize>,
    wrong: usize,
}

pub(super) async fn measure() {
    for has_limits in [false, true] {
        let path = Path::builder(ROUTERS).silent(&SILENT).slow(SLOW_LINK, Delay::ms(SLOW_MS));
        let path = if has_limits { path.icmp_limits() } else { path };
        let Some(path) = path.build(&carrier()).await else { return };
        let _engine = path.engine(&["--region", "local"]).await;
        wait_until_ready(&path).await;
        let mut tools = Vec::new();
        for tool in &TOOLS {
            let program = tool.words.first().copied().unwrap_or_default();
            match program == "blitz" || path.has(program).await {
                true => tools.push((tool, Seen::default())),
                false => say(&format!("{}: left out, {program:?} is not here", tool.name)),
            }
        }
        let (runs, pause) = match has_limits {
            false => (RUNS, Duration::ZERO),
            true => (LIMITED_RUNS, PAUSE),
        };
        for run in 0..runs {
            let count = tools.len();
            for place in 0..count {
                // Each tool has every place in the order now and then.
                let Some((tool, seen)) = tools.get_mut((place + run) % count) else { continue };
                tokio::time::sleep(pause).await;
                one(&path, tool, seen).await;
            }
        }
        print(&path, has_limits, &tools);
    }
}

async fn one(path: &Path, tool: &Tool, seen: &mut Seen) {
    let target = path.destination(Family::V4);
    let words = [tool.words, &[&target]].concat();
    let started = Instant::now();
    let outcome = match words.split_first() {
        Some((&"blitz", args)) => path.blitz(args).await,
        _ => path.run(&words).await,
    };
    seen.times.add(started.elapsed());
    let found: Vec<(u8, Vec<String>)> = match tool.words.first() {
        Some(&"mtr") => {
            let rows = output::mtr(&outcome.stdout).into_iter();
            rows.map(|row| (row.ttl, row.from.into_iter().collect())).collect()
        }
        _ => {
            let hops = output::traceroute(&outcome.stdout).into_iter();
            hops.map(|Hop { ttl, from, .. }| (ttl, from)).collect()
        }
    };
    if found.is_empty() {
        say(&format!("{}: {:?} {}{}", tool.name, outcome.code, outcome.stdout, outcome.stderr));
    }
    let truth = path.to_destination(Family::V4);
    let (mut right, mut wrong) = (0, 0);
    for (ttl, from) in found {
        let expected = truth.get(usize::from(ttl).saturating_sub(1)).cloned().flatten();
        match expected.is_some_and(|expected| from.iter().all(|one| *one == expected)) {
            _ if from.is_empty() => {}
            true => right += 1,
            false => wrong += 1,
        }
    }
    seen.found.push(right);
    seen.wrong += wrong;
}

fn print(path: &Path, has_limits: bool, tools: &[(&Tool, Seen)]) {
    let hops = path.to_destination(Family::V4);
    let answering = hops.iter().flatten().count();
    let limits = if has_limits { "Linux's default limits of ICMP" } else { "no limits of ICMP" };
    say(&format!("{} hops, {answering} of which answer, {limits}", hops.len()));
    say(&format!(
        "{:<38} {:>4} {:>8} {:>8} {:>8} {:>18}   aim",
        "wall time in ms", "n", "p50", "p90", "max", "hops, of each run"
    ));
    for (tool, seen) in tools {
        let ms = |percent| seen.times.percentile(percent).as_secs_f64() * 1e3;
        let least = seen.found.iter().min().copied().unwrap_or(0);
        let most = seen.found.iter().max().copied().unwrap_or(0);
        let wrong = if seen.wrong > 0 { format!(", {} wrong", seen.wrong) } else { String::new() };
        say(&format!(
            "{:<38} {:>4} {:>8.1} {:>8.1} {:>8.1} {:>18}   {}",
            tool.name,
            seen.times.len(),
            ms(50),
            ms(90),
            ms(100),
            format!("{least} to {most}{wrong}"),
            tool.aim
        ));
    }
}
