//! The one way out: every connection that leaves an engine for a plugin is resolved, judged and made here.
//!
//! A name is looked up once and its addresses are pinned in [`Resolved`]; nothing is looked up again. Each
//! address is checked before it is tried and the connected peer once more, so neither a second answer of
//! a resolver nor a redirected packet gets around the policy. What is checked is the socket address
//! and never its text: `0x7f.1` and `2130706433` are addresses too, and a name may resolve to anything.
//!
//! Read in this order: `policy` and `rule` say what is asked for, `class` and `embedded` what an address
//! is, `never` what no policy opens (`interfaces`, `endpoints`). `resolve` goes from a name to addresses,
//! by the system's resolver (`system`) or by a DNS server that the caller names (`dns`); `connect` goes
//! from addresses to a socket.
//!
//! *Invariant:* nothing here reads `http_proxy` or another variable of the environment, and nothing
//! else in this crate opens a socket to a peer.

mod policy;
mod rule;
mod class;
mod embedded;
mod never;
mod interfaces;
mod endpoints;
mod resolve;
mod system;
mod dns;
mod connect;
mod limits;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use url::Host;

pub use endpoints::Endpoint;
pub(crate) use policy::Denied;
pub use policy::TargetPolicy;
pub use rule::{Rule, RuleError};

use never::Never;
use system::SystemResolver;

/// Makes connections under one target policy. A clone shares the resolver's bound and the caches.
#[derive(Debug, Clone)]
pub(crate) struct Egress {
    shared: Arc<Shared>,
    /// Of one run.
    lookups: Arc<Semaphore>,
}

#[derive(Debug)]
struct Shared {
    policy: TargetPolicy,
    never: Never,
    system: SystemResolver,
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
    pub(crate) fn new(policy: TargetPolicy, protected: Vec<Endpoint>) -> Self {
        let system = SystemResolver::default();
        let never = Never::new(protected);
        Self { shared: Arc::new(Shared { policy, never, system }), lookups: lookups_of_run() }
    }

    /// On a machine with these addresses.
    #[cfg(test)]
    fn with_interfaces(
        policy: TargetPolicy,
        protected: Vec<Endpoint>,
        interfaces: interfaces::Interfaces,
    ) -> Self {
        let never = Never::with_interfaces(protected, interfaces);
        let system = SystemResolver::default();
        Self { shared: Arc::new(Shared { policy, never, system }), lookups: lookups_of_run() }
    }

    /// The same for another run, whose lookups are bounded apart.
    pub(crate) fn for_run(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), lookups: lookups_of_run() }
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
        // Side by side: where the endpoints are is known by the time that the addresses are.
        let (resolved, ()) =
            tokio::join!(resolve::resolve(self, wanted), self.shared.never.refresh());
        resolved
    }

    /// Those of the addresses that the policy allows, in their order; for callers that try them one by one
    /// with [`Egress::connect_udp`], and ask for the peer by [`Egress::check_peer`] once they have one.
    ///
    /// # Errors
    ///
    /// [`EgressError::Denied`] when it allows none.
    #[cfg_attr(
        not(any(test, feature = "http3")),
        expect(dead_code, reason = "for connections that are not made here: QUIC")
    )]
    pub(crate) async fn allowed(
        &self,
        resolved: &Resolved,
    ) -> Result<Vec<SocketAddr>, EgressError> {
        connect::allowed(self, resolved).await
    }

    /// Judges the two ends of a socket that is connected.
    ///
    /// # Errors
    ///
    /// [`EgressError::Denied`].
    #[cfg_attr(
        not(any(test, feature = "http3")),
        expect(dead_code, reason = "for connections that are not made here: QUIC")
    )]
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
        connect::connect_udp(self, resolved).await
    }
}

fn lookups_of_run() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(limits::LOOKUPS_OF_RUN_MAX))
}
