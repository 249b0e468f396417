//! Writing: in bulk, from many clients, from one.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::figure::Figures;
use super::server::{DATABASE, Target};
use crate::exchange::cpu_time;
use crate::sample::Sample;

/// Documents of one request, and requests.
const BULK_DOCS: usize = 1_000;
const BULKS: usize = 100;

/// Clients that write at once, and what they write together.
const CLIENTS: usize = 32;
const PUTS: usize = 60_000;

/// Writes of the client that is alone.
const ALONE: usize = 4_000;

/// What one durable write takes of the log: a page that it changes, with its head. The log is as long as
/// this before it is begun anew, so that most writes overwrite.
const FLOOR_BYTES: usize = 4096 + 24;
const FLOOR_PAGES: usize = 1_000;

pub(crate) async fn measure(target: &Target) -> Figures {
    let mut figures = Figures::default();
    bulk(target, &mut figures).await;
    many(target, &mut figures).await;
    alone(target, &mut figures).await;
    figures
}

/// About 330 bytes, like a job.
pub(crate) fn document(number: usize) -> String {
    let text = "x".repeat(200);
    format!(
        r#"{{"type":"job","state":"pending","plugin":"curl","region":"local","number":{number},"args":["-s","http://127.0.0.1/"],"text":"{text}"}}"#
    )
}

/// A request of `_bulk_docs` with new documents.
pub(crate) fn bulk_request(first: usize, count: usize) -> String {
    let docs: Vec<String> = (first..first + count)
        .map(|number| {
            document(number).replacen('{', &format!("{{\"_id\":\"bulk-{number:08}\","), 1)
        })
        .collect();
    format!(r#"{{"docs":[{}]}}"#, docs.join(","))
}

async fn bulk(target: &Target, figures: &mut Figures) {
    let count = (BULKS / target.share).max(1);
    let requests: Vec<String> =
        (0..count).map(|bulk| bulk_request(bulk * BULK_DOCS, BULK_DOCS)).collect();
    let mut wire = target.connect().await;
    let path = format!("{DATABASE}/_bulk_docs");
    let (begun, cpu) = (Instant::now(), target.cpu());
    for request in &requests {
        assert_eq!(wire.ask("POST", &path, request).await, 201);
    }
    let docs = (count * BULK_DOCS) as f64;
    figures.add("_bulk_docs of 1,000, one client: documents/s", docs / seconds(begun), ">= 20000");
    let cpu = target.cpu().saturating_sub(cpu).as_secs_f64() * 1e6;
    figures.add("  server CPU, us per document", cpu / docs, "");
}

async fn many(target: &Target, figures: &mut Figures) {
    let made = puts(target, "put", PUTS / target.share).await;
    figures.add("PUT of 330 bytes, 32 clients: per second", made.per_s, ">= 5000");
    figures.add("  server CPU, us per PUT", made.cpu_us, "<= 60");
    figures.add("  the client's own CPU, us per PUT", made.own_us, "");
    figures.add("  p50, ms", ms(&made.sample, 50), "");
    figures.add("  p99, ms", ms(&made.sample, 99), "");
}

/// What PUTs of many clients took.
pub(crate) struct Puts {
    pub(crate) per_s: f64,
    /// CPU time of the server for one.
    pub(crate) cpu_us: f64,
    own_us: f64,
    sample: Sample,
}

/// `count` new documents of [`CLIENTS`] clients.
pub(crate) async fn puts(target: &Target, name: &str, count: usize) -> Puts {
    let each = (count / CLIENTS).max(1);
    let body = document(0);
    let mut wires = Vec::new();
    for _ in 0..CLIENTS {
        wires.push(target.connect().await);
    }
    let (begun, cpu, own) = (Instant::now(), target.cpu(), cpu_time());
    let mut clients = JoinSet::new();
    for (client, mut wire) in wires.into_iter().enumerate() {
        let (name, body) = (name.to_owned(), body.clone());
        clients.spawn(async move {
            let mut sample = Sample::default();
            for number in 0..each {
                let path = format!("{DATABASE}/{name}-{client}-{number}");
                let sent = Instant::now();
                assert_eq!(wire.ask("PUT", &path, &body).await, 201);
                sample.add(sent.elapsed());
            }
            sample
        });
    }
    let mut sample = Sample::default();
    while let Some(one) = clients.join_next().await {
        sample.extend(one.expect("a client"));
    }
    let puts = (each * CLIENTS) as f64;
    let spent = |cpu: Duration| cpu.as_secs_f64() * 1e6 / puts;
    let per_s = puts / seconds(begun);
    let cpu_us = spent(target.cpu().saturating_sub(cpu));
    Puts { per_s, cpu_us, own_us: spent(cpu_time().saturating_sub(own)), sample }
}

async fn alone(target: &Target, figures: &mut Figures) {
    let mut wire = target.connect().await;
    let (count, body) = (ALONE / target.share, document(0));
    let mut sample = Sample::default();
    let cpu = target.cpu();
    for number in 0..count {
        let path = format!("{DATABASE}/alone-{number}");
        let sent = Instant::now();
        assert_eq!(wire.ask("PUT", &path, &body).await, 201);
        sample.add(sent.elapsed());
    }
    let cpu = target.cpu().saturating_sub(cpu).as_secs_f64() * 1e6 / count as f64;
    figures.add("PUT of 330 bytes, one client: p50, ms", ms(&sample, 50), "one sync");
    figures.add("  p99, ms", ms(&sample, 99), "");
    figures.add("  server CPU, us per PUT", cpu, "");
    if let Some(directory) = target.directory() {
        for (name, sync) in [("fsync", File::sync_all as Sync), ("fdatasync", File::sync_data)] {
            let floor = floor(directory, sync);
            figures.add(format!("floor: overwrite 4 KiB and {name}, p50, ms"), ms(&floor, 50), "");
            figures.add(format!("floor: overwrite 4 KiB and {name}, p99, ms"), ms(&floor, 99), "");
        }
    }
}

type Sync = fn(&File) -> std::io::Result<()>;

/// What the disk alone takes for one durable write.
fn floor(directory: &std::path::Path, sync: Sync) -> Sample {
    let path = directory.join("floor");
    let mut file = File::create(&path).expect("a file");
    file.write_all(&vec![0; FLOOR_BYTES * FLOOR_PAGES]).expect("written");
    file.sync_all().expect("synced");
    let mut sample = Sample::default();
    for page in 0..ALONE {
        if page % FLOOR_PAGES == 0 {
            file.rewind().expect("its begin");
        }
        let begun = Instant::now();
        file.write_all(&[7; FLOOR_BYTES]).expect("written");
        sync(&file).expect("synced");
        sample.add(begun.elapsed());
    }
    std::fs::remove_file(path).ok();
    sample
}

pub(crate) fn seconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64()
}

pub(crate) fn ms(sample: &Sample, percent: usize) -> f64 {
    sample.percentile(percent).as_secs_f64() * 1e3
}
