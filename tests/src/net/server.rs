//! What runs inside a namespace: web servers at every address, name servers, and a store.
//!
//! Each contact is a line on standard output before it is answered, so that a test knows of it when it has the
//! answer: `hit ADDRESS PORT TARGET`, `ask ADDRESS TYPE NAME`. It ends with its standard input.
//!
//! What it shows of an owner's word a test says by requests for `/lab/show?PATH` (42 from now on), `/lab/hide?PATH` and
//! `/lab/text?NAME=VALUE` (a TXT record), at any address. Its certificate is of [`CERTIFIED`], and is said as
//! `certificate BASE64`.

use std::collections::HashSet;
use std::io::Write as _;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blitz_embedded::{Admin, Options, Storage, Store};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_util::sync::CancellationToken;

use super::dns::{Transport, Zone};

/// The administrator of the store: it listens to more than its own machine.
pub(super) const ADMIN: (&str, &str) = ("admin", "pw");

/// Said when everything listens.
pub const READY: &str = "ready";

/// The name of 8.8.8.8 that the certificate has.
pub const CERTIFIED: &str = "owner.4-08080808.lab";

/// A request's head may have this many bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// A question may have this many bytes.
const QUESTION_BYTES_MAX: usize = 4096;

/// What to serve.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Ports of plain HTTP, at every address of both families.
    pub http: Vec<u16>,
    /// Ports of HTTPS with a certificate that nobody signed.
    pub https: Vec<u16>,
    /// Addresses of name servers, port 53 by UDP and TCP.
    pub dns: Vec<IpAddr>,
    /// Where an empty store listens.
    pub store: Option<SocketAddr>,
}

impl Plan {
    /// As words: `http=80,8080 dns=9.9.9.9`.
    #[must_use]
    pub fn to_words(&self) -> Vec<String> {
        fn list(name: &str, values: impl IntoIterator<Item = impl ToString>) -> String {
            let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
            format!("{name}={}", values.join(","))
        }
        vec![
            list("http", &self.http),
            list("https", &self.https),
            list("dns", &self.dns),
            list("store", self.store),
        ]
    }

    /// From such words; `None` when one is not understood.
    #[must_use]
    pub fn from_words(words: &[String]) -> Option<Self> {
        let mut plan = Self::default();
        for word in words {
            let (name, values) = word.split_once('=')?;
            let values: Vec<&str> = values.split(',').filter(|value| !value.is_empty()).collect();
            let ports = || values.iter().map(|value| value.parse().ok()).collect::<Option<_>>();
            match name {
                "http" => plan.http = ports()?,
                "https" => plan.https = ports()?,
                "dns" => plan.dns = values.iter().map(|v| v.parse().ok()).collect::<Option<_>>()?,
                "store" => plan.store = values.first().map(|v| v.parse()).transpose().ok()?,
                _ => return None,
            }
        }
        Some(plan)
    }
}

/// Serves until standard input ends.
///
/// # Errors
///
/// When an address cannot be listened on.
pub async fn serve(plan: Plan) -> std::io::Result<()> {
    let zone = Arc::new(Mutex::new(Zone::default()));
    let shown = Arc::new(Shown { paths: Mutex::default(), zone: Arc::clone(&zone) });
    for port in plan.http {
        let listener = listen((Ipv6Addr::UNSPECIFIED, port).into()).await?;
        tokio::spawn(web(listener, None, Arc::clone(&shown)));
    }
    for port in plan.https {
        let listener = listen((Ipv6Addr::UNSPECIFIED, port).into()).await?;
        tokio::spawn(web(listener, Some(acceptor()?), Arc::clone(&shown)));
    }
    for address in plan.dns {
        // One socket for each address: an answer must come from where the question went.
        let socket = UdpSocket::bind((address, 53)).await.map_err(|e| named(address, e))?;
        tokio::spawn(datagrams(socket, address, Arc::clone(&zone)));
        let listener = listen((address, 53).into()).await?;
        tokio::spawn(connections(listener, address, Arc::clone(&zone)));
    }
    if let Some(address) = plan.store {
        let (name, password) = ADMIN;
        let admin = Admin { name: name.to_owned(), password: password.to_owned() };
        let options = Options { admins: vec![admin], ..Options::default() };
        let store = Store::open(Storage::Memory, options);
        let store = store.map_err(|e| std::io::Error::other(e.to_string()))?;
        let listener = listen(address).await?;
        tokio::spawn(blitz_embedded::serve(store, listener, CancellationToken::new()));
    }
    tell(READY);
    let mut nothing = Vec::new();
    tokio::io::stdin().read_to_end(&mut nothing).await?;
    Ok(())
}

async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| named(address, e))
}

fn named(address: impl std::fmt::Display, error: std::io::Error) -> std::io::Error {
    std::io::Error::new(error.kind(), format!("listen on {address}: {error}"))
}

/// A line is one write, and lines of several tasks do not mix.
pub(super) fn tell(line: &str) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).ok();
}

