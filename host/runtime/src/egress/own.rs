//! The engine's own resolver, for messages that a plugin wrote: the DNS server that this machine asks first. It is its
//! operator's choice, which no policy judges; its address comes from the system alone.

use std::fmt;
use std::net::SocketAddr;

use tokio::net::{TcpStream, UdpSocket};

use super::{Egress, EgressError, connect, system};

/// Nobody else makes one, so that no plugin gets around the policy by it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnResolver(SocketAddr);

impl OwnResolver {
    pub(crate) fn address(self) -> SocketAddr {
        self.0
    }

    #[cfg(test)]
    pub(crate) fn of_test(address: SocketAddr) -> Self {
        Self(address)
    }
}

impl fmt::Display for OwnResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the engine's own resolver {}", self.0)
    }
}

impl Egress {
    /// Who is asked when no server is named.
    ///
    /// # Errors
    ///
    /// [`EgressError::Resolve`] on a machine that names none.
    pub(crate) async fn own_resolver(&self) -> Result<OwnResolver, EgressError> {
        self.open()?;
        let told = |text| EgressError::Resolve(format!("the engine's own resolver: {text}"));
        system::server().await.map(OwnResolver).map_err(told)
    }

    /// A socket that sends to it and hears from it.
    ///
    /// # Errors
    ///
    /// [`EgressError::Connect`].
    pub(crate) async fn connect_own_udp(&self, own: OwnResolver) -> Result<UdpSocket, EgressError> {
        self.open()?;
        connect::own_udp(self, own.0).await
    }

    /// A connection to it.
    ///
    /// # Errors
    ///
    /// [`EgressError::Connect`].
    pub(crate) async fn connect_own_tcp(&self, own: OwnResolver) -> Result<TcpStream, EgressError> {
        self.open()?;
        connect::own_tcp(self, own.0).await
    }
}
