//! A name and a password: what is asked before a password is hashed, and what is remembered after.

use super::{
    super::{call::Server, refusal::Refusal},
    Auth, Peer,
    bounded::Digest,
    known::{Keyed, Known},
    lockout::Lockout,
    password,
    profile::Profile,
};
use http::StatusCode;
use std::{sync::Arc, time::Instant};

/// What is remembered of passwords that were tried.
#[derive(Debug)]
pub(super) struct Memory {
    keyed: Keyed,
    known: Known,
    lockout: Lockout,
}

impl Memory {
    pub(super) fn new() -> Memory {
        Memory { keyed: Keyed::new(), known: Known::new(), lockout: Lockout::new() }
    }
}

/// A password that is tried.
struct Attempt {
    profile: Option<Arc<Profile>>,
    password: Vec<u8>,
    /// Whose account it is tried for, and from where.
    account: Digest,
    /// The account's password itself.
    proof: Option<Digest>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Right,
    Wrong,
    Locked,
}

impl Auth {
    /// The profile of this name, when this is its password.
    ///
    /// One who is not known is answered as late and in the same words as one who is. After five wrong
    /// passwords from one address the name is locked for it.
    pub(crate) async fn login(
        &self,
        server: &Server,
        name: &str,
        password: Vec<u8>,
        peer: Peer,
    ) -> Result<Arc<Profile>, Refusal> {
        let profile = self.profile(server, name).await?;
        let memory = &self.memory;
        let salt = profile.as_ref().map_or("", |profile| &profile.salt);
        let account = memory.keyed.digest(&[&peer.network(), name.as_bytes(), salt.as_bytes()]);
        let proof = profile.as_ref().and_then(|profile| {
            let stored = profile.stored.as_ref().ok()?;
            let parts = [name.as_bytes(), salt.as_bytes(), stored.identity(), &password];
            Some(memory.keyed.digest(&parts))
        });
        let attempt = Attempt { profile: profile.clone(), password, account, proof };
        let verdict = match attempt.remembered(memory) {
            Some(verdict) => verdict,
            None => {
                let memory = Arc::clone(memory);
                self.hashing.run(move || attempt.make(&memory)).await?
            }
        };
        match (verdict, profile) {
            (Verdict::Right, Some(profile)) => Ok(profile),
            (Verdict::Locked, _) => {
                tracing::warn!(name, peer = %peer.0, "a locked account was tried");
                Err(Refusal::new(StatusCode::FORBIDDEN, "forbidden", LOCKED))
            }
            (_, profile) => {
                tracing::warn!(name, peer = %peer.0, "a password was wrong");
                match profile.map(|profile| profile.stored.clone()) {
                    Some(Err(why)) if why != password::Unusable::NoPassword => {
                        Err(Refusal::new(StatusCode::FORBIDDEN, "forbidden", why.to_string()))
                    }
                    _ => Err(Refusal::unauthorized(INCORRECT)),
                }
            }
        }
    }
}

/// CouchDB's own texts.
pub(super) const LOCKED: &str =
    "Account is temporarily locked due to multiple authentication failures";
const INCORRECT: &str = "Name or password is incorrect.";

impl Attempt {
    /// What can be told without hashing.
    fn remembered(&self, memory: &Memory) -> Option<Verdict> {
        if memory.lockout.is_locked(&self.account, Instant::now()) {
            return Some(Verdict::Locked);
        }
        self.proof.as_ref().is_some_and(|proof| memory.known.has(proof)).then_some(Verdict::Right)
    }

    /// Hashes the password.
    fn make(self, memory: &Memory) -> Verdict {
        // Others may have been tried while this one waited: many at once are no way around the lock.
        if let Some(verdict) = self.remembered(memory) {
            return verdict;
        }
        let usable = self.profile.as_ref().filter(|profile| !profile.second_factor);
        let right = match usable.map(|profile| (&profile.stored, &profile.salt)) {
            Some((Ok(stored), salt)) => stored.is_of(&self.password, salt),
            _ => {
                password::pretend(&self.password);
                false
            }
        };
        match (right, self.proof) {
            (true, Some(proof)) => {
                memory.known.add(proof);
                Verdict::Right
            }
            _ => {
                memory.lockout.count(self.account, Instant::now());
                Verdict::Wrong
            }
        }
    }
}
