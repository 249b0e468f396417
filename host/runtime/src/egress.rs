//! The one way out: every connection that leaves an engine for a plugin is resolved, judged and made here.
//!
//! A name is looked up once and its addresses are pinned in [`Resolved`]; nothing is looked up again. Each
//! address is checked before it is tried and the connected peer once more, so neither a second answer of
//! a resolver nor a redirected packet gets around the policy. What is checked is the socket address
//! and never its text: `0x7f.1` and `2130706433` are addresses too, and a name may resolve to anything.
//!
//! Read in this order: `policy` and `rule` say what is asked for, `class` and `embedded` what an address
//! is, `never` what no policy opens (`interfaces`, `endpoints`). `resolve` goes from a name to addresses,
//! by the system's resolver (`system`, `own`) or by a DNS server that the caller names (`dns`); `connect` goes
//! from addresses to a socket; `names` goes the other way, from an address to its name, and `route` says whether there is a way. A lookup and a connection each
//! wait for their turn here ([`crate::rate`]), behind the policy: what is refused costs nothing.
//!
//! *Invariant:* nothing here reads `http_proxy` or another variable of the environment, and nothing
//! else in this crate opens a socket to a peer, but for [`crate::probes`]: its packets are no connections, and they
//! go to the address of a [`Pinned`] alone, which only `pin` makes, behind the same policy; and for [`crate::load`], whose
//! workers' connections go to addresses alone that were resolved and judged here ([`Egress::all_allowed`]).

mod policy;
mod rule;
mod class;
mod embedded;
mod never;
mod interfaces;
mod endpoints;
mod resolve;
mod system;
mod own;
mod names;
mod dns;
mod connect;
mod pin;
mod route;
mod limits;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use url::Host;

use crate::doing::{Activity, Doing};
use crate::rate::{Limiter, ProbeTurn, Rates, RunBucket};

pub(crate) use dns::Record;
pub use endpoints::Endpoint;
pub(crate) use own::OwnResolver;
pub(crate) use pin::Pinned;
pub(crate) use policy::Denied;
pub use policy::TargetPolicy;
pub(crate) use resolve::{Found, Query};
pub(crate) use route::has_route;
pub use rule::{Rule, RuleError};

use names::Names;
use never::Never;
use policy::{Confines, NO_PORT};
use system::SystemResolver;

/// Makes connections under one target policy. A clone shares the resolver's bound and the caches.
#[derive(Debug, Clone)]
pub(crate) struct Egress {
    shared: Arc<Shared>,
    /// Of one run.
    lookups: Arc<Semaphore>,
    /// Of one run, for names of addresses.
    names: Arc<Semaphore>,
    run: RunBucket,
    doing: Doing,
    /// Of one run, beside the policy.
    confines: Confines,
    /// Of one exchange.
    waited: Waited,
    /// Nothing goes out at all: the run hears a tape.
    is_closed: bool,
}

#[derive(Debug)]
struct Shared {
    policy: TargetPolicy,
    never: Never,
    system: SystemResolver,
    names: Names,
    limiter: Limiter,
}

/// How long turns were waited for, those that are still waited for included. A clone shows the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Waited(Arc<Mutex<(Duration, Option<Instant>)>>);

impl Waited {
    pub(crate) fn time(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    /// Does `work`, unless `until` comes first, which moves away by the time that turns are waited for.
    pub(crate) async fn within<T>(
        &self,
        until: Instant,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut work = pin!(work);
        loop {
            let waited = self.time();
            let Some(limit) = until.checked_add(waited) else { return Some(work.await) };
            match tokio::time::timeout_at(limit, &mut work).await {
                Ok(done) => return Some(done),
                Err(_elapsed) if self.time() == waited => return None,
                Err(_elapsed) => {}
            }
        }
    }

    /// Two waits at the same time count once.
    fn add(&self, wait: Duration, now: Instant) {
        let mut waited = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (sum, until) = &mut *waited;
        let already = until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        *sum += wait.saturating_sub(already);
        *until = now.checked_add(wait).max(*until);
    }
}

/// Where a connection is to go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) host: &'a Host<String>,
    pub(crate) port: u16,
    pub(crate) family: Family,
    /// IP addresses to try, in this order, in place of a lookup.
    pub(crate) addresses: &'a [String],
    /// `IP` or `IP:port` of the DNS server to ask in place of the system's resolver.
    pub(crate) resolver: Option<&'a str>,
}

