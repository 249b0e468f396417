//! How tests end before their time: by the plugin, by the user, by a deadline, by an operator, by death.

use std::num::NonZeroU32;
use std::time::Duration;

use blitz_contract::load::{TICK_EVENT, Tick, Verdict};
use blitz_contract::{Exit, Frame, Stopped, Stream};
use blitz_runtime::{LoadCaps, RuntimeConfig};

use crate::support::{Server, World, config, plan};

const LONG_MS: u64 = 60_000;

fn two() -> RuntimeConfig {
    let mut config = config();
    config.load.cores = NonZeroU32::new(2);
    config
}

fn is_tick(frame: &Frame) -> bool {
    frame.stream == Stream::Event(TICK_EVENT.to_owned())
}

#[tokio::test]
async fn a_plugin_stops_its_test() {
    let server = Server::start().await;
    let world = World::new(two()).await;
    let plan = plan(&server.url(), 2, LONG_MS, "send").to_string();
    let seen = world.run(&plan, |invocation| invocation.args[1] = "x".to_owned()).await;
    assert_eq!(seen.exit, Exit::Status(0), "{}", seen.error());
    assert_eq!((seen.closing().verdict, seen.closing().text.as_str()), (Verdict::Stopped, ""));

    let seen = world.run(&plan, |invocation| invocation.args[2] = "x".to_owned()).await;
    assert_eq!(seen.exit, Exit::Status(7), "{}", seen.error());
    assert_eq!(seen.closing().verdict, Verdict::Stopped, "the last tick of a test that was let go");
}

#[tokio::test]
async fn what_a_cancelled_test_had_done_is_told() {
    let server = Server::start().await;
    let world = World::new(two()).await;
    let plan = plan(&server.url(), 2, LONG_MS, "send").to_string();
    let cancel = tokio_util::sync::CancellationToken::new();
    let seen = world
        .watched(
            &plan,
            |invocation| invocation.cancel = cancel.clone(),
            |frame| {
                if is_tick(frame) {
                    cancel.cancel();
                }
            },
        )
        .await;
    assert_eq!(seen.exit, Exit::Stopped(Stopped::Cancelled));
    let closing = seen.closing();
    assert_eq!(
        (closing.verdict, closing.text.as_str()),
        (Verdict::Stopped, "the job was cancelled")
    );
}

#[tokio::test]
async fn the_jobs_time_ends_a_test() {
    let server = Server::start().await;
    let world = World::new(config()).await;
    let plan = plan(&server.url(), 1, LONG_MS, "send").to_string();
    let seen = world.run(&plan, |invocation| invocation.deadline = Duration::from_secs(8)).await;
    assert_eq!(seen.exit, Exit::Status(0), "{}", seen.error());
    let closing = seen.closing();
    assert_eq!(
        (closing.verdict, closing.text.as_str()),
        (Verdict::Stopped, "the job's time is over")
    );
}

#[tokio::test]
async fn a_target_that_is_not_agreed_to_any_more_is_left() {
    let server = Server::start().await;
    let mut config = config();
    // This machine by an address that is neither loopback nor private, so that only the list allows it.
    config.load.consent.listed = vec!["0.0.0.0".parse().unwrap()];
    let world = World::new(config).await;
    let url = format!("http://0.0.0.0:{}/", server.address.port());
    let plan = plan(&url, 1, LONG_MS, "send").to_string();
    let runtime = world.runtime.clone();
    let show = |frame: &Frame| {
        if is_tick(frame) {
            runtime.agree_to_load(Default::default());
        }
    };
    let seen = world.watched(&plan, |_| {}, show).await;
    let closing = seen.closing();
    assert_eq!(closing.verdict, Verdict::Revoked);
    assert!(closing.text.starts_with("0.0.0.0 (0.0.0.0) may not be loaded"), "{}", closing.text);
    let requests = server.requests().len();
    let again = world.run(&plan, |_| {}).await;
    assert_eq!((again.exit, server.requests().len()), (Exit::Status(10), requests));
}

#[tokio::test]
async fn the_death_of_a_worker_costs_its_part() {
    let server = Server::start().await;
    let world = World::new(two()).await;
    let seen = world.run(&plan(&server.url(), 2, 3000, "die").to_string(), |_| {}).await;
    assert_eq!(seen.exit, Exit::Status(0), "{}", seen.error());
    let closing = seen.closing();
    assert_eq!(closing.verdict, Verdict::Failed);
    assert!(closing.text.starts_with("worker 2 of 2 failed in second "), "{}", closing.text);
    assert!(closing.text.contains("asked to die"), "{}", closing.text);
    let mut sum = Tick::default();
    seen.records().iter().for_each(|tick| sum.add(tick));
    assert_eq!(usize::try_from(sum.sent).unwrap(), 100 + server.requests().len());
    assert!(seen.records().last().unwrap().second > 0, "the other one went on");
}

#[tokio::test]
async fn a_worker_that_says_ticks_without_end_is_ended() {
    let server = Server::start().await;
    let world = World::new(two()).await;
    let plan = plan(&server.url(), 2, LONG_MS, "flood").to_string();
    let seen = world.run(&plan, |_| {}).await;
    let closing = seen.closing();
    assert_eq!(closing.verdict, Verdict::Failed, "{}", closing.text);
    for worker in ["worker 1 of 2 failed", "worker 2 of 2 failed", "one of far too many"] {
        assert!(closing.text.contains(worker), "{}", closing.text);
    }
    assert!(seen.records().len() < 1000, "{}", seen.records().len());
    assert!(seen.records().iter().any(|tick| tick.asked == u64::MAX));
}

#[tokio::test]
async fn a_worker_that_does_not_stop_is_stopped() {
    let server = Server::start().await;
    let world = World::new(config()).await;
    let plan = plan(&server.url(), 1, LONG_MS, "hang").to_string();
    let seen = world.run(&plan, |invocation| invocation.args[1] = "x".to_owned()).await;
    let closing = seen.closing();
    assert_eq!(closing.verdict, Verdict::Failed);
    assert!(
        closing.text.contains("worker 1 of 1 did not end when it was told to"),
        "{}",
        closing.text
    );
}

#[tokio::test]
async fn a_run_that_is_killed_gives_its_part_of_the_caps_back() {
    let server = Server::start().await;
    let mut config = two();
    config.load.engine = LoadCaps { connections: 2, ..LoadCaps::default() };
    let world = World::new(config).await;
    let plan = plan(&server.url(), 2, LONG_MS, "send").to_string();
    for _ in 0..2 {
        let cancel = tokio_util::sync::CancellationToken::new();
        let seen = world
            .watched(
                &plan,
                |invocation| {
                    invocation.cancel = cancel.clone();
                    invocation.limits.grace_ms = None;
                },
                |_| cancel.cancel(),
            )
            .await;
        assert_eq!(seen.exit, Exit::Stopped(Stopped::Cancelled), "{}", seen.error());
        assert_eq!(seen.error(), "");
        assert_eq!(seen.opening().workers, 2);
    }
}
