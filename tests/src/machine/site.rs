//! Store and gateway, set up as an operator does by the commands of `blitz`, and as tight: the store asks who somebody is, and the
//! gateway lets instances join by their signed identity.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use blitz_boot_core::bundle::PublicKey;
use serde_json::Value;
use tokio::process::{Child, Command};

use super::{HOST, LIMIT, REGION, run};
use crate::imds;
use crate::net::Namespace;
use crate::program::address;
use crate::{Home, Outcome};

/// Where the gateway listens, in the namespace.
pub(super) const GATEWAY_PORT: u16 = 8042;

const STORE_PORT: u16 = 5984;

/// Of the gateway.
const TOKEN: &str = "a-secret-of-a-test";

/// The administrator of the store.
const ADMIN: &str = "root";
const PASSWORD: &str = "pw-of-a-test";

/// The name of the key that signs tokens of engines.
const ISSUER: &str = "issuer";

/// Store, gateway, and who operates them.
#[derive(Debug)]
pub struct Site {
    /// Who signs the operator's plugins.
    pub(super) publisher: PublicKey,
    home: Home,
    space: Arc<Namespace>,
    _gateway: Child,
    _store: Child,
}

impl Site {
    pub(super) async fn start(space: &Arc<Namespace>, carrier: &Path, certificate: &str) -> Self {
        let home = Home::new(carrier);
        let write = |name: &str, text: &str| {
            std::fs::write(home.path().join(name), text).expect("a file in the home");
        };
        write("aws.pem", certificate);
        let key = home.path().join(format!("{ISSUER}.pem"));
        let public = home.path().join("public.pem");
        let [key, public] = [&key, &public].map(|path| path.to_str().expect("a path in UTF-8"));
        let curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key];
        run(space, "openssl", &[&["genpkey"], &curve[..]].concat(), b"").await;
        run(space, "openssl", &["pkey", "-in", key, "-pubout", "-out", public], b"").await;

        let listen = format!("0.0.0.0:{STORE_PORT}");
        let named = format!("ec:{ISSUER}=public.pem");
        let args = ["couchdb", "--data", "d", "--listen", &listen, "--token-key", &named];
        let mut store = space.enter(&home.command(&args));
        store.env("BLITZ_COUCHDB_ADMIN", format!("{ADMIN}:{PASSWORD}"));
        let store = started(store).await;

        let clusters = format!(
            "own = \"tokyo\"\n[tokyo]\nurl = \"http://{HOST}:{STORE_PORT}\"\nuser = \"{ADMIN}\"\npassword = \"{PASSWORD}\"\noperator = true\n"
        );
        write("clusters.toml", &clusters);
        std::fs::set_permissions(home.path().join("clusters.toml"), private()).expect("a mode");
        let with_clusters = |args: &[&str]| {
            let mut command = space.enter(&home.command(args));
            command.env("BLITZ_CLUSTERS", "clusters.toml");
            command
        };
        for args in [
            &["cluster", "add", "tokyo"][..],
            // Instances join the region that has AWS's name of theirs.
            &["region", "add", REGION, "--home", "tokyo", "--alias", imds::REGION],
            &["region", "key", REGION, "--out", "region.keys"],
        ] {
            let outcome = outcome(with_clusters(args)).await;
            assert_eq!(outcome.code, Some(0), "{args:?}: {outcome:?}");
        }

        let listen = format!("0.0.0.0:{GATEWAY_PORT}");
        let issuer = format!("{ISSUER}.pem");
        let serve =
            ["gateway", "--listen", &listen, "--name", HOST, "--accounts-key", "accounts.key"];
        let gives = ["--issuer-key", &issuer, "--region-keys", "region.keys"];
        let ec2 = ["--ec2-certificate", "aws.pem", "--ec2-account", imds::ACCOUNT];
        let mut gateway = with_clusters(&[&serve[..], &gives, &ec2].concat());
        gateway.env("BLITZ_TOKEN", TOKEN);
        let gateway = started(gateway).await;
        let publisher = outcome(home.command(&["plugin", "key"])).await.stdout;
        let publisher = publisher.parse().expect("a public key");
        Self { publisher, home, space: Arc::clone(space), _gateway: gateway, _store: store }
    }

    /// The directory in which commands run.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.home.path()
    }

    /// Runs a command of `blitz` as the operator, against the gateway.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub async fn operate(&self, args: &[&str]) -> Outcome {
        self.act(TOKEN, args).await
    }

    /// The same as who has this key.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub async fn act(&self, key: &str, args: &[&str]) -> Outcome {
        let mut command = self.space.enter(&self.home.command(args));
        command.env("BLITZ_HOST", format!("http://{HOST}:{GATEWAY_PORT}"));
        command.env("BLITZ_TOKEN", key);
        outcome(command).await
    }

    /// The engine of this id as the gateway lists it; those that have left are not listed.
    ///
    /// # Panics
    ///
    /// When there is no list.
    pub async fn engine(&self, id: &str) -> Option<Value> {
        let said = self.operate(&["engines", "--json"]).await;
        let listed: Option<Value> = serde_json::from_str(&said.stdout).ok();
        let engines = listed.as_ref().and_then(|listed| listed["engines"].as_array());
        let mut engines = engines.unwrap_or_else(|| panic!("no list of engines: {said:?}")).iter();
        engines.find(|engine| engine["id"] == id).cloned()
    }
}

/// A part of the site, when it says where it listens.
async fn started(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().expect("the program starts");
    address(&mut child).await;
    child
}

async fn outcome(mut command: Command) -> Outcome {
    command.stdin(Stdio::null());
    let output = tokio::time::timeout(LIMIT, command.output()).await;
    let output = output.expect("it ends").expect("its outcome");
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Of a file with passwords in it.
fn private() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o600)
}
