//! Bearer tokens (RFC 7519): JSON Web Tokens, as CouchDB's `jwt_authentication_handler` takes them.

use super::{
    super::refusal::Refusal,
    known::{Keyed, Known},
    token_key::Checker,
};
use crate::{
    options::{TokenAlgorithm, TokenKey},
    user::{Holds, User},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{hmac, signature};
use serde_json::{Map, Value};
use std::{collections::HashMap, time::Duration};

/// The longest token, in bytes: one with a hundred roles is a tenth of it.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// The `kid` of tokens that name none.
const DEFAULT: &str = "_default";

/// The keys by kind and `kid`.
#[derive(Debug)]
pub(super) struct Keys {
    hmac: HashMap<String, Checker>,
    rsa: HashMap<String, Checker>,
    ec: HashMap<String, Checker>,
    /// Tokens whose signature was found right: a public key takes longer to check one than a write
    /// takes. The keys stay as long as this does.
    known: Known,
    keyed: Keyed,
}

/// How a token says that it is signed.
#[derive(Clone, Copy, Debug)]
enum Algorithm {
    Hmac(&'static hmac::Algorithm),
    Rsa(&'static signature::RsaParameters),
    Ec,
}

impl Keys {
    /// Keys that cannot be read were refused [before](super::token_key::check_token_keys).
    pub(super) fn new(keys: &[TokenKey]) -> Keys {
        let of = |algorithm| {
            let keys = keys.iter().filter(|key| key.algorithm == algorithm);
            keys.filter_map(|key| Some((key.id.clone(), Checker::read(key).ok()?))).collect()
        };
        Keys {
            hmac: of(TokenAlgorithm::Hmac),
            rsa: of(TokenAlgorithm::Rsa),
            ec: of(TokenAlgorithm::Ec),
            known: Known::new(),
            keyed: Keyed::new(),
        }
    }

    /// The user that a token stands for.
    pub(super) fn user(&self, token: &str, now_s: u64) -> Result<User, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(malformed());
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed());
        };
        let head = object(header)?;
        if head.get("typ").is_some_and(|kind| kind != "JWT") {
            return Err(Refusal::bad_request("Invalid typ header parameter"));
        }
        let algorithm = algorithm(&head)?;
        let claims = object(payload)?;
        check_time(&claims, now_s)?;
        let checker = self.key(algorithm, &head)?;
        // Of the whole text: it names the key and ends with the signature.
        let whole = self.keyed.digest(&[token.as_bytes()]);
        if !self.known.has(&whole) {
            let signed = &token.as_bytes()[..header.len() + 1 + payload.len()];
            let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| malformed())?;
            check_signature(algorithm, checker, signed, &signature)?;
            self.known.add(whole);
        }
        let name = match claims.get("sub") {
            None => return Err(Refusal::unauthorized("Token missing sub claim.")),
            Some(Value::String(name)) => name.clone(),
            Some(_) => return Err(malformed()),
        };
        let holds = Holds::Until(until(&claims));
        Ok(User { name: Some(name), roles: roles(&claims)?, proof: Some("jwt"), holds })
    }

    /// A key of the kind that the algorithm needs: one of another kind is as good as none.
    fn key(&self, algorithm: Algorithm, head: &Map<String, Value>) -> Result<&Checker, Refusal> {
        let keys = match algorithm {
            Algorithm::Hmac(_) => &self.hmac,
            Algorithm::Rsa(_) => &self.rsa,
            Algorithm::Ec => &self.ec,
        };
        let id = head.get("kid").map_or(Some(DEFAULT), Value::as_str);
        id.and_then(|id| keys.get(id)).ok_or_else(|| Refusal::bad_request("Unknown kid"))
    }
}

fn malformed() -> Refusal {
    Refusal::bad_request("Malformed token")
}

fn object(part: &str) -> Result<Map<String, Value>, Refusal> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed())?;
    match serde_json::from_slice(&bytes).map_err(|_| malformed())? {
        Value::Object(object) => Ok(object),
        _ => Err(Refusal::bad_request("Not an object")),
    }
}

