//! One session: what is sent, what is out, and what comes back. It has no task of its own: what happens, happens in
//! `send` and `next`, and meanwhile the kernel stamps and keeps what comes.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use blitz_contract::probes::{Answer, Outcome, Probe, Protocol};
use rustix::net::{SocketType, ipproto};
use tokio_util::sync::CancellationToken;

use super::cancelled;
use super::connect::Connect;
use super::cookie::Tag;
use super::echo::Echo;
use super::ledger::Ledger;
use super::limits::{ANSWERS_MAX, READ_MAX, SEND_MAX};
use super::places::Places;
use super::raw_echo::RawEcho;
use super::ready::Ready;
use super::signal::Heard;
use super::socket::Socket;
use super::stamp::Departure;
use super::syn::Syn;
use super::udp::Udp;
use super::way::{Ends, SendError, Way};
use crate::egress::Pinned;

/// Packets to one target, and their answers.
#[derive(Debug)]
pub(super) struct Session {
    target: IpAddr,
    protocol: Protocol,
    way: Box<dyn Way>,
    ready: Ready,
    ledger: Ledger,
    heard: Heard,
    answers: VecDeque<Answer>,
    lost_count: u64,
    mtu: u32,
}

/// No route depends on it. Source: RFC 863.
const ANY_PORT: u16 = 9;

/// Why a session does not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SessionError {
    #[error("{0}")]
    Limit(String),
    #[error("{0}")]
    Failed(String),
}

impl Session {
    /// Opens what probes of this kind need. Nothing is sent.
    pub(super) fn open(
        pinned: &Pinned,
        protocol: Protocol,
        dont_fragment: bool,
        places: Places,
    ) -> Result<Self, SessionError> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            SessionError::Failed(format!("the engine cannot send probes: {what}: {error}"))
        };
        let tag = Tag::by_chance().map_err(|error| failed("random numbers", &error))?;
        let (target, source) = (pinned.address(), pinned.source());
        let ends = Ends { source, target, dont_fragment, tag };
        let ready = Ready::new().map_err(|error| failed("epoll", &error))?;
        let way: Box<dyn Way> = match protocol {
            Protocol::Udp => Box::new(Udp::new(ends, places, &ready)),
            Protocol::Tcp => match Syn::open(ends, places.clone(), &ready) {
                Ok(syn) => Box::new(syn),
                Err(error) => {
                    tracing::debug!(%error, "TCP probes without raw sockets");
                    Box::new(Connect::new(ends, places))
                }
            },
            Protocol::Icmp => match Echo::open(ends, &ready) {
                Ok(echo) => Box::new(echo),
                Err(error) => {
                    let raw = RawEcho::open(ends, &ready).map_err(|_| no_echo(&error))?;
                    Box::new(raw)
                }
            },
        };
        let mtu = link_mtu(target, source).map_err(|error| failed("the route", &error))?;
        let ledger = Ledger::new(target, protocol);
        let (heard, answers) = (Heard::default(), VecDeque::new());
        Ok(Self { target, protocol, way, ready, ledger, heard, answers, lost_count: 0, mtu })
    }

    /// What its probes are.
    pub(super) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// What the first link carries, in bytes.
    pub(super) fn mtu(&self) -> u32 {
        self.mtu
    }

    /// Whether these may be sent.
    pub(super) fn check(&mut self, probes: &[Probe]) -> Result<(), SessionError> {
        if probes.len() > SEND_MAX {
            let text = format!("at most {SEND_MAX} probes are sent at once, not {}", probes.len());
            return Err(SessionError::Limit(text));
        }
        let now = Instant::now();
        let mut ids = std::collections::HashSet::with_capacity(probes.len());
        for Probe { id, ttl, .. } in probes {
            if *ttl == 0 {
                let text = "a time to live is 1 to 255, not 0".to_owned();
                return Err(SessionError::Failed(text));
            }
            if !ids.insert(*id) || self.ledger.is_out(*id, now) {
                let text = format!("the probe {id} is out already; give this one another number");
                return Err(SessionError::Limit(text));
            }
        }
        Ok(())
    }

    /// Sends one. That it did not leave is an answer too.
    pub(super) fn send(&mut self, probe: &Probe) -> Result<(), SessionError> {
        let serial = self.ledger.serial();
        self.ledger.add(serial, probe, Departure::now());
        self.heard.local_mtu = None;
        self.heard.reads_count = 0;
        let Self { way, ready, heard, ledger, .. } = self;
        match way.send(probe, serial, ready, heard) {
            Ok(sent) => {
                if let Some(checksum) = sent.checksum {
                    ledger.has_checksum(serial, checksum);
                }
                self.take_heard();
                Ok(())
            }
            Err(error) => {
                ledger.remove(serial);
                self.take_heard();
                match error {
                    SendError::Refused(text) => Err(SessionError::Failed(text)),
                    SendError::Limit(text) => Err(SessionError::Limit(text)),
                    SendError::Unsent(error) => {
                        let is_large = error.raw_os_error() == Some(libc::EMSGSIZE);
                        let mtu =
                            self.heard.local_mtu.take().or(Some(self.mtu)).filter(|_| is_large);
                        self.push(Answer {
                            mtu,
                            text: Some(unsent(&error, self.target, probe)),
                            ..Answer::new(probe.id, Outcome::Unsent, None, 0)
                        });
                        Ok(())
                    }
                }
            }
        }
    }

    /// All answers that are there, as soon as there is one; none after `wait`, or when `end` fires.
    pub(super) async fn next(
        &mut self,
        wait: Duration,
        end: Option<&CancellationToken>,
    ) -> Result<Vec<Answer>, SessionError> {
        let begun = Instant::now();
        loop {
            let due = self.hear().await?;
            if !self.answers.is_empty() {
                return Ok(self.answers.drain(..).collect());
            }
            let now = Instant::now();
            let Some(left) = wait.checked_sub(now - begun).filter(|left| !left.is_zero()) else {
                return Ok(Vec::new());
            };
            let until_due = due.map_or(left, |due| due.saturating_duration_since(now));
            tokio::select! {
                biased;
                () = cancelled(end) => return Ok(Vec::new()),
                ready = self.ready.wait() => ready.map_err(|error| gone(&error))?,
                () = tokio::time::sleep(left.min(until_due)) => {}
            }
        }
    }

    /// Lets `time` pass, and hears meanwhile; early when `end` fires, which is told by `false`.
    pub(super) async fn rest(
        &mut self,
        time: Duration,
        end: Option<&CancellationToken>,
    ) -> Result<bool, SessionError> {
        let rest = async {
            tokio::select! {
                biased;
                () = cancelled(end) => false,
                () = tokio::time::sleep(time) => true,
            }
        };
        self.meanwhile(rest).await
    }

    /// Hears while `work` is done, and does what is due.
    pub(super) async fn meanwhile<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, SessionError> {
        tokio::pin!(work);
        loop {
            let due = self.hear().await?;
            let until_due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                ready = self.ready.wait() => ready.map_err(|error| gone(&error))?,
                () = until_due => {}
            }
        }
    }

    /// Reads what is there; when there will be something to do by the clock.
    async fn hear(&mut self) -> Result<Option<Instant>, SessionError> {
        self.heard.reads_count = 0;
        // Once: a flood must not keep the thread, and who waits comes back at once.
        for name in self.ready.now().map_err(|error| gone(&error))? {
            self.way.hear(name, &mut self.heard);
        }
        let due = self.way.tick(Instant::now(), &mut self.heard);
        self.take_heard();
        self.give_way().await;
        Ok(due)
    }

    /// Behind a flood, others have their turn on the thread.
    pub(super) async fn give_way(&mut self) {
        if self.heard.reads_count >= READ_MAX {
            tokio::task::yield_now().await;
        }
    }

    fn take_heard(&mut self) {
        for (serial, stamp) in std::mem::take(&mut self.heard.departures) {
            self.ledger.departed(serial, stamp);
        }
        for signal in std::mem::take(&mut self.heard.signals) {
            match self.ledger.answer(signal) {
                Some(answer) => self.push(answer),
                None => self.heard.strays_count += 1,
            }
        }
    }

    fn push(&mut self, answer: Answer) {
        if self.answers.len() < ANSWERS_MAX {
            self.answers.push_back(answer);
        } else {
            self.lost_count += 1;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let (strays, lost) = (self.heard.strays_count, self.lost_count);
        if strays > 0 || lost > 0 {
            tracing::debug!(target = %self.target, strays, lost, "packets that answered no probe");
        }
    }
}