/// Which addresses of a name are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Family {
    #[default]
    Any,
    Ipv4,
    Ipv6,
}

/// Addresses, pinned for one connection. None of them was judged yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// The name that was asked for, in ASCII and lower case, without its final dot; `None` for an address.
    pub(crate) name: Option<String>,
    /// In the order in which they are tried.
    pub(crate) addresses: Vec<SocketAddr>,
    /// `system`, or `IP:port` of a DNS server; `None` when nothing was looked up.
    pub(crate) resolver: Option<String>,
}

impl Resolved {
    /// Whether the system's resolver gave the addresses, and nobody else could name them.
    fn is_by_system(&self) -> bool {
        self.resolver.as_deref() == Some(SYSTEM)
    }
}

/// What [`Resolved::resolver`] calls the system's resolver.
const SYSTEM: &str = "system";

/// What a run hears that replays a tape, where it asks for something that is not on tapes.
const NO_NETWORK: &str = "a run that replays a tape has no network, and sockets are not on tapes";

/// A TCP connection to a peer that the policy allows.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) stream: TcpStream,
    pub(crate) remote: SocketAddr,
    pub(crate) local: SocketAddr,
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EgressError {
    /// The policy refuses every address, or a peer.
    #[error("{0}")]
    Denied(Denied),
    /// The name has no address; in curl's words, with the reason behind them where it is known.
    #[error("{0}")]
    Resolve(String),
    /// No address accepted: the reason, or one for each address.
    #[error("{0}")]
    Connect(String),
    /// What was asked for is not an address, a resolver or a name.
    #[error("{0}")]
    Malformed(String),
}

impl Egress {
    /// `protected` are services of the operator that no policy opens, the engine's store for one.
    pub(crate) fn paced(policy: TargetPolicy, protected: Vec<Endpoint>, rates: Rates) -> Self {
        Self::with_never(policy, Never::new(protected), rates)
    }

    /// Without limits of its rate.
    #[cfg(test)]
    pub(crate) fn new(policy: TargetPolicy, protected: Vec<Endpoint>) -> Self {
        Self::paced(policy, protected, Rates::UNLIMITED)
    }

    /// As if the run's lookups took their time.
    #[cfg(test)]
    pub(crate) fn hold_lookups(&self) -> tokio::sync::OwnedSemaphorePermit {
        let all = u32::try_from(limits::LOOKUPS_OF_RUN_MAX).unwrap();
        Arc::clone(&self.lookups).try_acquire_many_owned(all).unwrap()
    }

    /// On a machine with these addresses.
    #[cfg(test)]
    fn with_interfaces(
        policy: TargetPolicy,
        protected: Vec<Endpoint>,
        interfaces: interfaces::Interfaces,
    ) -> Self {
        let never = Never::with_interfaces(protected, interfaces);
        Self::with_never(policy, never, Rates::UNLIMITED)
    }

    /// One more service of the operator that no policy opens.
    pub(crate) fn protect(&self, endpoint: Endpoint) {
        self.shared.never.add(endpoint);
    }

    fn with_never(policy: TargetPolicy, never: Never, rates: Rates) -> Self {
        let (system, limiter) = (SystemResolver::default(), Limiter::new(rates));
        let names = Names::default();
        let shared = Arc::new(Shared { policy, never, system, names, limiter });
        Self::of_run(shared, Doing::default())
    }

    fn of_run(shared: Arc<Shared>, doing: Doing) -> Self {
        let lookups = Arc::new(Semaphore::new(limits::LOOKUPS_OF_RUN_MAX));
        let names = Arc::new(Semaphore::new(limits::NAMES_OF_RUN_MAX));
        let (run, waited) = (RunBucket::default(), Waited::default());
        let confines = Confines::default();
        Self { shared, lookups, names, run, doing, confines, waited, is_closed: false }
    }