fn algorithm(head: &Map<String, Value>) -> Result<Algorithm, Refusal> {
    let Some(name) = head.get("alg") else {
        return Err(Refusal::bad_request("Missing alg header parameter"));
    };
    Ok(match name.as_str().unwrap_or("") {
        "HS256" => Algorithm::Hmac(&hmac::HMAC_SHA256),
        "HS384" => Algorithm::Hmac(&hmac::HMAC_SHA384),
        "HS512" => Algorithm::Hmac(&hmac::HMAC_SHA512),
        "RS256" => Algorithm::Rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
        "RS384" => Algorithm::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
        "RS512" => Algorithm::Rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
        "ES256" => Algorithm::Ec,
        _ => return Err(Refusal::bad_request("Invalid alg header parameter")),
    })
}

/// `exp` must be there. `nbf` need not, but holds where it is; CouchDB looks at it only when told to.
fn check_time(claims: &Map<String, Value>, now_s: u64) -> Result<(), Refusal> {
    let Some(until) = claims.get("exp") else {
        return Err(Refusal::bad_request("Missing exp claim"));
    };
    // The times of tokens may have fractions (RFC 7519, section 2).
    let after = |time: &Value| match (time.as_u64(), time.as_f64()) {
        (Some(time), _) => Some(time > now_s),
        (None, Some(time)) => Some(time > f64::from(u32::try_from(now_s).unwrap_or(u32::MAX))),
        (None, None) => None,
    };
    match after(until) {
        Some(true) => {}
        Some(false) => return Err(Refusal::unauthorized("exp not in future")),
        None => return Err(Refusal::bad_request("Invalid exp claim")),
    }
    match claims.get("nbf").map(after) {
        None | Some(Some(false)) => Ok(()),
        Some(Some(true)) => Err(Refusal::unauthorized("nbf not in past")),
        Some(None) => Err(Refusal::bad_request("Invalid nbf claim")),
    }
}

/// When a token that is [in time](check_time) is over, since 1970.
fn until(claims: &Map<String, Value>) -> Duration {
    let until = claims.get("exp").map(|until| match (until.as_u64(), until.as_f64()) {
        (Some(seconds), _) => Duration::from_secs(seconds),
        (None, seconds) => {
            Duration::try_from_secs_f64(seconds.unwrap_or(0.0)).unwrap_or(Duration::MAX)
        }
    });
    until.unwrap_or_default()
}

fn check_signature(
    algorithm: Algorithm,
    checker: &Checker,
    signed: &[u8],
    given: &[u8],
) -> Result<(), Refusal> {
    let bad = |_| Refusal::bad_request("Bad signature");
    match (algorithm, checker) {
        (Algorithm::Hmac(hash), Checker::Hmac(secret)) => {
            hmac::verify(&hmac::Key::new(*hash, secret), signed, given)
                .map_err(|_| Refusal::bad_request("Bad HMAC"))
        }
        (Algorithm::Rsa(parameters), Checker::Rsa(key)) => {
            signature::UnparsedPublicKey::new(parameters, key).verify(signed, given).map_err(bad)
        }
        (Algorithm::Ec, Checker::Ec(key)) => {
            let parameters = &signature::ECDSA_P256_SHA256_FIXED;
            signature::UnparsedPublicKey::new(parameters, key).verify(signed, given).map_err(bad)
        }
        _ => Err(Refusal::bad_request("Unknown kid")),
    }
}

/// `_couchdb.roles`: a list, or a text with commas.
fn roles(claims: &Map<String, Value>) -> Result<Vec<String>, Refusal> {
    match claims.get("_couchdb.roles") {
        None => Ok(Vec::new()),
        Some(Value::Array(roles)) => {
            let role = |role: &Value| role.as_str().map(str::to_owned);
            roles.iter().map(role).collect::<Option<_>>().ok_or_else(malformed)
        }
        Some(Value::String(roles)) => {
            let roles = roles.split(',').map(str::trim).filter(|role| !role.is_empty());
            Ok(roles.map(str::to_owned).collect())
        }
        Some(_) => Err(malformed()),
    }
}

#[cfg(test)]
mod tests;
