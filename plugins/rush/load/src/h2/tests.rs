//! Against the server half of the same crate, and against servers that are written by hand, bad ones among them.

mod bad;
mod cost;
mod good;
mod server;

use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use blitz_contract::load::Plan;
use blitz_contract::load::work::Pinned;
use rustix::event::{PollFd, PollFlags};
use serde_json::json;

use super::{Happened, Multiplex, Sending};
use crate::failure::Failure;
use crate::script::Script;
use crate::tls::{Session, Tls};

/// Longer than any test takes; a hang then fails with a name.
const PATIENCE: Duration = Duration::from_secs(20);

/// A plan of these steps, against `http://localhost` or `https://localhost`.
fn script(scheme: &str, steps: &[serde_json::Value]) -> (Plan, Script) {
    let steps: Vec<_> = steps
        .iter()
        .map(|step| {
            let mut step = step.clone();
            let path = step["url"].as_str().unwrap_or("/").to_owned();
            step["url"] = json!(format!("{scheme}://localhost{path}"));
            step["timeout_ms"] = json!(1000);
            step
        })
        .collect();
    let shape = json!({"users": {"segments": [{"from": 1.0, "to": 1.0, "duration_ms": 1000}]}});
    let plan = json!({"steps": steps, "version": "http2", "shape": shape});
    let plan = Plan::from_json(&plan.to_string()).unwrap();
    let targets: Vec<Pinned> =
        plan.origins().into_iter().map(|origin| Pinned { origin, addresses: Vec::new() }).collect();
    let script = Script::new(&plan, &targets).unwrap();
    (plan, script)
}

fn connect(address: SocketAddr) -> OwnedFd {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nonblocking(true).unwrap();
    stream.set_nodelay(true).unwrap();
    OwnedFd::from(stream)
}

fn wait(fd: impl std::os::fd::AsFd, wants_write: bool, deadline: Instant) {
    let events = if wants_write { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
    let rest = deadline.checked_duration_since(Instant::now()).expect("the test took too long");
    let rest = rustix::time::Timespec::try_from(rest).unwrap();
    rustix::event::poll(&mut [PollFd::new(&fd, events)], Some(&rest)).unwrap();
}

/// Shakes hands, as the loop does.
fn handshake(tls: &Tls, fd: &OwnedFd) -> Result<(Box<Session>, Vec<u8>), Failure> {
    let deadline = Instant::now() + PATIENCE;
    let mut session = tls.session(0)?;
    let (mut plain, mut buffer) = (Vec::new(), vec![0; 16 << 10]);
    loop {
        let left = !session.flush(fd.as_fd()).unwrap();
        if session.is_ready() {
            return Ok((session, plain));
        }
        wait(fd, left, deadline);
        if let Ok((length, _)) =
            rustix::net::recv(fd, &mut buffer[..], rustix::net::RecvFlags::DONTWAIT)
        {
            assert!(length > 0, "closed");
            session.came(&mut buffer[..length], &mut plain)?;
        }
    }
}

/// The test's loop: one connection.
struct Driver {
    script: Script,
    held: Box<Multiplex>,
    scratch: Vec<u8>,
    events: Vec<Happened>,
    sent: u64,
    received: u64,
    is_over: bool,
}

impl Driver {
    fn new(
        script: Script,
        fd: OwnedFd,
        tls: Option<(Box<Session>, Vec<u8>)>,
        streams: u32,
    ) -> Self {
        let (tls, came) = tls.map_or((None, Vec::new()), |(tls, came)| (Some(tls), came));
        let held = Multiplex::new(fd, tls, came, streams);
        let scratch = vec![0; 64 << 10];
        Self { script, held, scratch, events: Vec::new(), sent: 0, received: 0, is_over: false }
    }

    /// One turn behind epoll; what happened but for bytes, which are added up.
    fn turn(&mut self) -> (super::Turn, Vec<Happened>) {
        self.act(true)
    }

    fn act(&mut self, is_readable: bool) -> (super::Turn, Vec<Happened>) {
        let turn = self.held.turn(&self.script, is_readable, &mut self.scratch, &mut self.events);
        self.is_over = turn.is_over;
        assert_eq!(self.scratch.len(), 64 << 10, "the buffer came back");
        let mut told = Vec::new();
        for event in self.events.drain(..) {
            match event {
                Happened::Sent { bytes, .. } => self.sent += bytes,
                Happened::Received { bytes, .. } => self.received += bytes,
                other => told.push(other),
            }
        }
        (turn, told)
    }

    /// Turns until something happened, or it is over.
    fn happened(&mut self) -> Vec<Happened> {
        self.until(|_| false)
    }

    fn until(&mut self, done: impl Fn(&mut Multiplex) -> bool) -> Vec<Happened> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (turn, told) = self.turn();
            if !told.is_empty() || turn.is_over || done(&mut self.held) {
                return told;
            }
            if !turn.wants_turn {
                self.held.with_fd(|fd| wait(fd, turn.wants_write, deadline));
            }
        }
    }

    fn send(&mut self, lane: u32, step: usize) {
        self.held
            .send(&self.script, Sending { lane, step, number: u64::from(lane), kept: None })
            .unwrap();
    }

    /// Waits until a stream may begin.
    fn open(&mut self) {
        let told = self.until(Multiplex::room);
        assert!(told.is_empty() && !self.is_over, "{told:?}");
    }
}
