//! Requests that can be read in one way only: JSON without duplicate keys, and headers and parameters that come once.
//!
//! Two readers of one text that choose differently among two keys of one name is how a check and what it guards come apart
//! (CVE-2017-12635 of CouchDB). So none is chosen: whatever is twice is refused, at every depth. All routes take their
//! JSON as [`Strict`] (one as [`Large`]) and their parameters as [`Params`]; `tests/it/security.rs` sees to that.

use axum::body::{Bytes, to_bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use blitz_contract::secret::MASK;
use serde::de::DeserializeOwned;

mod large;
mod unique;

use crate::connections::is_slow;
use crate::failure::Failure;
use crate::limits::BODY_BYTES_MAX;

pub(crate) use large::{Large, Rooms};

/// A body of JSON, with at most so many bytes.
#[derive(Debug)]
pub(crate) struct Strict<T, const BYTES_MAX: usize = BODY_BYTES_MAX>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned, const BYTES_MAX: usize> FromRequest<S>
    for Strict<T, BYTES_MAX>
{
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        must_be_json(request.headers())?;
        parse(&read_all(request, BYTES_MAX).await?).map(Self)
    }
}

fn must_be_json(headers: &HeaderMap) -> Result<(), Failure> {
    match is_json(headers) {
        true => Ok(()),
        false => Err(Failure::bad_request(
            "the body is to be JSON; send the header 'Content-Type: application/json'",
        )),
    }
}

async fn read_all(request: Request, bytes_max: usize) -> Result<Bytes, Failure> {
    let read = to_bytes(request.into_body(), bytes_max).await;
    read.map_err(|error| match error.to_string().contains("length limit") {
        true => too_large(bytes_max),
        false => broken(&error),
    })
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    read(body).map_err(|why| Failure::bad_request(format!("the request's JSON: {why}")))
}

fn too_large(bytes_max: usize) -> Failure {
    Failure::input_too_large(format!("a request may have {bytes_max} bytes here"))
}

/// What is said of a body that did not come whole.
pub(crate) fn broken(error: &axum::Error) -> Failure {
    match is_slow(error) {
        true => Failure::slow(error.to_string()),
        false => Failure::bad_request(format!("the request did not arrive whole: {error}")),
    }
}

/// Reads JSON that can be read in one way.
pub(crate) fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    if text.starts_with(b"\xef\xbb\xbf") {
        return Err("it begins with a byte order mark; send it without".to_owned());
    }
    unique::check(text).map_err(|error| error.to_string())?;
    serde_json::from_slice(text).map_err(|error| unquoted(&error.to_string()))
}

/// What is wrong with a body, without the texts that its reader quotes.
fn unquoted(said: &str) -> String {
    match (said.find('"'), said.rfind('"')) {
        (Some(from), Some(to)) if from < to => format!("{}{MASK}{}", &said[..=from], &said[to..]),
        _ => said.to_owned(),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split_once(';').map_or(kind, |(kind, _)| kind).trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// The parameters of a query, each at most once. Those that are not known say nothing, as ever.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let query = Query::from_request_parts(parts, state).await;
        let Query(query) =
            query.map_err(|error: QueryRejection| Failure::bad_request(error.body_text()))?;
        Ok(Self(query))
    }
}

/// Refuses requests with two headers where one decides.
pub(crate) async fn once(request: Request, next: Next) -> Response {
    // Something is decided by each of them.
    let names =
        [HOST, ORIGIN, AUTHORIZATION, CONTENT_TYPE, HeaderName::from_static("last-event-id")];
    let twice = names.iter().find(|name| request.headers().get_all(*name).iter().count() > 1);
    match twice {
        Some(name) => Failure::bad_request(format!("the header '{name}' came twice; send it once"))
            .into_response(),
        None => next.run(request).await,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_can_be_read_two_ways_is_refused_at_every_depth() {
        for (text, says) in [
            (&br#"{"a":1,"a":1}"#[..], "the key \"a\" is there twice"),
            (br#"{"a":{"b":[{"c":1,"c":2}]}}"#, "the key \"c\" is there twice"),
            (br#"{"a":1,"\u0061":2}"#, "the key \"a\" is there twice"),
            (br#"{"":1,"":2}"#, "the key \"\" is there twice"),
            (br#"{"a":1} {"a":1}"#, "trailing characters"),
            (br#"{"a":1},"#, "trailing characters"),
            (b"{\"a\":1}\0", "trailing characters"),
            (b"\xef\xbb\xbf{}", "byte order mark"),
            (b"\xff\xfe{\0}\0", "expected value"),
            (b"{\"\xff\":1}", "invalid unicode"),
            (br#"{"a":"\ud800"}"#, "hex escape"),
            (br#"{"a":1e999}"#, "number out of range"),
            (br#"{"a":NaN}"#, "expected"),
            (br#"{"a":01}"#, "invalid number"),
            (br#"{"a":+1}"#, "expected value"),
            (br#"{'a':1}"#, "key must be a string"),
            (br#"{"a":1,}"#, "trailing comma"),
            (b"{\"a\":\"\n\"}", "control character"),
            (br#"{"a":/**/1}"#, "expected value"),
            (br#"{"$serde_json::private::RawValue":"{\"a\":1,\"a\":2}"}"#, "is not allowed"),
            (b"", "EOF"),
        ] {
            let error = read::<Value>(text).expect_err(&String::from_utf8_lossy(text));
            assert!(error.contains(says), "{}: {error}", String::from_utf8_lossy(text));
        }
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert!(read::<Value>(deep.as_bytes()).unwrap_err().contains("recursion limit"));
        let fine = br#" {"a":{"a":[{"a":1},{"a":2}]},"b":-1.5e3,"A":"\ud83d\ude00"} "#;
        assert_eq!(read::<Value>(fine).unwrap()["a"]["a"][1]["a"], 2);
    }

    #[test]
    fn what_is_wrong_with_a_body_is_told_without_its_texts() {
        for (said, wanted) in [
            (
                r#"args: invalid type: string "a"b", expected a list"#,
                r#"args: invalid type: string "***", expected a list"#,
            ),
            ("missing field `plugin`", "missing field `plugin`"),
            ("a \" alone", "a \" alone"),
        ] {
            assert_eq!(unquoted(said), wanted);
        }
    }
}
