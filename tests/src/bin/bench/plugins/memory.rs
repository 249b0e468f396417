//! What jobs that sleep and jobs that print without end take of the engine's memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use blitz_contract::Exit;
use blitz_runtime::Plugin;
use tokio::sync::mpsc;

use super::{Shared, finish, invocation, resident_kib, row};

/// Jobs that sleep at once.
const SLEEPERS: usize = 1000;
/// A sleep that none of them sees the end of.
const SLEEP_MS: &str = "600000";
const TIME: Duration = Duration::from_secs(1200);
/// What one job prints.
const FLOOD_BYTES: u64 = 1024 * 1024 * 1024;
/// How often the memory is looked at, in frames.
const LOOK: u64 = 500;

pub(super) async fn measure(fixture: &Plugin) {
    sleepers(fixture).await;
    flood(fixture).await;
}

async fn sleepers(fixture: &Plugin) {
    let plugin: Shared = Arc::new(fixture.clone());
    let before = resident_kib();
    let started = Instant::now();
    let (sleeping, mut asleep) = mpsc::channel(SLEEPERS);
    let mut jobs = Vec::new();
    for _ in 0..SLEEPERS {
        let (invocation, frames) = invocation(&["ticks", "1", SLEEP_MS], TIME);
        let cancel = invocation.cancel.clone();
        let (plugin, sleeping) = (Arc::clone(&plugin), sleeping.clone());
        let job = tokio::spawn(async move {
            // It prints a line before it sleeps.
            let said = |_| {
                // There is room for all of them.
                sleeping.try_send(()).ok();
            };
            finish(&plugin, (invocation, frames), said).await
        });
        jobs.push((cancel, job));
    }
    for _ in 0..SLEEPERS {
        asleep.recv().await.expect("it is our own sender");
    }
    let took = started.elapsed();
    let each = (resident_kib() - before) / u64::try_from(SLEEPERS).unwrap_or(1);
    for (cancel, _) in &jobs {
        cancel.cancel();
    }
    for (_, job) in jobs {
        assert!(matches!(job.await, Ok(Exit::Stopped(_))), "a sleeper woke up");
    }
    row("1,000 jobs that sleep at once, KiB each", &each.to_string(), "", "<= 150");
    row("all of them started within, in ms", &took.as_millis().to_string(), "", "");
    let after = resident_kib().saturating_sub(before);
    row("left of it when they ended, KiB together", &after.to_string(), "", "");
}

async fn flood(fixture: &Plugin) {
    let before = resident_kib();
    let started = Instant::now();
    let (mut most, mut frames, mut bytes) = (before, 0u64, 0u64);
    let size = FLOOD_BYTES.to_string();
    let exit = finish(fixture, invocation(&["flood", &size], TIME), |frame| {
        frames += 1;
        bytes += u64::try_from(frame.bytes.len()).unwrap_or(0);
        if frames.is_multiple_of(LOOK) {
            most = most.max(resident_kib());
        }
    });
    assert_eq!(exit.await, Exit::Status(0));
    assert_eq!(bytes, FLOOD_BYTES);
    let growth = (most - before) / 1024;
    row("growth while a job prints 1 GiB, in MiB", &growth.to_string(), "", "<= 16");
    row("that took, in ms", &started.elapsed().as_millis().to_string(), "", "");
}
