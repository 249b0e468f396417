//! The TLS handshake, and what it showed: also of a server that was refused.
//!
//! Read in this order: `trust` has the roots, `judge` holds a chain against them and remembers it,
//! `verdict` has the words. Nothing is shared between the handshakes of two exchanges but settings: each
//! is measured cold.

mod trust;
mod judge;
mod verdict;

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Host;

pub(super) use trust::Trust;

use super::failure::Failure;
use super::request::{Destination, Request, VersionChoice};
use judge::Judge;
use trust::PROVIDER;

/// What a handshake showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFacts {
    /// `TLSv1.3` or `TLSv1.2`; empty when the handshake did not get so far.
    pub(crate) protocol: String,
    /// By its IANA name; empty where it is not known: before the end of the handshake, and with QUIC.
    pub(crate) cipher: String,
    pub(crate) alpn: Option<String>,
    /// `ok`, or why the chain was not trusted.
    pub(crate) verdict: String,
    /// As sent, DER, leaf first.
    pub(crate) certificates: Vec<Vec<u8>>,
}

/// The client's end of one handshake, before it and behind it.
#[derive(Debug)]
pub(crate) struct Handshake {
    judge: Arc<Judge>,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    needs_http2: bool,
    /// For who meets a port without TLS.
    hint: &'static str,
}

impl Trust {
    /// Makes everything ready that does not need the server.
    ///
    /// # Errors
    ///
    /// The roots, or the name of the server, cannot be used.
    pub(super) async fn handshake(
        &self,
        destination: &Destination,
        request: &Request,
    ) -> Result<Handshake, Failure> {
        let (roots, version) = (request.roots.as_ref(), request.version);
        let needs_http2 = version == VersionChoice::Http2;
        let verifier = self.verifier(roots).await?;
        let judge = Judge::new(verifier, request.verify);
        let handshake = Handshake::new(&destination.host, judge, template(version))?;
        Ok(Handshake { needs_http2, hint: "; try http://", ..handshake })
    }

    /// The same for DNS over TLS, with the machine's roots. Source: RFC 7858.
    ///
    /// # Errors
    ///
    /// As [`Trust::handshake`].
    pub(super) async fn handshake_for_dns(
        &self,
        host: &Host<String>,
        verify: bool,
    ) -> Result<Handshake, Failure> {
        static DNS: LazyLock<ClientConfig> =
            LazyLock::new(|| settings(&[b"dot"], rustls::ALL_VERSIONS));
        let judge = Judge::new(self.verifier(None).await?, verify);
        Handshake::new(host, judge, &DNS)
    }
}

impl Handshake {
    fn new(host: &Host<String>, judge: Judge, template: &ClientConfig) -> Result<Self, Failure> {
        let name = match host {
            Host::Ipv4(v4) => ServerName::IpAddress(IpAddr::from(*v4).into()),
            Host::Ipv6(v6) => ServerName::IpAddress(IpAddr::from(*v6).into()),
            // A name with its final dot is the same server; certificates name it without.
            Host::Domain(host) => ServerName::try_from(host.trim_end_matches('.').to_owned())
                .map_err(|_| {
                    Failure::Url(format!("{host:?} cannot be the name of a TLS server"))
                })?,
        };
        let judge = Arc::new(judge);
        // A copy shares everything but the names of ALPN.
        let mut config = template.clone();
        config.dangerous().set_certificate_verifier(Arc::clone(&judge) as _);
        Ok(Self { judge, config: Arc::new(config), name, needs_http2: false, hint: "" })
    }

    /// Shakes hands over a connection that stands.
    ///
    /// # Errors
    ///
    /// [`Failure::Tls`] and [`Failure::Certificate`].
    pub(crate) async fn over_tcp(&self, tcp: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
        let stream = TlsConnector::from(Arc::clone(&self.config))
            .connect(self.name.clone(), tcp)
            .await
            .map_err(|error| self.judge.failure(&error, self.hint))?;
        let alpn = self.note(&stream)?;
        if self.needs_http2 && alpn.as_deref() != Some("h2") {
            return Err(Failure::Tls("the server does not offer HTTP/2 (ALPN)".to_owned()));
        }
        Ok(stream)
    }

    /// For QUIC, which drives the handshake itself.
    #[cfg(feature = "http3")]
    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// As TLS has it: a name, or an address without brackets.
    #[cfg(feature = "http3")]
    pub(super) fn name(&self) -> String {
        self.name.to_str().into_owned()
    }

    /// The chain's failure, when that is what ended the handshake.
    #[cfg(feature = "http3")]
    pub(super) fn refusal(&self) -> Option<Failure> {
        self.judge.refusal()
    }

    /// Notes a handshake that quinn made: always of TLS 1.3, by a suite that it does not tell.
    #[cfg(feature = "http3")]
    pub(super) fn agreed_over_quic(&self, alpn: Option<String>) -> Result<(), Failure> {
        let noted = self.judge.agree("TLSv1.3".to_owned(), String::new(), alpn);
        noted.ok_or_else(|| Failure::Tls("the handshake is incomplete".to_owned()))
    }

    /// What was seen so far; the chain also when it ended the handshake.
    pub(super) fn facts(&self) -> Option<TlsFacts> {
        self.judge.facts()
    }

    /// Gives the protocol that ALPN agreed on.
    fn note(&self, stream: &TlsStream<TcpStream>) -> Result<Option<String>, Failure> {
        let (_, session) = stream.get_ref();
        let incomplete = || Failure::Tls("the handshake is incomplete".to_owned());
        let protocol = match session.protocol_version().ok_or_else(incomplete)? {
            rustls::ProtocolVersion::TLSv1_2 => "TLSv1.2".to_owned(),
            rustls::ProtocolVersion::TLSv1_3 => "TLSv1.3".to_owned(),
            other => format!("{other:?}"),
        };
        let suite = session.negotiated_cipher_suite().ok_or_else(incomplete)?.suite();
        // rustls spells the suites of TLS 1.3 with a prefix of its own.
        let cipher = format!("{suite:?}").replacen("TLS13_", "TLS_", 1);
        let alpn = session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
        self.judge.agree(protocol, cipher, alpn.clone()).ok_or_else(incomplete)?;
        Ok(alpn)
    }
}

/// The settings of all handshakes that offer these versions of HTTP. As they stand they trust nobody: each
/// connection has a judge of its own.
fn template(version: VersionChoice) -> &'static ClientConfig {
    static ANY: LazyLock<ClientConfig> =
        LazyLock::new(|| settings(&[b"h2", b"http/1.1"], rustls::ALL_VERSIONS));
    static HTTP1: LazyLock<ClientConfig> =
        LazyLock::new(|| settings(&[b"http/1.1"], rustls::ALL_VERSIONS));
    static HTTP2: LazyLock<ClientConfig> =
        LazyLock::new(|| settings(&[b"h2"], rustls::ALL_VERSIONS));
    // Source: RFC 9001, section 4.2.
    static HTTP3: LazyLock<ClientConfig> =
        LazyLock::new(|| settings(&[b"h3"], &[&rustls::version::TLS13]));
    match version {
        VersionChoice::Any => &ANY,
        VersionChoice::Http1 => &HTTP1,
        VersionChoice::Http2 => &HTTP2,
        VersionChoice::Http3 => &HTTP3,
    }
}

fn settings(
    alpn: &[&[u8]],
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_protocol_versions(versions)
        .expect("the provider has suites for TLS 1.2 and TLS 1.3")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    // An exchange that resumed the session of the one before would be measured warm, and its chain would
    // not be judged.
    config.resumption = Resumption::disabled();
    config
}
