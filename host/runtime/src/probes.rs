//! The import `probes`: packets with a time to live, and what the network says to them. Needs the grant `probes`.
//!
//! A target is looked up and judged once, by [`crate::egress`], and a session sends to that address alone. `session` is
//! what happens: `ledger` knows the probes that are out, and a `way` sends one kind of them and hears what comes
//! back: `udp`, `echo` (ICMP), `connect` (TCP); `flows` are the source ports of a session, `places` bound how many
//! sockets there are. `signal` is what a way hears, and what that means. `socket` are the system's calls, with all
//! unsafe code, `ancillary` what the kernel says beside a packet, `wire` and `labels` the bytes of packets, `cookie` what
//! stands in ours; `ready` waits for several sockets, `stamp` are instants; `names` are those of who answered.
//!
//! A probe takes no right where that is possible: routers' answers come by the sockets' queues of errors. With the
//! capability `CAP_NET_RAW` a `listener` reads what routers quote, `syn` and `raw_echo` write their own packets,
//! and `filter` keeps those of others away: then any number of probes may look alike to routers ("Paris traceroute") and
//! is told apart nevertheless. What takes a right and does not have it is refused by name.
//!
//! *Invariants:* an answer counts only for a probe of this session: by the number that the session and nobody else
//! knows, where that is quoted, else by ports and sequence numbers that the kernel holds for it. Only the target
//! itself is `reached`. Routers on the way answer from the addresses that they have, private ones too.

mod session;
mod ledger;
mod way;
mod udp;
mod echo;
mod connect;
mod flows;
mod places;
mod listener;
mod syn;
mod raw_echo;
mod filter;
mod signal;
mod cookie;
mod labels;
mod wire;
mod ready;
mod socket;
mod ancillary;
mod stamp;
mod names;
mod limits;
#[cfg(test)]
mod tests;

use std::time::Duration;

use blitz_contract::{Capability, probes as words};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasmtime::component::Resource;

use self::limits::{NAMES_MAX, PACKET_OF_RATE_BYTES, SESSIONS_MAX};
use self::names::Names;
pub(crate) use self::places::Places;
use self::places::SessionPlace;
use self::session::SessionError;
use crate::bindings::blitz::plugin::probes as wire_words;
use crate::bindings::blitz::plugin::probes::{Answer, Error, Host, HostSession, Probe, Target};
use crate::control::Control;
use crate::doing::{Activity, Doing};
use crate::egress::{Egress, EgressError, Family, Pinned};
use crate::job::Job;
use crate::tape::probes::{self as tape, Heard, Opened};

/// Called when a runtime starts: packets are stamped by the time that there is a session.
pub(crate) fn prepare() {
    socket::keep_stamps();
}

/// A way to one target that a guest holds open.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Session {
    /// That of a tape.
    number: u64,
    opened: Opened,
    /// `None` hears a tape.
    live: Option<Box<Live>>,
}

/// A session with the network.
#[derive(Debug)]
struct Live {
    egress: Egress,
    pinned: Pinned,
    session: session::Session,
    names: Option<Names>,
    begun: Instant,
    _place: SessionPlace,
}

impl Host for Job {}

impl HostSession for Job {
    async fn open(&mut self, target: Target) -> wasmtime::Result<Result<Resource<Session>, Error>> {
        if let Err(denial) = self.granted(&Capability::Probes) {
            return Ok(Err(Error::Denied(denial)));
        }
        if self.sessions >= SESSIONS_MAX {
            let text =
                format!("a run has at most {SESSIONS_MAX} sessions of probes; drop one first");
            return Ok(Err(Error::Limit(text)));
        }
        let target = words::Target::from(target);
        let (found, live) = match self.tape.replay::<Heard<Opened>>(tape::OPEN, &target)? {
            Some(heard) => (heard.into(), None),
            None => {
                let opening = {
                    let (egress, places) = (self.http.egress(), self.net.places());
                    Box::pin(Live::open(egress, &target, places, &self.doing))
                };
                let opened = opening.await;
                let found = opened.as_ref().map(|(opened, _)| opened.clone()).map_err(Clone::clone);
                self.tape.record(tape::OPEN, &target, &Heard::from(found.clone()))?;
                (found, opened.ok().map(|(_, live)| live))
            }
        };
        match found {
            Err(error) => Ok(Err(error)),
            Ok(opened) => {
                let number = self.tape.next_session();
                let session = self.table.push(Session { number, opened, live })?;
                self.sessions += 1;
                Ok(Ok(session))
            }
        }
    }

