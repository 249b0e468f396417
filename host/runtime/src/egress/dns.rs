//! A DNS client that asks one server for the addresses of one name: over UDP, and over TCP what does not
//! fit. Both go by [`Egress`] as every connection does, so the server's address is judged too. Nothing
//! is cached, `/etc/hosts` and search lists do not count: the answer is the server's.

mod message;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;

use super::limits::{
    DNS_ALIASES_MAX, DNS_ATTEMPT_TIME, DNS_ATTEMPTS, DNS_SECOND_FAMILY_TIME, DNS_STRAYS_MAX,
    DNS_TCP_TIME, DNS_UDP_MAX_BYTES,
};
use super::{Egress, EgressError, Family, Resolved};
use message::{AddressType, Question, Reply};

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
    #[error("{server} did not answer {asked} questions in {} s", .time.as_secs())]
    Silent { server: SocketAddr, asked: u32, time: Duration },
    /// What came was something else: a wrong id, another question, no DNS at all.
    #[error("{server} sent nothing that answers the question, but {strays} other messages")]
    Strays { server: SocketAddr, strays: usize },
    /// The server cannot be talked to.
    #[error("{server}: {reason}")]
    Unreachable { server: SocketAddr, reason: String },
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

    /// Asks until there is an answer, each time with a new id from a new port.
    async fn ask(&self, wanted: AddressType) -> Result<Vec<IpAddr>, DnsError> {
        let mut strays = 0;
        for _ in 0..DNS_ATTEMPTS {
            let question = self.question(wanted)?;
            let (socket, ..) =
                self.egress.connect_udp(&self.way()).await.map_err(|error| self.no_way(error))?;
            let sent = socket.send(question.bytes()).await;
            sent.map_err(|error| self.broken(&error.to_string()))?;
            let answer = self.answer(&socket, &question, &mut strays);
            match tokio::time::timeout(DNS_ATTEMPT_TIME, answer).await {
                Ok(Heard::Answer(answer)) => return answer,
                // It has a time of its own.
                Ok(Heard::Truncated) => return self.ask_by_tcp(wanted).await,
                Ok(Heard::Strays) | Err(_) => {}
            }
        }
        let server = self.server;
        Err(if strays > 0 {
            DnsError::Strays { server, strays }
        } else {
            DnsError::Silent { server, asked: DNS_ATTEMPTS, time: DNS_ATTEMPT_TIME * DNS_ATTEMPTS }
        })
    }

    /// Waits for the datagram that answers.
    async fn answer(&self, socket: &UdpSocket, question: &Question, strays: &mut usize) -> Heard {
        let mut buffer = vec![0; DNS_UDP_MAX_BYTES];
        for _ in 0..DNS_STRAYS_MAX {
            let length = match socket.recv(&mut buffer).await {
                Ok(length) => length,
                Err(error) => return Heard::Answer(Err(self.broken(&error.to_string()))),
            };
            match question.read(&buffer[..length], self.server) {
                Reply::Answer(answer) => return Heard::Answer(answer),
                Reply::Truncated => return Heard::Truncated,
                Reply::Stray => *strays += 1,
            }
        }
        Heard::Strays
    }

    async fn ask_by_tcp(&self, wanted: AddressType) -> Result<Vec<IpAddr>, DnsError> {
        let exchange = async {
            let question = self.question(wanted)?;
            let connected = self.egress.connect_tcp(&self.way()).await;
            let mut stream = connected.map_err(|error| self.no_way(error))?.stream;
            let answer = async {
                let length =
                    u16::try_from(question.bytes().len()).map_err(std::io::Error::other)?;
                let framed = [&length.to_be_bytes()[..], question.bytes()].concat();
                stream.write_all(&framed).await?;
                let length = stream.read_u16().await?;
                let mut answer = vec![0; usize::from(length)];
                stream.read_exact(&mut answer).await?;
                Ok::<_, std::io::Error>(answer)
            };
            let answer = answer.await.map_err(|error| self.broken(&error.to_string()))?;
            match question.read(&answer, self.server) {
                Reply::Answer(answer) => answer,
                Reply::Truncated => Err(self.broken("the answer over TCP is truncated")),
                Reply::Stray => Err(DnsError::Strays { server: self.server, strays: 1 }),
            }
        };
        match tokio::time::timeout(DNS_TCP_TIME, exchange).await {
            Ok(answer) => answer,
            Err(_elapsed) => {
                let seconds = DNS_TCP_TIME.as_secs();
                Err(self.broken(&format!("no answer over TCP in {seconds} s")))
            }
        }
    }

    fn question(&self, wanted: AddressType) -> Result<Question, DnsError> {
        let mut id = [0; 2];
        getrandom::fill(&mut id).map_err(|error| self.broken(&error.to_string()))?;
        Question::new(u16::from_ne_bytes(id), self.name, wanted).ok_or(DnsError::Name)
    }

    /// The server is a destination like others.
    fn way(&self) -> Resolved {
        Resolved { name: None, addresses: vec![self.server], resolver: None }
    }

    fn no_way(&self, error: EgressError) -> DnsError {
        match error {
            EgressError::Connect(reason) => self.broken(&reason),
            denied => DnsError::Egress(denied),
        }
    }

    fn broken(&self, reason: &str) -> DnsError {
        // An error of the system without its number.
        let reason = reason.split(" (os error").next().unwrap_or(reason).to_owned();
        DnsError::Unreachable { server: self.server, reason }
    }
}

/// What came over UDP.
enum Heard {
    Answer(Result<Vec<IpAddr>, DnsError>),
    /// To be asked again over TCP.
    Truncated,
    /// Too many datagrams that answer nothing of ours.
    Strays,
}
