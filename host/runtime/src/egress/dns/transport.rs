//! One question and one server: over UDP until something answers, over TCP what does not fit.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;

use super::super::limits::{DNS_ATTEMPTS, DNS_STRAYS_MAX, DNS_TCP_TIME, DNS_UDP_MAX_BYTES};
use super::super::{Egress, EgressError, Resolved, connect};
use super::DnsError;
use super::message::{Ask, Reply};

/// The way to a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transport<'a> {
    pub(super) egress: &'a Egress,
    pub(super) server: Server,
    /// How long one attempt over UDP waits.
    pub(super) attempt_time: Duration,
}

/// Who is asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Server {
    /// One that the plugin named: a destination like others.
    Named(SocketAddr),
    /// The engine's own resolver, which its operator chose. It may be on loopback, where no policy lets a plugin go;
    /// its address comes from the system alone.
    Own(SocketAddr),
}

impl Server {
    pub(super) fn address(self) -> SocketAddr {
        match self {
            Self::Named(address) | Self::Own(address) => address,
        }
    }
}

/// What came over UDP.
enum Heard<T> {
    Answer(Result<T, DnsError>),
    /// To be asked again over TCP.
    Truncated,
    /// Too many datagrams that answer nothing of ours.
    Strays,
}

impl Transport<'_> {
    /// Asks until there is an answer, each time with a new id from a new port. `question` makes one with an id.
    pub(super) async fn ask<Q: Ask>(
        &self,
        question: impl Fn(u16) -> Option<Q>,
    ) -> Result<Q::Answer, DnsError> {
        let server = self.server.address();
        let mut strays = 0;
        for _ in 0..DNS_ATTEMPTS {
            let question = question(self.id()?).ok_or(DnsError::Name)?;
            let socket = self.udp().await?;
            let sent = socket.send(question.bytes()).await;
            sent.map_err(|error| self.broken(&error.to_string()))?;
            let answer = self.answer(&socket, &question, &mut strays);
            match tokio::time::timeout(self.attempt_time, answer).await {
                Ok(Heard::Answer(answer)) => return answer,
                // It has a time of its own.
                Ok(Heard::Truncated) => return self.ask_by_tcp(&question).await,
                Ok(Heard::Strays) | Err(_) => {}
            }
        }
        Err(if strays > 0 {
            DnsError::Strays { server, strays }
        } else {
            DnsError::Silent { server, asked: DNS_ATTEMPTS, time: self.attempt_time * DNS_ATTEMPTS }
        })
    }

    /// Waits for the datagram that answers.
    async fn answer<Q: Ask>(
        &self,
        socket: &UdpSocket,
        question: &Q,
        strays: &mut usize,
    ) -> Heard<Q::Answer> {
        let mut buffer = vec![0; DNS_UDP_MAX_BYTES];
        for _ in 0..DNS_STRAYS_MAX {
            let length = match socket.recv(&mut buffer).await {
                Ok(length) => length,
                Err(error) => return Heard::Answer(Err(self.broken(&error.to_string()))),
            };
            match question.read(&buffer[..length], self.server.address()) {
                Reply::Answer(answer) => return Heard::Answer(answer),
                Reply::Truncated => return Heard::Truncated,
                Reply::Stray => *strays += 1,
            }
        }
        Heard::Strays
    }

    /// The same question again: over TCP nobody else can answer it.
    async fn ask_by_tcp<Q: Ask>(&self, question: &Q) -> Result<Q::Answer, DnsError> {
        let server = self.server.address();
        let exchange = async {
            let mut stream = match self.server {
                Server::Named(address) => {
                    self.egress.connect_tcp(&way(address)).await.map(|connected| connected.stream)
                }
                Server::Own(address) => connect::own_tcp(self.egress, address).await,
            }
            .map_err(|error| self.no_way(error))?;
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
            match question.read(&answer, server) {
                Reply::Answer(answer) => answer,
                Reply::Truncated => Err(self.broken("the answer over TCP is truncated")),
                Reply::Stray => Err(DnsError::Strays { server, strays: 1 }),
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

    async fn udp(&self) -> Result<UdpSocket, DnsError> {
        match self.server {
            Server::Named(address) => {
                self.egress.connect_udp(&way(address)).await.map(|(socket, ..)| socket)
            }
            Server::Own(address) => connect::own_udp(self.egress, address).await,
        }
        .map_err(|error| self.no_way(error))
    }

    fn id(&self) -> Result<u16, DnsError> {
        let mut id = [0; 2];
        getrandom::fill(&mut id).map_err(|error| self.broken(&error.to_string()))?;
        Ok(u16::from_ne_bytes(id))
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
        DnsError::Unreachable { server: self.server.address(), reason }
    }
}

/// A server that was named is a destination like others.
fn way(server: SocketAddr) -> Resolved {
    Resolved { name: None, addresses: vec![server], resolver: None }
}
