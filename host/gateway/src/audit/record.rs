//! Around every request that changes something: room for its entry before, and what came of it after. In between it is an errand
//! (see there), so that it has its entry whether or not somebody waits for the answer.
//!
//! What a path does is read off the path, so that a new one is in the audit from its first day. Handlers tell more where they
//! know more ([`Told`], as an extension of the answer).

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use blitz_jobs::accounts::audit::{Deed, text};

use super::who;
use crate::caller::Caller;
use crate::connections::Work;
use crate::errands::answered;
use crate::request::Asked;
use crate::server::Gateway;

/// What the answer to a request tells the audit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// All of it, where the handler knows that.
    pub(crate) deed: Option<Deed>,
    /// Why the request was refused: the code, and the sentence that the caller gets.
    pub(crate) refused: Option<(&'static str, String)>,
    /// What a command line was, where one was refused.
    pub(crate) line: Option<Line>,
    /// Of what, where the path does not say it.
    pub(crate) of: Option<String>,
}

impl Told {
    /// Tells of what it was, for an answer to carry along.
    pub(crate) fn of(what: String) -> Extension<Self> {
        Extension(Self { of: Some(what), ..Self::default() })
    }
}

/// A command line that was to become jobs, with `***` for secrets, and short.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line {
    pub(crate) plugin: String,
    pub(crate) regions: Vec<String>,
    pub(crate) args: Vec<String>,
}

/// Stands inside of the door: whoever was not let in is not in the audit.
pub(crate) async fn record(State(shared): Gateway, mut request: Request, next: Next) -> Response {
    let method = request.method();
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return next.run(request).await;
    }
    let Some(caller) = request.extensions().get::<Caller>().cloned() else {
        return next.run(request).await;
    };
    let asked = request.extensions().get::<Asked>().cloned();
    let path = request.uri().path().to_owned();
    let action = action(method, &path);
    let place = match shared.audit.place(&caller) {
        Ok(place) => place,
        Err(failure) => return failure.into_response(),
    };
    // Among the connections it counts until it ends: else whoever hangs up could have any number of them.
    let work = request.extensions_mut().remove::<Work>();
    let errands = shared.errands.clone();
    let errand = async move {
        let _work = work;
        let mut response = answered(next.run(request)).await;
        let told = response.extensions_mut().remove::<Told>().unwrap_or_default();
        let (who, status) = (who(&caller), response.status());
        let tells_refusal = || shared.audit.tells_refusal(who.tenant());
        if let Some(deed) = deed(action, &path, status, told, tells_refusal) {
            shared.audit.tell(place, who, asked, deed);
        }
        response
    };
    errands.run(errand).await
}

/// What is told of a request; `None` of one refusal of many.
fn deed(
    action: String,
    path: &str,
    status: StatusCode,
    told: Told,
    tells_refusal: impl FnOnce() -> Option<u64>,
) -> Option<Deed> {
    let path = text(path);
    if status.is_client_error() || status.is_server_error() {
        let left_out = tells_refusal()?;
        let (error, reason) = told.refused.unwrap_or(("failed", status.to_string()));
        let (reason, line) = (text(&reason), told.line);
        let (plugin, regions, args) = line.map_or((None, Vec::new(), Vec::new()), |line| {
            (Some(line.plugin), line.regions, line.args)
        });
        let (error, status) = (error.to_owned(), status.as_u16());
        return Some(Deed::Refuse {
            action,
            path,
            status,
            error,
            reason,
            plugin,
            regions,
            args,
            left_out,
        });
    }
    let status = status.as_u16();
    let of = told.of.map(|of| text(&of));
    Some(told.deed.unwrap_or(Deed::Change { action, path, status, of }))
}

/// A request in two words: what it is about, and what it does to it.
fn action(method: &Method, path: &str) -> String {
    let parts: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
    let about = parts.first().copied().unwrap_or_default();
    let last = parts.last().copied().unwrap_or_default();
    let does = match (about, parts.len(), method) {
        ("jobs", 1, &Method::POST) => "submit",
        ("jobs", _, &Method::DELETE) => "cancel",
        ("plugins", 3, &Method::PUT) => "publish",
        ("keys" | "tenants", _, &Method::DELETE) => "revoke",
        (_, 1, &Method::POST) => "create",
        // A verb at the end of a path, as in plugins/hops/0.1.0/yank.
        (_, 3.., &Method::POST | &Method::PUT) if is_word(last) => last,
        (_, _, &Method::PUT) => "put",
        (_, _, &Method::PATCH) => "change",
        (_, _, &Method::DELETE) => "remove",
        _ => "ask",
    };
    text(&format!("{about}.{does}"))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_two_words() {
        for (method, path, wanted) in [
            (Method::POST, "/v1/jobs", "jobs.submit"),
            (Method::DELETE, "/v1/jobs/japan-1-x", "jobs.cancel"),
            (Method::PUT, "/v1/plugins/hops/0.1.0", "plugins.publish"),
            (Method::POST, "/v1/plugins/hops/0.1.0/yank", "plugins.yank"),
            (Method::POST, "/v1/plugins/hops/0.1.0/promote", "plugins.promote"),
            (Method::POST, "/v1/keys", "keys.create"),
            (Method::DELETE, "/v1/keys/abc", "keys.revoke"),
            (Method::PATCH, "/v1/tenants/acme", "tenants.change"),
            (Method::PUT, "/v1/plans/free", "plans.put"),
            (Method::DELETE, "/v1/plans/free", "plans.remove"),
            (Method::POST, "/v1/targets/acme.test/verify", "targets.verify"),
            (Method::POST, "/v1/regions/japan/tokens", "regions.tokens"),
            (Method::PUT, "/v1/engines/e1/revoked", "engines.revoked"),
        ] {
            assert_eq!(action(&method, path), wanted, "{method} {path}");
        }
    }

    #[test]
    fn a_refusal_says_why_and_what_was_asked_and_one_of_many_says_nothing() {
        let line =
            Line { plugin: "curl".to_owned(), args: vec!["x".to_owned()], ..Line::default() };
        let told = || Told {
            refused: Some(("unknown_region", "no region 'mars'".to_owned())),
            line: Some(line.clone()),
            ..Told::default()
        };
        let action = || "jobs.submit".to_owned();
        let refused = deed(action(), "/v1/jobs", StatusCode::NOT_FOUND, told(), || Some(3));
        let Some(Deed::Refuse { status: 404, error, plugin, args, left_out: 3, .. }) = refused
        else {
            panic!("{refused:?}");
        };
        assert_eq!(
            (error.as_str(), plugin.as_deref(), args.len()),
            ("unknown_region", Some("curl"), 1)
        );
        assert_eq!(deed(action(), "/v1/jobs", StatusCode::NOT_FOUND, told(), || None), None);
        let done = deed(action(), "/v1/jobs", StatusCode::OK, Told::default(), || None);
        assert!(matches!(done, Some(Deed::Change { status: 200, .. })), "{done:?}");
    }
}
