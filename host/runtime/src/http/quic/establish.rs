//! From addresses to a QUIC connection: each in turn, by a socket of its own.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{HandshakeData, QuicClientConfig};
use quinn::{
    ConnectionError, Endpoint, EndpointConfig, IdleTimeout, TokioRuntime, TransportConfig,
    TransportErrorCode, VarInt,
};
use url::Host;

use super::socket::Socket;
use super::{CONTROL_STREAMS_MAX, CRYPTO_BUFFER_BYTES, KEEP_ALIVE, SILENCE_MAX, WINDOW_BYTES};
use crate::egress::{Egress, EgressError, Resolved};
use crate::http::Connection;
use crate::http::clock::{Clock, Stage};
use crate::http::failure::Failure;
use crate::http::request::Request;
use crate::http::tls::Handshake;

/// TLS's `no_application_protocol`. Source: RFC 7301, section 3.2.
const NO_APPLICATION_PROTOCOL: u8 = 120;

/// What a connection is made by.
pub(in crate::http) struct Way<'a> {
    pub(in crate::http) egress: &'a Egress,
    pub(in crate::http) resolved: &'a Resolved,
    pub(in crate::http) handshake: &'a Handshake,
}

/// A connection behind its handshake. Dropping it closes it; quinn's tasks say so to the server, and end
/// by themselves after three times the longest round trip.
#[derive(Debug)]
pub(in crate::http) struct Established {
    connection: quinn::Connection,
    _endpoint: Endpoint,
}

impl Established {
    pub(super) fn connection(&self) -> quinn::Connection {
        self.connection.clone()
    }
}

impl Drop for Established {
    fn drop(&mut self) {
        // H3_NO_ERROR. Source: RFC 9114, section 8.1.
        self.connection.close(VarInt::from_u32(0x100), b"");
    }
}

/// Why one address gave no connection.
enum Ended {
    /// The next address may do better.
    Unreached(String),
    /// Somebody answered: this is the exchange's failure.
    Failed(Failure),
}

