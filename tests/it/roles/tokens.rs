//! An engine that joins with a one-time token and a gateway with least rights, as processes, on a store that knows who is
//! who.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blitz_jobs::accounts::{ACCOUNTS, AUDIT};
use blitz_jobs::region::{CONTROL, DatabaseKind};
use blitz_jobs::roles::{self, GATEWAY, KEEPER};
use blitz_tests::program::{address, send_signal};
use blitz_tests::{Api, Home, Outcome, Web};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;
use tokio::process::Child;

use super::server::{PASSWORD, Server};
use super::{KINDS, database};

/// The token of the gateway.
const TOKEN: &str = "a-secret-of-a-test";

/// What stands before a point of P-256 in a `SubjectPublicKeyInfo` (RFC 5480).
const INFO: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A private and a public key as PEM.
fn key_pair() -> (String, String) {
    let random = SystemRandom::new();
    let scheme = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let private = EcdsaKeyPair::generate_pkcs8(scheme, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(scheme, private.as_ref(), &random).unwrap();
    let public = [INFO, pair.public_key().as_ref()].concat();
    let pem = |label: &str, der: &[u8]| {
        let text = STANDARD.encode(der);
        // Lines of 64 characters (RFC 7468).
        let lines = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap());
        let lines = Vec::from_iter(lines).join("\n");
        format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n")
    };
    (pem("PRIVATE KEY", private.as_ref()), pem("PUBLIC KEY", &public))
}

pub(super) struct World {
    pub(super) home: Home,
    pub(super) server: Server,
    pub(super) region: String,
    gateway: Child,
    /// Of the gateway.
    pub(super) address: String,
    /// The store's process, where it is one of ours.
    _store: Option<Child>,
}

/// The first line of a process's talk that has an address, and the address.
impl World {
    async fn start(apache: Option<Server>) -> Self {
        Self::start_with(apache, |_| {}).await
    }

    /// The same with a gateway that is started in another way.
    pub(super) async fn start_with(
        apache: Option<Server>,
        change: impl FnOnce(&mut tokio::process::Command),
    ) -> Self {
        let home = Home::new(Path::new(env!("CARGO_BIN_EXE_bench")));
        let region = blitz_tests::region_name("tokens");
        let (private, public) = key_pair();
        let key = format!("issuer-{region}");
        std::fs::write(home.path().join(format!("{key}.pem")), private).unwrap();
        std::fs::write(home.path().join("public.pem"), &public).unwrap();
        let (server, store) = match apache {
            Some(server) => {
                let path = format!("/_node/_local/_config/jwt_keys/ec:{key}");
                let value = json!(public.replace('\n', "\\n"));
                server.admin("PUT", &path, Some(&value), 200).await;
                (server, None)
            }
            None => {
                let named = format!("ec:{key}=public.pem");
                let args =
                    ["couchdb", "--data", "d", "--listen", "127.0.0.1:0", "--token-key", &named];
                let mut command = home.command(&args);
                command.env("BLITZ_COUCHDB_ADMIN", "root:pw").stderr(Stdio::inherit());
                let mut child = command.spawn().unwrap();
                let address = format!("http://{}", address(&mut child).await);
                (Server::at(&address, "root:pw"), Some(child))
            }
        };
        let client = server.client(None);
        blitz_jobs::setup::install(&client, &[&region]).await.unwrap();
        for kind in KINDS {
            let (name, of) = match kind {
                DatabaseKind::Control => (CONTROL.to_owned(), None),
                DatabaseKind::Accounts => (ACCOUNTS.to_owned(), None),
                DatabaseKind::Audit => (AUDIT.to_owned(), None),
                kind => (database(kind, &region), Some(&*region)),
            };
            let security = roles::security(kind, of);
            server.admin("PUT", &format!("/{name}/_security"), Some(&security), 200).await;
            assert!(roles::install(&client.database(&name), kind).await.unwrap());
        }
        let user = format!("gateway-{region}");
        server.user(&user, &[GATEWAY.to_owned(), KEEPER.to_owned()]).await;

        let pair = format!("{user}:{}", PASSWORD.replace(' ', "%20"));
        let store_url = server.base().replace("http://", &format!("http://{pair}@"));
        let mut made = home.command(&["region", "key", &region, "--out", "region.keys"]);
        made.env("BLITZ_STORE", server.admin_url());
        let made = outcome(made).await;
        assert!(made.code == Some(0) && made.stdout.contains("made key"), "{made:?}");

        let key = format!("{key}.pem");
        let mut command =
            home.command(&["gateway", "--listen", "127.0.0.1:0", "--issuer-key", &key]);
        command.args(["--region-keys", "region.keys"]);
        change(&mut command);
        command.env("BLITZ_STORE", store_url).env("BLITZ_TOKEN", TOKEN).stderr(Stdio::inherit());
        let mut gateway = command.spawn().unwrap();
        let address = format!("http://{}", address(&mut gateway).await);
        Self { home, server, region, gateway, address, _store: store }
    }

