//! What stories of targets need: users with keys, a world that shows signs, and the packets to one address.

use std::sync::PoisonError;

use serde_json::Value;
use tokio::process::Command;

use super::{GATEWAY_PORT, LIMIT, Lab, NAME_SERVER_V4, Outcome};

impl Lab {
    /// The same as whoever has this token or key.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub async fn run_as(&self, token: &str, args: &[&str]) -> Outcome {
        let mut command = self.command(args);
        let output = tokio::time::timeout(LIMIT, command.env("BLITZ_TOKEN", token).output()).await;
        let output = output.unwrap_or_else(|_| panic!("blitz {args:?} did not end in {LIMIT:?}"));
        let output = output.expect("the program starts");
        Outcome {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// What clients of the gateway show that was started last.
    #[must_use]
    pub fn token(&self) -> String {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks the gateway on the engine's machine, with this token or key.
    ///
    /// # Panics
    ///
    /// When there is no JSON answer.
    pub async fn ask(&self, token: &str, method: &str, path: &str, body: &Value) -> Value {
        let url = format!("http://127.0.0.1:{GATEWAY_PORT}{path}");
        let (bearer, body) = (format!("authorization: Bearer {token}"), body.to_string());
        let words =
            ["-sS", "-X", method, "-H", &bearer, "-H", "content-type: application/json", "-d"];
        let answer = self.curl(&[&words[..], &[&body, &url]].concat()).await;
        serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{method} {path}: {e} in {answer}"))
    }

    /// Has the world show a sign, hide it, or say a text: `show?PATH`, `hide?PATH`, `text?NAME=VALUE`.
    ///
    /// # Panics
    ///
    /// When it does not do so.
    pub async fn world(&self, what: &str) {
        let answer = self.curl(&["-sS", &format!("http://{NAME_SERVER_V4}/lab/{what}")]).await;
        assert_eq!(answer, "done\n", "{what}");
    }

    /// The system's own curl, on the engine's machine.
    async fn curl(&self, args: &[&str]) -> String {
        let mut command = Command::new("curl");
        command.args(args);
        let mut command = self.engine.enter(&command);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let output = tokio::time::timeout(LIMIT, command.output()).await.expect("curl ends");
        String::from_utf8_lossy(&output.expect("curl starts").stdout).into_owned()
    }

    /// A file with the certificates of the world's servers, in PEM.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    #[must_use]
    pub fn certificates(&self) -> String {
        let mut text = String::new();
        for line in self.log() {
            if let Some(der) = line.strip_prefix("world certificate ") {
                text.push_str("-----BEGIN CERTIFICATE-----\n");
                for part in der.as_bytes().chunks(64) {
                    text.push_str(&String::from_utf8_lossy(part));
                    text.push('\n');
                }
                text.push_str("-----END CERTIFICATE-----\n");
            }
        }
        let file = self.home.path().join("world.pem");
        std::fs::write(&file, text).expect("a file");
        file.to_string_lossy().into_owned()
    }

    /// Counts from now on what leaves the engine's machine for this IPv4 address.
    ///
    /// # Panics
    ///
    /// When nftables cannot.
    pub fn count_to(&self, address: &str) {
        let rules = format!(
            "table inet consent {{ counter left {{ }}\nchain out {{ type filter hook output priority raw; policy accept;\n\
             ip daddr {address} counter name left\n}}\n}}\n"
        );
        self.engine.nft(&["-f", "-"], &rules).expect("a counter");
    }

    /// How many packets left for it.
    ///
    /// # Panics
    ///
    /// When nftables does not answer.
    #[must_use]
    pub fn counted(&self) -> u64 {
        let text = self.engine.nft(&["-j", "list", "counters", "table", "inet", "consent"], "");
        let listing: Value = serde_json::from_str(&text.expect("counters")).expect("JSON");
        let all = listing["nftables"].as_array().into_iter().flatten();
        all.filter_map(|item| item["counter"]["packets"].as_u64()).sum()
    }
}
