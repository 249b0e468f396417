//! The metadata service of an instance of EC2, version 2 alone unless a story says otherwise: what engines are told of their
//! machine, and when it is taken away. It is that of namespaces ([`blitz_boot_core::imds`]), with faults, and with the identity
//! document that only AWS can sign. What else is put there, as user data and credentials of a role, is shown as well; all versions
//! of the metadata by their dates are the latest one.
//!
//! The key that signs identity documents was made for these tests by OpenSSL, and [`CERTIFICATE`] is its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blitz_boot_core::imds::{self, INTERRUPTION, Identity, Tokens};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use jiff::civil::Date;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use tokio::net::{TcpListener, TcpStream};

/// With which identity documents are signed, as a gateway is given it.
pub const CERTIFICATE: &str = include_str!("imds/certificate.pem");

/// The account of all instances.
pub const ACCOUNT: &str = "123456789012";

/// AWS's name of the region of all instances.
pub const REGION: &str = "ap-northeast-1";

const KEY: &str = include_str!("imds/key.pem");

const REBALANCE: &str = "/latest/meta-data/events/recommendations/rebalance";

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// As it should.
    Well,
    /// Without tokens, to whoever asks.
    VersionOneOnly,
    /// Late by this.
    Slowly(Duration),
    /// A page of somebody else.
    Garbage,
    /// It hangs up.
    NotAtAll,
}

/// One service. It ends with the runtime that it was started in.
#[derive(Debug, Clone)]
pub struct Imds {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    how: How,
    /// What is there, by path.
    documents: BTreeMap<String, String>,
    tokens: Tokens,
    /// What it was asked, as `GET /path`.
    asked: Vec<String>,
}

impl Imds {
    /// That of a spot instance with this id, on a free port of loopback.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn start(instance: &str) -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").await.expect("a free port"), instance)
    }

    /// The same at a listener.
    ///
    /// # Panics
    ///
    /// When it has no address.
    #[must_use]
    pub fn serve(listener: TcpListener, instance: &str) -> Self {
        let state = State {
            how: How::Well,
            documents: documents(instance),
            tokens: Tokens::default(),
            asked: Vec::new(),
        };
        let address = listener.local_addr().expect("an address");
        let imds = Self { address, state: Arc::new(Mutex::new(state)) };
        let served = imds.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(served.clone().connection(stream));
            }
        });
        imds
    }

    /// Its address, as `--imds` has it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers in this way from now on.
    pub fn answer(&self, how: How) {
        self.state().how = how;
    }

    /// Puts a document there, or takes it away.
    pub fn set(&self, path: &str, text: Option<&str>) {
        let documents = &mut self.state().documents;
        match text {
            Some(text) => documents.insert(path.to_owned(), text.to_owned()),
            None => documents.remove(path),
        };
    }

    /// Gives notice that the machine is taken back at this time: `terminate`, `stop`, `hibernate`.
    pub fn interrupt(&self, action: &str, at: SystemTime) {
        self.set(INTERRUPTION, Some(&imds::interruption(action, at)));
    }

    /// Recommends to leave the machine.
    pub fn recommend_rebalance(&self) {
        self.set(REBALANCE, Some(r#"{"noticeTime": "2026-11-22T10:00:00Z"}"#));
    }

    /// Takes none of the tokens any more that it gave.
    pub fn forget_tokens(&self) {
        self.state().tokens.forget();
    }

    /// What it was asked so far, as `GET /path`.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.state().asked.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connection(self, stream: TcpStream) {
        let how = self.state().how;
        match how {
            How::NotAtAll => return,
            How::Slowly(late) => tokio::time::sleep(late).await,
            How::Well | How::VersionOneOnly | How::Garbage => {}
        }
        imds::connection(stream, |request| self.state().hear(request)).await;
    }
}

impl State {
    fn hear(&mut self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        self.asked.push(format!("{} {path}", request.method()));
        let Self { how, documents, tokens, .. } = self;
        let find = |path: &str| document(documents, path);
        match how {
            How::Garbage => imds::answer(StatusCode::OK, "<html>It works!</html>"),
            How::VersionOneOnly if request.method() == Method::PUT => {
                imds::answer(StatusCode::NOT_FOUND, "")
            }
            How::VersionOneOnly => imds::document(request, find),
            How::Well | How::Slowly(_) | How::NotAtAll => tokens.answer(request, find),
        }
    }
}

/// What stands at a path, whichever version of the metadata is asked for; of a directory, what is in it.
fn document(documents: &BTreeMap<String, String>, path: &str) -> Option<String> {
    let (version, rest) = path.strip_prefix('/')?.split_once('/')?;
    if version != "latest" && version.parse::<Date>().is_err() {
        return None;
    }
    let path = format!("/latest/{rest}");
    if let Some(text) = documents.get(&path) {
        return Some(text.clone());
    }
    let directory = format!("{}/", path.trim_end_matches('/'));
    let below = documents.keys().filter_map(|path| path.strip_prefix(&directory));
    let mut names: Vec<&str> =
        below.map(|path| path.find('/').map_or(path, |end| path.split_at(end + 1).0)).collect();
    names.dedup();
    (!names.is_empty()).then(|| names.join("\n"))
}

/// What an instance is told of itself.
fn documents(instance: &str) -> BTreeMap<String, String> {
    let identity = format!(
        "{{\n  \"accountId\" : \"{ACCOUNT}\",\n  \"architecture\" : \"arm64\",\n  \"availabilityZone\" : \"{REGION}a\",\n  \
         \"instanceId\" : \"{instance}\",\n  \"instanceType\" : \"m7g.large\",\n  \"region\" : \"{REGION}\",\n  \
         \"version\" : \"2017-09-30\"\n}}"
    );
    let (id, region, zone) = (instance.to_owned(), REGION.to_owned(), format!("{REGION}a"));
    let (instance_type, is_spot) = ("m7g.large".to_owned(), true);
    let mut all = Identity { id, region, zone, instance_type, is_spot }.documents();
    let signature = sign(&identity);
    for (word, text) in [("document", identity), ("signature", signature)] {
        all.insert(format!("/latest/dynamic/instance-identity/{word}"), text);
    }
    all
}

/// In base64, in lines as the service has it.
fn sign(document: &str) -> String {
    let lines = KEY.lines().filter(|line| !line.starts_with("-----"));
    let key = STANDARD.decode(lines.collect::<String>()).expect("a key in PEM");
    let key = RsaKeyPair::from_pkcs8(&key).expect("a key of RSA");
    let mut signature = vec![0; key.public().modulus_len()];
    let signed =
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), document.as_bytes(), &mut signature);
    signed.expect("a signature");
    let text = STANDARD.encode(signature);
    let lines = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).expect("base64"));
    Vec::from_iter(lines).join("\n")
}