impl Way<'_> {
    /// Tries the allowed addresses in their order.
    pub(in crate::http) async fn establish(
        &self,
        host: &Host<String>,
        port: u16,
        request: &Request,
        clock: &mut Clock,
        shown: &mut Connection,
    ) -> Result<Established, Failure> {
        let limit = request.connect_timeout.into_iter().chain(request.timeout).min();
        let trying = async {
            let refused = |error| Failure::of_egress(error, host, port, clock);
            let allowed = self.egress.allowed(self.resolved).await.map_err(refused)?;
            self.egress.wait_for_turn(&allowed).await;
            let mut allowed = allowed.into_iter();
            let mut reasons = Vec::new();
            let count = allowed.len();
            while let Some(address) = allowed.next() {
                let patience = share(limit, clock.elapsed(), allowed.len());
                let attempt = tokio::time::timeout(patience, self.attempt(address, shown));
                let reason = match attempt.await {
                    Ok(Ok(established)) => return Ok(established),
                    Ok(Err(Ended::Failed(failure))) => return Err(failure),
                    Ok(Err(Ended::Unreached(reason))) => reason,
                    Err(_elapsed) => format!("no answer within {} ms", patience.as_millis()),
                };
                reasons.push(if count == 1 {
                    reason
                } else {
                    format!("{}: {reason}", address.ip())
                });
            }
            Err(refused(EgressError::Connect(reasons.join("; "))))
        };
        let established = clock.within(Stage::Connect, trying).await;
        // Also of a server that was refused.
        shown.tls = self.handshake.facts();
        let established = established?;
        clock.phases.connect = clock.elapsed();
        clock.phases.tls = clock.phases.connect;
        Ok(established)
    }

    async fn attempt(
        &self,
        address: SocketAddr,
        shown: &mut Connection,
    ) -> Result<Established, Ended> {
        let alone = Resolved { addresses: vec![address], ..self.resolved.clone() };
        let (socket, remote, local) = match self.egress.connect_udp_in_turn(&alone).await {
            Ok(connected) => connected,
            Err(EgressError::Connect(reason)) => return Err(Ended::Unreached(reason)),
            Err(error) => return Err(Ended::Failed(Failure::Denied(error.to_string()))),
        };
        let system = |error: std::io::Error| Ended::Unreached(error.to_string());
        let socket = Arc::new(Socket::new(socket, remote).map_err(system)?);
        let endpoint = Endpoint::new_with_abstract_socket(
            EndpointConfig::default(),
            None,
            Arc::clone(&socket) as _,
            Arc::new(TokioRuntime),
        )
        .map_err(system)?;
        let config = self.config().map_err(Ended::Failed)?;
        let name = self.handshake.name();
        let connecting = endpoint
            .connect_with(config, remote, &name)
            .map_err(|error| Ended::Failed(Failure::Tls(format!("QUIC: {error}"))))?;
        let ended = tokio::select! {
            shaken = connecting => shaken,
            reason = socket.refused() => return Err(Ended::Unreached(reason)),
        };
        // Somebody was there who spoke, if only to be refused.
        if ended.is_ok() || self.handshake.facts().is_some() {
            (shown.remote, shown.local) = (Some(remote), Some(local));
        }
        let connection = ended.map_err(|error| self.ended(&error))?;
        let established = Established { connection, _endpoint: endpoint };
        let peer = established.connection.remote_address();
        self.egress
            .check_peer(self.resolved, peer, local.ip())
            .map_err(|error| Ended::Failed(Failure::Denied(error.to_string())))?;
        let agreed = established.connection.handshake_data().and_then(protocol);
        self.handshake.agreed_over_quic(agreed).map_err(Ended::Failed)?;
        Ok(established)
    }

    fn config(&self) -> Result<quinn::ClientConfig, Failure> {
        let tls = QuicClientConfig::try_from(self.handshake.config())
            .map_err(|error| Failure::Tls(format!("QUIC: {error}")))?;
        let mut transport = TransportConfig::default();
        transport
            .stream_receive_window(WINDOW_BYTES.into())
            .receive_window(WINDOW_BYTES.into())
            .send_window(WINDOW_BYTES.into())
            .max_concurrent_bidi_streams(0_u32.into())
            .max_concurrent_uni_streams(CONTROL_STREAMS_MAX.into())
            .datagram_receive_buffer_size(None)
            .crypto_buffer_size(CRYPTO_BUFFER_BYTES)
            .keep_alive_interval(Some(KEEP_ALIVE))
            .max_idle_timeout(IdleTimeout::try_from(SILENCE_MAX).ok());
        let mut config = quinn::ClientConfig::new(Arc::new(tls));
        config.transport_config(Arc::new(transport));
        Ok(config)
    }

    fn ended(&self, error: &ConnectionError) -> Ended {
        if let Some(refusal) = self.handshake.refusal() {
            return Ended::Failed(refusal);
        }
        let failed = |code: TransportErrorCode, reason: &str| {
            let tls = |text: &str| Ended::Failed(Failure::Tls(text.to_owned()));
            if code == TransportErrorCode::crypto(NO_APPLICATION_PROTOCOL) {
                return tls("the server does not offer HTTP/3 (ALPN)");
            }
            match reason.is_empty() {
                true => tls(&format!("QUIC handshake failed: {code}")),
                false => tls(&format!("QUIC handshake failed: {code}: {reason}")),
            }
        };
        match error {
            ConnectionError::TransportError(error) => failed(error.code, &error.reason),
            ConnectionError::ConnectionClosed(close) => {
                failed(close.error_code, &String::from_utf8_lossy(&close.reason))
            }
            ConnectionError::TimedOut => {
                Ended::Unreached(format!("no answer within {} s", SILENCE_MAX.as_secs()))
            }
            other => Ended::Unreached(other.to_string()),
        }
    }
}

/// What ALPN agreed on.
fn protocol(data: Box<dyn Any>) -> Option<String> {
    let data = data.downcast::<HandshakeData>().ok()?;
    data.protocol.map(|name| String::from_utf8_lossy(&name).into_owned())
}

/// The time for one address, with so many to come behind it: one that is silent must not take it all.
fn share(limit: Option<Duration>, elapsed: Duration, behind: usize) -> Duration {
    let left = limit.map_or(SILENCE_MAX, |limit| limit.saturating_sub(elapsed)).min(SILENCE_MAX);
    match u32::try_from(behind) {
        // The limit itself ends the last one, in its own words.
        Ok(0) => SILENCE_MAX,
        Ok(behind) => left / (behind.saturating_add(1)),
        Err(_) => Duration::ZERO,
    }
}
