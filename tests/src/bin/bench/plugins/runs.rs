//! Instances, whole runs, host calls, exchanges, and how soon a limit stops a loop.

use std::time::{Duration, Instant};

use blitz_contract::Exit;
use blitz_runtime::Plugin;

use super::{finish, invocation, row};
use crate::exchange::{cpu_time, median, plain};
use crate::peer::Peer;
use crate::sample::Sample;

const ROUNDS: usize = 2000;
const WARM_UP: usize = 200;
/// Calls of the host in one run.
const CALLS: u32 = 1_000_000;
/// Exchanges of one turn, and turns.
const EXCHANGES: u32 = 200;
const TURNS: usize = 15;
/// Loops that are stopped.
const LOOPS: usize = 20;
const LOOP_TIME: Duration = Duration::from_millis(200);
pub(super) const TIME: Duration = Duration::from_secs(60);

pub(super) async fn measure(noop: &Plugin, fixture: &Plugin) {
    for (name, plugin) in [("a WASI command", noop), ("the fixture, in Rust", fixture)] {
        let instances = sample(async || plugin.instantiate().await.expect("an instance")).await;
        print(&format!("warm instance of {name}, in us"), &instances, "p50 <= 20");
    }
    for (name, plugin, args) in
        [("a WASI command", noop, &[][..]), ("the fixture, in Rust", fixture, &["noop"])]
    {
        let runs = sample(async || {
            let started = Instant::now();
            let exit = finish(plugin, invocation(args, TIME), drop).await;
            assert_eq!(exit, Exit::Status(0), "{name}");
            started.elapsed()
        });
        print(
            &format!("a whole run of {name} that does nothing, in us"),
            &runs.await,
            "p50 <= 100",
        );
    }
    host_call(fixture).await;
    exchanges(fixture).await;
    loops(fixture).await;
}

pub(super) async fn sample(mut once: impl AsyncFnMut() -> Duration) -> Sample {
    let mut sample = Sample::default();
    for n in 0..WARM_UP + ROUNDS {
        let took = once().await;
        if n >= WARM_UP {
            sample.add(took);
        }
    }
    sample
}

fn print(name: &str, sample: &Sample, aim: &str) {
    let us = |percent| format!("{:.1}", sample.percentile(percent).as_secs_f64() * 1e6);
    row(name, &us(50), &us(99), aim);
}

async fn host_call(fixture: &Plugin) {
    let calls = CALLS.to_string();
    let started = Instant::now();
    let exit = finish(fixture, invocation(&["counts", &calls], TIME), drop).await;
    let each = started.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS);
    let text = match exit {
        Exit::Status(0) => format!("{each:.0}"),
        other => format!("{other:?}"),
    };
    row("one call of the host (metrics.count), in ns", &text, "", "<= 300");
}

/// CPU time of this process; the peer's is its own.
async fn exchanges(fixture: &Plugin) {
    let peer = Peer::start().await;
    let (url, count) = (peer.url("/"), EXCHANGES.to_string());
    let (mut native, mut ratios) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let before = cpu_time();
        let address = peer.address.clone();
        // On the runtime's own threads, as a server's client would be.
        let plainly = async move {
            for _ in 0..EXCHANGES {
                plain(&address).await;
            }
        };
        tokio::spawn(plainly).await.expect("the peer answers");
        let between = cpu_time();
        let exit = finish(fixture, invocation(&["gets", &count, &url], TIME), drop).await;
        assert_eq!(exit, Exit::Status(0), "{url}");
        let plain = between.saturating_sub(before).as_secs_f64();
        native.push(plain * 1e6 / f64::from(EXCHANGES));
        ratios.push(cpu_time().saturating_sub(between).as_secs_f64() / plain);
    }
    let us = format!("{:.0}", median(native));
    row("CPU time of a GET by native hyper, in us", &us, "", "");
    row("the same through 'web', ratio", &format!("{:.2}", median(ratios)), "", "<= 1.2");
}

async fn loops(fixture: &Plugin) {
    let mut late = Sample::default();
    for _ in 0..LOOPS {
        let started = Instant::now();
        let exit = finish(fixture, invocation(&["spin"], LOOP_TIME), drop).await;
        late.add(started.elapsed().saturating_sub(LOOP_TIME));
        assert!(matches!(exit, Exit::Stopped(_)), "{exit:?}");
    }
    print("an endless loop goes on after its time limit, in us", &late, "max <= 50000");
}