    async fn address(&mut self, this: Resource<Session>) -> wasmtime::Result<String> {
        Ok(self.table.get(&this)?.opened.address.to_string())
    }

    async fn source(&mut self, this: Resource<Session>) -> wasmtime::Result<String> {
        Ok(self.table.get(&this)?.opened.source.to_string())
    }

    async fn mtu(&mut self, this: Resource<Session>) -> wasmtime::Result<u32> {
        Ok(self.table.get(&this)?.opened.mtu)
    }

    async fn elapsed_us(&mut self, this: Resource<Session>) -> wasmtime::Result<u64> {
        let number = self.table.get(&this)?.number;
        self.hear(tape::ELAPSED, &number, |job| {
            let elapsed = job.table.get_mut(&this)?.live()?.begun.elapsed();
            Ok(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX))
        })
    }

    async fn send(
        &mut self,
        this: Resource<Session>,
        probes: Vec<Probe>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let probes: Vec<words::Probe> = probes.into_iter().map(Into::into).collect();
        let session = self.table.get_mut(&this)?;
        let asked = tape::AskedSend { session: session.number, probes: &probes };
        if let Some(heard) = self.tape.replay::<Heard<()>>(tape::SEND, &asked)? {
            return Ok(heard.into());
        }
        let sent = session.live()?.send(&probes, &self.doing, &self.control).await;
        self.tape.record(tape::SEND, &asked, &Heard::from(sent.clone()))?;
        Ok(sent)
    }

    async fn next(
        &mut self,
        this: Resource<Session>,
        wait_us: u64,
    ) -> wasmtime::Result<Result<Vec<Answer>, Error>> {
        let session = self.table.get_mut(&this)?;
        let asked = tape::AskedNext { session: session.number, wait_us };
        let replayed = self.tape.replay::<Heard<tape::Answers>>(tape::NEXT, &asked)?;
        let heard: Result<tape::Answers, Error> = match replayed {
            Some(heard) => heard.into(),
            None => {
                let waiting = session.live()?.next(Duration::from_micros(wait_us), &self.control);
                let heard = self.doing.during(Activity::Probes, Box::pin(waiting)).await;
                self.tape.record(tape::NEXT, &asked, &Heard::from(heard.clone()))?;
                heard
            }
        };
        Ok(heard.map(|answers| answers.into_iter().map(Into::into).collect()))
    }

    async fn names(
        &mut self,
        this: Resource<Session>,
        addresses: Vec<String>,
        wait_ms: u64,
    ) -> wasmtime::Result<Vec<Option<String>>> {
        if addresses.len() > NAMES_MAX {
            let count = addresses.len();
            wasmtime::bail!(
                "a call of `names` asks for at most {NAMES_MAX} addresses, not {count}"
            );
        }
        let session = self.table.get_mut(&this)?;
        let asked = tape::AskedNames { session: session.number, addresses: &addresses, wait_ms };
        if let Some(heard) = self.tape.replay(tape::NAMES, &asked)? {
            return Ok(heard);
        }
        let wait = Duration::from_millis(wait_ms);
        let waiting = session.live()?.names(&addresses, wait, &self.control);
        let found = self.doing.during(Activity::Lookup, Box::pin(waiting)).await;
        self.tape.record(tape::NAMES, &asked, &found)?;
        Ok(found)
    }

    async fn drop(&mut self, this: Resource<Session>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        self.sessions -= 1;
        Ok(())
    }
}

impl Session {
    fn live(&mut self) -> wasmtime::Result<&mut Live> {
        let live = self.live.as_deref_mut();
        live.ok_or_else(|| wasmtime::format_err!("a session without its tape"))
    }
}

