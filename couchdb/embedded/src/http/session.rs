//! `_session`: logging in for a cookie, out again, and who the client is.

use super::{
    auth::{Peer, cookie},
    call::Call,
    query::Query,
    refusal::Refusal,
    reply::{self, Handled, Reply},
};
use crate::document::{check, object};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

/// The longest form, in bytes: a name and a password.
const FORM_BYTES_MAX: usize = 64 << 10;

/// `_session`.
pub(crate) async fn session(call: &Call) -> Handled {
    match call.method.as_str() {
        "GET" | "HEAD" => who(call),
        "POST" => login(call).await,
        "DELETE" => {
            let reply = answer(call, StatusCode::OK, "next", &json!({"ok": true}))?;
            Ok(with_cookie(reply, cookie::cleared()))
        }
        _ => Err(Refusal::method(&["GET", "HEAD", "POST", "DELETE"])),
    }
}

fn who(call: &Call) -> Handled {
    if call.user.name.is_none() && call.query.is_true("basic") {
        return Err(Refusal::unauthorized("Please login."));
    }
    let mut info = json!({"authentication_handlers": ["jwt", "cookie", "default"]});
    if let Some(proof) = call.user.proof {
        info["authenticated"] = json!(proof);
    }
    let context = json!({"name": call.user.name, "roles": call.user.roles});
    let body = json!({"ok": true, "userCtx": context, "info": info});
    Ok(reply::json(StatusCode::OK, &body))
}

async fn login(call: &Call) -> Handled {
    let (name, password) = form(call).await?;
    let auth = &call.server.auth;
    let peer = Peer::of(&call.parts);
    match auth.login(&call.server, &name, password.into_bytes(), peer).await {
        Ok(profile) => {
            let body = json!({"ok": true, "name": name, "roles": profile.roles});
            let cookie = auth.cookie(&name, &profile.salt);
            Ok(with_cookie(answer(call, StatusCode::OK, "next", &body)?, cookie))
        }
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => {
            let body = json!({"error": refusal.error, "reason": refusal.reason});
            Ok(with_cookie(answer(call, refusal.status, "fail", &body)?, cookie::cleared()))
        }
        Err(refusal) => Err(refusal),
    }
}

/// The name and the password that were sent.
async fn form(call: &Call) -> Result<(String, String), Refusal> {
    let received = call.body(FORM_BYTES_MAX).await?;
    let kind = call.header(header::CONTENT_TYPE).unwrap_or("");
    let text = str::from_utf8(&received.bytes).map_err(|_| check::NotJson)?;
    let (name, username, password) = if kind.starts_with("application/x-www-form-urlencoded") {
        let form = Query::read(Some(text));
        let get = |name| form.get(name).map(str::to_owned);
        (get("name"), get("username"), get("password"))
    } else if kind.starts_with("application/json") {
        let members = object::members(check::check(text.as_bytes())?)?;
        let members =
            members.ok_or_else(|| Refusal::bad_request("Request body must be a JSON object"))?;
        let get = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(value) => serde_json::from_str::<String>(value.get())
                .map(Some)
                .map_err(|_| Refusal::bad_request(format!("`{name}` must be a text"))),
        };
        (get("name")?, get("username")?, get("password")?)
    } else {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "bad_content_type",
            "Content-Type must be 'application/x-www-form-urlencoded' or 'application/json'",
        ));
    };
    let name = match (name, username) {
        (Some(name), Some(other)) if name != other => {
            return Err(Refusal::bad_request("request body contains different usernames"));
        }
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => {
            return Err(Refusal::bad_request("request body must contain a username"));
        }
    };
    Ok((name, password.unwrap_or_default()))
}

/// The answer, or a way to a page of this server when the query names one.
fn answer(
    call: &Call,
    status: StatusCode,
    parameter: &str,
    body: &serde_json::Value,
) -> Result<Reply, Refusal> {
    let Some(path) = call.query.get(parameter) else { return Ok(reply::json(status, body)) };
    if !path.starts_with('/') {
        return Err(Refusal::bad_request("path must begin with a /."));
    }
    // What is no header value would leave the answer without its way.
    let location = HeaderValue::try_from(format!("{}{path}", call.base()))
        .map_err(|_| Refusal::bad_request("path must be a part of a URL"))?;
    let mut reply = reply::json(StatusCode::FOUND, body);
    reply.headers_mut().insert(header::LOCATION, location);
    Ok(reply)
}

fn with_cookie(mut reply: Reply, cookie: HeaderValue) -> Reply {
    reply.headers_mut().insert(header::SET_COOKIE, cookie);
    reply
}
