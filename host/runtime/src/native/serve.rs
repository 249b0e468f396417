//! Answers what a caged plugin asks, with the functions that a component imports.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use blitz_contract::native::{DENIED, FAILED, LIMIT, OK, STDERR};
use blitz_contract::{Capability, Stream};
use serde::Serialize;
use url::Host;
use wasmtime::component::Resource;

use super::frame::{Ask, Reply};
use super::wire;
use crate::bindings::blitz::plugin::types::Error;
use crate::bindings::blitz::plugin::{control, dns, events, files, metrics, web};
use crate::egress::{Connected, EgressError, Family, Wanted};
use crate::job::Job;
use crate::web::Body;

/// A run's imports.
pub(super) struct Imports {
    pub(super) job: Job,
    /// Handles of HTTP bodies that the plugin holds.
    bodies: BTreeSet<u32>,
    /// The same of sessions of probes.
    pub(super) sessions: BTreeSet<u32>,
    /// The same of load tests.
    pub(super) tests: BTreeSet<u32>,
}

/// What goes back to the plugin.
pub(super) struct Answered {
    pub(super) reply: Reply,
    pub(super) body: Vec<u8>,
    pub(super) descriptor: Option<OwnedFd>,
}

impl Answered {
    pub(super) fn new(status: u32, body: Vec<u8>) -> Self {
        Self { reply: Reply { status, number: 0 }, body, descriptor: None }
    }

    fn number(number: u64) -> Self {
        Self { reply: Reply { status: OK, number }, body: Vec::new(), descriptor: None }
    }

    pub(super) fn json<T: Serialize>(status: u32, value: &T) -> wasmtime::Result<Self> {
        Ok(Self::new(status, serde_json::to_vec(value)?))
    }
}

impl From<Result<Vec<u8>, Error>> for Answered {
    fn from(result: Result<Vec<u8>, Error>) -> Self {
        match result {
            Ok(bytes) => Self::new(OK, bytes),
            Err(Error::Denied(text)) => Self::new(DENIED, text.into_bytes()),
            Err(Error::Limit(text)) => Self::new(LIMIT, text.into_bytes()),
            Err(Error::Failed(text)) => Self::new(FAILED, text.into_bytes()),
        }
    }
}

impl From<Result<(), Error>> for Answered {
    fn from(result: Result<(), Error>) -> Self {
        result.map(|()| Vec::new()).into()
    }
}

impl Imports {
    pub(super) fn new(job: Job) -> Self {
        Self { job, bodies: BTreeSet::new(), sessions: BTreeSet::new(), tests: BTreeSet::new() }
    }

