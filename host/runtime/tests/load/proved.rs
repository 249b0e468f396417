//! A target of the public network: loaded with the proof that its owner agrees, as long as it shows it, and never without.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use blitz_contract::load::proof::{uuid_path, well_known_path};
use blitz_contract::load::{Proof, TICK_EVENT, Verdict};
use blitz_contract::{Exit, Frame, Stream};
use blitz_runtime::RuntimeConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::{World, config, plan};

const TOKEN: &str = "00112233445566778899aabbccddeeff";

/// What a plan lasts that nobody stops.
const LONG_MS: u64 = 60_000;

/// How often an engine of these tests looks.
const LOOK: Duration = Duration::from_millis(500);

/// A server on this machine, by an address that is neither loopback nor private, so that only a proof opens it. The path of the
/// sign answers as it is told; all else is load.
struct Owner {
    port: u16,
    /// The next answers of the sign; the last one stays.
    sign: Arc<Mutex<VecDeque<Sign>>>,
    asked: Arc<Mutex<Asked>>,
}

/// Status and body.
type Sign = (u16, &'static str);

#[derive(Debug, Default, Clone, Copy)]
struct Asked {
    signs: usize,
    load: usize,
    connections: usize,
}

impl Owner {
    async fn start(path: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sign, asked) =
            (Arc::new(Mutex::new(VecDeque::from([(200, "42")]))), Arc::<Mutex<Asked>>::default());
        let owner = Self { port, sign: Arc::clone(&sign), asked: Arc::clone(&asked) };
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                asked.lock().unwrap().connections += 1;
                let (sign, asked) = (Arc::clone(&sign), Arc::clone(&asked));
                let path = path.clone();
                tokio::spawn(async move {
                    let mut request = vec![0; 4096];
                    let length = stream.read(&mut request).await.unwrap_or(0);
                    let head = String::from_utf8_lossy(&request[..length]).into_owned();
                    let wanted = head.split(' ').nth(1).unwrap_or_default();
                    let (status, body) = match wanted {
                        "/" => {
                            asked.lock().unwrap().load += 1;
                            (200, "")
                        }
                        wanted if wanted == path => {
                            let mut sign = sign.lock().unwrap();
                            asked.lock().unwrap().signs += 1;
                            if sign.len() > 1 { sign.pop_front().unwrap() } else { sign[0] }
                        }
                        _ => (404, ""),
                    };
                    let length = body.len();
                    let answer = format!(
                        "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                    );
                    stream.write_all(answer.as_bytes()).await.ok();
                });
            }
        });
        owner
    }

    fn url(&self) -> String {
        format!("http://{}/", self.host())
    }

    fn host(&self) -> String {
        format!("0.0.0.0:{}", self.port)
    }

    fn proof(&self) -> Proof {
        Proof { host: self.host(), token: Some(TOKEN.to_owned()) }
    }

    fn asked(&self) -> Asked {
        *self.asked.lock().unwrap()
    }

    /// How often the sign was looked at before.
    fn show(&self, answers: &[Sign]) -> usize {
        let mut sign = self.sign.lock().unwrap();
        *sign = answers.iter().copied().collect();
        self.asked().signs
    }
}

fn often() -> RuntimeConfig {
    let mut config = config();
    config.load.look_every = LOOK;
    config
}

fn is_tick(frame: &Frame) -> bool {
    frame.stream == Stream::Event(TICK_EVENT.to_owned())
}

#[tokio::test]
async fn without_a_proof_nothing_is_sent_and_with_one_it_is_loaded() {
    let world = World::new(config()).await;
    for path in [well_known_path(TOKEN), uuid_path(TOKEN).unwrap()] {
        let owner = Owner::start(path).await;
        let plan = plan(&owner.url(), 1, 500, "send").to_string();
        let other = Proof { host: "192.0.2.1".to_owned(), ..owner.proof() };
        for proofs in [vec![], vec![other]] {
            let seen = world.run(&plan, |invocation| invocation.load.proofs = proofs).await;
            assert_eq!(seen.exit, Exit::Status(10), "{}", seen.error());
            assert!(seen.error().contains("may not be loaded"), "{}", seen.error());
            assert_eq!(owner.asked().connections, 0, "not one packet");
        }
        let seen =
            world.run(&plan, |invocation| invocation.load.proofs = vec![owner.proof()]).await;
        assert_eq!(seen.exit, Exit::Status(0), "{}", seen.error());
        assert_eq!(seen.closing().verdict, Verdict::Ended);
        let asked = owner.asked();
        assert!(asked.load > 0 && asked.signs > 0, "{asked:?}");
    }
}

