//! What a caller is told when a request cannot be served: a code for programs, a sentence for people, and
//! the word that they may have meant.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use blitz_jobs::accounts::quota::{Exceeded, FreeAgain, NoPlan};
use serde::Serialize;
use serde_json::{Value, json};

use crate::audit::Told;
use crate::queue::{Full, WAITING_MAX};

/// What one holds too much of is asked for again after this long, in seconds: most requests have ended by then.
const BUSY_AGAIN_S: u32 = 2;

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    status: StatusCode,
    body: Box<Body>,
    /// When to try again.
    retry_after_s: Option<u32>,
}

/// A region whose queue is full is asked again after this long, in seconds: by then hundreds of jobs have ended.
const QUEUE_AGAIN_S: u32 = 5;

/// A store that does not answer is asked again after this long, in seconds: about as long as one takes to start.
const STORE_AGAIN_S: u32 = 2;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Body {
    error: &'static str,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    suggestion: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<Vec<String>>,
    /// What of a plan was used up.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<Value>,
}

impl Failure {
    fn new(status: StatusCode, error: &'static str, reason: impl Into<String>) -> Self {
        let body =
            Body { error, reason: reason.into(), suggestion: None, known: None, limit: None };
        Self { status, body: Box::new(body), retry_after_s: None }
    }

    pub(crate) fn bad_request(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", reason)
    }

    pub(crate) fn unauthorized(reason: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", reason)
    }

    /// A key that was right, and is no more.
    pub(crate) fn key_refused(error: &'static str, reason: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, error, reason)
    }

    pub(crate) fn forbidden(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", reason)
    }

