//! Feeds: how soon a line comes, what an idle feed costs, what a write costs that no feed wants.

use std::time::{Duration, Instant};

use super::figure::Figures;
use super::server::{DATABASE, Target};
use super::wire::Wire;
use super::writes::{document, ms};
use crate::sample::Sample;

/// Writes whose line is waited for.
const LINES: usize = 2_000;

/// Feeds that follow at once.
const FEEDS: usize = 1_000;

/// How long idle feeds are watched.
const IDLE: Duration = Duration::from_secs(5);

/// Writes that nobody wants, and the pause between them: each wakes the feeds, and none two at once.
const UNWANTED: usize = 200;
const PAUSE: Duration = Duration::from_millis(20);

/// A filter that takes nothing of what is written here.
const SELECTOR: &str = r#"{"selector":{"type":"job","state":"unheard of"}}"#;

/// One that takes all of it.
const WANTING: &str = r#"{"selector":{"type":"job","state":"pending"}}"#;

pub(crate) async fn measure(target: &Target) -> Figures {
    let mut figures = Figures::default();
    let mut writer = target.connect().await;
    // What a first write makes once must not be counted below.
    for number in 0..20 {
        put(&mut writer, &format!("warm-{number}")).await;
    }
    let named = ["from a PUT's answer to the line of a feed: p50, ms", "  p99, ms", "  max, ms"];
    lines(target, &mut writer, ("", "{}"), named, &mut figures).await;
    let wanting = ("filter=_selector", WANTING);
    let named = [
        "the same of a feed with a selector: p50, ms",
        "  p99, ms (selector)",
        "  max, ms (selector)",
    ];
    lines(target, &mut writer, wanting, named, &mut figures).await;
    let alone = unwanted(target, &mut writer, "alone").await;

    let count = if target.share > 1 { FEEDS / 5 } else { FEEDS };
    let before = target.resident_kib();
    let mut feeds = Vec::new();
    for _ in 0..count {
        feeds.push(follow(target, "filter=_selector", SELECTOR).await);
    }
    let held = (target.resident_kib() - before) / count as f64;
    figures.add("memory of an idle feed with a selector, KiB", held, "<= 20");
    let cpu = target.cpu();
    tokio::time::sleep(IDLE).await;
    let idle = target.cpu().saturating_sub(cpu).as_secs_f64() * 1e3 / IDLE.as_secs_f64();
    figures.add("all idle feeds (1,000; CouchDB 200): CPU, ms per s", idle, "none");
    let among = unwanted(target, &mut writer, "among").await;
    let each = among.saturating_sub(alone).as_secs_f64() * 1e6 / count as f64;
    figures.add("a write that no feed wants: CPU, us per feed", each, "<= 3");
    let held = (target.resident_kib() - before) / count as f64;
    figures.add("memory of a feed after these writes, KiB", held, "");
    figures
}

async fn put(writer: &mut Wire, id: &str) {
    assert_eq!(writer.ask("PUT", &format!("{DATABASE}/{id}"), &document(0)).await, 201);
}

async fn follow(target: &Target, query: &str, body: &str) -> Wire {
    let mut feed = target.connect().await;
    let path = format!("{DATABASE}/_changes?feed=continuous&since=now&heartbeat=60000&{query}");
    feed.send("POST", &path, body).await;
    assert_eq!(feed.head().await, 200);
    feed
}

async fn lines(
    target: &Target,
    writer: &mut Wire,
    (query, body): (&str, &str),
    [p50, p99, max]: [&'static str; 3],
    figures: &mut Figures,
) {
    let mut feed = follow(target, query, body).await;
    let mut sample = Sample::default();
    for number in 0..LINES / target.share {
        let id = format!("line-{}-{number:06}", query.len());
        // Both are waited for at once: the line may well be first.
        let reading = async {
            feed.until(&id).await;
            Instant::now()
        };
        let writing = async {
            put(writer, &id).await;
            Instant::now()
        };
        let (line, answer) = tokio::join!(reading, writing);
        sample.add(line.saturating_duration_since(answer));
    }
    figures.add(p50, ms(&sample, 50), "<= 1");
    figures.add(p99, ms(&sample, 99), "<= 10");
    figures.add(max, ms(&sample, 100), "");
}

/// CPU time of one write with a pause behind it.
async fn unwanted(target: &Target, writer: &mut Wire, name: &str) -> Duration {
    let count = UNWANTED / if target.share > 1 { 4 } else { 1 };
    let cpu = target.cpu();
    for number in 0..count {
        put(writer, &format!("{name}-{number}")).await;
        tokio::time::sleep(PAUSE).await;
    }
    target.cpu().saturating_sub(cpu) / u32::try_from(count).unwrap_or(u32::MAX)
}