    /// Runs an operator's command against the gateway.
    pub(super) async fn operate(&self, args: &[&str]) -> Outcome {
        let mut command = self.home.command(args);
        command.env("BLITZ_HOST", &self.address).env("BLITZ_TOKEN", TOKEN);
        outcome(command).await
    }

    async fn join_token(&self, more: &[&str]) -> String {
        let args: Vec<&str> =
            ["region", "token", &self.region].iter().chain(more).copied().collect();
        let made = self.operate(&args).await;
        assert_eq!(made.code, Some(0), "{made:?}");
        assert!(made.stdout.starts_with("blitz-join-"), "{made:?}");
        made.stdout.trim().to_owned()
    }

    fn engine(&self, id: &str, token: Option<&str>) -> tokio::process::Command {
        let mut command = self.home.command(&["engine", "--region", &self.region, "--id", id]);
        command.args(["--join", &self.address, "--targets", "any", "--keep-token"]);
        command.arg(format!("{id}.token"));
        if let Some(token) = token {
            command.env("BLITZ_JOIN_TOKEN", token);
        }
        command
    }
}

async fn outcome(mut command: tokio::process::Command) -> Outcome {
    let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await;
    let output = output.expect("it ends").unwrap();
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[tokio::test]
async fn an_engine_joins_with_a_token_on_the_embedded_store() {
    an_engine_joins_runs_jobs_and_is_revoked(World::start(None).await).await;
}

#[tokio::test]
async fn an_engine_joins_with_a_token_on_apache_couchdb() {
    if let Some(server) = Server::apache().await.filter(Server::takes_tokens) {
        an_engine_joins_runs_jobs_and_is_revoked(World::start(Some(server)).await).await;
    }
}

async fn an_engine_joins_runs_jobs_and_is_revoked(mut world: World) {
    let web = Web::start(|_| blitz_tests::web::ok("hello\n")).await;
    let url = web.url("/");
    let (first, second) = (format!("e1-{}", world.region), format!("e2-{}", world.region));
    let token = world.join_token(&[]).await;
    let start = |mut command: tokio::process::Command| {
        command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap()
    };
    let mut engine = start(world.engine(&first, Some(&token)));
    let curl = ["curl", "-s", "-r", &world.region, "--queue-timeout", "60", &url];
    let ran = world.operate(&curl).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "hello\n"), "{ran:?}");

    // With its token it got the key of the region.
    let secret = [&curl[..], &["-u", "me:pw"]].concat();
    let ran = world.operate(&secret).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "hello\n"), "{ran:?}");
    let asked = web.requests().pop().unwrap();
    assert!(asked.to_ascii_lowercase().contains("authorization: basic bwu6chc="), "{asked}");

    // A token serves once; one for any new engine is none for one that is there.
    let again = outcome(world.engine(&second, Some(&token))).await;
    assert!(again.code == Some(1) && again.stderr.contains("was used"), "{again:?}");
    let another = world.join_token(&["--expires", "10m"]).await;
    std::fs::remove_file(world.home.path().join(format!("{first}.token"))).unwrap();
    let twin = outcome(world.engine(&first, Some(&another))).await;
    assert!(twin.code == Some(1) && twin.stderr.contains("--engine"), "{twin:?}");
    let none = outcome(world.engine(&second, None)).await;
    assert!(none.code == Some(2) && none.stderr.contains("BLITZ_JOIN_TOKEN"), "{none:?}");
    send_signal(engine.id().unwrap(), "TERM").await;
    assert_eq!(engine.wait().await.unwrap().code(), Some(0));

    // With a token of its own it joins again, and a restart goes on with what was kept.
    let named = world.join_token(&["--engine", &first]).await;
    for token in [Some(named.as_str()), None] {
        let mut engine = start(world.engine(&first, token));
        let ran = world.operate(&curl).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "hello\n"), "{ran:?}");
        send_signal(engine.id().unwrap(), "TERM").await;
        assert_eq!(engine.wait().await.unwrap().code(), Some(0));
    }

    // It may write its own document and no other.
    let kept = std::fs::read_to_string(world.home.path().join(format!("{first}.token"))).unwrap();
    let engines = database(DatabaseKind::Engines, &world.region);
    let body = |id: &str| json!({"kind": "engine", "engine": id, "region": world.region});
    let (kept, _) = kept.split_once('\n').unwrap();
    let store = Api::new(world.server.base(), kept);
    // Who has read the token in a store cannot renew it.
    let gateway = Api::new(&world.address, TOKEN);
    let renewing = json!({"token": kept, "nonce": "0".repeat(64)});
    let (status, said) = gateway.call("POST", "/v1/join/renew", Some(&renewing)).await;
    assert_eq!(status.as_u16(), 401, "{said}");
    let path = |id: &str| format!("/{engines}/engine:{id}");
    let (status, said) = store.call("PUT", &path(&second), Some(&body(&second))).await;
    assert_eq!(status.as_u16(), 403, "{said}");
    let (status, found) = store.call("GET", &path(&first), None).await;
    assert_eq!((status.as_u16(), &found["gone"]), (200, &json!(true)), "{found}");

    let revoked = world.operate(&["region", "revoke-engine", &first, "--reason", "lost"]).await;
    assert!(revoked.code == Some(0) && revoked.stdout.contains("revoked"), "{revoked:?}");
    let token = world.join_token(&["--engine", &first]).await;
    for token in [None, Some(token.as_str())] {
        let refused = outcome(world.engine(&first, token)).await;
        let said = &refused.stderr;
        assert!(refused.code == Some(1) && said.contains("was taken back"), "{refused:?}");
    }
    send_signal(world.gateway.id().unwrap(), "TERM").await;
    assert_eq!(world.gateway.wait().await.unwrap().code(), Some(0));
    use DatabaseKind::{Accounts, Audit, Control};
    // Those that are of no region others may use too.
    for kind in KINDS.into_iter().filter(|kind| !matches!(kind, Control | Accounts | Audit)) {
        let path = format!("/{}", database(kind, &world.region));
        world.server.admin("DELETE", &path, None, 200).await;
    }
}

#[tokio::test]
async fn a_gateway_without_a_key_says_so() {
    let stack = blitz_tests::Stack::start(&["japan"]).await;
    for (path, body) in [
        ("/v1/join".to_owned(), json!({"region": "japan", "engine": "e", "nonce": "n"})),
        ("/v1/join/renew".to_owned(), json!({"token": "t", "nonce": "n"})),
        (format!("/v1/regions/{}/tokens", stack.region()), json!({})),
    ] {
        let (status, said) = stack.api.call("POST", &path, Some(&body)).await;
        assert_eq!((status.as_u16(), &said["error"]), (404, &json!("no_issuer")), "{said}");
        assert!(said["reason"].as_str().unwrap().contains("--issuer-key"), "{said}");
    }
}
