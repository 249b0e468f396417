//! Services that answer well, otherwise, and not at all. What the real program makes of them is a story.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// A service with these answers: of a method, a path and the token that was shown, a status and a text.
struct Service {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

type Answers = fn(&str, &str, Option<&str>, usize) -> (u16, String);

impl Service {
    async fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).await.unwrap();
                    head.extend(byte);
                }
                let head = String::from_utf8(head).unwrap();
                let mut words = head.split(' ');
                let (method, path) = (words.next().unwrap(), words.next().unwrap());
                let header = |name: &str| {
                    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                };
                let number = {
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.push(format!("{method} {path}"));
                    seen.len()
                };
                let token = header("x-aws-ec2-metadata-token");
                let (status, text) = answers(method, path, token, number);
                let more = match status {
                    300..400 => format!("Location: {text}\r\n"),
                    _ if method == "PUT" => {
                        format!("x-aws-ec2-metadata-token-ttl-seconds: {TTL_S}\r\n")
                    }
                    _ => String::new(),
                };
                let answer = format!(
                    "HTTP/1.1 {status} .\r\n{more}Content-Length: {}\r\n\r\n{text}",
                    text.len()
                );
                // Who has read enough may be gone.
                stream.write_all(answer.as_bytes()).await.ok();
            }
        });
        Self { url, asked }
    }

    fn imds(&self) -> Imds {
        Imds::new(&self.url).unwrap()
    }

    fn count(&self, what: &str) -> usize {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().filter(|asked| asked.starts_with(what)).count()
    }
}

/// As the service says in its answers.
const TTL_S: u64 = 60;

/// An instance like many.
fn good(method: &str, path: &str, token: Option<&str>, _: usize) -> (u16, String) {
    let text = match (method, path, token) {
        ("PUT", "/latest/api/token", None) => "token-of-a-test==",
        (_, _, None) => return (401, String::new()),
        ("GET", path, Some("token-of-a-test==")) => match path {
            "/latest/meta-data/instance-id" => "i-0123456789abcdef0",
            "/latest/meta-data/placement/region" => "ap-northeast-1",
            "/latest/meta-data/placement/availability-zone" => "ap-northeast-1a\n",
            "/latest/meta-data/instance-type" => "m7g.large",
            "/latest/meta-data/instance-life-cycle" => "spot",
            "/latest/meta-data/tags/instance" => "Name\nblitz:fleet\nblitz:gone\nblitz:a/../b",
            "/latest/meta-data/tags/instance/blitz:fleet" => "web\u{1b}",
            "/latest/dynamic/instance-identity/document" => "{\n} ",
            "/latest/dynamic/instance-identity/signature" => "c2ln\nbmF0\n",
            _ => return (404, String::new()),
        },
        _ => return (400, String::new()),
    };
    (200, text.to_owned())
}

