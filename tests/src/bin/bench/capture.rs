//! The phases of an exchange, held against the packets that `tcpdump` saw on loopback.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use blitz_tests::Home;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::peer::Peer;
use crate::sample::{Sample, say};

/// Exchanges that are compared.
const EXCHANGES: usize = 60;

/// The peer waits so long before the head, and before the body.
const WAIT_MS: (u64, u64) = (20, 10);

/// `tcpdump` writes what it has and ends.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// The instants of one connection, by its packets, in nanoseconds since 1970.
#[derive(Debug, Default, Clone, Copy)]
struct Packets {
    syn: Option<u64>,
    syn_ack: Option<u64>,
    request: Option<u64>,
    head: Option<u64>,
    latest: Option<u64>,
}

pub(crate) async fn measure(home: &Home) {
    let peer = Peer::start().await;
    let port: u16 = peer.address.rsplit(':').next().and_then(|p| p.parse().ok()).expect("a port");
    let file = home.path().join("loopback.pcap");
    say("");
    let filter = format!("tcp port {port}");
    let Some(capture) = Capture::start(Command::new("tcpdump"), "lo", &file, &filter).await else {
        say("phases against a packet capture: left out, 'tcpdump' does not run here");
        return;
    };
    let url = peer.url(&format!("/wait/{}/{}", WAIT_MS.0, WAIT_MS.1));
    let mut records = Vec::new();
    for _ in 0..EXCHANGES {
        let outcome = home.run(&["--json", "curl", "-r", "local", "-s", &url]).await;
        let report: Value = serde_json::from_str(&outcome.stdout).expect("a report");
        records.push(report["results"][0]["events"]["exchange"][0].clone());
    }
    capture.end().await;
    let bytes = std::fs::read(&file).expect("what tcpdump wrote");
    let seen = connections(&bytes, port);

    let mut errors: [Sample; 3] = Default::default();
    for record in &records {
        let local = record["connection"]["local"].as_str().expect("this side's address");
        let packets = local.rsplit(':').next().and_then(|p| seen.get(&p.parse().ok()?));
        let Some(truth) = packets.and_then(Packets::phases) else { continue };
        let us = |name: &str| record["phases"][name].as_u64().unwrap_or(0);
        let ours = [us("connect_us"), us("wait_us"), us("download_us")];
        for ((errors, ours), truth) in errors.iter_mut().zip(ours).zip(truth) {
            errors.add(Duration::from_micros(ours).abs_diff(truth));
        }
    }
    say(&format!(
        "{:<52} {:>4} {:>8} {:>8} {:>8}   aim",
        "phases against packets, difference in ms", "n", "p50", "p90", "max"
    ));
    for (name, errors) in ["connect", "wait for the first byte", "download"].iter().zip(&errors) {
        errors.print(name, "p90 <= 0.2");
    }
}

impl Packets {
    /// Connect, wait and download; `None` when a packet was not seen.
    fn phases(&self) -> Option<[Duration; 3]> {
        let between =
            |a: Option<u64>, b: Option<u64>| Some(Duration::from_nanos(b?.checked_sub(a?)?));
        Some([
            between(self.syn, self.syn_ack)?,
            between(self.request, self.head)?,
            between(self.head, self.latest)?,
        ])
    }
}

/// A `tcpdump` that runs.
pub(crate) struct Capture {
    process: Child,
}

impl Capture {
    /// `tcpdump` itself, wherever it is to run. `None` when it does not get ready: not installed, or not
    /// allowed.
    pub(crate) async fn start(
        mut tcpdump: Command,
        interface: &str,
        file: &Path,
        filter: &str,
    ) -> Option<Self> {
        let mut process = tcpdump
            .args(["-i", interface])
            .args([
                "-n",
                "-U",
                "--immediate-mode",
                "-s",
                "120",
                "--time-stamp-precision=nano",
                "-w",
            ])
            .arg(file)
            .arg(filter)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .ok()?;
        let mut said = BufReader::new(process.stderr.take()?).lines();
        while let Some(line) = said.next_line().await.ok()? {
            if line.contains("listening on") {
                return Some(Self { process });
            }
        }
        None
    }

    pub(crate) async fn end(mut self) {
        let pid = self.process.id().expect("tcpdump runs");
        blitz_tests::program::send_signal(pid, "INT").await;
        let ended = tokio::time::timeout(STOP_LIMIT, self.process.wait()).await;
        ended.expect("tcpdump ends in time").expect("its status");
    }
}

/// The packets of a file in pcap's format with nanoseconds, link type Ethernet: when, since 1970, and from the header
/// of IP on.
pub(crate) fn packets(file: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    const ETHERNET_BYTES: usize = 14;
    let number = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).unwrap_or(0);
    let mut rest = file.get(24..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (head, body) = (rest.get(..16)?, rest.get(16..)?);
        let at = u64::from(number(&head[..4])) * 1_000_000_000 + u64::from(number(&head[4..8]));
        let kept = usize::try_from(number(&head[8..12])).unwrap_or(usize::MAX);
        let packet = body.get(..kept)?;
        rest = &body[kept..];
        Some((at, packet.get(ETHERNET_BYTES..).unwrap_or_default()))
    })
}

/// The packets of each connection, by the client's port.
fn connections(file: &[u8], server: u16) -> BTreeMap<u16, Packets> {
    let mut found: BTreeMap<u16, Packets> = BTreeMap::new();
    for (at, packet) in packets(file) {
        if let Some(segment) = segment(packet) {
            note(&mut found, server, at, &segment);
        }
    }
    found
}

struct Segment {
    source: u16,
    destination: u16,
    is_syn: bool,
    is_ack: bool,
    payload_bytes: usize,
}

fn segment(ip: &[u8]) -> Option<Segment> {
    let ip_head = usize::from(ip.first()? & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([*ip.get(2)?, *ip.get(3)?]));
    let tcp = ip.get(ip_head..)?;
    let tcp_head = usize::from(tcp.get(12)? >> 4) * 4;
    let flags = *tcp.get(13)?;
    Some(Segment {
        source: u16::from_be_bytes([*tcp.first()?, *tcp.get(1)?]),
        destination: u16::from_be_bytes([*tcp.get(2)?, *tcp.get(3)?]),
        is_syn: flags & 0x02 != 0,
        is_ack: flags & 0x10 != 0,
        payload_bytes: total.saturating_sub(ip_head + tcp_head),
    })
}

fn note(found: &mut BTreeMap<u16, Packets>, server: u16, at: u64, segment: &Segment) {
    let from_server = segment.source == server;
    let client = if from_server { segment.destination } else { segment.source };
    let packets = found.entry(client).or_default();
    match (segment.is_syn, from_server) {
        // A port may be used again: a new connection begins.
        (true, false) => *packets = Packets { syn: Some(at), ..Packets::default() },
        (true, true) if segment.is_ack => packets.syn_ack = Some(at),
        (false, false) if segment.payload_bytes > 0 => {
            packets.request.get_or_insert(at);
        }
        (false, true) if segment.payload_bytes > 0 => {
            packets.head.get_or_insert(at);
            packets.latest = Some(at);
        }
        _ => {}
    }
}