fn acceptor() -> std::io::Result<TlsAcceptor> {
    let other = |e: &dyn std::fmt::Display| std::io::Error::other(e.to_string());
    let names = ["lab", CERTIFIED].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).map_err(|e| other(&e))?;
    tell(&format!("certificate {}", STANDARD.encode(made.cert.der())));
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(|e| other(&e))?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|b| b.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key))
        .map_err(|e| other(&e))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What an owner shows.
struct Shown {
    paths: Mutex<HashSet<String>>,
    zone: Arc<Mutex<Zone>>,
}

impl Shown {
    /// The body of a path, where it is not like all others.
    fn answer(&self, target: &str) -> Option<&'static str> {
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((what, value)) =
            target.strip_prefix("/lab/").and_then(|rest| rest.split_once('?'))
        else {
            return paths.contains(target).then_some("42\n");
        };
        match (what, value.split_once('=')) {
            ("show", _) => drop(paths.insert(value.to_owned())),
            ("hide", _) => drop(paths.remove(value)),
            ("text", Some((name, text))) => {
                let mut zone = self.zone.lock().unwrap_or_else(PoisonError::into_inner);
                zone.say(name, text);
            }
            _ => return None,
        }
        Some("done\n")
    }
}

async fn web(listener: TcpListener, tls: Option<TlsAcceptor>, shown: Arc<Shown>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, shown) = (tls.clone(), Arc::clone(&shown));
        tokio::spawn(async move {
            let Ok(reached) = stream.local_addr() else { return };
            match tls {
                None => exchange(stream, reached, &shown).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => exchange(stream, reached, &shown).await,
                    Err(error) => tell(&format!("tls {reached} {error}")),
                },
            }
        });
    }
}

/// Answers one request: with a redirect when the path is `/3xx?URL` (percent-encoded), else with where it was
/// reached and which `Host` was asked for.
async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    reached: SocketAddr,
    shown: &Shown,
) {
    let Some(head) = head(&mut stream).await else { return };
    let (address, port) = (reached.ip().to_canonical(), reached.port());
    let target = head.split(' ').nth(1).unwrap_or("/");
    tell(&format!("hit {address} {port} {target}"));
    let redirect = target.strip_prefix("/3").and_then(|rest| rest.split_once('?'));
    let answer = match redirect {
        Some((status, location)) => format!(
            "HTTP/1.1 3{status} Moved\r\nLocation: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            decoded(location)
        ),
        None => {
            let host = head.lines().find_map(|line| line.strip_prefix("host: "));
            let host = host.or_else(|| head.lines().find_map(|l| l.strip_prefix("Host: ")));
            let body = match shown.answer(target) {
                Some(body) => body.to_owned(),
                None => format!("reached {address} {port} host {}\n", host.unwrap_or("none")),
            };
            let length = body.len();
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )
        }
    };
    // A client that has gone needs no answer.
    stream.write_all(answer.as_bytes()).await.ok();
    stream.shutdown().await.ok();
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
        if bytes.len() > HEAD_BYTES_MAX || stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let hex = behind.get(..2).filter(|_| *first == b'%');
        let hex = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(hex.unwrap_or(*first));
        rest = if hex.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn datagrams(socket: UdpSocket, address: IpAddr, zone: Arc<Mutex<Zone>>) {
    let mut question = [0; QUESTION_BYTES_MAX];
    while let Ok((length, from)) = socket.recv_from(&mut question).await {
        if let Some(answer) = answer(&zone, &question[..length], Transport::Udp, address) {
            socket.send_to(&answer, from).await.ok();
        }
    }
}

async fn connections(listener: TcpListener, address: IpAddr, zone: Arc<Mutex<Zone>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let zone = Arc::clone(&zone);
        tokio::spawn(async move {
            while let Ok(length) = stream.read_u16().await {
                let mut question = vec![0; length.into()];
                let Ok(_) = stream.read_exact(&mut question).await else { return };
                let Some(answer) = answer(&zone, &question, Transport::Tcp, address) else {
                    return;
                };
                let length = u16::try_from(answer.len()).unwrap_or(0);
                stream.write_all(&[&length.to_be_bytes()[..], &answer].concat()).await.ok();
            }
        });
    }
}

fn answer(
    zone: &Mutex<Zone>,
    question: &[u8],
    transport: Transport,
    address: IpAddr,
) -> Option<Vec<u8>> {
    let mut zone = zone.lock().unwrap_or_else(PoisonError::into_inner);
    let answer = zone.answer(question, transport)?;
    drop(zone);
    tell(&format!("ask {address} {transport:?} {} {}", answer.kind, answer.name));
    Some(answer.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_travels_as_words() {
        let plan = Plan {
            http: vec![80, 8080],
            dns: vec!["9.9.9.9".parse().unwrap(), "::1".parse().unwrap()],
            store: Some("5.5.5.9:5984".parse().unwrap()),
            ..Plan::default()
        };
        let words = plan.to_words();
        assert_eq!(words[0], "http=80,8080");
        assert_eq!(Plan::from_words(&words).unwrap().to_words(), words);
        assert!(Plan::from_words(&["http=x".to_owned()]).is_none());
    }
}