    /// The request is understood, and not allowed.
    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "refused", reason)
    }

    /// What only the operator may do, asked with an API key.
    pub(crate) fn for_operators() -> Self {
        Self::forbidden(
            "this is for the gateway's operator: ask with the gateway's token, not with an API key",
        )
    }

    /// Too many of something in a time.
    pub(crate) fn too_often(
        error: &'static str,
        reason: impl Into<String>,
        after: Duration,
    ) -> Self {
        let failure = Self::new(StatusCode::TOO_MANY_REQUESTS, error, reason);
        failure.after(after)
    }

    /// Nobody looks for proofs here.
    pub(crate) fn no_prover() -> Self {
        let reason = "this gateway looks for no proofs; its operator answers for the host ('blitz targets add HOST \
                      --pre-authorised'), or ask another gateway";
        Self::new(StatusCode::NOT_IMPLEMENTED, "no_prover", reason)
    }

    /// Nobody can be let in by a key now.
    pub(crate) fn no_keys(reason: impl Into<String>) -> Self {
        let failure = Self::new(StatusCode::SERVICE_UNAVAILABLE, "keys_unavailable", reason);
        failure.after(Duration::from_secs(STORE_AGAIN_S.into()))
    }

    /// With when to try again, in whole seconds, at least one.
    fn after(self, after: Duration) -> Self {
        let seconds = after.as_millis().div_ceil(1000).max(1);
        Self { retry_after_s: Some(u32::try_from(seconds).unwrap_or(u32::MAX)), ..self }
    }

    pub(crate) fn usage(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "usage", reason)
    }

    pub(crate) fn input_too_large(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "input_too_large", reason)
    }

    /// The request takes too long to come.
    pub(crate) fn slow(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "slow_request", reason)
    }

    /// The request is right in itself, and not as things stand.
    pub(crate) fn conflict(error: &'static str, reason: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, error, reason)
    }

    /// It may be tried again.
    pub(crate) fn busy() -> Self {
        let reason = "others do the same at this moment; try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", reason)
    }

    /// As [`busy`](Self::busy), with what there is too much of, and its limit.
    pub(crate) fn crowded(reason: &str) -> Self {
        let reason = format!("{reason}; try again in {BUSY_AGAIN_S} s");
        let failure = Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", reason);
        Self { retry_after_s: Some(BUSY_AGAIN_S), ..failure }
    }

    /// The caller's tenant holds as much of something as one may at once.
    pub(crate) fn share_used(tenant: &str, much: &str) -> Self {
        Self::crowded(&format!(
            "tenant {tenant} has {much} under way, which is the limit of a tenant"
        ))
    }

    /// A bug: the request was begun, and nobody knows how far it came.
    pub(crate) fn failed() -> Self {
        let reason = "a fault of the gateway ended this request, and what was asked may be done in part; look before you ask \
                      again, and tell your operator the id of the request ('x-request-id')";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", reason)
    }

    /// A command line with a secret, for a region that has no key to seal it to.
    pub(crate) fn no_region_key(argument: &str, region: &str) -> Self {
        let reason = format!(
            "{argument} has a secret, and region {region} has no key to seal it to; its operator makes one with \
             'blitz region key {region}' and gives it to the region's engines"
        );
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "no_region_key", reason)
    }

    /// Too many jobs wait for an engine.
    pub(crate) fn queue_full(full: &Full) -> Self {
        let Full { region, waiting } = full;
        let reason = format!(
            "{waiting} jobs wait for an engine in region {region}, the limit is {WAITING_MAX}; try again in \
             {QUEUE_AGAIN_S} s, or add engines ('blitz engine --region {region}')"
        );
        let failure = Self::new(StatusCode::SERVICE_UNAVAILABLE, "queue_full", reason);
        Self { retry_after_s: Some(QUEUE_AGAIN_S), ..failure }
    }

    /// None of the clusters that could take the job has answered.
    pub(crate) fn nowhere(region: &str, clusters: &[&str]) -> Self {
        let clusters = clusters.join(", ");
        let reason = format!(
            "no cluster of region {region} answers (tried {clusters}); try again in {STORE_AGAIN_S} s"
        );
        Self::away(reason)
    }

    /// The gateway may enter none of the region's clusters.
    pub(crate) fn no_way_in(region: &str, clusters: &[&str]) -> Self {
        let clusters = clusters.join(", ");
        let reason = format!(
            "this gateway can enter none of the clusters of region {region} ({clusters}); its operator adds one to its \
             --clusters, or submit through a gateway that is there"
        );
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "region_out_of_reach", reason)
    }

    /// The near cluster has not answered since the gateway began.
    pub(crate) fn not_ready(cluster: &str) -> Self {
        let reason = format!(
            "the gateway is up and does not know any region yet: {cluster}, where they stand, does not answer; try again in \
             {STORE_AGAIN_S} s"
        );
        Self::away(reason)
    }

    /// The plan of the caller's tenant does not leave what was asked for.
    pub(crate) fn exceeded(exceeded: &Exceeded) -> Self {
        let Exceeded { limit, used, asked, max, free_again, .. } = exceeded;
        let (status, error, in_ms) = match *free_again {
            FreeAgain::Never => (StatusCode::FORBIDDEN, "above_plan", None),
            FreeAgain::WhenJobsEnd { in_ms } | FreeAgain::At { in_ms, .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "quota_used", Some(in_ms))
            }
        };
        let mut failure = Self::new(status, error, exceeded.to_string());
        let mut told = json!({"name": limit.name(), "used": used, "asked": asked, "max": max});
        if let FreeAgain::At { at_ms, .. } = free_again {
            told["free_again_ms"] = json!(at_ms);
        }
        failure.body.limit = Some(told);
        match in_ms {
            Some(in_ms) => failure.after(Duration::from_millis(in_ms)),
            None => failure,
        }
    }

    /// The caller's tenant has no plan that stands.
    pub(crate) fn no_plan(why: &NoPlan) -> Self {
        Self::new(StatusCode::FORBIDDEN, "no_plan", why.to_string())
    }

    fn away(reason: String) -> Self {
        let failure = Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_unreachable", reason);
        Self { retry_after_s: Some(STORE_AGAIN_S), ..failure }
    }

    /// A member's request would have no entry in the audit.
    pub(crate) fn unaudited() -> Self {
        let reason = format!(
            "the store does not take the audit, and nothing is done without it; try again in {STORE_AGAIN_S} s, or tell \
             your operator"
        );
        let failure = Self::new(StatusCode::SERVICE_UNAVAILABLE, "audit_unavailable", reason);
        Self { retry_after_s: Some(STORE_AGAIN_S), ..failure }
    }

    pub(crate) fn unknown_job(id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown_job", format!("no job '{id}'"))
    }

    /// What was asked for is not here, with the reason.
    pub(crate) fn missing(error: &'static str, reason: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, error, reason)
    }

    pub(crate) fn unknown_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown_path", "there is nothing at this path")
    }

    pub(crate) fn wrong_method() -> Self {
        let reason = "this path does not take this method";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", reason)
    }

    /// `what` is a kind of thing; the nearest known word is suggested.
    pub(crate) fn unknown(what: Unknown, word: &str, mut known: Vec<String>) -> Self {
        known.sort();
        let (error, name) = match what {
            Unknown::Plugin => ("unknown_plugin", "plugin"),
            Unknown::Region => ("unknown_region", "region"),
            Unknown::Plan => ("unknown_plan", "plan"),
        };
        let mut failure = Self::new(StatusCode::NOT_FOUND, error, format!("no {name} '{word}'"));
        failure.body.suggestion = nearest(word, &known);
        failure.body.known = Some(known);
        failure
    }

    /// The store could not be asked. The details are for the log; the caller learns that it may try again.
    pub(crate) fn store(error: &blitz_couchdb::Error) -> Self {
        tracing::warn!(%error, "the store did not do what was asked");
        let reason = "the store does not answer as it should; try again, or see the gateway's log";
        Self::away(reason.to_owned())
    }
}

/// A kind of thing that users name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unknown {
    Plugin,
    Region,
    Plan,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let refused = Some((self.body.error, self.body.reason.clone()));
        let mut response = (self.status, Json(self.body)).into_response();
        response.extensions_mut().insert(Told { refused, ..Told::default() });
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// The known word that is most like `word`, if any is like it.
fn nearest(word: &str, known: &[String]) -> Option<String> {
    const LIKENESS_MIN: f64 = 0.75;
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_says_where_how_many_and_when_to_come_back() {
        let full = Full { region: "japan".to_owned(), waiting: 10_000 };
        let failure = Failure::queue_full(&full);
        let reason = failure.body.reason.clone();
        for part in
            ["10000 jobs", "region japan", "the limit is", "try again in 5 s", "blitz engine"]
        {
            assert!(reason.contains(part), "{part}: {reason}");
        }
        let response = failure.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], "5");
    }

    #[test]
    fn a_typing_error_gets_a_suggestion() {
        let known = ["california", "japan", "virginia"].map(str::to_owned);
        assert_eq!(nearest("jpan", &known).as_deref(), Some("japan"));
        assert_eq!(nearest("virgina", &known).as_deref(), Some("virginia"));
        assert_eq!(nearest("mars", &known), None);
    }
}
