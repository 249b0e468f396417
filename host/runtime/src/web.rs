//! The import `web`: one HTTP exchange with its phases. Needs the grant `web`.

use std::time::Duration;

use blitz_contract::Capability;
use wasmtime::component::Resource;

use crate::bindings::blitz::plugin::web;
use crate::doing::Activity;
use crate::egress::Family;
use crate::http::{
    self, Answer, Connection, Failed, Failure, Phases, Request, TlsFacts, VersionChoice,
};
use crate::job::Job;
use crate::limits::{BODIES_MAX, READ_MAX_BYTES};
use crate::tape;

/// A body that a guest holds open. The numbers are those of a tape.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum Body {
    /// Of a connection.
    Live(u64, Box<http::Body>),
    /// Of a tape, and the instant of its latest piece.
    Taped(u64, u64),
}

impl web::Host for Job {
    async fn exchange(
        &mut self,
        request: web::Request,
    ) -> wasmtime::Result<Result<web::Answer, web::Failure>> {
        if let Err(denial) = self.granted(&Capability::Web) {
            return Ok(Err(Failed::early(Failure::Denied(denial)).into()));
        }
        if self.bodies >= BODIES_MAX {
            let text = format!("a run holds at most {BODIES_MAX} HTTP bodies open; drop one first");
            return Ok(Err(Failed::early(Failure::Limit(text)).into()));
        }
        if self.tape.is_live() {
            return self.exchange_live(request).await;
        }
        let asked = tape::web::Asked::from(&request);
        if let Some(heard) = self.tape.replay::<tape::web::Heard>("web.exchange", &asked)? {
            return self.exchange_taped(heard);
        }
        let answer = self.exchange_live(request).await?;
        self.tape.record("web.exchange", &asked, &tape::web::Heard::from(&answer))?;
        Ok(answer)
    }
}

impl Job {
    async fn exchange_live(
        &mut self,
        request: web::Request,
    ) -> wasmtime::Result<Result<web::Answer, web::Failure>> {
        let exchange = self.http.exchange(request.into());
        // The largest future of a run; it lives on the heap and not on the guest's stack.
        match self.doing.during(Activity::Exchange, Box::pin(exchange)).await {
            Err(failure) => Ok(Err(failure.into())),
            Ok(answer) => {
                let Answer { status, reason, version, headers, phases, connection, body } = answer;
                let number = self.tape.next_body();
                let body = self.table.push(Body::Live(number, Box::new(body)))?;
                self.bodies += 1;
                Ok(Ok(web::Answer {
                    status,
                    reason,
                    version: match version {
                        ::http::Version::HTTP_3 => web::Version::Http3,
                        ::http::Version::HTTP_2 => web::Version::Http2,
                        ::http::Version::HTTP_10 | ::http::Version::HTTP_09 => web::Version::Http10,
                        _ => web::Version::Http11,
                    },
                    headers,
                    phases: phases.into(),
                    connection: connection.into(),
                    body,
                }))
            }
        }
    }

    fn exchange_taped(
        &mut self,
        heard: tape::web::Heard,
    ) -> wasmtime::Result<Result<web::Answer, web::Failure>> {
        match heard {
            tape::web::Heard::Failed(failure) => Ok(Err((*failure).into())),
            tape::web::Heard::Answer(answer) => {
                let number = self.tape.next_body();
                let body = self.table.push(Body::Taped(number, answer.first_byte_us()))?;
                self.bodies += 1;
                Ok(Ok(answer.with_body(body)))
            }
        }
    }
}

impl web::HostBody for Job {
    async fn read(
        &mut self,
        body: Resource<Body>,
        max_bytes: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, web::Failure>> {
        let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX).min(READ_MAX_BYTES);
        match self.table.get_mut(&body)? {
            Body::Live(number, body) => {
                let asked = tape::web::AskedPiece { body: *number, max_bytes };
                let piece = self.doing.during(Activity::Body, body.read(max_bytes)).await;
                let piece: Result<Vec<u8>, web::Failure> =
                    piece.map(Vec::from).map_err(|failure| Failed::early(failure).into());
                if !self.tape.is_live() {
                    let heard = tape::web::HeardPiece::new(&piece, microseconds(body.total()));
                    self.tape.record("web.read", &asked, &heard)?;
                }
                Ok(piece)
            }
            Body::Taped(number, total_us) => {
                let asked = tape::web::AskedPiece { body: *number, max_bytes };
                let heard = self.tape.replay::<tape::web::HeardPiece>("web.read", &asked)?;
                let heard =
                    heard.ok_or_else(|| wasmtime::format_err!("a body without its tape"))?;
                *total_us = heard.total_us;
                Ok(heard.into())
            }
        }
    }

