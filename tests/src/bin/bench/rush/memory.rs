//! User memory of workers: the most that each ever had, while every connection has a request in flight.

use std::collections::BTreeMap;
use std::time::Duration;

use super::cpu;
use super::nginx::Nginx;
use super::server::Served;
use super::site::{Site, pin};
use crate::sample::say;

/// What a connection adds is counted from here: histograms and buffers are there by then.
const FEW: u32 = 2000;

pub(crate) async fn measure() {
    say(
        "memory of the workers while so many users wait for answers: their own (RssAnon), what a connection adds, and with \
         the pages of the program, which they share with their engine (VmHWM)",
    );
    // One core is one worker, unless a process may not open enough descriptors.
    pin(1);
    let many = ["--load-connections-max", "60000", "--load-source", "127.0.0.1"];
    let site = Site::start(&[&many[..], &["--load-source", "127.0.0.2"]].concat()).await;
    let plain = Served::several(3, 1024).await;
    let url = format!("http://{}/", plain[0].address);
    let few = most(&site, FEW, &url).await;
    for (users, aim) in [(18_000, "<= 12 MiB"), (51_000, "<= 32 MiB")] {
        let Some(found) = most(&site, users, &url).await else { continue };
        let workers = u32::try_from(found.kib.len()).unwrap_or(1);
        let before = few.as_ref().map_or(0, Most::own) * u64::from(workers);
        let more = found.own().saturating_sub(before) as f64 * 1024.0;
        let each = more / f64::from(users.saturating_sub(FEW * workers).max(1));
        say(&format!(
            "  {users:>6} users: {workers} worker(s), {:.1} MiB, {each:.0} B each (<= 128), {:.1} MiB; {} answers, {} errors   {aim}",
            mib(found.own()),
            mib(found.whole()),
            found.answers,
            found.errors
        ));
    }
    match Nginx::start(1024).await {
        Ok(nginx) => {
            let url = nginx.url();
            let (few, many) = (most(&site, 100, &url).await, most(&site, FEW, &url).await);
            if let (Some(few), Some(many)) = (few, many) {
                let more = many.own().saturating_sub(few.own()) as f64 / f64::from(FEW - 100);
                say(&format!("  HTTPS: {more:.1} KiB a connection   <= 8"));
            }
        }
        Err(reason) => say(&format!("  HTTPS: left out: {reason}")),
    }
    site.stop().await;
}

/// What the workers of one load test had.
struct Most {
    /// Of each the most memory of its own, and of all.
    kib: Vec<(u64, u64)>,
    answers: u64,
    errors: u64,
}

impl Most {
    fn own(&self) -> u64 {
        self.kib.iter().map(|(own, _)| own).sum()
    }

    fn whole(&self) -> u64 {
        self.kib.iter().map(|(_, whole)| whole).sum()
    }
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// Lets so many users come, and looks at the workers meanwhile.
async fn most(site: &Site, users: u32, url: &str) -> Option<Most> {
    let pattern = format!("1-{users}:10,{users}-{users}:5");
    let words = ["-p", &pattern, "--insecure", "-T", "60s", "--timeout", "120", url];
    let mut running = std::pin::pin!(site.rush(&words));
    let mut seen: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    let mut look = tokio::time::interval(Duration::from_millis(100));
    let report = loop {
        tokio::select! {
            report = &mut running => break report,
            _ = look.tick() => {
                for worker in cpu::children(site.pid()) {
                    let most = seen.entry(worker).or_default();
                    let (own, whole) = cpu::memory_kib(worker);
                    *most = (own.max(most.0), whole.max(most.1));
                }
            }
        }
    };
    match report {
        Ok(report) => {
            let tally = &report.total.tally;
            let kib = seen.into_values().filter(|(_, whole)| *whole > 0).collect();
            Some(Most { kib, answers: tally.hits, errors: tally.errors.total })
        }
        Err(text) => {
            say(&format!("  {users} users: failed: {text}"));
            None
        }
    }
}
