//! Exchanges and lookups as the contract's JSON, and back.

use std::time::Duration;

use blitz_contract::native::wire;

use crate::dns;
use crate::host::HostError;
use crate::web::{self, milliseconds};

/// Why a question is always one.
const JSON: &str = "texts and numbers are JSON";

pub(super) fn request(request: &web::Request) -> String {
    let asked = wire::Request {
        method: request.method.clone(),
        url: request.url.clone(),
        headers: request
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), wire::ByteText(value.clone())))
            .collect(),
        version: request.version,
        verify: request.verify,
        roots: request.roots.clone().map(wire::ByteText),
        family: request.family,
        connect_to: request.connect_to.clone(),
        addresses: request.addresses.clone(),
        resolver: request.resolver.clone(),
        connect_timeout_ms: request.connect_timeout.map(milliseconds),
        timeout_ms: request.timeout.map(milliseconds),
    };
    serde_json::to_string(&asked).expect(JSON)
}

pub(super) fn answer(
    bytes: &[u8],
    body: impl FnOnce(u64) -> Box<dyn web::Body>,
) -> Result<web::Answer, web::Failure> {
    let answer: wire::Answer = serde_json::from_slice(bytes)
        .map_err(|e| web::Failure::new(web::FailureKind::Protocol, e.to_string()))?;
    Ok(web::Answer {
        status: answer.status,
        reason: answer.reason.0,
        version: answer.version,
        headers: answer.headers.into_iter().map(|(name, value)| (name, value.0)).collect(),
        phases: answer.phases,
        connection: connection(answer.connection),
        body: body(answer.body),
    })
}

pub(super) fn failure(bytes: &[u8]) -> web::Failure {
    // A refusal of the carrier itself is a bare text.
    let Ok(failure) = serde_json::from_slice::<wire::Failure>(bytes) else {
        return web::Failure::new(web::FailureKind::Limit, String::from_utf8_lossy(bytes));
    };
    web::Failure {
        kind: failure.kind,
        text: failure.text,
        phases: failure.phases,
        connection: Box::new(connection(failure.connection)),
    }
}

fn connection(connection: wire::Connection) -> web::Connection {
    let wire::Connection { resolver, addresses, remote, local, tls } = connection;
    let tls = tls.map(|tls| web::Tls {
        protocol: tls.protocol,
        cipher: tls.cipher,
        alpn: tls.alpn,
        verdict: tls.verdict,
        certificates: tls.certificates.into_iter().map(|certificate| certificate.0).collect(),
    });
    web::Connection { resolver, addresses, remote, local, tls }
}

pub(super) fn question(question: &dns::Question) -> String {
    let asked = wire::Question {
        name: question.name.clone(),
        record_type: question.record_type,
        resolver: question.resolver.clone(),
        timeout_ms: question.timeout.map(milliseconds),
    };
    serde_json::to_string(&asked).expect(JSON)
}

pub(super) fn answers(bytes: &[u8]) -> Result<dns::Answer, HostError> {
    let answer: wire::Answers =
        serde_json::from_slice(bytes).map_err(|e| HostError::Failed(e.to_string()))?;
    let records = |records: Vec<wire::ResourceRecord>| {
        let record = |r: wire::ResourceRecord| dns::Record {
            name: r.name,
            record_type: r.record_type,
            ttl_s: r.ttl_s,
            text: r.text,
        };
        records.into_iter().map(record).collect()
    };
    Ok(dns::Answer {
        server: answer.server,
        code: answer.code,
        answers: records(answer.answers),
        authorities: records(answer.authorities),
        elapsed: Duration::from_micros(answer.elapsed_us),
    })
}
