//! What a token says: an engine of a region, for ten minutes.

use std::time::Duration;

use blitz_jobs::join::is_engine;
use blitz_jobs::region::is_name;
use blitz_jobs::roles::{ENGINE, engine_of};
use serde_json::{Value, json};

use super::key::Keys;

/// How long a token is good: what one is worth that was read in a store or on the way there, and as long as an engine goes on whose right was taken back. It
/// is renewed at half of it, so that an issuer may be away for 5 min.
pub const TOKEN_LIFE: Duration = Duration::from_secs(600);

/// So long after its end a token still proves who asks for the next one, here and nowhere else: a region that was cut off
/// for a day comes back by itself. Who was revoked meanwhile does not.
pub const RENEWAL_GRACE: Duration = Duration::from_secs(24 * 3600);

/// Who has a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bearer {
    /// `sub`.
    pub(super) engine: String,
    pub(super) region: String,
    /// sha256 of the nonce that it joined with, which stores never see: who has read a token there, or on the way, cannot
    /// renew it.
    pub(super) proof: String,
}

impl Bearer {
    /// A new token; `None` when the system gives no random numbers.
    pub(super) fn token(&self, keys: &Keys, now: Duration) -> Option<String> {
        keys.sign(&json!({
            "sub": self.engine,
            "iat": now.as_secs(),
            "exp": (now + TOKEN_LIFE).as_secs(),
            "_couchdb.roles": [ENGINE, engine_of(&self.region)],
            "proof": self.proof,
        }))
    }

    /// Who shows this token for the next one, if it is not too old for that.
    pub(super) fn read(keys: &Keys, token: &str, now: Duration) -> Option<Self> {
        let claims = keys.claims(token)?;
        let until = Duration::from_secs(claims.get("exp")?.as_u64()?);
        if now > until.saturating_add(RENEWAL_GRACE) {
            return None;
        }
        let engine = claims.get("sub")?.as_str().filter(|id| is_engine(id))?.to_owned();
        let roles = claims.get("_couchdb.roles")?.as_array()?;
        // What an issuer never gave is not given again.
        let [Value::String(first), Value::String(second)] = roles.as_slice() else { return None };
        let region = second.strip_prefix(ENGINE)?.strip_prefix('-')?;
        let proof = claims.get("proof")?.as_str()?.to_owned();
        let is_ours = first == ENGINE && is_name(region);
        is_ours.then(|| Self { engine, region: region.to_owned(), proof })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn keys(directory: &tempfile::TempDir, names: &[&str]) -> Keys {
        let files = Vec::from_iter(names.iter().map(|name| {
            let path = directory.path().join(name);
            std::fs::write(
                &path,
                format!("a secret of {name} {}\n", "x".repeat(32)).replace(' ', "-"),
            )
            .unwrap();
            path
        }));
        Keys::read(&files).unwrap()
    }

    #[test]
    fn a_token_is_renewed_by_the_keys_that_are_there() {
        let directory = tempfile::tempdir().unwrap();
        let (old, new) = (keys(&directory, &["k1.key"]), keys(&directory, &["k2.key"]));
        let both = keys(&directory, &["k2.key", "k1.key"]);
        let [engine, region, proof] = ["e1", "japan", "p"].map(str::to_owned);
        let who = Bearer { engine, region, proof };
        let token = who.token(&old, NOW).unwrap();
        assert_eq!(Bearer::read(&old, &token, NOW), Some(who.clone()));
        assert_eq!(Bearer::read(&both, &token, NOW), Some(who.clone()));
        assert_eq!(Bearer::read(&new, &token, NOW), None);
        // The first of two signs.
        let next = who.token(&both, NOW).unwrap();
        assert_eq!(Bearer::read(&new, &next, NOW), Some(who.clone()));
        assert_eq!(Bearer::read(&old, &next, NOW), None);

        let late = NOW + TOKEN_LIFE + RENEWAL_GRACE;
        assert_eq!(Bearer::read(&old, &token, late), Some(who));
        assert_eq!(Bearer::read(&old, &token, late + Duration::from_secs(1)), None);
        for bad in ["", "a.b", "a.b.c", &token[..token.len() - 2], &format!("{token}A")] {
            assert_eq!(Bearer::read(&old, bad, NOW), None, "{bad}");
        }
    }

    #[test]
    fn only_what_an_issuer_gives_is_renewed() {
        let directory = tempfile::tempdir().unwrap();
        let keys = keys(&directory, &["k1.key"]);
        let exp = (NOW + TOKEN_LIFE).as_secs();
        for claims in [
            json!({"proof": "p", "sub": "e1", "exp": exp}),
            json!({"proof": "p", "sub": "e1", "exp": exp, "_couchdb.roles": ["_admin"]}),
            json!({"proof": "p", "sub": "e1", "exp": exp, "_couchdb.roles": [ENGINE, "_admin"]}),
            json!({"proof": "p", "sub": "e1", "exp": exp, "_couchdb.roles": ["_admin", engine_of("japan")]}),
            json!({"proof": "p", "sub": "e1", "exp": exp, "_couchdb.roles": [ENGINE, engine_of("japan"), "_admin"]}),
            json!({"proof": "p", "sub": "a:b", "exp": exp, "_couchdb.roles": [ENGINE, engine_of("japan")]}),
            json!({"proof": "p", "sub": "e1", "_couchdb.roles": [ENGINE, engine_of("japan")]}),
            json!({"sub": "e1", "exp": exp, "_couchdb.roles": [ENGINE, engine_of("japan")]}),
        ] {
            let token = keys.sign(&claims).unwrap();
            assert_eq!(Bearer::read(&keys, &token, NOW), None, "{claims}");
        }
    }
}