/// What the first link on the way to `target` carries.
///
/// The kernel tells it of the whole route, where it may have heard of a smaller link farther on; and of the interface
/// with our address, which is not the link where the target is this machine itself.
fn link_mtu(target: IpAddr, source: IpAddr) -> io::Result<u32> {
    let socket = Socket::open(target, SocketType::DGRAM, ipproto::UDP)?;
    socket.connect(SocketAddr::new(target, ANY_PORT))?;
    let route = socket.mtu()?;
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let interface = interfaces.iter().find(|interface| interface.ip() == source);
    let own = interface.and_then(|interface| socket.mtu_of(&interface.name).ok());
    // A link that carries more carries all that a packet can be.
    Ok(own.map_or(route, |own| own.max(route)).min(u16::MAX.into()))
}

/// Why there is no ping socket, and what helps.
fn no_echo(error: &io::Error) -> SessionError {
    let text = match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "the engine may not send ICMP echo requests ({}): set the sysctl net.ipv4.ping_group_range so that it \
             covers the engine's group, or give the engine the capability CAP_NET_RAW",
            plain(error)
        ),
        _ => format!("the engine cannot send ICMP echo requests: {}", plain(error)),
    };
    SessionError::Failed(text)
}

fn gone(error: &io::Error) -> SessionError {
    SessionError::Failed(format!("the answers of the probes cannot be heard: {}", plain(error)))
}

/// An error of the system without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

fn unsent(error: &io::Error, target: IpAddr, probe: &Probe) -> String {
    let text = plain(error);
    match error.raw_os_error() {
        Some(libc::EMSGSIZE) => {
            format!("{} bytes are too large for the first link: {text}", probe.size_bytes)
        }
        Some(libc::EPERM | libc::EACCES) => {
            format!(
                "{text}: a firewall or a rule of the engine's machine refuses packets to {target}"
            )
        }
        _ => text,
    }
}
