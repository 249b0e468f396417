//! An engine, as far as a worker can tell.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use blitz_contract::load::work::{Order, Pinned, Said, Work};
use blitz_contract::load::{Closing, ErrorKind, Origin, Plan, Share, Tick};
use serde_json::{Value, json};

/// Longer than any test takes on a busy machine; a worker that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// One end of the socket pair; the worker has the other, on a thread of its own.
pub(crate) struct Engine {
    socket: UnixStream,
    worker: JoinHandle<ExitCode>,
}

/// What a worker said in all.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) ticks: Vec<Tick>,
    pub(crate) closing: Closing,
    pub(crate) exit: String,
}

/// A plan with one GET, of so many users for so many milliseconds.
pub(crate) fn plan(address: SocketAddr, users: u32, ms: u64) -> Value {
    json!({
        "steps": [{"method": "GET", "url": format!("http://{address}/"), "timeout_ms": 10_000}],
        "shape": {"users": {"segments": [{"from": users, "to": users, "duration_ms": ms}]}},
    })
}

/// The same with so many arrivals a second.
pub(crate) fn rate(address: SocketAddr, per_s: u32, ms: u64) -> Value {
    let mut plan = plan(address, 1, ms);
    plan["shape"] =
        json!({"rate": {"segments": [{"from": per_s, "to": per_s, "duration_ms": ms}]}});
    plan
}

/// All of a plan, for one worker. Every origin is at its own address.
pub(crate) fn work(plan: &Value) -> Work {
    let plan = Plan::from_json(&plan.to_string()).expect("a plan");
    let pinned = |origin: Origin| Pinned {
        addresses: vec![origin.authority().parse().expect("the host is an address, with a port")],
        origin,
    };
    Work {
        targets: plan.origins().into_iter().map(pinned).collect(),
        plan,
        share: Share::WHOLE,
        sources: Vec::new(),
        connections_max: 1000,
        connects_per_s: 100_000,
        roots: Vec::new(),
    }
}

impl Engine {
    /// Hands over the work; gives what the worker said of it, too.
    pub(crate) fn with(work: Work) -> (Self, Said) {
        let (socket, other) = UnixStream::pair().expect("a socket pair");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let worker = thread::spawn(move || blitz_load::worker(other));
        let mut engine = Self { socket, worker };
        engine.order(&Order::Work(Box::new(work)));
        let said = engine.hear().expect("an answer to the work");
        (engine, said)
    }

    /// Starts the test.
    pub(crate) fn start(work: Work) -> Self {
        let (mut engine, said) = Self::with(work);
        assert_eq!(said, Said::Ready);
        engine.order(&Order::Go { in_us: 1000 });
        engine
    }

    pub(crate) fn order(&mut self, order: &Order) {
        let text = serde_json::to_vec(order).expect("an order");
        let len = u32::try_from(text.len()).expect("a short order");
        self.socket.write_all(&len.to_le_bytes()).expect("the worker hears");
        self.socket.write_all(&text).expect("the worker hears");
    }

    /// What the worker says next; nothing when it has hung up.
    pub(crate) fn hear(&mut self) -> Option<Said> {
        let mut len = [0; 4];
        match self.socket.read_exact(&mut len) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return None,
            Err(e) => panic!("the worker says nothing: {e}"),
        }
        let len = usize::try_from(u32::from_le_bytes(len)).expect("a length");
        let mut frame = vec![0; len];
        self.socket.read_exact(&mut frame).expect("a whole frame");
        Some(serde_json::from_slice(&frame).expect("a word of the contract"))
    }

    pub(crate) fn next_tick(&mut self) -> Option<Tick> {
        self.hear().map(|said| match said {
            Said::Tick(tick) => *tick,
            said => panic!("a tick, not {said:?}"),
        })
    }

    /// Hangs up; gives how the worker ended.
    pub(crate) fn leave(self) -> String {
        drop(self.socket);
        format!("{:?}", self.worker.join().expect("the worker does not panic"))
    }

    /// All that is still to come.
    pub(crate) fn rest(mut self) -> Report {
        let mut ticks = Vec::new();
        while let Some(tick) = self.next_tick() {
            ticks.push(tick);
        }
        let exit = format!("{:?}", self.worker.join().expect("the worker does not panic"));
        let closing = ticks.iter().find_map(|tick| tick.closing.clone()).expect("a closing");
        Report { ticks, closing, exit }
    }
}

/// Runs a plan to its end.
pub(crate) fn run(plan: &Value) -> Report {
    Engine::start(work(plan)).rest()
}

impl Report {
    /// The sum of all ticks.
    pub(crate) fn sum(&self) -> Tick {
        let mut sum = Tick::default();
        for tick in &self.ticks {
            sum.add(tick);
        }
        sum
    }

    /// How often each status came.
    pub(crate) fn statuses(&self) -> BTreeMap<u16, u64> {
        let mut found = BTreeMap::new();
        for class in self.sum().steps.iter().flat_map(|step| &step.classes) {
            assert_eq!(class.service_us.total(), class.statuses.values().sum::<u64>());
            for (status, count) in &class.statuses {
                *found.entry(*status).or_default() += count;
            }
        }
        found
    }

    pub(crate) fn errors(&self) -> BTreeMap<ErrorKind, u64> {
        let mut found = BTreeMap::new();
        for (kind, count) in self.sum().steps.iter().flat_map(|step| &step.errors) {
            *found.entry(*kind).or_default() += count;
        }
        found
    }

    /// The words of the first failure of a kind.
    pub(crate) fn first(&self, kind: ErrorKind) -> String {
        let found =
            self.ticks.iter().flat_map(|tick| &tick.firsts).find(|first| first.kind == kind);
        found.map(|first| first.text.clone()).unwrap_or_default()
    }
}
