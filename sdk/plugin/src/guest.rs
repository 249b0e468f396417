//! The plugin's side of the WIT package: exports that call the author's type, and the imports as a [`Host`].

mod paths;
mod load;

use std::io::{self, LineWriter, Stderr, Stdout, Write};
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::time::Duration;

use crate::dns;
use crate::embedded::Embedded;
use crate::host::{Host, HostError};
use crate::load::{LoadTest, Plan};
use crate::plugin::{RawCall, dispatch};
use crate::probes::{Network, Session, Target};
use crate::web;

use bindings::blitz::plugin::dns as resolver;
use bindings::blitz::plugin::{control, events, files, metrics, types, web as wire};

#[expect(missing_docs, reason = "generated; the WIT has the words")]
#[expect(clippy::mem_forget, reason = "generated: a list's memory goes to the host and comes back")]
pub mod bindings {
    //! Generated from `sdk/wit`.
    wit_bindgen::generate!({
        path: "../wit/blitz-plugin-0.1.0",
        world: "plugin",
        pub_export_macro: true,
        export_macro_name: "export_component",
        default_bindings_module: "blitz_plugin::guest::bindings",
    });
}
pub use bindings::export_component;

/// The exports of the world `plugin`.
#[derive(Debug)]
pub struct Adapter<E>(PhantomData<E>);

impl<E: Embedded> bindings::exports::blitz::plugin::tool::Guest for Adapter<E> {
    fn describe() -> String {
        E::MANIFEST.to_owned()
    }

    fn run(call: bindings::exports::blitz::plugin::tool::Invocation) -> u8 {
        let call = RawCall {
            args: call.args,
            region: call.region,
            deadline: Duration::from_millis(call.deadline_ms),
        };
        let mut host = Imports { stdout: io::stdout(), stderr: LineWriter::new(io::stderr()) };
        dispatch::<E::Plugin>(E::NAME, E::ARGUMENTS, call, &mut host)
    }
}

/// The host's imports.
struct Imports {
    /// Line-buffered by `std`.
    stdout: Stdout,
    /// Buffered here: each write is a call to the host and a frame of its own.
    stderr: LineWriter<Stderr>,
}

impl Host for Imports {
    fn stdout(&mut self) -> &mut dyn Write {
        &mut self.stdout
    }

    fn stderr(&mut self) -> &mut dyn Write {
        &mut self.stderr
    }

    fn read_input(
        &mut self,
        name: &str,
        offset: u64,
        bytes_max: u32,
    ) -> Result<Vec<u8>, HostError> {
        Ok(files::read_input(name, offset, bytes_max)?)
    }

    fn write_output(&mut self, name: &str, bytes: &[u8]) -> Result<(), HostError> {
        Ok(files::write_output(name, bytes)?)
    }

    fn emit(&mut self, kind: &str, body: &str) -> Result<(), HostError> {
        Ok(events::emit(kind, body)?)
    }

    fn exchange(&mut self, request: &web::Request) -> Result<web::Answer, web::Failure> {
        let request = wire::Request {
            method: request.method.clone(),
            url: request.url.clone(),
            headers: request.headers.clone(),
            body: request.body.clone(),
            version: request.version.into(),
            verify: request.verify,
            roots: request.roots.clone(),
            family: request.family.into(),
            connect_to: request.connect_to.clone(),
            addresses: request.addresses.clone(),
            resolver: request.resolver.clone(),
            connect_timeout_ms: request.connect_timeout.map(web::milliseconds),
            timeout_ms: request.timeout.map(web::milliseconds),
        };
        Ok(wire::exchange(&request)?.into())
    }

    fn connect(
        &mut self,
        host: &str,
        port: u16,
        timeout: Duration,
    ) -> Result<TcpStream, HostError> {
        let mut last = None;
        for address in (host, port).to_socket_addrs().map_err(of_io)? {
            match connect_within(address, timeout) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or_else(|| HostError::Failed(format!("{host} has no address")), of_io))
    }

