//! A host with signs, and what is found there.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use blitz_contract::load::proof::{uuid_path, well_known_path};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const TOKEN: &str = "00112233445566778899aabbccddeeff";

/// A server of this machine that shows at a path what it is told to.
pub(crate) struct Signs {
    name: &'static str,
    address: SocketAddr,
    shown: Arc<Mutex<HashMap<String, (u16, String)>>>,
    requests: Arc<Mutex<usize>>,
}

impl Signs {
    /// Its URLs have this host, which leads here.
    pub(crate) async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shown, requests) =
            (Arc::<Mutex<HashMap<_, _>>>::default(), Arc::<Mutex<usize>>::default());
        let (table, count) = (Arc::clone(&shown), Arc::clone(&requests));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (table, count) = (Arc::clone(&table), Arc::clone(&count));
                tokio::spawn(async move {
                    let mut bytes = vec![0; 4096];
                    let length = stream.read(&mut bytes).await.unwrap_or(0);
                    let head = String::from_utf8_lossy(&bytes[..length]).into_owned();
                    let Some(path) = head.strip_prefix("GET ") else { return };
                    *count.lock().unwrap() += 1;
                    let path = path.split(' ').next().unwrap_or_default();
                    let known: Option<(u16, String)> = table.lock().unwrap().get(path).cloned();
                    let (status, body) = known.unwrap_or((404, String::new()));
                    let answer = format!(
                        "HTTP/1.1 {status} X\r\nLocation: /x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                        body.len()
                    );
                    stream.write_all(answer.as_bytes()).await.ok();
                });
            }
        });
        Self { name, address, shown, requests }
    }

    pub(crate) fn show(&self, path: &str, status: u16, body: &str) {
        self.shown.lock().unwrap().insert(path.to_owned(), (status, body.to_owned()));
    }

    pub(crate) fn well_known(&self) -> String {
        well_known_path(TOKEN)
    }

    pub(crate) fn token(&self) -> &'static str {
        TOKEN
    }

    pub(crate) fn host(&self) -> String {
        format!("{}:{}", self.name, self.address.port())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host())
    }

    /// As many as came.
    pub(crate) fn requests(&self) -> usize {
        *self.requests.lock().unwrap()
    }
}

#[tokio::test]
async fn the_sign_is_found_at_both_paths() {
    let prover = Prover::new(TargetPolicy::any(), Vec::new());
    for (path, way) in
        [(well_known_path(TOKEN), Way::WellKnown), (uuid_path(TOKEN).unwrap(), Way::Uuid)]
    {
        let signs = Signs::start("127.0.0.1").await;
        let proof = Proof { host: signs.host(), token: Some(TOKEN.to_owned()) };
        let not = prover.prove(&proof).await.unwrap_err();
        assert_eq!(not.host, signs.host());
        signs.show(&path, 200, "\n42\n");
        assert_eq!(prover.prove(&proof).await, Ok(Some(way)), "{not}");
    }
}

#[tokio::test]
async fn what_was_found_is_told_for_each_way() {
    let signs = Signs::start("127.0.0.1").await;
    let prover = Prover::new(TargetPolicy::any(), Vec::new());
    let proof = Proof { host: signs.host(), token: Some(TOKEN.to_owned()) };
    signs.show(&uuid_path(TOKEN).unwrap(), 200, &"42 ".repeat(100));
    let text = prover.prove(&proof).await.unwrap_err().to_string();
    for part in [
        &format!("{} does not show that its owner agrees: ", signs.host()),
        "/.well-known/blitz-00112233445566778899aabbccddeeff (127.0.0.1) answers 404",
        "/00112233-4455-8677-8899-aabbccddeeff (127.0.0.1) has another body than 42",
        "an address has no TXT record",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let policy = Prover::new(TargetPolicy::public_only(), Vec::new());
    let before = signs.requests();
    let text = policy.prove(&proof).await.unwrap_err().to_string();
    assert!(text.contains("policy public-only"), "{text}");
    assert_eq!(signs.requests(), before, "nobody was asked");
}

#[test]
fn one_address_does_not_speak_for_the_others() {
    let (other, unclear) = (Seen::Other("a".to_owned()), Seen::Unclear("b".to_owned()));
    for (seen, wanted) in [
        (vec![Seen::There, Seen::There], Seen::There),
        (vec![Seen::There, unclear.clone()], unclear.clone()),
        (vec![unclear.clone(), other.clone()], other.clone()),
        (vec![other.clone(), unclear, Seen::There], other),
    ] {
        assert_eq!(worst(seen.clone()), wanted, "{seen:?}");
    }
}
