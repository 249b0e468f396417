//! A server to ask: the embedded one with an administrator, or Apache CouchDB; and users that it knows by a password
//! and by a token.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use blitz_couchdb::Client;
use blitz_embedded::{Admin, Options, Storage, Store, TokenAlgorithm, TokenKey};
use blitz_tests::Api;
use http_body_util::BodyExt as _;
use ring::hmac;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The `kid` and the secret of the tokens here.
const KEY_ID: &str = "blitz-test-of-roles";
const SECRET: &[u8] = b"a secret of a test, 32 bytes long";

/// A password for everybody.
pub(in crate::roles) const PASSWORD: &str = "pw of a test";

/// Where the handlers of Apache CouchDB are configured, and with tokens among them.
const HANDLERS: &str = "/_node/_local/_config/chttpd/authentication_handlers";
const WITH_TOKENS: &str = "{chttpd_auth, jwt_authentication_handler}, \
    {chttpd_auth, cookie_authentication_handler}, {chttpd_auth, default_authentication_handler}";

/// How a user proves who it is.
#[derive(Debug, Clone, Copy)]
pub(in crate::roles) enum Proof {
    Password,
    Token,
}

/// Somebody whom the server knows.
pub(in crate::roles) struct User {
    pub(in crate::roles) name: String,
    roles: Vec<String>,
}

pub(in crate::roles) struct Server {
    api: Api,
    /// `NAME:PASSWORD` of the administrator.
    admin: String,
    takes_tokens: bool,
}

impl Server {
    /// One that runs already, and takes tokens.
    pub(in crate::roles) fn at(base: &str, admin: &str) -> Self {
        Self { api: Api::new(base, ""), admin: admin.to_owned(), takes_tokens: true }
    }

    /// `http://HOST:PORT`.
    pub(in crate::roles) fn base(&self) -> &str {
        &self.api.base
    }

    /// The same with the administrator's name and password.
    pub(in crate::roles) fn admin_url(&self) -> String {
        self.base().replace("http://", &format!("http://{}@", self.admin))
    }

    pub(in crate::roles) fn takes_tokens(&self) -> bool {
        self.takes_tokens
    }

    /// How users can prove who they are.
    pub(in crate::roles) fn proofs(&self) -> &'static [Proof] {
        if self.takes_tokens { &[Proof::Password, Proof::Token] } else { &[Proof::Password] }
    }

    /// The cheapest of them.
    pub(in crate::roles) fn proof(&self) -> Proof {
        if self.takes_tokens { Proof::Token } else { Proof::Password }
    }

    pub(in crate::roles) async fn embedded() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let admin = Admin { name: "root".to_owned(), password: "pw".to_owned() };
        let key = TokenKey {
            id: KEY_ID.to_owned(),
            algorithm: TokenAlgorithm::Hmac,
            key: SECRET.to_vec(),
        };
        let options = Options { admins: vec![admin], token_keys: vec![key], ..Options::default() };
        let store = Store::open(Storage::Memory, options).unwrap();
        tokio::spawn(blitz_embedded::serve(store, listener, CancellationToken::new()));
        let server = Self::at(&base, "root:pw");
        server.make("_users").await;
        server
    }

    /// The one that `BLITZ_TEST_COUCHDB` names; made to take the tokens of this test.
    pub(in crate::roles) async fn apache() -> Option<Self> {
        let url = std::env::var("BLITZ_TEST_COUCHDB").ok()?;
        let (admin, host) = url.strip_prefix("http://").unwrap().rsplit_once('@').unwrap();
        let base = format!("http://{}", host.trim_end_matches('/'));
        let mut server = Self::at(&base, admin);
        server.make("_users").await;
        let authorization = format!("Basic {}", STANDARD.encode(&server.admin));
        // It is 404 where nobody has configured them: then tokens are not among them.
        let (_, known) = server.send("GET", HANDLERS, &authorization, None).await;
        if !known.as_str().is_some_and(|known| known.contains("jwt")) {
            server.admin("PUT", HANDLERS, Some(&json!(WITH_TOKENS)), 200).await;
        }
        let key = format!("/_node/_local/_config/jwt_keys/hmac:{KEY_ID}");
        server.admin("PUT", &key, Some(&json!(STANDARD.encode(SECRET))), 200).await;
        // Handlers are read when a node starts, and at no other time.
        let (_, session) = server.send("GET", "/_session", &authorization, None).await;
        server.takes_tokens =
            session["info"]["authentication_handlers"].to_string().contains("jwt");
        if !server.takes_tokens {
            println!("without tokens: {HANDLERS} is set now, restart the node for them");
        }
        Some(server)
    }

    /// A client of the administrator, or of somebody with this password.
    pub(in crate::roles) fn client(&self, pair: Option<&str>) -> Client {
        let pair = pair.unwrap_or(&self.admin);
        Client::new(self.api.base.replace("http://", &format!("http://{pair}@"))).unwrap()
    }

    /// Makes a database that may be there.
    pub(in crate::roles) async fn make(&self, database: &str) {
        self.client(None).database(database).create().await.unwrap();
    }

    /// A new user with these roles.
    pub(in crate::roles) async fn user(&self, name: &str, roles: &[String]) -> User {
        let body = json!({"name": name, "password": PASSWORD, "roles": roles, "type": "user"});
        self.admin("PUT", &format!("/_users/org.couchdb.user:{name}"), Some(&body), 201).await;
        User { name: name.to_owned(), roles: roles.to_vec() }
    }

    pub(in crate::roles) async fn forget(&self, user: &User) {
        self.clear(&format!("/_users/org.couchdb.user:{}", user.name)).await;
    }

    /// Deletes a document if it is there.
    pub(in crate::roles) async fn clear(&self, path: &str) {
        let authorization = format!("Basic {}", STANDARD.encode(&self.admin));
        let (status, found) = self.send("GET", path, &authorization, None).await;
        if status == 200 {
            let path = format!("{path}?rev={}", found["_rev"].as_str().unwrap());
            self.admin("DELETE", &path, None, 200).await;
        }
    }

    /// Asks as the administrator, who gets this status.
    pub(in crate::roles) async fn admin(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        wanted: u16,
    ) -> Value {
        let authorization = format!("Basic {}", STANDARD.encode(&self.admin));
        let (status, said) = self.send(method, path, &authorization, body).await;
        assert_eq!(status, wanted, "{method} {path}: {said}");
        said
    }

    /// Asks as somebody, or as nobody.
    pub(in crate::roles) async fn ask(
        &self,
        who: Option<(&User, Proof)>,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let authorization = match who {
            // Whatever is no proof proves nothing.
            None => "None".to_owned(),
            Some((user, Proof::Password)) => {
                format!("Basic {}", STANDARD.encode(format!("{}:{PASSWORD}", user.name)))
            }
            Some((user, Proof::Token)) => format!("Bearer {}", token(user)),
        };
        self.send(method, path, &authorization, body).await
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        authorization: &str,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let headers = [("authorization", authorization), ("accept", "application/json")];
        let answer = self.api.raw(method, path, &headers, body).await;
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }
}

/// A token for an hour, signed with HS256.
fn token(user: &User) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let head = encode(&json!({"typ": "JWT", "alg": "HS256", "kid": KEY_ID}));
    let claims =
        encode(&json!({"sub": user.name, "exp": now + 3600, "_couchdb.roles": user.roles}));
    let signed = format!("{head}.{claims}");
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