impl Live {
    async fn open(
        egress: &Egress,
        target: &words::Target,
        places: Places,
        doing: &Doing,
    ) -> Result<(Opened, Box<Self>), Error> {
        let place = SessionPlace::take().map_err(Error::Limit)?;
        let family = match target.family {
            blitz_contract::web::Family::Any => Family::Any,
            blitz_contract::web::Family::Ipv4 => Family::Ipv4,
            blitz_contract::web::Family::Ipv6 => Family::Ipv6,
        };
        let pinning = egress.pin(&target.host, family, has_ports(target.protocol));
        let pinned = doing.during(Activity::Lookup, pinning).await.map_err(refused)?;
        let words::Target { protocol, dont_fragment, .. } = *target;
        let session = session::Session::open(&pinned, protocol, dont_fragment, places)?;
        let mtu = session.mtu();
        let opened = Opened { address: pinned.address(), source: pinned.source(), mtu };
        let names = target.names.then(|| Names::new(egress.clone(), pinned.address()));
        let (egress, begun) = (egress.clone(), Instant::now());
        let live = Self { egress, pinned, session, names, begun, _place: place };
        Ok((opened, Box::new(live)))
    }

    /// Those before one that is refused for its turn are out.
    async fn send(
        &mut self,
        probes: &[words::Probe],
        doing: &Doing,
        control: &Control,
    ) -> Result<(), Error> {
        self.session.check(probes)?;
        let has_ports = has_ports(self.session.protocol());
        let ports = has_ports.then(|| probes.iter().map(|probe| probe.port).collect());
        // Where the operator's own services are may have changed, and looking that up takes time.
        let checking = self.egress.check_pinned(&self.pinned, ports);
        self.session.meanwhile(checking).await?.map_err(refused)?;
        for probe in probes {
            let packets = probe.size_bytes.div_ceil(PACKET_OF_RATE_BYTES).max(1);
            let turn = self.egress.probe_turn(&self.pinned, packets.into());
            if !turn.wait.is_zero() {
                let now = Instant::now();
                let (wait, slowest) = (turn.wait, turn.slowest);
                if control.until.is_some_and(|until| now + wait > until) {
                    return Err(Error::Limit(format!(
                        "the turn of a probe comes after the job's time limit ({slowest}); send fewer, or give it \
                         more time"
                    )));
                }
                let resting = self.session.rest(wait, end_of(control));
                if !doing.during(Activity::Turn(slowest), Box::pin(resting)).await? {
                    return Err(Error::Limit("the job is asked to end".to_owned()));
                }
            }
            turn.use_up();
            self.session.send(probe)?;
            self.session.give_way().await;
        }
        Ok(())
    }

    async fn next(
        &mut self,
        wait: Duration,
        control: &Control,
    ) -> Result<Vec<words::Answer>, Error> {
        let answers = self.session.next(wait, end_of(control)).await?;
        if let Some(names) = &mut self.names {
            answers.iter().filter_map(|answer| answer.from).for_each(|from| names.ask(from));
        }
        Ok(answers)
    }

    /// What comes meanwhile is heard, and given by `next`.
    async fn names(
        &mut self,
        addresses: &[String],
        wait: Duration,
        control: &Control,
    ) -> Vec<Option<String>> {
        let Some(names) = &mut self.names else { return vec![None; addresses.len()] };
        let waiting = names.of(addresses, wait, end_of(control));
        self.session.meanwhile(waiting).await.unwrap_or_else(|error| {
            // The next call that hears says so to the guest.
            tracing::debug!(%error, "names are not waited for");
            vec![None; addresses.len()]
        })
    }
}

/// Echoes have none.
fn has_ports(protocol: words::Protocol) -> bool {
    protocol != words::Protocol::Icmp
}

/// What ends a wait early: who has no grace is dropped where it waits, and wakes no more.
fn end_of(control: &Control) -> Option<&CancellationToken> {
    (!control.grace.is_zero()).then_some(&control.cancel)
}

/// Fires with the token; without one, never.
async fn cancelled(end: Option<&CancellationToken>) {
    match end {
        Some(cancel) => cancel.cancelled().await,
        None => std::future::pending().await,
    }
}

fn refused(error: EgressError) -> Error {
    match error {
        EgressError::Denied(denied) => Error::Denied(denied.to_string()),
        EgressError::Resolve(text) | EgressError::Connect(text) | EgressError::Malformed(text) => {
            Error::Failed(text)
        }
    }
}

impl From<SessionError> for Error {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Limit(text) => Self::Limit(text),
            SessionError::Failed(text) => Self::Failed(text),
        }
    }
}

blitz_contract::probe_words!(wire_words);
