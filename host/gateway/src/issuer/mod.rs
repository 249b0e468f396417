//! The issuer of tokens: it stands beside a cluster and gives engines the right to enter it, for ten minutes at a time.
//!
//! [`key`](Keys) signs, [`token`](TOKEN_LIFE) says what, [`identity`](Ec2) knows instances of EC2, `joins` has places for
//! those who ask, and `desk` is where they ask: `POST /v1/join` with a join token or an identity document, `POST /v1/join/renew` with the current token.
//! Both are open to all, since who asks has no token of the gateway's. Operators make join tokens
//! (`POST /v1/regions/{name}/tokens`) and take rights back (`PUT /v1/engines/{id}/revoked`) with it.
//!
//! # Keys
//!
//! Each cluster that engines enter must know the key: of ES256 the public half, of HS256 the secret. In the `local.ini`
//! of each node of an Apache CouchDB, and then a restart, since handlers are read at the start alone:
//!
//! ```text
//! [chttpd]
//! authentication_handlers = {chttpd_auth, jwt_authentication_handler}, {chttpd_auth, cookie_authentication_handler}, {chttpd_auth, default_authentication_handler}
//! [jwt_auth]
//! required_claims = exp
//! [jwt_keys]
//! ec:issuer-2026 = -----BEGIN PUBLIC KEY-----\nMFkw...\n-----END PUBLIC KEY-----\n
//! hmac:issuer-2026 = <the secret in base64>
//! ```
//!
//! `issuer-2026` is the name of the gateway's key file (`issuer-2026.pem`) and the `kid` of its tokens.
//!
//! # To change the key
//!
//! 1. Add the new key to `[jwt_keys]` of all clusters, beside the old one. Keys are taken up without a restart.
//! 2. Restart the gateways with `--issuer-key NEW --issuer-key OLD`: the first signs, the second still proves who renews.
//! 3. After [`TOKEN_LIFE`] every engine that is there has a token of the new key; after [`RENEWAL_GRACE`] every one that
//!    comes back by itself.
//! 4. Take the old key from the gateways and from `[jwt_keys]`. An old key that was stolen is taken away at once, and
//!    engines join again.
//!
//! # To take a right back
//!
//! `revoked:engine:<id>` ends the renewing at every issuer that hears of it; the token that is out is good for
//! [`TOKEN_LIFE`] at most. The embedded store ends a feed with its token. Apache CouchDB (measured on 3.5) does not: a feed
//! that is open goes on after the end of its token, after its user was deleted, and after `_security` and the key were
//! changed; only new requests are refused, so that a revoked engine writes nothing more and reads on. To cut it, the
//! operator closes its connections: by a proxy before CouchDB that ends every connection after some minutes (engines go
//! on where they were), by a firewall, or by a restart of the node.

//! # Keys of regions
//!
//! With [`Issuer::region_keys`] an engine that joins or renews is given the private keys of its region with its token, so that it
//! can open secrets. Unlike a token they are good for ever: a region whose engine was revoked, or stolen, gets a new key, and the
//! old one is retired.

mod desk;
mod identity;
mod joins;
mod key;
mod token;

use blitz_jobs::sealing::RegionKeys;

pub(crate) use desk::{open, open_routes, operators_routes};
pub use identity::{BadEc2, Ec2};
pub(crate) use joins::Joins;
pub use key::{BadKey, Keys};
pub use token::{RENEWAL_GRACE, TOKEN_LIFE};

/// Everything that an issuer needs.
#[derive(Debug)]
pub struct Issuer {
    /// What it signs with.
    pub keys: Keys,
    /// The address of the near cluster as engines reach it, without name and password.
    pub store: String,
    /// Private keys of regions, which engines of the region get with their tokens.
    pub region_keys: RegionKeys,
    /// Whom of EC2 it lets join; nobody when absent.
    pub ec2: Option<Ec2>,
}
