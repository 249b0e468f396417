//! One HTTP exchange: resolve, connect, handshake, send, and a body that is read piece by piece.
//!
//! We own every step, so each phase is a plain instant around our own await, the address is checked
//! before and after the connection, and the certificate chain is the one that the server sent. A
//! connection serves one exchange and is closed behind its body: what is measured is never a warm
//! connection of somebody else.
//!
//! Read in the order of the exchange: `request`, `resolve`, `connect`, `tls`, `send`, `body`. `clock` has
//! the instants and the time limits, `tap` sees the bytes pass, `failure` says where it ended.

mod request;
mod clock;
mod resolve;
mod connect;
mod tls;
mod tap;
mod send;
mod body;
mod failure;
mod limits;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub use body::Body;
pub(crate) use clock::Phases;
pub(crate) use failure::Failure;
pub(crate) use request::{Request, VersionChoice};
pub(crate) use tls::TlsFacts;

use crate::target::TargetPolicy;
use clock::{Clock, Stage};
use tap::Transport;

/// Makes exchanges under one target policy. A clone shares the trusted roots and the limits.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    policy: TargetPolicy,
    resolver: resolve::Resolver,
    trust: tls::Trust,
}

/// The head of an answer, and the body that follows.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Of HTTP/1; empty for HTTP/2.
    pub(crate) reason: String,
    pub(crate) version: http::Version,
    /// In the order and, for HTTP/1, in the case in which they came.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) phases: Phases,
    pub(crate) remote: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) tls: Option<TlsFacts>,
    pub(crate) body: Body,
}

impl Client {
    pub(crate) fn new(policy: TargetPolicy) -> Self {
        Self { policy, resolver: resolve::Resolver::default(), trust: tls::Trust::default() }
    }

    pub(crate) fn policy(&self) -> TargetPolicy {
        self.policy
    }

    /// Makes one exchange, up to the end of the answer's head.
    ///
    /// Dropping the future, or the body, closes the connection.
    pub(crate) async fn exchange(&self, request: Request) -> Result<Answer, Failure> {
        let mut clock = Clock::start(request.connect_timeout, request.timeout);
        let destination = request.destination()?;
        let message = request.message(&destination)?;

        let lookup = self.resolver.resolve(&destination);
        let addresses = clock.within(Stage::Resolve, lookup).await?;
        clock.phases.dns = clock.elapsed();

        let connecting = connect::connect(&destination, &addresses, self.policy, &clock);
        let (tcp, remote, local) = clock.within(Stage::Connect, connecting).await?;
        clock.phases.connect = clock.elapsed();

        let (transport, tls) = if destination.secure {
            let handshake = self.trust.handshake(tcp, &destination, &request);
            let (stream, facts) = clock.within(Stage::Tls, handshake).await?;
            (Transport::Tls(Box::new(stream)), Some(facts))
        } else {
            (Transport::Plain(tcp), None)
        };
        clock.phases.tls = if tls.is_some() { clock.elapsed() } else { clock.phases.connect };

        let is_http2 = match &tls {
            Some(facts) => facts.alpn.as_deref() == Some("h2"),
            // Prior knowledge: without TLS there is nothing to negotiate with.
            None => request.version == VersionChoice::Http2,
        };
        let sent = send::send(transport, message, is_http2, clock).await?;
        Ok(Answer {
            status: sent.status,
            reason: sent.reason,
            version: sent.version,
            headers: sent.headers,
            phases: sent.body.phases(),
            remote,
            local,
            tls,
            body: sent.body,
        })
    }
}
