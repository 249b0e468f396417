//! What an HTTP exchange of `curl` costs: CPU time in a runtime of this process, beside a plain hyper client
//! that does the same work, in turns.

use std::collections::BTreeMap;
use std::time::Duration;

use blitz_contract::{Capability, Exit, Limits};
use blitz_runtime::{Invocation, Plugin, Rates, Runtime, RuntimeConfig, TargetPolicy};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use rustix::time::{ClockId, clock_gettime};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::peer::Peer;
use crate::sample::say;

/// Rounds, in each of which every kind has its turn; their medians are printed.
const ROUNDS: usize = 15;

/// Exchanges of one turn.
const EXCHANGES: u32 = 200;

/// Frames of output that may wait, as in an engine.
const FRAMES: usize = 16;

pub(crate) async fn measure(component: Bytes) {
    let peer = Peer::start().await;
    let config = RuntimeConfig {
        targets: TargetPolicy::any(),
        rates: Rates::UNLIMITED,
        ..RuntimeConfig::default()
    };
    let runtime = Runtime::new(config).expect("a runtime");
    let sha256 = blitz_jobs::plugin::sha256(&component);
    let plugin = runtime.load(component, &sha256).await.expect("curl is a plugin");

    let mut figures = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        let turns = [
            plain_turn(&peer).await,
            chain_turn(&plugin, &peer).await,
            runs_turn(&plugin, &peer.url("/"), 0).await,
            runs_turn(&plugin, "--no-such-option", 2).await,
        ];
        for (figures, turn) in figures.iter_mut().zip(turns) {
            figures.push(turn.as_secs_f64() * 1e6 / f64::from(EXCHANGES));
        }
    }
    let ratio = |at: usize| {
        median(figures[at].iter().zip(&figures[0]).map(|(ours, plain)| ours / plain).collect())
    };
    say("");
    say(&format!("{:<52} {:>8} {:>8}   aim", "CPU time in us, medians of rounds", "us", "ratio"));
    let rows = [
        ("an exchange by a plain hyper client", ""),
        ("an exchange through host and curl, one of a run", "<= 1.3"),
        ("a whole run of curl with one exchange", ""),
        ("a run of curl that only says 'wrong usage'", ""),
    ];
    for (at, (name, aim)) in rows.into_iter().enumerate() {
        say(&format!("{name:<52} {:>8.0} {:>8.2}   {aim}", median(figures[at].clone()), ratio(at)));
    }
}

async fn plain_turn(peer: &Peer) -> Duration {
    let before = cpu_time();
    for _ in 0..EXCHANGES {
        plain(&peer.address).await;
    }
    cpu_time().saturating_sub(before)
}

/// One run that is redirected again and again.
async fn chain_turn(plugin: &Plugin, peer: &Peer) -> Duration {
    let url = peer.url(&format!("/hops/{}", EXCHANGES - 1));
    let before = cpu_time();
    let exit = run(plugin, &["-s", "-L", "--max-redirs", "-1", &url]).await;
    let spent = cpu_time().saturating_sub(before);
    assert_eq!(exit, Exit::Status(0), "{url}");
    spent
}

async fn runs_turn(plugin: &Plugin, arg: &str, status: u8) -> Duration {
    let before = cpu_time();
    for _ in 0..EXCHANGES {
        assert_eq!(run(plugin, &["-s", arg]).await, Exit::Status(status), "{arg}");
    }
    cpu_time().saturating_sub(before)
}

/// One exchange on a connection of its own.
pub(crate) async fn plain(address: &str) {
    let stream = TcpStream::connect(address).await.expect("the peer accepts");
    stream.set_nodelay(true).expect("a socket");
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.expect("HTTP/1");
    let connection = tokio::spawn(connection);
    let request = hyper::Request::get("/")
        .header("host", address)
        .header("user-agent", "plain")
        .header("accept", "*/*")
        .body(Empty::<Bytes>::new())
        .expect("a request");
    let answer = sender.send_request(request).await.expect("an answer");
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(body.len(), 512);
    connection.abort();
}

async fn run(plugin: &Plugin, args: &[&str]) -> Exit {
    let (output, mut frames) = mpsc::channel(FRAMES);
    let running = plugin.run(Invocation {
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        region: "local".to_owned(),
        deadline: Duration::from_secs(60),
        limits: Limits::default(),
        capabilities: vec![Capability::Web],
        inputs: BTreeMap::new(),
        output,
        cancel: CancellationToken::new(),
        tape: blitz_runtime::Tape::Live,
        targets: Vec::new(),
        load: Default::default(),
    });
    let taking = async { while frames.recv().await.is_some() {} };
    tokio::join!(running, taking).0
}

/// Of all threads of this process.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
