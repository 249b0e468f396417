//! Turns the contract's JSON of exchanges and lookups into the types of the imports, and back.

use blitz_contract::native::wire;

use crate::bindings::blitz::plugin::{dns, web};

pub(super) fn request(asked: wire::Request, body: Option<Vec<u8>>) -> web::Request {
    web::Request {
        method: asked.method,
        url: asked.url,
        headers: asked.headers.into_iter().map(|(name, value)| (name, value.0)).collect(),
        body,
        version: asked.version.into(),
        verify: asked.verify,
        roots: asked.roots.map(|roots| roots.0),
        family: asked.family.into(),
        connect_to: asked.connect_to,
        addresses: asked.addresses,
        resolver: asked.resolver,
        connect_timeout_ms: asked.connect_timeout_ms,
        timeout_ms: asked.timeout_ms,
    }
}

pub(super) fn answer(answer: web::Answer) -> wire::Answer {
    wire::Answer {
        status: answer.status,
        reason: wire::ByteText(answer.reason),
        version: answer.version.into(),
        headers: answer
            .headers
            .into_iter()
            .map(|(name, value)| (name, wire::ByteText(value)))
            .collect(),
        phases: answer.phases.into(),
        connection: connection(answer.connection),
        body: u64::from(answer.body.rep()),
    }
}

pub(super) fn failure(failure: web::Failure) -> wire::Failure {
    wire::Failure {
        kind: failure.kind.into(),
        text: failure.text,
        phases: failure.phases.into(),
        connection: connection(failure.connection),
    }
}

fn connection(connection: web::Connection) -> wire::Connection {
    let web::Connection { resolver, addresses, remote, local, tls } = connection;
    let tls = tls.map(|tls| wire::Tls {
        protocol: tls.protocol,
        cipher: tls.cipher,
        alpn: tls.alpn,
        verdict: tls.verdict,
        certificates: tls.certificates.into_iter().map(wire::ByteText).collect(),
    });
    wire::Connection { resolver, addresses, remote, local, tls }
}

pub(super) fn question(asked: wire::Question) -> dns::Question {
    let wire::Question { name, record_type, resolver, timeout_ms } = asked;
    dns::Question { name, record_type, resolver, timeout_ms }
}

pub(super) fn answers(answer: dns::Answer) -> wire::Answers {
    let records = |records: Vec<dns::ResourceRecord>| {
        let record = |r: dns::ResourceRecord| wire::ResourceRecord {
            name: r.name,
            record_type: r.record_type,
            ttl_s: r.ttl_s,
            text: r.text,
        };
        records.into_iter().map(record).collect()
    };
    wire::Answers {
        server: answer.server,
        code: answer.code,
        answers: records(answer.answers),
        authorities: records(answer.authorities),
        elapsed_us: answer.elapsed_us,
    }
}
