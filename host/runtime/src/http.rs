//! One HTTP exchange: resolve, connect, handshake, send, and a body that is read piece by piece.
//!
//! We own every step, so each phase is a plain instant around our own await, the address is checked
//! before and after the connection, and the certificate chain is the one that the server sent. A
//! connection serves one exchange and is closed behind its body: what is measured is never a warm
//! connection of somebody else.
//!
//! Read in the order of the exchange: `request`, `tls`, `send`, `body`; the connection comes from
//! [`crate::egress`]. `quic` takes the place of TCP, TLS and `send` for HTTP/3. `clock` has
//! the instants and the time limits, `tap` sees the bytes pass
//! (`head`, `budget`), `quiet` keeps an exchange on its thread, `failure` says where it ended.

mod request;
mod target;
mod clock;
mod tls;
mod tap;
mod tasks;
mod quiet;
mod head;
mod budget;
mod send;
#[cfg(feature = "http3")]
mod quic;
mod body;
mod failure;
mod limits;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use url::Host;

#[expect(unreachable_pub, reason = "inside a type of the generated bindings")]
pub use body::Body;
pub(crate) use clock::Phases;
pub(crate) use failure::Failure;
pub(crate) use request::{Request, VersionChoice};
pub(crate) use tls::{Handshake, TlsFacts};

use crate::doing::Doing;
use crate::egress::{Connected, Egress, Rule, TargetPolicy, Wanted};
use clock::{Clock, Stage};
use tap::Transport;

/// Makes exchanges, all connections by one [`Egress`]. A clone shares the trusted roots and the limits.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    egress: Egress,
    trust: tls::Trust,
}

/// An exchange before its first packet.
struct Plan {
    destination: request::Destination,
    message: request::Message,
    /// `None` without TLS.
    handshake: Option<Handshake>,
}

/// The head of an answer, and the body that follows.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Of HTTP/1; empty for HTTP/2.
    pub(crate) reason: Vec<u8>,
    pub(crate) version: http::Version,
    /// In the order and, for HTTP/1, in the case in which they came.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) phases: Phases,
    pub(crate) connection: Connection,
    pub(crate) body: Body,
}

/// The way to a server, as far as it was gone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Connection {
    /// `system`, or `IP:port` of a DNS server; `None` when nothing was looked up.
    pub(crate) resolver: Option<String>,
    /// In the order in which they are tried.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) tls: Option<TlsFacts>,
}

/// Where an exchange ended too early, and how far it had come. A phase that was not passed is zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) failure: Failure,
    pub(crate) phases: Phases,
    pub(crate) connection: Connection,
}

impl Failed {
    /// Before anything was reached, or after it was told.
    pub(crate) fn early(failure: Failure) -> Self {
        Self { failure, phases: Phases::default(), connection: Connection::default() }
    }
}

impl Client {
    pub(crate) fn new(egress: Egress) -> Self {
        Self { egress, trust: tls::Trust::default() }
    }

    /// The same for another run.
    pub(crate) fn for_run(&self, doing: &Doing) -> Self {
        Self { egress: self.egress.for_run(doing), trust: self.trust.clone() }
    }

    /// The same for a run that may go to these targets at most.
    pub(crate) fn confined(self, targets: Vec<Rule>) -> Self {
        Self { egress: self.egress.confined(targets), ..self }
    }

    /// The same for a run without a network.
    pub(crate) fn closed(&self, doing: &Doing) -> Self {
        Self { egress: self.egress.closed(doing), trust: self.trust.clone() }
    }

    /// The way out that all imports of a run share.
    pub(crate) fn egress(&self) -> &Egress {
        &self.egress
    }

    pub(crate) fn policy(&self) -> &TargetPolicy {
        self.egress.policy()
    }

    /// Makes a handshake ready with a server that speaks DNS behind it: by the same roots, and the same judge.
    ///
    /// # Errors
    ///
    /// The roots, or the name of the server, cannot be used.
    pub(crate) async fn handshake_for_dns(
        &self,
        host: &Host<String>,
        verify: bool,
    ) -> Result<Handshake, Failure> {
        self.trust.handshake_for_dns(host, verify).await
    }

    /// The same with this root in place of the machine's.
    #[cfg(test)]
    pub(crate) fn trusting(mut self, root: rustls::pki_types::CertificateDer<'static>) -> Self {
        self.trust.test_roots.push(root);
        self
    }

