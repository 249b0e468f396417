//! One request from its arrival to its answer: the id by which caller, log, audit and jobs call it, and where it came from.
//!
//! Whoever sends `x-request-id` keeps the id that it has; it names nothing here and opens nothing, so that two requests of one
//! id are only hard to tell apart.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use blitz_jobs::accounts::audit::new_ulid;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::server::Gateway;

/// The header that carries it, as proxies and other tools name it.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The header in which proxies put the address that they were asked from.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Characters of the longest id that is taken from a caller: UUIDs and traces fit, and it stands in every line.
const ID_CHARS_MAX: usize = 64;

/// What is known of a request before anybody looks at what it asks for.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Its id.
    pub(crate) id: String,
    /// The address that it came from, where that is known.
    pub(crate) from: Option<IpAddr>,
}

/// Gives a request its id, and everything that is logged of it; the answer carries it.
pub(crate) async fn attend(State(shared): Gateway, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let proxied = shared.config.trust_proxy.then(|| forwarded(headers)).flatten();
    let from = proxied.or(peer).map(|address| address.to_canonical());
    let id = given(headers).map_or_else(new_ulid, str::to_owned);
    // An error's span, so that it is there whatever level of lines is asked for.
    let span = tracing::error_span!("request", request = id);
    let value = HeaderValue::from_str(&id);
    request.extensions_mut().insert(Asked { id, from });
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let begun = Instant::now();
    let answers = async {
        let response = next.run(request).await;
        let (status, elapsed_us) = (response.status().as_u16(), begun.elapsed().as_micros());
        tracing::debug!(%method, path, status, %elapsed_us, "answered");
        response
    };
    let mut response = answers.instrument(span).await;
    if let Ok(value) = value {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// The id that a caller gives, when it can be one.
fn given(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    ((1..=ID_CHARS_MAX).contains(&id.len()) && id.bytes().all(is_word)).then_some(id)
}

/// Whom the nearest proxy was asked by: the last word of the last header. What stands before it is what a caller has said.
fn forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all(FORWARDED_FOR).iter().next_back()?.to_str().ok()?;
    last.rsplit(',').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_word_of_a_few_letters() {
        let long = "x".repeat(ID_CHARS_MAX);
        let longer = format!("{long}x");
        for (value, is_taken) in [
            ("abc-1_Z", true),
            (&long, true),
            (&longer, false),
            ("", false),
            ("a b", false),
            ("a;b", false),
            ("a\tb", false),
            ("a/b", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, value.parse().unwrap());
            assert_eq!(given(&headers).is_some(), is_taken, "{value:?}");
        }
    }

    #[test]
    fn of_a_proxys_header_its_own_word_counts() {
        let mut headers = HeaderMap::new();
        assert_eq!(forwarded(&headers), None);
        headers.append(FORWARDED_FOR, "6.6.6.6".parse().unwrap());
        headers.append(FORWARDED_FOR, "7.7.7.7, 8.8.8.8".parse().unwrap());
        assert_eq!(forwarded(&headers), Some("8.8.8.8".parse().unwrap()));
        headers.append(FORWARDED_FOR, "unknown".parse().unwrap());
        assert_eq!(forwarded(&headers), None);
    }
}