    fn connect_udp(&mut self, host: &str, port: u16) -> Result<UdpSocket, HostError> {
        let mut last = None;
        for address in (host, port).to_socket_addrs().map_err(of_io)? {
            let own: SocketAddr = match address {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            match UdpSocket::bind(own).and_then(|s| s.connect(address).map(|()| s)) {
                Ok(socket) => return Ok(socket),
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or_else(|| HostError::Failed(format!("{host} has no address")), of_io))
    }

    fn lookup(&mut self, question: &dns::Question) -> Result<dns::Answer, HostError> {
        let answer = resolver::lookup(&resolver::Question {
            name: question.name.clone(),
            record_type: question.record_type,
            resolver: question.resolver.clone(),
            timeout_ms: question.timeout.map(web::milliseconds),
        })?;
        let records = |list: Vec<resolver::ResourceRecord>| {
            let record = |r: resolver::ResourceRecord| dns::Record {
                name: r.name,
                record_type: r.record_type,
                ttl_s: r.ttl_s,
                text: r.text,
            };
            list.into_iter().map(record).collect()
        };
        Ok(dns::Answer {
            server: answer.server,
            code: answer.code,
            answers: records(answer.answers),
            authorities: records(answer.authorities),
            elapsed: Duration::from_micros(answer.elapsed_us),
        })
    }

    fn dns_exchange(&mut self, message: &dns::Message) -> Result<dns::Reply, HostError> {
        paths::exchange(message)
    }

    fn probes(&mut self, target: &Target) -> Result<Box<dyn Session>, HostError> {
        paths::open(target)
    }

    fn networks(&mut self, addresses: &[IpAddr]) -> Result<Vec<Option<Network>>, HostError> {
        paths::networks(addresses)
    }

    fn load(&mut self, plan: &Plan) -> Result<Box<dyn LoadTest>, HostError> {
        load::start(plan)
    }

    fn count(&mut self, name: &str, by: u64) -> Result<(), HostError> {
        Ok(metrics::count(name, by)?)
    }

    fn observe(&mut self, name: &str, values: &[u64]) -> Result<(), HostError> {
        Ok(metrics::observe(name, values)?)
    }

    fn time_left(&mut self) -> Duration {
        Duration::from_millis(control::time_left_ms())
    }

    fn is_cancelled(&mut self) -> bool {
        control::is_cancelled()
    }

    fn pause(&mut self, time: Duration) -> bool {
        control::pause(web::milliseconds(time))
    }
}

/// A connection, or why there is none.
///
/// With a time limit the standard library of `wasm32-wasip2` (Rust 1.95) looks for a failure where WASI does not show
/// it, and gives a refused or denied connection out as a success: the socket itself knows better.
fn connect_within(address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, timeout)?;
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    stream.peer_addr()?;
    Ok(stream)
}

fn of_io(error: io::Error) -> HostError {
    match error.kind() {
        io::ErrorKind::PermissionDenied => HostError::Denied(format!(
            "{error}: the grant \"sockets\" is missing, or the engine's target policy refuses the address"
        )),
        _ => HostError::Failed(error.to_string()),
    }
}

impl From<types::Error> for HostError {
    fn from(error: types::Error) -> Self {
        match error {
            types::Error::Denied(text) => Self::Denied(text),
            types::Error::Limit(text) => Self::Limit(text),
            types::Error::Failed(text) => Self::Failed(text),
        }
    }
}

blitz_contract::web_words!(wire);

impl From<wire::Failure> for web::Failure {
    fn from(failure: wire::Failure) -> Self {
        Self {
            kind: failure.kind.into(),
            text: failure.text,
            phases: failure.phases.into(),
            connection: Box::new(failure.connection.into()),
        }
    }
}

impl From<wire::Answer> for web::Answer {
    fn from(answer: wire::Answer) -> Self {
        Self {
            status: answer.status,
            reason: answer.reason,
            version: answer.version.into(),
            headers: answer.headers,
            phases: answer.phases.into(),
            connection: answer.connection.into(),
            body: Box::new(answer.body),
        }
    }
}

impl From<wire::Connection> for web::Connection {
    fn from(connection: wire::Connection) -> Self {
        Self {
            resolver: connection.resolver,
            addresses: connection.addresses,
            remote: connection.remote,
            local: connection.local,
            tls: connection.tls.map(|tls| web::Tls {
                protocol: tls.protocol,
                cipher: tls.cipher,
                alpn: tls.alpn,
                verdict: tls.verdict,
                certificates: tls.certificates,
            }),
        }
    }
}

impl web::Body for wire::Body {
    fn read(&mut self, bytes_max: u32) -> Result<Vec<u8>, web::Failure> {
        Ok(wire::Body::read(self, bytes_max)?)
    }

    fn total_us(&self) -> u64 {
        wire::Body::total_us(self)
    }
}