    /// The same for another run, whose lookups and requests are bounded apart. `doing` is shown what it waits for.
    pub(crate) fn for_run(&self, doing: &Doing) -> Self {
        Self::of_run(Arc::clone(&self.shared), doing.clone())
    }

    /// The same for a run that may go to these targets at most; none is wherever the policy lets it.
    pub(crate) fn confined(self, rules: Vec<Rule>) -> Self {
        Self { confines: Confines::new(rules), ..self }
    }

    /// Whether policy and run let a connection go to `address`, which is one of `resolved`, or the peer of a socket.
    fn judge(&self, resolved: &Resolved, address: SocketAddr) -> Result<(), Denied> {
        let Shared { policy, never, .. } = &*self.shared;
        self.confines.check(resolved, address, Rule::allows)?;
        policy.check(never, resolved, address)
    }

    /// The same before a port is known, or where there is none.
    fn judge_host(
        &self,
        resolved: &Resolved,
        address: IpAddr,
        has_ports: bool,
    ) -> Result<(), Denied> {
        let Shared { policy, never, .. } = &*self.shared;
        let allows = if has_ports { Rule::allows_some_port } else { Rule::allows };
        self.confines.check(resolved, SocketAddr::new(address, NO_PORT), allows)?;
        policy.check_host(never, resolved, address, has_ports)
    }

    /// The same for a run without a network.
    pub(crate) fn closed(&self, doing: &Doing) -> Self {
        Self { is_closed: true, ..self.for_run(doing) }
    }

    /// Asked before anything goes out, a question to a resolver too.
    ///
    /// # Errors
    ///
    /// [`EgressError::Connect`] where there is no network.
    pub(crate) fn open(&self) -> Result<(), EgressError> {
        match self.is_closed {
            false => Ok(()),
            true => Err(EgressError::Connect(NO_NETWORK.to_owned())),
        }
    }

    /// The same for another exchange of the run, with the time that it waits for its turns.
    pub(crate) fn for_exchange(&self) -> (Self, Waited) {
        let waited = Waited::default();
        (Self { waited: waited.clone(), ..self.clone() }, waited)
    }

    /// Waits until one more request is not too fast for this run and for these addresses.
    async fn turn(&self, addresses: &[SocketAddr]) {
        let targets = addresses.iter().map(SocketAddr::ip);
        let now = Instant::now();
        let turn = self.shared.limiter.turn(&self.run, targets, now);
        if !turn.wait.is_zero() {
            // Before it passes: a time limit that leaves it out must know it by then.
            self.waited.add(turn.wait, now);
            let wait = tokio::time::sleep(turn.wait);
            self.doing.during(Activity::Turn(turn.slowest), wait).await;
        }
        turn.use_up();
    }

    pub(crate) fn policy(&self) -> &TargetPolicy {
        &self.shared.policy
    }

    /// Looks the name up, once; gives its addresses in the order in which they are to be tried.
    ///
    /// # Errors
    ///
    /// [`EgressError::Resolve`], [`EgressError::Malformed`], and [`EgressError::Denied`] for the DNS server.
    pub(crate) async fn resolve(&self, wanted: &Wanted<'_>) -> Result<Resolved, EgressError> {
        self.open()?;
        // Side by side: where the endpoints are is known by the time that the addresses are.
        let (resolved, ()) =
            tokio::join!(resolve::resolve(self, wanted), self.shared.never.refresh());
        resolved
    }

    /// Asks the DNS one question. The engine's own resolver is its operator's choice; one that is named is
    /// a destination like others. As many at once as lookups.
    ///
    /// # Errors
    ///
    /// [`EgressError::Denied`] for the server, [`EgressError::Malformed`] when it is none, [`EgressError::Resolve`]
    /// when no answer came.
    pub(crate) async fn query(&self, query: Query<'_>) -> Result<Found, EgressError> {
        self.open()?;
        resolve::query(self, query).await
    }

