//! Turns the contract's JSON of exchanges and lookups into the types of the imports, and back.

use blitz_contract::native::wire;

use crate::bindings::blitz::plugin::{dns, web};

pub(super) fn request(asked: wire::Request, body: Option<Vec<u8>>) -> web::Request {
    web::Request {
        method: asked.method,
        url: asked.url,
        headers: asked.headers.into_iter().map(|(name, value)| (name, value.0)).collect(),
        body,
        version: match asked.version {
            wire::VersionChoice::Any => web::VersionChoice::Any,
            wire::VersionChoice::Http1 => web::VersionChoice::Http1,
            wire::VersionChoice::Http2 => web::VersionChoice::Http2,
            wire::VersionChoice::Http3 => web::VersionChoice::Http3,
        },
        verify: asked.verify,
        roots: asked.roots.map(|roots| roots.0),
        family: match asked.family {
            wire::Family::Any => web::Family::Any,
            wire::Family::Ipv4 => web::Family::Ipv4,
            wire::Family::Ipv6 => web::Family::Ipv6,
        },
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
        version: match answer.version {
            web::Version::Http10 => wire::Version::Http10,
            web::Version::Http11 => wire::Version::Http11,
            web::Version::Http2 => wire::Version::Http2,
            web::Version::Http3 => wire::Version::Http3,
        },
        headers: answer
            .headers
            .into_iter()
            .map(|(name, value)| (name, wire::ByteText(value)))
            .collect(),
        phases: phases(answer.phases),
        connection: connection(answer.connection),
        body: u64::from(answer.body.rep()),
    }
}

pub(super) fn failure(failure: web::Failure) -> wire::Failure {
    use web::FailureKind as Kind;
    wire::Failure {
        kind: match failure.kind {
            Kind::Denied => wire::FailureKind::Denied,
            Kind::Limit => wire::FailureKind::Limit,
            Kind::Unsupported => wire::FailureKind::Unsupported,
            Kind::Url => wire::FailureKind::Url,
            Kind::Resolve => wire::FailureKind::Resolve,
            Kind::Connect => wire::FailureKind::Connect,
            Kind::Timeout => wire::FailureKind::Timeout,
            Kind::Tls => wire::FailureKind::Tls,
            Kind::Certificate => wire::FailureKind::Certificate,
            Kind::EmptyReply => wire::FailureKind::EmptyReply,
            Kind::Send => wire::FailureKind::Send,
            Kind::Receive => wire::FailureKind::Receive,
            Kind::Partial => wire::FailureKind::Partial,
            Kind::Protocol => wire::FailureKind::Protocol,
            Kind::Malformed => wire::FailureKind::Malformed,
        },
        text: failure.text,
        phases: phases(failure.phases),
        connection: connection(failure.connection),
    }
}

fn phases(phases: web::Phases) -> wire::Phases {
    let web::Phases { dns_us, connect_us, tls_us, sent_us, first_byte_us } = phases;
    wire::Phases { dns_us, connect_us, tls_us, sent_us, first_byte_us }
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
