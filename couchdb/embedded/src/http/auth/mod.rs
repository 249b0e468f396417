//! Who asks, and how it was proved: bearer tokens, cookies, names with passwords.
//!
//! [`Auth::user`] looks at a request in CouchDB's order. Read [`login`] for what a password costs,
//! [`lockout`] and [`known`] for what is remembered of it, [`profile`] for what is known of a name,
//! [`password`] for how it is stored; then [`cookie`], and [`token`] with [`token_key`].

mod basic;
mod bounded;
pub(crate) mod cookie;
mod hashing;
mod host;
mod known;
mod lockout;
mod login;
pub(crate) mod password;
mod profile;
mod token;
pub(crate) mod token_key;

pub(crate) use hashing::Hashing;
pub(crate) use lockout::Peer;
pub(crate) use profile::USERS;

use super::{call::Server, refusal::Refusal};
use crate::{
    options::{Admin, Options},
    user::{Holds, User},
};
use cookie::Signer;
use http::{HeaderMap, HeaderValue, header, request::Parts};
use login::Memory;
use profile::Profiles;
use std::{
    borrow::Cow,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use token::Keys;

/// What a server knows about those who ask.
#[derive(Debug)]
pub(crate) struct Auth {
    admins: Vec<Admin>,
    keys: Keys,
    signer: Signer,
    profiles: Profiles,
    memory: Arc<Memory>,
    pub(crate) hashing: Hashing,
}

/// One who was proved.
#[derive(Debug)]
pub(crate) struct Proved {
    pub(crate) user: User,
    /// A younger cookie to be sent with the answer.
    pub(crate) renewed: Option<HeaderValue>,
}

impl From<User> for Proved {
    fn from(user: User) -> Proved {
        Proved { user, renewed: None }
    }
}

impl Auth {
    /// `secret` is what cookies are signed with; it stays over restarts.
    pub(crate) fn new(options: &Options, secret: &str) -> Auth {
        Auth {
            admins: options.admins.clone(),
            keys: Keys::new(&options.token_keys),
            signer: Signer::new(secret),
            profiles: Profiles::new(),
            memory: Arc::new(Memory::new()),
            hashing: Hashing::new(),
        }
    }

    /// Who makes this request.
    pub(crate) async fn user(&self, server: &Server, parts: &Parts) -> Result<Proved, Refusal> {
        if self.admins.is_empty() {
            host::check(parts)?;
            return Ok(User::anybody_as_admin().into());
        }
        let authorization = authorization(&parts.headers)?;
        let authorization = authorization.as_deref();
        if let Some(token) = authorization.and_then(|value| after_scheme(value, "bearer")) {
            return Ok(self.keys.user(token, now_s())?.into());
        }
        if let Some(session) = cookie::sent(&parts.headers)?
            && let Some(proved) = self.by_cookie(server, &session).await?
        {
            return Ok(proved);
        }
        let basic = authorization.and_then(|value| after_scheme(value, "basic"));
        let Some((name, password)) = basic.map(basic::read).transpose()?.flatten() else {
            return Ok(User::anonymous().into());
        };
        let profile = self.login(server, &name, password, Peer::of(parts)).await?;
        let roles = profile.roles.clone();
        let holds = Holds::WhileKnown { salt: profile.salt.clone() };
        Ok(User { name: Some(name), roles, proof: Some("default"), holds }.into())
    }

    /// The user of a cookie. One that is forged, too old or of a name that is gone proves nothing.
    async fn by_cookie(
        &self,
        server: &Server,
        session: &cookie::Session,
    ) -> Result<Option<Proved>, Refusal> {
        let now = now_s();
        if session.is_over(now) {
            return Ok(None);
        }
        let Some(profile) = self.profile(server, &session.name).await? else { return Ok(None) };
        if !self.signer.is_of(session, &profile.salt) {
            return Ok(None);
        }
        let renewed =
            session.is_aging(now).then(|| self.signer.sign(&session.name, &profile.salt, now));
        let (name, roles) = (Some(session.name.clone()), profile.roles.clone());
        let holds = Holds::WhileKnown { salt: profile.salt.clone() };
        Ok(Some(Proved { user: User { name, roles, proof: Some("cookie"), holds }, renewed }))
    }

    /// A new cookie for one who has just logged in.
    pub(crate) fn cookie(&self, name: &str, salt: &str) -> HeaderValue {
        self.signer.sign(name, salt, now_s())
    }
}

/// The one `Authorization` header. With two of them a proxy may have looked at the other one.
fn authorization(headers: &HeaderMap) -> Result<Option<Cow<'_, str>>, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Refusal::bad_request("a request has one Authorization header at most"));
    }
    // What takes the place of bytes that are no text is in no base64 and in no token.
    Ok(first.map(|value| String::from_utf8_lossy(value.as_bytes())))
}

fn after_scheme<'a>(value: &'a str, scheme: &str) -> Option<&'a str> {
    let (given, rest) = value.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

/// Seconds since 1970.
fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
