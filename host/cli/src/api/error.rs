//! Why a call to the gateway failed, and what to do about it.

use http::StatusCode;

use super::{ANSWER_MAX, Refusal};
use crate::when::lasting;

/// Where a token came from: who has it refused must know which one to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenFrom {
    /// `BLITZ_TOKEN`.
    Environment,
    /// The state file of `blitz up`, or this very process.
    Up,
    /// What `blitz login` kept.
    Login,
    /// It was just given to `blitz login`.
    Given,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No connection, or it broke.
    #[error("cannot reach the gateway {url}: {cause}")]
    Unreachable { url: String, cause: String },
    /// Connected, and then nothing for [`ANSWER_MAX`].
    #[error("the gateway {url} gave no answer in {} s", ANSWER_MAX.as_secs())]
    Timeout { url: String },
    /// The token is not the gateway's, or does not hold any more.
    #[error("{}", unauthorized(.url, .from, .reason))]
    Unauthorized { url: String, from: TokenFrom, reason: String },
    /// The gateway understood and said no.
    #[error("{}{}", .refusal, again(.status, .refusal))]
    Refused { status: StatusCode, refusal: Box<Refusal> },
    /// Something else listens there, or a gateway of another time.
    #[error("{url} does not answer like a gateway: {what}")]
    NotAGateway { url: String, what: String },
    /// The gateway's address.
    #[error("'{url}' is no gateway address; use http://HOST:PORT")]
    Address { url: String },
    /// A token that HTTP cannot carry.
    #[error("{} holds characters that a token cannot have", name(*.from))]
    Token { from: TokenFrom },
}

/// When it may be tried again, if the gateway says so and has not put it into its reason: that has said it better.
fn again(status: &StatusCode, refusal: &Refusal) -> String {
    match refusal.retry_after {
        Some(_) if refusal.reason.contains("again") => String::new(),
        Some(time) if *status == StatusCode::TOO_MANY_REQUESTS => {
            format!("; free again in {}", lasting(time))
        }
        Some(time) => format!("; try again in {}", lasting(time)),
        None => String::new(),
    }
}

fn name(from: TokenFrom) -> &'static str {
    match from {
        TokenFrom::Environment => "BLITZ_TOKEN",
        TokenFrom::Up => "the state file of 'blitz up'",
        TokenFrom::Login => "the file of 'blitz login'",
        TokenFrom::Given => "the key",
    }
}

/// What was refused, the gateway's reason, and the way to another one.
fn unauthorized(url: &str, from: &TokenFrom, reason: &str) -> String {
    let (what, instead) = match from {
        TokenFrom::Environment => (
            "the token in BLITZ_TOKEN",
            format!("set another one, or unset it and 'blitz login --host {url}'"),
        ),
        TokenFrom::Up => ("the token", "set BLITZ_TOKEN, or start 'blitz up' again".to_owned()),
        TokenFrom::Login => (
            "the key that 'blitz login' kept",
            format!("'blitz login --host {url}' takes another one"),
        ),
        TokenFrom::Given => ("this key", "nothing was kept".to_owned()),
    };
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    format!("the gateway {url} does not accept {what}{reason}; {instead}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_let_in_is_told_which_key_to_change() {
        let text = |from, reason: &str| {
            let (url, reason) = ("http://h:1".to_owned(), reason.to_owned());
            Error::Unauthorized { url, from, reason }.to_string()
        };
        insta::assert_snapshot!(
            [
                text(TokenFrom::Environment, "the key k1 is revoked"),
                text(TokenFrom::Login, "the key k1 is over since 2 h"),
                text(TokenFrom::Up, ""),
                text(TokenFrom::Given, "the token is not this gateway's"),
                Error::Token { from: TokenFrom::Given }.to_string(),
            ]
            .join("\n"),
            @"
        the gateway http://h:1 does not accept the token in BLITZ_TOKEN: the key k1 is revoked; set another one, or unset it and 'blitz login --host http://h:1'
        the gateway http://h:1 does not accept the key that 'blitz login' kept: the key k1 is over since 2 h; 'blitz login --host http://h:1' takes another one
        the gateway http://h:1 does not accept the token; set BLITZ_TOKEN, or start 'blitz up' again
        the gateway http://h:1 does not accept this key: the token is not this gateway's; nothing was kept
        the key holds characters that a token cannot have
        "
        );
    }
}
