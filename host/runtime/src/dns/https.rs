//! One message and its answer over HTTPS, by POST. Source: RFC 8484.
//!
//! The exchange is that of every plugin ([`crate::http`]): its addresses, its certificates and its limits.

use std::time::Duration;

use super::ask::Ask;
use super::limits::MESSAGE_MAX_BYTES;
use super::{microseconds, refusal, server};
use crate::bindings::blitz::plugin::dns::{Error, Reply};
use crate::egress::Family;
use crate::http::{Answer, Client, Request, VersionChoice};
use crate::limits::READ_MAX_BYTES;

/// What both sides send.
const MEDIA_TYPE: &str = "application/dns-message";
/// Characters of a redirect's target that an error shows.
const LOCATION_MAX_CHARS: usize = 200;

pub(super) async fn exchange(
    client: &Client,
    ask: &Ask,
    text: &str,
    family: Family,
    verify: bool,
    time: Duration,
) -> Result<Reply, Error> {
    let url = server::url(text)?;
    let request = Request {
        method: "POST".to_owned(),
        url: url.clone(),
        headers: ["accept", "content-type"]
            .map(|name| (name.to_owned(), MEDIA_TYPE.as_bytes().to_vec()))
            .into(),
        body: Some(ask.bytes().to_vec().into()),
        version: VersionChoice::Any,
        verify,
        roots: None,
        family,
        connect_to: None,
        addresses: Vec::new(),
        resolver: None,
        connect_timeout: None,
        timeout: Some(time),
    };
    let told = |error| match error {
        Error::Failed(text) => Error::Failed(format!("{url}: {text}")),
        other => other,
    };
    let mut answer =
        client.exchange(request).await.map_err(|failed| told(refusal(failed.failure)))?;
    check(&answer).map_err(|text| Error::Failed(format!("{url} {text}")))?;
    let mut bytes = Vec::new();
    loop {
        let piece = answer.body.read(READ_MAX_BYTES).await.map_err(|f| told(refusal(f)))?;
        if piece.is_empty() {
            break;
        }
        if bytes.len() + piece.len() > MESSAGE_MAX_BYTES {
            let text =
                format!("{url} sent more than {MESSAGE_MAX_BYTES} bytes, the longest message");
            return Err(Error::Limit(text));
        }
        bytes.extend_from_slice(&piece);
    }
    if !ask.is_answered_by(&bytes) {
        let text = format!("{url} sent {} bytes that do not answer the question", bytes.len());
        return Err(Error::Failed(text));
    }
    let connect = answer.phases.tls;
    Ok(Reply {
        server: answer.connection.remote.map(|peer| peer.to_string()).unwrap_or_default(),
        bytes,
        connect_us: microseconds(connect),
        elapsed_us: microseconds(answer.body.total().saturating_sub(connect)),
    })
}

/// Whether the head is that of a DNS answer; a code of the DNS is none of HTTP's. Reads behind the URL.
fn check(answer: &Answer) -> Result<(), String> {
    let field = |wanted: &str| {
        let mut fields = answer.headers.iter();
        let value = fields.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, v)| v);
        value.map(|value| String::from_utf8_lossy(value).into_owned())
    };
    match answer.status {
        200..=299 => {}
        status @ 300..=399 => {
            let to = field("location").unwrap_or_default();
            let to: String =
                to.chars().filter(|c| !c.is_control()).take(LOCATION_MAX_CHARS).collect();
            return Err(format!("answered HTTP {status}, and redirects are not followed: {to}"));
        }
        status => return Err(format!("answered HTTP {status}")),
    }
    let kind = field("content-type").unwrap_or_default();
    let bare = kind.split(';').next().unwrap_or_default().trim();
    if bare.eq_ignore_ascii_case(MEDIA_TYPE) {
        return Ok(());
    }
    Err(format!("sent {bare:?} and not {MEDIA_TYPE}; is it a DNS server?"))
}