#[tokio::test]
async fn an_instance_is_told_of_itself() {
    let service = Service::start(good).await;
    let mut imds = service.imds();
    let instance = imds.instance().await.unwrap();
    let wanted = "m7g.large in ap-northeast-1a, spot, blitz:fleet=web";
    assert_eq!(
        (instance.id.as_str(), instance.to_string().as_str()),
        ("i-0123456789abcdef0", wanted)
    );
    assert_eq!((instance.region.as_str(), instance.tags.len()), ("ap-northeast-1", 1));
    let Proof::Ec2 { document, signature } = imds.proof().await.unwrap() else {
        panic!("no proof")
    };
    assert_eq!(
        (document.as_str(), signature.as_str()),
        ("{\n} ", "c2ln\nbmF0\n"),
        "as it was served"
    );
    assert_eq!(service.count("PUT"), 1, "one token for all");
    assert_eq!(service.count("GET /latest/meta-data/tags/instance/Name"), 0);
    assert_eq!(service.count("GET /latest/meta-data/tags/instance/blitz:a"), 0);
    assert!(!format!("{imds:?}").contains("token-of-a-test"), "{imds:?}");
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end_and_when_it_is_refused() {
    let service = Service::start(good).await;
    let mut imds = service.imds();
    imds.get("/latest/meta-data/instance-id").await.unwrap();
    let token = imds.token.clone().unwrap();
    let life = token.renew_at.saturating_duration_since(Instant::now());
    assert!(life <= Duration::from_secs(TTL_S * 9 / 10), "{life:?}");
    imds.token = Some(Token { renew_at: Instant::now(), ..token.clone() });
    imds.get("/latest/meta-data/instance-id").await.unwrap();
    assert_eq!(service.count("PUT"), 2);

    // The first token is not taken, as after a restart of the service.
    let strict = Service::start(|method, path, token, number| match (method, token) {
        ("PUT", _) => (200, format!("token-{number}")),
        (_, Some("token-1")) => (401, String::new()),
        _ => (200, path.to_owned()),
    })
    .await;
    let mut imds = strict.imds();
    assert_eq!(imds.get("/x").await.unwrap().as_deref(), Some("/x"));
    assert_eq!((strict.count("PUT"), strict.count("GET")), (2, 2));

    let never = Service::start(|method, _, _, _| match method {
        "PUT" => (200, "token".to_owned()),
        _ => (401, String::new()),
    })
    .await;
    let refused = never.imds().get("/x").await.unwrap_err();
    assert!(matches!(&refused, NotTold::NotNow(reason) if reason.contains("takes no token")));
    assert_eq!(never.count("GET"), 2, "it is asked twice and not for ever");
}

#[tokio::test]
async fn without_tokens_nothing_is_asked() {
    let services: [Answers; 4] = [
        |_, _, _, _| (404, String::new()),
        |_, _, _, _| (403, String::new()),
        |method, _, _, _| {
            if method == "PUT" { (405, String::new()) } else { (200, "i-1".to_owned()) }
        },
        |_, _, _, _| (501, String::new()),
    ];
    for answers in services {
        let service = Service::start(answers).await;
        let error = service.imds().instance().await.unwrap_err();
        assert!(matches!(error, Error::NeedsTokens { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("IMDSv2") && text.contains(&service.url), "{text}");
        assert_eq!(service.count("GET"), 0, "version 1 is never spoken");
    }
}

#[tokio::test]
async fn what_is_no_metadata_is_said_to_be_none() {
    let cases: [(Answers, &str); 8] = [
        (|_, _, _, _| (200, String::new()), "gives no token"),
        (|_, _, _, _| (200, "<html> it is\n</html>".to_owned()), "gives no token"),
        (|_, _, _, _| (200, "x".repeat(513)), "gives no token"),
        (|_, _, _, _| (200, "x".repeat(17 << 10)), "more than 16384 bytes"),
        (|_, _, _, _| (302, "http://127.0.0.1:1/".to_owned()), "answers 302"),
        (|_, _, _, _| (400, String::new()), "answers 400"),
        (
            |method, _, _, _| (200, if method == "PUT" { "token" } else { "<html>" }.to_owned()),
            "says \"<html>\", which is not a word",
        ),
        (
            |method, _, _, _| {
                if method == "PUT" { (200, "token".to_owned()) } else { (404, String::new()) }
            },
            "/latest/meta-data/instance-id is not there",
        ),
    ];
    for (answers, wanted) in cases {
        let service = Service::start(answers).await;
        let error = service.imds().instance().await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Wrong { .. }) && text.contains(wanted), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_nobody_answers_it_is_waited_for_and_not_for_ever() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let asked = Instant::now();
    let error = Imds::new(&url).unwrap().instance().await.unwrap_err();
    assert!(asked.elapsed() >= BOOT_MAX, "{:?}", asked.elapsed());
    let text = error.to_string();
    assert!(matches!(error, Error::Absent { .. }), "{text}");
    for part in [&format!("no instance metadata at {url} within 10 s"), "--imds", "--id"] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn a_service_that_comes_up_late_is_found() {
    let service = Service::start(|method, path, token, number| {
        if number < 3 { (503, String::new()) } else { good(method, path, token, number) }
    })
    .await;
    assert_eq!(service.imds().instance().await.unwrap().machine.instance_type, "m7g.large");
}