    async fn total_us(&mut self, body: Resource<Body>) -> wasmtime::Result<u64> {
        Ok(match self.table.get(&body)? {
            Body::Live(_, body) => microseconds(body.total()),
            Body::Taped(_, total_us) => *total_us,
        })
    }

    async fn drop(&mut self, body: Resource<Body>) -> wasmtime::Result<()> {
        self.table.delete(body)?;
        self.bodies -= 1;
        Ok(())
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

// For the frames of native plugins, and for tapes.
blitz_contract::web_words!(web);

impl From<web::Request> for Request {
    fn from(asked: web::Request) -> Self {
        Self {
            method: asked.method,
            url: asked.url,
            headers: asked.headers,
            body: asked.body.map(Into::into),
            version: match asked.version {
                web::VersionChoice::Any => VersionChoice::Any,
                web::VersionChoice::Http1 => VersionChoice::Http1,
                web::VersionChoice::Http2 => VersionChoice::Http2,
                web::VersionChoice::Http3 => VersionChoice::Http3,
            },
            verify: asked.verify,
            roots: asked.roots.map(Into::into),
            family: asked.family.into(),
            connect_to: asked.connect_to,
            addresses: asked.addresses,
            resolver: asked.resolver,
            connect_timeout: asked.connect_timeout_ms.map(Duration::from_millis),
            timeout: asked.timeout_ms.map(Duration::from_millis),
        }
    }
}

impl From<web::Family> for Family {
    fn from(family: web::Family) -> Self {
        match family {
            web::Family::Any => Self::Any,
            web::Family::Ipv4 => Self::Ipv4,
            web::Family::Ipv6 => Self::Ipv6,
        }
    }
}

impl From<Phases> for web::Phases {
    fn from(phases: Phases) -> Self {
        Self {
            dns_us: microseconds(phases.dns),
            connect_us: microseconds(phases.connect),
            tls_us: microseconds(phases.tls),
            sent_us: microseconds(phases.sent),
            first_byte_us: microseconds(phases.first_byte),
        }
    }
}

impl From<TlsFacts> for web::Tls {
    fn from(facts: TlsFacts) -> Self {
        let TlsFacts { protocol, cipher, alpn, verdict, certificates } = facts;
        Self { protocol, cipher, alpn, verdict, certificates }
    }
}

impl From<Connection> for web::Connection {
    fn from(connection: Connection) -> Self {
        let Connection { resolver, addresses, remote, local, tls } = connection;
        Self {
            resolver,
            addresses: addresses.iter().map(ToString::to_string).collect(),
            remote: remote.map(|address| address.to_string()),
            local: local.map(|address| address.to_string()),
            tls: tls.map(Into::into),
        }
    }
}

impl From<Failed> for web::Failure {
    fn from(failed: Failed) -> Self {
        use web::FailureKind as Kind;
        let (kind, text) = match failed.failure {
            Failure::Denied(text) => (Kind::Denied, text),
            Failure::Limit(text) => (Kind::Limit, text),
            Failure::Unsupported(text) => (Kind::Unsupported, text),
            Failure::Url(text) => (Kind::Url, text),
            Failure::Resolve(text) => (Kind::Resolve, text),
            Failure::Connect(text) => (Kind::Connect, text),
            Failure::Timeout(text) => (Kind::Timeout, text),
            Failure::Tls(text) => (Kind::Tls, text),
            Failure::Certificate(text) => (Kind::Certificate, text),
            Failure::EmptyReply(text) => (Kind::EmptyReply, text),
            Failure::Send(text) => (Kind::Send, text),
            Failure::Receive(text) => (Kind::Receive, text),
            Failure::Partial(text) => (Kind::Partial, text),
            Failure::Malformed(text) => (Kind::Malformed, text),
            Failure::Protocol(text) => (Kind::Protocol, text),
        };
        Self { kind, text, phases: failed.phases.into(), connection: failed.connection.into() }
    }
}
