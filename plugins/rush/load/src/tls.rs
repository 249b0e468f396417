//! TLS between a connection and its answers, without input or output of its own: the loop receives and sends.
//!
//! It stands on rustls's unbuffered interface: cipher text is read where the loop received it, plain text goes to the loop's own
//! buffer, and a connection that waits holds its keys and no buffers. What belongs to all connections, roots, sessions to
//! resume, the choice of ciphers, exists once ([`Tls`]).

mod session;
#[cfg(test)]
pub(crate) mod tests;
mod trust;

pub(crate) use session::Session;

use std::sync::Arc;

use blitz_contract::load::work::Work;
use blitz_contract::load::{ErrorKind, HttpVersion, Scheme};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;

use crate::failure::Failure;

/// Servers whose sessions are kept for resumption: more than a plan can have.
const RESUMABLE_SERVERS_MAX: usize = 64;

/// What the TLS connections of a worker share.
#[derive(Debug)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    /// By origin.
    names: Box<[Option<ServerName<'static>>]>,
    version: HttpVersion,
}

impl Tls {
    /// For the origins of the work. `None` when none of them is `https`.
    ///
    /// # Errors
    ///
    /// Says which origin or root cannot be used.
    pub(crate) fn new(work: &Work) -> Result<Option<Self>, String> {
        let mut names = Vec::with_capacity(work.targets.len());
        for target in &work.targets {
            names.push(match target.origin.scheme {
                Scheme::Http => None,
                Scheme::Https => Some(server_name(&target.origin.host)?),
            });
        }
        if names.iter().all(Option::is_none) {
            return Ok(None);
        }
        let plan = &work.plan;
        let mut config = trust::config(plan.verify, &work.roots)?;
        config.resumption = if plan.resume {
            Resumption::in_memory_sessions(RESUMABLE_SERVERS_MAX)
        } else {
            Resumption::disabled()
        };
        let alpn: &[u8] = match plan.version {
            HttpVersion::Http1 => b"http/1.1",
            HttpVersion::Http2 => b"h2",
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        Ok(Some(Self { config: Arc::new(config), names: names.into(), version: plan.version }))
    }

    /// A new connection to an origin, with its first flight in its buffer.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tls`], with rustls's words.
    pub(crate) fn session(&self, origin: usize) -> Result<Box<Session>, Failure> {
        let name = self
            .names
            .get(origin)
            .cloned()
            .flatten()
            .ok_or_else(|| failure(&format!("origin {origin} has no TLS")))?;
        let held = UnbufferedClientConnection::new(Arc::clone(&self.config), name)
            .map_err(|error| failure(&error))?;
        Session::new(held, self.version == HttpVersion::Http2)
    }
}

/// As certificates have it: without the final dot of a full name.
fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(host.trim_end_matches('.').to_owned())
        .map_err(|_| format!("{host:?} cannot be the name of a TLS server"))
}

fn failure(error: &impl std::fmt::Display) -> Failure {
    Failure { kind: ErrorKind::Tls, text: format!("TLS: {error}") }
}