    /// Does what was asked.
    ///
    /// # Errors
    ///
    /// Where the run has to end, as for a component that traps.
    pub(super) async fn answer(&mut self, ask: Ask, raw: Vec<u8>) -> wasmtime::Result<Answered> {
        let job = &mut self.job;
        let text = |raw: Vec<u8>| String::from_utf8(raw);
        Ok(match ask {
            Ask::Caged { .. } | Ask::Refused | Ask::Described | Ask::Returned { .. } => {
                wasmtime::bail!("asked for nothing")
            }
            Ask::Write { stream } => {
                let stream = if stream == STDERR { Stream::Stderr } else { Stream::Stdout };
                job.outlet.give(&stream, &raw).await?;
                Answered::new(OK, Vec::new())
            }
            Ask::ReadInput { name, offset, bytes_max } => {
                files::Host::read_input(job, name, offset, bytes_max).await?.into()
            }
            Ask::WriteOutput { name } => files::Host::write_output(job, name, raw).await?.into(),
            Ask::Emit { kind } => match text(raw) {
                Ok(body) => events::Host::emit(job, kind, body).await?.into(),
                Err(error) => Answered::new(FAILED, error.to_string().into_bytes()),
            },
            Ask::Count { name, by } => metrics::Host::count(job, name, by)?.into(),
            Ask::Observe { name } => {
                let values = raw.chunks_exact(size_of::<u64>());
                let values =
                    values.filter_map(|v| v.try_into().ok().map(u64::from_le_bytes)).collect();
                metrics::Host::observe(job, name, values)?.into()
            }
            Ask::Lookup(question) => {
                match dns::Host::lookup(job, wire::question(question)).await? {
                    Ok(answer) => Answered::json(OK, &wire::answers(answer))?,
                    Err(error) => Err::<(), _>(error).into(),
                }
            }
            Ask::ByName { import } => self.ask(&import, &raw).await?,
            Ask::Exchange { request, has_body } => {
                let request = wire::request(request, has_body.then_some(raw));
                match web::Host::exchange(job, request).await? {
                    Ok(answer) => {
                        self.bodies.insert(answer.body.rep());
                        Answered::json(OK, &wire::answer(answer))?
                    }
                    Err(failure) => Answered::json(FAILED, &wire::failure(failure))?,
                }
            }
            Ask::BodyRead { body, bytes_max } => {
                let body = self.body(body)?;
                match web::HostBody::read(&mut self.job, body, bytes_max).await? {
                    Ok(piece) => Answered::new(OK, piece),
                    Err(failure) => Answered::json(FAILED, &wire::failure(failure))?,
                }
            }
            Ask::BodyTotal { body } => {
                let body = self.body(body)?;
                Answered::number(web::HostBody::total_us(&mut self.job, body).await?)
            }
            Ask::BodyClose { body } => {
                let body = self.body(body)?.rep();
                self.bodies.remove(&body);
                web::HostBody::drop(&mut self.job, Resource::new_own(body)).await?;
                Answered::number(0)
            }
            Ask::Connect { udp, host, port, timeout_ms } => {
                match connect(job, udp, &host, port, Duration::from_millis(timeout_ms)).await {
                    Ok(socket) => Answered { descriptor: Some(socket), ..Answered::number(0) },
                    Err(error) => Err::<(), _>(error).into(),
                }
            }
            Ask::TimeLeft => Answered::number(control::Host::time_left_ms(job)?),
            Ask::IsCancelled => Answered::number(u64::from(control::Host::is_cancelled(job)?)),
            Ask::Pause { ms } => Answered::number(u64::from(control::Host::pause(job, ms).await?)),
        })
    }

    /// A handle that this plugin was given, and did not give back.
    fn body(&self, handle: u64) -> wasmtime::Result<Resource<Body>> {
        match u32::try_from(handle) {
            Ok(handle) if self.bodies.contains(&handle) => Ok(Resource::new_borrow(handle)),
            _ => wasmtime::bail!("it has no HTTP body {handle}"),
        }
    }
}

/// A socket to a peer that the policy allows. Needs the grant `sockets`; how many a plugin holds is limited by its
/// cage, as only the plugin knows when it closes one.
async fn connect(
    job: &mut Job,
    udp: bool,
    host: &str,
    port: u16,
    timeout: Duration,
) -> Result<OwnedFd, Error> {
    job.granted(&Capability::Sockets).map_err(Error::Denied)?;
    let host = match host.parse() {
        Ok(IpAddr::V4(address)) => Host::Ipv4(address),
        Ok(IpAddr::V6(address)) => Host::Ipv6(address),
        Err(_) => Host::parse(host).map_err(|e| Error::Failed(format!("host {host:?}: {e}")))?,
    };
    let connecting = async {
        let wanted =
            Wanted { host: &host, port, family: Family::Any, addresses: &[], resolver: None };
        let egress = job.http.egress();
        let resolved = egress.resolve(&wanted).await?;
        let failed = |e: std::io::Error| EgressError::Connect(e.to_string());
        if udp {
            let (socket, ..) = egress.connect_udp(&resolved).await?;
            let socket = socket.into_std().map_err(failed)?;
            socket.set_nonblocking(false).map_err(failed)?;
            Ok(socket.into())
        } else {
            let Connected { stream, .. } = egress.connect_tcp(&resolved).await?;
            let stream = stream.into_std().map_err(failed)?;
            stream.set_nonblocking(false).map_err(failed)?;
            Ok(stream.into())
        }
    };
    match tokio::time::timeout(timeout, connecting).await {
        Ok(Ok(socket)) => Ok(socket),
        Ok(Err(EgressError::Denied(denied))) => Err(Error::Denied(denied.to_string())),
        Ok(Err(error)) => Err(Error::Failed(format!("{host}:{port}: {error}"))),
        Err(_) => Err(Error::Failed(format!(
            "{host}:{port}: no connection within {} ms",
            timeout.as_millis()
        ))),
    }
}
