//! A DNS client that asks one server for the addresses of one name, or for its records of any type: over UDP, and
//! over TCP what does not fit. Both go by [`Egress`] as every connection does, so the server's address is judged too.
//! Nothing is cached, `/etc/hosts` and search lists do not count: the answer is the server's.
//!
//! `transport` asks, `message` and `records` read, `text` and `service` write records as zone files have them.

mod transport;
mod message;
mod records;
mod text;
mod service;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};

use super::limits::{
    DNS_ALIASES_MAX, DNS_ANSWER_TEXT_MAX_BYTES, DNS_ATTEMPT_TIME, DNS_SECOND_FAMILY_TIME,
};
use super::{Egress, EgressError, Family, system};
use crate::limits::Span;
use message::{AddressType, Question};
use records::AnyQuestion;
pub(crate) use records::Record;
pub(super) use records::Records;
use transport::{Server, Transport};

/// Why a server gave no address. The texts follow `Could not resolve host: NAME`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DnsError {
    /// There is no such name, for any type of record.
    #[error("{0} knows no such name: NXDOMAIN")]
    NoName(SocketAddr),
    /// The name exists, without addresses of the family.
    #[error("{server} has no {} address of it", .family.word())]
    NoData { server: SocketAddr, family: Family },
    /// The server could not find out.
    #[error("{0} could not find out: SERVFAIL")]
    Failed(SocketAddr),
    /// The server does not answer us, or not this question.
    #[error("{0} does not answer such questions: REFUSED")]
    Refused(SocketAddr),
    /// Another code.
    #[error("{server} answered {code}")]
    Code { server: SocketAddr, code: String },
    /// A circle, or a chain that is not believable.
    #[error("{0} gave a chain of aliases that has no end within {DNS_ALIASES_MAX}")]
    Aliases(SocketAddr),
    /// Nothing came.
    #[error("{server} did not answer {asked} questions in {}", Span(*.time))]
    Silent { server: SocketAddr, asked: u32, time: Duration },
    /// What came was something else: a wrong id, another question, no DNS at all.
    #[error("{server} sent nothing that answers the question, but {strays} other messages")]
    Strays { server: SocketAddr, strays: usize },
    /// The server cannot be talked to.
    #[error("{server}: {reason}")]
    Unreachable { server: SocketAddr, reason: String },
    /// The answer is large, or made to be.
    #[error("{0} gave an answer of more than {DNS_ANSWER_TEXT_MAX_BYTES} bytes of text")]
    Long(SocketAddr),
    /// This machine names no resolver.
    #[error("the engine's own resolver: {0}")]
    NoResolver(String),
    /// The name has an empty label, one of more than 63 bytes, or more than 255 bytes.
    #[error("DNS has no such names")]
    Name,
    /// The policy refuses the server.
    #[error(transparent)]
    Egress(EgressError),
}

/// The addresses of `name`, those of IPv6 first, in the server's order. `name` is in ASCII.
pub(super) async fn lookup(
    egress: &Egress,
    server: SocketAddr,
    name: &str,
    family: Family,
) -> Result<Vec<IpAddr>, DnsError> {
    let client = Client { egress, server, name };
    match family {
        Family::Ipv4 => client.ask(AddressType::A).await,
        Family::Ipv6 => client.ask(AddressType::Aaaa).await,
        Family::Any => client.ask_both().await,
    }
}

/// Asks for the records of one type, whatever they are. `name` is in ASCII; `server` is `None` for the engine's own
/// resolver. An answer that says "no such name" is an answer.
///
/// Gives who answered, too.
pub(super) async fn query(
    egress: &Egress,
    server: Option<SocketAddr>,
    name: &str,
    record_type: u16,
    attempt_time: Duration,
) -> Result<(SocketAddr, Records), DnsError> {
    let server = match server {
        Some(named) => Server::Named(named),
        None => Server::Own(system::server().await.map_err(DnsError::NoResolver)?),
    };
    let transport = Transport { egress, server, attempt_time };
    let records = transport.ask(|id| AnyQuestion::new(id, name, record_type)).await?;
    Ok((server.address(), records))
}

struct Client<'a> {
    egress: &'a Egress,
    server: SocketAddr,
    name: &'a str,
}

impl Client<'_> {
    /// Asks for both families at the same time.
    async fn ask_both(&self) -> Result<Vec<IpAddr>, DnsError> {
        let v6 = pin!(self.ask(AddressType::Aaaa));
        let v4 = pin!(self.ask(AddressType::A));
        let (v6, v4) = match select(v6, v4).await {
            Either::Left((v6, waiting)) => {
                let v4 = self.second(&v6, waiting).await;
                (v6, v4)
            }
            Either::Right((v4, waiting)) => {
                let v6 = self.second(&v4, waiting).await;
                (v6, v4)
            }
        };
        match (v6, v4) {
            (Ok(v6), Ok(v4)) => Ok([v6, v4].concat()),
            (Ok(found), Err(_)) | (Err(_), Ok(found)) => Ok(found),
            (Err(v6), Err(v4)) => Err(match (v6, v4) {
                (found @ DnsError::NoName(_), _) | (_, found @ DnsError::NoName(_)) => found,
                (DnsError::NoData { server, .. }, DnsError::NoData { .. }) => {
                    DnsError::NoData { server, family: Family::Any }
                }
                // A failure says more than an absence.
                (DnsError::NoData { .. }, other) | (other, _) => other,
            }),
        }
    }

    /// The other family's answer, as long as it is worth waiting for it.
    async fn second(
        &self,
        first: &Result<Vec<IpAddr>, DnsError>,
        waiting: impl Future<Output = Result<Vec<IpAddr>, DnsError>>,
    ) -> Result<Vec<IpAddr>, DnsError> {
        match first {
            // True for every type of record.
            Err(DnsError::NoName(server)) => Err(DnsError::NoName(*server)),
            Err(_) => waiting.await,
            Ok(_) => match tokio::time::timeout(DNS_SECOND_FAMILY_TIME, waiting).await {
                Ok(second) => second,
                Err(_elapsed) => Err(DnsError::Silent {
                    server: self.server,
                    asked: 1,
                    time: DNS_SECOND_FAMILY_TIME,
                }),
            },
        }
    }

    async fn ask(&self, wanted: AddressType) -> Result<Vec<IpAddr>, DnsError> {
        let transport = Transport {
            egress: self.egress,
            server: Server::Named(self.server),
            attempt_time: DNS_ATTEMPT_TIME,
        };
        transport.ask(|id| Question::new(id, self.name, wanted)).await
    }
}
