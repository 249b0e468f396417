//! CPU time of a request: ours, the peers', and the floor, in turn against the same server.

use std::collections::BTreeMap;
use std::time::Duration;

use super::cpu;
use super::nginx::Nginx;
use super::peers::{Peer, Task};
use super::server::Served;
use super::site::{Site, on_core, pin};
use crate::sample::say;

/// Each client runs so often, in turn with the others.
const ROUNDS: usize = 3;

/// One run.
const SECONDS: u32 = 5;

/// Bytes of an answer's body.
const BODY: usize = 1024;

/// A way of asking, with what we aim at: at most so much of a peer's time.
struct Scene {
    name: &'static str,
    kind: Kind,
    connections: u32,
    aims: &'static [(&'static str, f64)],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Tls,
    Http2 { streams: u32 },
}

const SCENES: &[Scene] = &[
    Scene {
        name: "HTTP/1.1, 100 connections",
        kind: Kind::Plain,
        connections: 100,
        aims: &[("wrk", 0.82), ("oha", 0.60), ("bare", 1.08)],
    },
    Scene {
        name: "HTTP/1.1, 1,000 connections",
        kind: Kind::Plain,
        connections: 1000,
        aims: &[("wrk", 0.68), ("oha", 0.42), ("bare", 1.08)],
    },
    Scene {
        name: "HTTPS, 100 connections",
        kind: Kind::Tls,
        connections: 100,
        aims: &[("wrk", 0.85)],
    },
    Scene {
        name: "HTTP/2 with TLS, 50 connections, m=1",
        kind: Kind::Http2 { streams: 1 },
        connections: 50,
        aims: &[("h2load", 2.5)],
    },
    Scene {
        name: "HTTP/2 with TLS, 50 connections, m=10",
        kind: Kind::Http2 { streams: 10 },
        connections: 50,
        aims: &[("h2load", 2.5)],
    },
];

/// A client of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    Blitz,
    Bare,
    Of(Peer),
}

impl Client {
    fn name(self) -> &'static str {
        match self {
            Self::Blitz => "blitz rush",
            Self::Bare => "bare",
            Self::Of(peer) => peer.name(),
        }
    }
}

pub(crate) async fn measure() {
    pin(1);
    let site = Site::start(&[]).await;
    for scene in SCENES {
        one(scene, &site).await;
    }
    site.stop().await;
}

async fn one(scene: &Scene, site: &Site) {
    say(&format!(
        "{}: CPU time of a request in us, {ROUNDS} rounds of {SECONDS} s, median [least]",
        scene.name
    ));
    let served = Served::start(BODY, None).await;
    let nginx = match scene.kind {
        Kind::Plain => None,
        Kind::Tls | Kind::Http2 { .. } => match Nginx::start(BODY).await {
            Ok(nginx) => Some(nginx),
            Err(reason) => return say(&format!("  left out: {reason}")),
        },
    };
    let url = nginx.as_ref().map_or_else(|| format!("http://{}/", served.address), Nginx::url);
    let streams = match scene.kind {
        Kind::Http2 { streams } => Some(streams),
        _ => None,
    };
    let task = Task { url, connections: scene.connections, seconds: SECONDS, streams };
    let clients: &[Client] = match scene.kind {
        Kind::Plain => &[
            Client::Bare,
            Client::Blitz,
            Client::Of(Peer::Wrk),
            Client::Of(Peer::H2load),
            Client::Of(Peer::Oha),
        ],
        Kind::Tls => {
            &[Client::Blitz, Client::Of(Peer::Wrk), Client::Of(Peer::H2load), Client::Of(Peer::Oha)]
        }
        Kind::Http2 { .. } => &[Client::Blitz, Client::Of(Peer::H2load), Client::Of(Peer::Oha)],
    };
    let mut costs: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for _ in 0..ROUNDS {
        for client in clients {
            match cost(*client, &task, &served, site).await {
                Ok(cost) => costs.entry(client.name()).or_default().push(cost),
                Err(reason) => say(&format!("  {}: left out: {}", client.name(), reason.trim())),
            }
        }
    }
    print(&costs, scene.aims);
}

/// CPU time of one answer, in microseconds.
async fn cost(client: Client, task: &Task, served: &Served, site: &Site) -> Result<f64, String> {
    let idle = cpu::children(site.pid());
    let before = (cpu::of_children(), cpu::of(site.pid()));
    let answers = match client {
        Client::Of(peer) => peer.run(task).await?,
        Client::Bare => bare(task, served).await?,
        Client::Blitz => blitz(task, site).await?,
    };
    if answers == 0 {
        return Err("had no answers".to_owned());
    }
    let mut used = cpu::of_children().saturating_sub(before.0);
    if client == Client::Blitz {
        // The time of a worker is in that of its parent when the parent has waited for it.
        blitz_tests::until("the workers have ended", || async {
            cpu::children(site.pid()).iter().all(|child| idle.contains(child)).then_some(())
        })
        .await;
        used += cpu::of(site.pid()).saturating_sub(before.1);
    }
    Ok(micros(used) / answers as f64)
}

async fn bare(task: &Task, served: &Served) -> Result<u64, String> {
    let mut command = on_core(1, &super::site::carrier());
    let answer = super::server::answer(BODY).len();
    command.args([
        super::BARE.to_owned(),
        served.address.to_string(),
        task.connections.to_string(),
        task.seconds.to_string(),
        answer.to_string(),
    ]);
    let output = command.output().await.map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| text.into_owned())
}

async fn blitz(task: &Task, site: &Site) -> Result<u64, String> {
    let users = task.connections * task.streams.unwrap_or(1);
    let pattern = format!("{users}-{users}:{}", task.seconds);
    let streams = task.streams.map(|streams| streams.to_string());
    let mut words = vec!["-p", &pattern, "--insecure"];
    if let Some(streams) = &streams {
        words.extend(["--http2", "--streams", streams]);
    }
    words.push(&task.url);
    let report = site.rush(&words).await?;
    Ok(report.total.tally.hits)
}

fn print(costs: &BTreeMap<&str, Vec<f64>>, aims: &[(&str, f64)]) {
    let median = |name: &str| {
        let mut sorted = costs.get(name)?.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    };
    let ours = median("blitz rush");
    for (name, all) in costs {
        let least = all.iter().copied().fold(f64::INFINITY, f64::min);
        let median = median(name).unwrap_or(f64::NAN);
        let ratio = match (ours, *name) {
            (_, "blitz rush") | (None, _) => String::new(),
            (Some(ours), _) => format!("  ours / it {:.2}", ours / median),
        };
        let aim = aims.iter().find(|(peer, _)| peer == name);
        let aim = aim.map_or_else(String::new, |(_, most)| format!("  (aim <= {most:.2})"));
        say(&format!("  {name:<12} {median:>7.2} [{least:.2}]{ratio}{aim}"));
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