#[tokio::test]
async fn a_sign_that_is_not_there_lets_no_load_through() {
    let world = World::new(config()).await;
    let owner = Owner::start(well_known_path(TOKEN)).await;
    let plan = plan(&owner.url(), 1, 500, "send").to_string();
    for (status, body) in [(404, ""), (200, "41"), (503, "42")] {
        owner.show(&[(status, body)]);
        let seen =
            world.run(&plan, |invocation| invocation.load.proofs = vec![owner.proof()]).await;
        assert_eq!(seen.exit, Exit::Status(10), "{}", seen.error());
        assert!(seen.error().contains("does not show that its owner agrees"), "{}", seen.error());
        assert_eq!(owner.asked().load, 0, "{status} {body}");
    }
    let said = Proof { token: None, ..owner.proof() };
    let before = owner.asked().signs;
    let seen = world.run(&plan, |invocation| invocation.load.proofs = vec![said]).await;
    assert_eq!(seen.exit, Exit::Status(0), "{}", seen.error());
    let asked = owner.asked();
    assert!(asked.load > 0 && asked.signs == before, "an operator answers for it: {asked:?}");
}

#[tokio::test]
async fn a_sign_that_is_taken_away_stops_the_load() {
    let world = World::new(often()).await;
    for (status, body, looks) in [(404, "", 1), (200, "no", 1), (503, "", 2)] {
        let owner = Owner::start(well_known_path(TOKEN)).await;
        let plan = plan(&owner.url(), 1, LONG_MS, "send").to_string();
        let taken = Mutex::new(None);
        let show = |frame: &Frame| {
            let mut taken = taken.lock().unwrap();
            if is_tick(frame) && taken.is_none() {
                *taken = Some((Instant::now(), owner.show(&[(status, body)])));
            }
        };
        let change = |invocation: &mut blitz_runtime::Invocation| {
            invocation.load.proofs = vec![owner.proof()];
        };
        let seen = world.watched(&plan, change, show).await;
        let closing = seen.closing();
        assert_eq!(closing.verdict, Verdict::Revoked, "{status}: {}", closing.text);
        assert!(closing.text.contains("/.well-known/blitz-"), "{}", closing.text);
        let (at, signs) = taken.lock().unwrap().unwrap();
        assert_eq!(owner.asked().signs - signs, looks, "{status}: {}", closing.text);
        assert!(at.elapsed() < Duration::from_secs(30), "{:?}", at.elapsed());
    }
}

#[tokio::test]
async fn one_look_without_an_answer_is_forgiven() {
    let world = World::new(often()).await;
    let owner = Owner::start(well_known_path(TOKEN)).await;
    let plan = plan(&owner.url(), 1, 5000, "send").to_string();
    let troubled = Mutex::new(None::<usize>);
    let show = |frame: &Frame| {
        let mut troubled = troubled.lock().unwrap();
        if is_tick(frame) && troubled.is_none() {
            *troubled = Some(owner.show(&[(503, ""), (200, "42")]));
        }
    };
    let change = |invocation: &mut blitz_runtime::Invocation| {
        invocation.load.proofs = vec![owner.proof()];
    };
    let seen = world.watched(&plan, change, show).await;
    let closing = seen.closing();
    assert_eq!((closing.verdict, closing.text.as_str()), (Verdict::Ended, ""));
    let before = troubled.lock().unwrap().unwrap();
    assert!(owner.asked().signs > before + 1, "it was looked at again");
}