    /// Makes one exchange, up to the end of the answer's head.
    ///
    /// Dropping the future, or the body, closes the connection.
    pub(crate) async fn exchange(&self, request: Request) -> Result<Answer, Failed> {
        // Before the clock: the first exchange reads this machine's roots, which is no time of a server's.
        let plan = self.plan(&request).await.map_err(Failed::early)?;
        let (egress, waited) = self.egress.for_exchange();
        let mut clock = Clock::start(request.connect_timeout, request.timeout, waited);
        let mut connection = Connection::default();
        let reached = reach(&egress, &request, plan, &mut clock, &mut connection);
        match Box::pin(quiet::quiet(reached)).await {
            Ok(sent) => Ok(Answer {
                status: sent.status,
                reason: sent.reason,
                version: sent.version,
                headers: sent.headers,
                phases: sent.body.phases(),
                connection,
                body: sent.body,
            }),
            Err(failure) => Err(Failed { failure, phases: clock.phases, connection }),
        }
    }

    /// Makes ready what does not need the network, and refuses what cannot be done.
    async fn plan(&self, request: &Request) -> Result<Plan, Failure> {
        let destination = request.destination()?;
        let message = request.message(&destination)?;
        if request.version == VersionChoice::Http3 && !cfg!(feature = "http3") {
            let text = "this engine has no HTTP/3; build it with --features http3";
            return Err(Failure::Unsupported(text.to_owned()));
        }
        let handshake = match destination.secure {
            true => Some(self.trust.handshake(&destination, request).await?),
            false if request.version == VersionChoice::Http3 => {
                let text = "HTTP/3 has no form without TLS; ask for https://";
                return Err(Failure::Unsupported(text.to_owned()));
            }
            false => None,
        };
        Ok(Plan { destination, message, handshake })
    }
}

/// Goes the whole way, noting in `clock` and `connection` how far it came.
async fn reach(
    egress: &Egress,
    request: &Request,
    plan: Plan,
    clock: &mut Clock,
    connection: &mut Connection,
) -> Result<send::Sent, Failure> {
    let Plan { destination, message, handshake } = plan;

    let (host, port) = request.connect_to(&destination)?;
    let lookup = async {
        let wanted = Wanted {
            host: &host,
            port,
            family: request.family,
            addresses: &request.addresses,
            resolver: request.resolver.as_deref(),
        };
        egress.resolve(&wanted).await.map_err(|e| Failure::of_egress(e, &host, port, clock))
    };
    let resolved = clock.within(Stage::Resolve, lookup).await?;
    clock.phases.dns = clock.elapsed();
    connection.addresses = resolved.addresses.iter().map(SocketAddr::ip).collect();
    connection.resolver.clone_from(&resolved.resolver);

    #[cfg(feature = "http3")]
    if let (VersionChoice::Http3, Some(handshake)) = (request.version, &handshake) {
        let way = quic::Way { egress, resolved: &resolved, handshake };
        let established = way.establish(&host, port, request, clock, connection).await?;
        return Box::pin(quic::send(established, message, clock)).await;
    }

    let connecting = async {
        let connected = egress.connect_tcp(&resolved).await;
        connected.map_err(|error| Failure::of_egress(error, &host, port, clock))
    };
    let Connected { stream: tcp, remote, local } = clock.within(Stage::Connect, connecting).await?;
    clock.phases.connect = clock.elapsed();
    connection.remote = Some(remote);
    connection.local = Some(local);

    let transport = match handshake {
        Some(handshake) => {
            let shaken = clock.within(Stage::Tls, handshake.over_tcp(tcp)).await;
            // Also of a server that was refused, or that fell silent behind its certificates.
            connection.tls = handshake.facts();
            Transport::Tls(Box::new(shaken?))
        }
        None => Transport::Plain(tcp),
    };
    clock.phases.tls =
        if connection.tls.is_some() { clock.elapsed() } else { clock.phases.connect };

    let is_http2 = match &connection.tls {
        Some(facts) => facts.alpn.as_deref() == Some("h2"),
        // Prior knowledge: without TLS there is nothing to negotiate with.
        None => request.version == VersionChoice::Http2,
    };
    send::send(transport, message, is_http2, clock).await
}
