//! One request, from what the guest states to the head of the answer.

use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::{Error, RequestOptions};

use super::{Shared, body, codes};
use crate::egress::Family;
use crate::http::{Request, VersionChoice};
use crate::limits::BODIES_MAX;

impl Shared {
    /// Sends the request as soon as its body is whole, and gives the answer with its body to be read.
    pub(super) async fn send(
        &self,
        request: ::http::Request<HyperOutgoingBody>,
        options: RequestOptions,
    ) -> Result<Response<HyperOutgoingBody>, Error> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            self.outlet.note_refusal(&format!(
                "a run holds at most {BODIES_MAX} requests and bodies of wasi:http open; drop one first"
            ));
            Error::ConnectionLimitReached
        })?;
        let (head, body) = request.into_parts();
        if head.method == Method::CONNECT {
            return Err(Error::HttpRequestMethodInvalid);
        }
        let collected = self.budget.collect(body).await?;
        let fields = head.headers.iter();
        let request = Request {
            method: head.method.as_str().to_owned(),
            url: head.uri.to_string(),
            headers: fields.map(|(n, v)| (n.as_str().to_owned(), v.as_bytes().to_vec())).collect(),
            body: (!collected.bytes.is_empty()).then(|| collected.bytes.clone()),
            version: VersionChoice::Any,
            verify: true,
            roots: None,
            family: Family::Any,
            connect_to: None,
            addresses: Vec::new(),
            resolver: None,
            connect_timeout: options.connect_timeout,
            timeout: None,
        };
        let exchange = Box::pin(self.client.exchange(request));
        let answer = match first_byte_limit(&options) {
            None => exchange.await,
            Some(limit) => {
                let in_time = tokio::time::timeout(limit, exchange).await;
                in_time.map_err(|_late| Error::ConnectionReadTimeout)?
            }
        };
        drop(collected);
        let answer = answer.map_err(|failed| codes::error(&failed.failure, &self.outlet))?;
        let between = options.between_bytes_timeout;
        let mut response = Response::new(body::answered(answer.body, between, place));
        *response.status_mut() = answer.status.try_into().map_err(|_| Error::HttpProtocolError)?;
        *response.version_mut() = answer.version;
        *response.headers_mut() = fields_of(answer.headers);
        Ok(response)
    }
}

/// How long the head may take from the start of the exchange: the guest's limit, behind the one to connect when
/// it has named that too.
fn first_byte_limit(options: &RequestOptions) -> Option<Duration> {
    let connecting = options.connect_timeout.unwrap_or_default();
    options.first_byte_timeout.map(|limit| limit.saturating_add(connecting))
}

fn fields_of(fields: Vec<(String, Vec<u8>)>) -> HeaderMap {
    let field = |(name, value): (String, Vec<u8>)| {
        let name = HeaderName::try_from(name).ok()?;
        Some((name, HeaderValue::try_from(value).ok()?))
    };
    // All of them were parsed as fields before.
    let mut headers = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields.into_iter().filter_map(field) {
        headers.append(name, value);
    }
    headers
}
