//! One look at one place.

use std::net::IpAddr;

use blitz_contract::load::proof::{self, PROOF_BODY};
use futures_util::future::join_all;

use super::{LOOK_TIME, Place, Seen, worst};
use crate::egress::{Family, Query};
use crate::http::{Client, Failed, Failure, Request, VersionChoice};

/// Bytes of a body that are read: what is looked for has two.
const BODY_BYTES_MAX: usize = 64;

/// IANA's number of TXT records.
const TXT: u16 = 16;

/// The port at which an address shows its certificate where the URL has none.
const HTTPS_PORT: u16 = 443;

/// Statuses of a server that may answer otherwise in a moment: it took too long, it has too much to do, or it has troubles.
fn is_trouble(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..)
}

/// Whether an address has the sign at a path. Its certificate is not asked for: what is there was put there.
pub(super) async fn file(client: &Client, place: &Place<'_>, address: IpAddr, path: &str) -> Seen {
    let url = url(place.is_secure, place.host, place.port, path);
    let looking = async {
        let mut answer = match client.exchange(request(&url, address, false)).await {
            Ok(answer) => answer,
            Err(failed) => return of_failure(&url, &failed),
        };
        match answer.status {
            200 => {}
            status if is_trouble(status) => {
                return Seen::Unclear(format!("{url} ({address}) answers {status}"));
            }
            status @ 300..400 => {
                return Seen::Other(format!(
                    "{url} ({address}) answers {status}, and redirects are not followed"
                ));
            }
            status => return Seen::Other(format!("{url} ({address}) answers {status}")),
        }
        let mut body = Vec::new();
        while body.len() <= BODY_BYTES_MAX {
            match answer.body.read(BODY_BYTES_MAX + 1 - body.len()).await {
                Ok(piece) if piece.is_empty() => break,
                Ok(piece) => body.extend_from_slice(&piece),
                Err(failure) => return Seen::Unclear(format!("{url} ({address}): {failure}")),
            }
        }
        if body.len() <= BODY_BYTES_MAX && body.trim_ascii() == PROOF_BODY.as_bytes() {
            return Seen::There;
        }
        Seen::Other(format!("{url} ({address}) has another body than {PROOF_BODY}"))
    };
    match tokio::time::timeout(LOOK_TIME, looking).await {
        Ok(seen) => seen,
        Err(_) => late(&format!("{url} ({address})")),
    }
}

/// Whether the zone of the name has the token, and each address a certificate of the name: a name may lead to machines of
/// others, but those cannot speak for it.
pub(super) async fn record(client: &Client, place: &Place<'_>) -> Seen {
    let Some(name) = proof::record_name(place.host) else {
        return Seen::Other("an address has no TXT record".to_owned());
    };
    let query = Query { name: &name, record_type: TXT, resolver: None, timeout: Some(LOOK_TIME) };
    let records = match client.egress().query(query).await {
        Ok(found) => found.records,
        Err(error) => return Seen::Unclear(error.to_string()),
    };
    // NOERROR and NXDOMAIN are answers; the others say that there is none.
    if !matches!(records.code, 0 | 3) {
        return Seen::Unclear(format!("the zone of {name} answers with code {}", records.code));
    }
    let wanted = format!("{:?}", proof::record_text(place.token));
    let texts = records.answers.iter().filter(|record| record.record_type == TXT);
    let (mut count, mut is_there) = (0, false);
    for record in texts {
        count += 1;
        is_there |= record.text == wanted;
    }
    if !is_there {
        return Seen::Other(match count {
            0 => format!("{name} has no TXT record"),
            count => format!("{name} has {count} TXT records, and none of them is this one"),
        });
    }
    let looks = place.addresses.iter().map(|address| certificate(client, place, *address));
    match worst(join_all(looks).await) {
        Seen::Other(text) => Seen::Other(format!("{name} has it, but {text}")),
        Seen::Unclear(text) => Seen::Unclear(format!(
            "{name} has it, but nobody knows whose the addresses are without a certificate of the name: {text}"
        )),
        Seen::There => Seen::There,
    }
}

/// Whether an address has a certificate of the name: whatever it answers behind the handshake.
async fn certificate(client: &Client, place: &Place<'_>, address: IpAddr) -> Seen {
    let port = if place.is_secure { place.port } else { HTTPS_PORT };
    let url = url(true, place.host, port, "/");
    let looking = client.exchange(request(&url, address, true));
    match tokio::time::timeout(LOOK_TIME, looking).await {
        Ok(Ok(_)) => Seen::There,
        Ok(Err(failed)) => match of_failure(&url, &failed) {
            // Who shows none is not the one that the name says. A file at the address proves as much.
            Seen::Other(text) => Seen::Other(format!(
                "{address} shows no certificate of the name ({text}), so that it may be somebody else's"
            )),
            other => other,
        },
        Err(_) => late(&format!("{url} ({address})")),
    }
}

fn request(url: &str, address: IpAddr, verify: bool) -> Request {
    let agent = concat!("blitz-proof/", env!("CARGO_PKG_VERSION"));
    Request {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: vec![
            ("user-agent".to_owned(), agent.into()),
            ("accept".to_owned(), b"*/*".to_vec()),
        ],
        body: None,
        version: VersionChoice::Http1,
        verify,
        roots: None,
        family: Family::Any,
        connect_to: None,
        addresses: vec![address.to_string()],
        resolver: None,
        connect_timeout: Some(LOOK_TIME),
        timeout: Some(LOOK_TIME),
    }
}

fn url(is_secure: bool, host: &str, port: u16, path: &str) -> String {
    let (scheme, own) = if is_secure { ("https", 443) } else { ("http", 80) };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    match port == own {
        true => format!("{scheme}://{host}{path}"),
        false => format!("{scheme}://{host}:{port}{path}"),
    }
}

/// What a policy refuses, or a certificate says, will be so again. A handshake that breaks off may be one of a server with
/// too much to do.
fn of_failure(url: &str, failed: &Failed) -> Seen {
    let text = format!("{url}: {}", failed.failure);
    match failed.failure {
        Failure::Denied(_)
        | Failure::Certificate(_)
        | Failure::Url(_)
        | Failure::Malformed(_)
        | Failure::Protocol(_)
        | Failure::Unsupported(_) => Seen::Other(text),
        _ => Seen::Unclear(text),
    }
}

fn late(what: &str) -> Seen {
    Seen::Unclear(format!("{what} did not answer in {} s", LOOK_TIME.as_secs()))
}