    /// Those of the addresses that the policy allows, in their order; for callers that try them one by one
    /// with [`Egress::connect_udp_in_turn`], and ask for the peer by [`Egress::check_peer`] once they have one.
    ///
    /// # Errors
    ///
    /// [`EgressError::Denied`] when it allows none.
    pub(crate) async fn allowed(
        &self,
        resolved: &Resolved,
    ) -> Result<Vec<SocketAddr>, EgressError> {
        self.open()?;
        connect::allowed(self, resolved).await
    }

    /// Whether the policy allows every one of them.
    ///
    /// # Errors
    ///
    /// [`EgressError::Denied`] for the first that it refuses.
    pub(crate) async fn all_allowed(&self, resolved: &Resolved) -> Result<(), EgressError> {
        self.open()?;
        connect::all_allowed(self, resolved).await
    }

    /// Judges the two ends of a socket that is connected.
    ///
    /// # Errors
    ///
    /// [`EgressError::Denied`].
    pub(crate) fn check_peer(
        &self,
        resolved: &Resolved,
        remote: SocketAddr,
        local: IpAddr,
    ) -> Result<(), EgressError> {
        connect::check_peer(self, resolved, remote, local)
    }

    /// Connects to the first address that accepts. Source: RFC 8305.
    ///
    /// # Errors
    ///
    /// [`EgressError::Denied`] when all addresses are, or the peer is; [`EgressError::Connect`].
    pub(crate) async fn connect_tcp(&self, resolved: &Resolved) -> Result<Connected, EgressError> {
        self.open()?;
        connect::connect_tcp(self, resolved).await
    }

    /// A UDP socket that sends to, and hears from, the first allowed address that has a route: the socket,
    /// the peer, ours. Each has a source port of its own.
    ///
    /// # Errors
    ///
    /// As [`Egress::connect_tcp`].
    pub(crate) async fn connect_udp(
        &self,
        resolved: &Resolved,
    ) -> Result<(UdpSocket, SocketAddr, SocketAddr), EgressError> {
        self.open()?;
        connect::connect_udp(self, resolved).await
    }

    /// The first address of a host that the policy allows and that has a route, for packets that are no connection:
    /// their answers are the caller's to judge. Of packets that have ports, one that is open is enough here.
    ///
    /// # Errors
    ///
    /// As [`Egress::resolve`] and [`Egress::connect_tcp`]; [`EgressError::Malformed`] for an address of another family.
    pub(crate) async fn pin(
        &self,
        host: &str,
        family: Family,
        has_ports: bool,
    ) -> Result<Pinned, EgressError> {
        self.open()?;
        pin::pin(self, host, family, has_ports).await
    }

    /// Whether packets may go to these ports of it, or, where they have none, to it at all.
    ///
    /// # Errors
    ///
    /// [`EgressError::Denied`].
    pub(crate) async fn check_pinned(
        &self,
        pinned: &Pinned,
        ports: Option<BTreeSet<u16>>,
    ) -> Result<(), EgressError> {
        self.shared.never.refresh().await;
        pin::check(self, pinned, ports)
    }

    /// The turn of a probe that counts for so many; the caller waits for it.
    pub(crate) fn probe_turn(&self, pinned: &Pinned, count: u32) -> ProbeTurn<'_> {
        self.shared.limiter.probe_turn(pinned.address(), count, Instant::now())
    }

    /// Waits for the turn of a connection to any of these addresses, of which each may be tried once.
    #[cfg_attr(
        not(feature = "http3"),
        expect(dead_code, reason = "for connections that are not made here: QUIC")
    )]
    pub(crate) async fn wait_for_turn(&self, addresses: &[SocketAddr]) {
        self.turn(addresses).await;
    }

    /// [`Egress::connect_udp`] behind [`Egress::wait_for_turn`].
    ///
    /// # Errors
    ///
    /// As [`Egress::connect_tcp`].
    #[cfg_attr(
        not(feature = "http3"),
        expect(dead_code, reason = "for connections that are not made here: QUIC")
    )]
    pub(crate) async fn connect_udp_in_turn(
        &self,
        resolved: &Resolved,
    ) -> Result<(UdpSocket, SocketAddr, SocketAddr), EgressError> {
        self.open()?;
        connect::connect_udp_in_turn(self, resolved).await
    }
}
