//! The import `web`: one HTTP exchange with its phases. Needs the grant `web`.

use std::time::Duration;

use blitz_contract::Capability;
use wasmtime::component::Resource;

use crate::bindings::blitz::plugin::web;
use crate::doing::Activity;
use crate::http::{Answer, Body, Failure, Phases, Request, TlsFacts, VersionChoice};
use crate::job::Job;
use crate::limits::{BODIES_MAX, READ_MAX_BYTES};

impl web::Host for Job {
    async fn exchange(
        &mut self,
        request: web::Request,
    ) -> wasmtime::Result<Result<web::Answer, web::Failure>> {
        if let Err(denial) = self.granted(Capability::Web) {
            return Ok(Err(web::Failure::Denied(denial)));
        }
        if self.bodies >= BODIES_MAX {
            return Ok(Err(web::Failure::Limit(format!(
                "a run holds at most {BODIES_MAX} HTTP bodies open; drop one first"
            ))));
        }
        let exchange = self.http.exchange(request.into());
        // The largest future of a run; it lives on the heap and not on the guest's stack.
        match self.doing.during(Activity::Exchange, Box::pin(exchange)).await {
            Err(failure) => Ok(Err(failure.into())),
            Ok(answer) => {
                let Answer { status, reason, version, headers, phases, remote, local, tls, body } =
                    answer;
                let body = self.table.push(body)?;
                self.bodies += 1;
                Ok(Ok(web::Answer {
                    status,
                    reason,
                    version: match version {
                        http::Version::HTTP_2 => web::Version::Http2,
                        http::Version::HTTP_10 | http::Version::HTTP_09 => web::Version::Http10,
                        _ => web::Version::Http11,
                    },
                    headers,
                    phases: phases.into(),
                    remote: remote.to_string(),
                    local: local.to_string(),
                    tls: tls.map(Into::into),
                    body,
                }))
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
        let body = self.table.get_mut(&body)?;
        let piece = self.doing.during(Activity::Body, body.read(max_bytes)).await;
        Ok(piece.map(Vec::from).map_err(Into::into))
    }

    async fn total_us(&mut self, body: Resource<Body>) -> wasmtime::Result<u64> {
        Ok(microseconds(self.table.get(&body)?.total()))
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
            },
            verify: asked.verify,
            connect_timeout: asked.connect_timeout_ms.map(Duration::from_millis),
            timeout: asked.timeout_ms.map(Duration::from_millis),
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

impl From<Failure> for web::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Denied(text) => Self::Denied(text),
            Failure::Limit(text) => Self::Limit(text),
            Failure::Url(text) => Self::Url(text),
            Failure::Resolve(text) => Self::Resolve(text),
            Failure::Connect(text) => Self::Connect(text),
            Failure::Timeout(text) => Self::Timeout(text),
            Failure::Tls(text) => Self::Tls(text),
            Failure::Certificate(text) => Self::Certificate(text),
            Failure::EmptyReply(text) => Self::EmptyReply(text),
            Failure::Send(text) => Self::Send(text),
            Failure::Receive(text) => Self::Receive(text),
            Failure::Protocol(text) => Self::Protocol(text),
        }
    }
}
