//! A secret of a command line is nowhere but with its target: not in the store, not in a log of the greatest detail, not in an
//! error, an event or a list, however its job ends.
//!
//! The secret is a canary, a text that nothing else has; it is looked for as it is, in base64 and percent-encoded. A plain word of
//! the same command line is looked for, too, and must be found: so the search is known to see.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use blitz_contract::ArgumentKind;
use blitz_couchdb::{AllDocs, Client};
use blitz_jobs::sealing::PrivateKey;
use blitz_tests::api::{Api, stream};
use blitz_tests::program::{Outcome, send_signal};
use blitz_tests::web::ok;
use blitz_tests::{Home, Stack, Web, Witness, until};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;

/// A word that may be seen.
const PLAIN: &str = "plain-word-of-the-canary-story";

/// A secret, and how it may look.
struct Canary {
    text: String,
    forms: Vec<Vec<u8>>,
}

impl Canary {
    fn new() -> Self {
        // A key is as random as anything; letters and digits are the same in every shell and URL.
        let key = PrivateKey::generate().expect("a key");
        let text = format!("canary{}", key.id());
        let mut forms = vec![text.clone().into_bytes()];
        // Behind none, one and two bytes of others, without the letters that the neighbours share.
        for before in ["", "x", "xx"] {
            let shared = (before.len() * 8).div_ceil(6);
            for alphabet in [&STANDARD, &URL_SAFE] {
                let coded = alphabet.encode(format!("{before}{text}"));
                let coded = coded.trim_end_matches('=');
                forms.push(coded[shared..coded.len() - 1].into());
            }
        }
        forms.push(text.bytes().flat_map(|b| format!("%{b:02x}").into_bytes()).collect());
        forms.push(text.bytes().flat_map(|b| format!("%{b:02X}").into_bytes()).collect());
        Self { text, forms }
    }

    fn assert_not_in(&self, place: &str, bytes: &[u8]) {
        for form in &self.forms {
            if let Some(at) = bytes.windows(form.len()).position(|window| window == form) {
                let (from, to) = (at.saturating_sub(300), (at + 100).min(bytes.len()));
                let around = String::from_utf8_lossy(&bytes[from..to]);
                panic!("{place} has the secret as {}: {around}", String::from_utf8_lossy(form));
            }
        }
    }

    fn check(&self, words: &[&str], outcome: &Outcome) {
        self.assert_not_in(&format!("stdout of {words:?}"), outcome.stdout.as_bytes());
        self.assert_not_in(&format!("stderr of {words:?}"), outcome.stderr.as_bytes());
    }
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        match fs::metadata(&path).expect("an entry that stays") {
            found if found.is_dir() => all.extend(files(&path)),
            found if found.is_file() => {
                all.push((path.display().to_string(), fs::read(&path).expect("its bytes")));
            }
            _ => {}
        }
    }
    all
}

/// Every document of every database of a store, as JSON.
async fn documents(store: &Client) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for name in store.databases().await.expect("the databases") {
        let query = AllDocs { include_docs: true, conflicts: true, ..AllDocs::default() };
        let page = store.database(&name).all_docs::<Value>(&query).await;
        for row in page.unwrap_or_else(|e| panic!("{name}: {e}")).rows {
            all.push((format!("{name}/{}", row.id), row.doc.unwrap_or_default().to_string()));
        }
    }
    all
}

/// The program with every word that it can log.
async fn run(home: &Home, canary: &Canary, words: &[&str]) -> Outcome {
    let mut command = home.command(words);
    let output = command.env("BLITZ_LOG", "trace").output().await.expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let outcome = Outcome {
        code: output.status.code(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    };
    canary.check(words, &outcome);
    outcome
}

#[tokio::test]
async fn a_secret_is_nowhere_but_with_its_target() {
    let (home, canary) = (Home::new(Path::new(env!("CARGO_BIN_EXE_bench"))), Canary::new());
    let (data, log) = (home.path().join("data"), home.path().join("log-of-up"));
    let web = Web::start(|_| ok("hello\n")).await;
    // It takes connections, and answers nobody.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let silent = format!("http://{}/", silent.local_addr().expect("an address"));

    let mut up = home.command(&["up", "--listen", "127.0.0.1:0", "--data"]);
    up.arg(&data).env("BLITZ_LOG", "trace").stderr(Stdio::from(File::create(&log).expect("a log")));
    let mut up = up.spawn().expect("blitz up starts");
    let mut talk = BufReader::new(up.stdout.take().expect("a pipe")).lines();
    while let Some(line) = talk.next_line().await.expect("text") {
        if line.contains("^C ends it") {
            break;
        }
    }
    let state =
        fs::read_to_string(home.path().join(".local/state/blitz/up.json")).expect("a state");
    let state: Value = serde_json::from_str(&state).expect("JSON");
    let api = Api::new(
        state["gateway"].as_str().expect("a URL"),
        state["token"].as_str().expect("a token"),
    );

    let secret = &canary.text;
    let (user, header) = (format!("me:{secret}"), format!("X-Api-Key: {secret}"));
    let (bearer, cookie) = (format!("Authorization: Bearer {secret}"), format!("sid={secret}"));
    let address = web.address.to_string();
    let (within, url) = (format!("http://me:{secret}@{address}/"), web.url("/"));
    let all = ["-u", &user, "-H", &header, "-b", &cookie, "-A", PLAIN];
    for (words, code) in [
        (with_all(&["-v", &url], &all), 0),
        (with_all(&["--json", &url], &all), 0),
        (with_all(&["--ndjson", &url], &all), 0),
        (with_all(&["--table", &url], &all), 0),
        (vec!["curl", "-v", "-H", &bearer, "-e", &within, &url], 0),
        (vec!["curl", "-v", &within], 0),
        (vec!["curl", "--oauth2-bearer", secret, "--timing", &url], 0),
        // They fail, each in its own way.
        (with_all(&["-v", "http://127.0.0.1:1/"], &all), 7),
        (with_all(&["-v", "--timeout", "1s", &silent], &all), 121),
        (with_all(&["-r", "nowhere", &url], &all), 2),
        (with_all(&["-m", "soon", &url], &all), 2),
        (with_all(&["--nope", &url], &all), 2),
        (with_all(&[&url, "--resolve", "x"], &all), 49),
        (vec!["curl", "-H", "Authorization\u{1}: x", "-H", &bearer, &url], 2),
        // Load.
        (vec!["rush", "-r", "local", "-u", &user, "-b", &cookie, "-H", &header, &url], 0),
        (vec!["rush", "-r", "local", "--json", "-H", &bearer, &url], 0),
        (vec!["rush", "-r", "local", &within], 2),
        (vec!["rush", "-r", "local", "-u", &user, "http://192.0.2.1/"], 122),
    ] {
        let outcome = run(&home, &canary, &words).await;
        let is_right = outcome.code == Some(code) || (code == 0 && outcome.code == Some(3));
        assert!(is_right, "{words:?} ended with {:?}, not {code}: {outcome:?}", outcome.code);
    }
    let reached = web.requests().join("\n");
    assert!(reached.contains(secret.as_str()), "the target got it: {reached}");
    assert!(reached.contains(&STANDARD.encode(&user)), "and as Basic authentication: {reached}");

    // By the API: what is refused, cancelled, listed and followed.
    let ask = |more: Value| {
        let mut request =
            json!({"plugin": "curl", "args": ["-u", user, silent], "regions": ["local"]});
        request
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().cloned().unwrap_or_default());
        request
    };
    for (more, status) in [
        (json!({"args": ["-u", user, "a", secret]}), 422),
        (json!({"args": [format!("--usr:{secret}"), "a"]}), 422),
        (json!({"args": ["-u", user, "-m", secret, "a"]}), 422),
        (json!({"args": secret}), 400),
        (json!({"args": [{"user": secret}]}), 400),
        (json!({"regions": ["nowhere"]}), 404),
        (json!({"version": "9.9.9"}), 404),
        (
            json!({"plugin": "rush", "args": ["-u", user, format!("http://me:{secret}@192.0.2.1/")]}),
            403,
        ),
    ] {
        let (answered, body) = api.call("POST", "/v1/jobs", Some(&ask(more))).await;
        assert_eq!(answered.as_u16(), status, "{body}");
        canary.assert_not_in("an error", body.to_string().as_bytes());
    }
    let job = api.submit_with(ask(json!({}))).await;
    until("the job runs", || async {
        let job = api.get(&format!("/v1/jobs/{job}")).await;
        (job["state"] == "claimed").then_some(())
    })
    .await;
    let (status, _) = api.call("DELETE", &format!("/v1/jobs/{job}"), None).await;
    assert_eq!(status.as_u16(), 202);
    let events = api.follow(&job).await;
    assert_eq!(events.last().map(|end| end.data["state"].clone()), Some(json!("cancelled")));
    canary.assert_not_in("events", format!("{events:?}").as_bytes());
    let listed = api.get("/v1/jobs?last=100").await.to_string();
    canary.assert_not_in("/v1/jobs", listed.as_bytes());
    assert!(listed.contains(PLAIN) && listed.contains("X-Api-Key: ***"), "{listed}");
    for words in [&["jobs"][..], &["jobs", "--json"], &["job", &job], &["job", &job, "--json"]] {
        run(&home, &canary, words).await;
    }

    // A region without a key takes no secrets, and says what to do.
    let key = api.get("/v1/regions").await;
    canary.assert_not_in("/v1/regions", key.to_string().as_bytes());
    let keys = fs::read_to_string(data.join("region.keys")).expect("the region's keys");
    let id = keys.lines().find(|line| line.starts_with("local ")).expect("a key");
    let id = id.split(' ').nth(1).expect("its id").to_owned();
    let private =
        keys.lines().last().and_then(|line| line.split(' ').nth(2)).expect("a key").to_owned();
    assert_eq!(
        run(&home, &canary, &["region", "key", "local", "--retire", &id]).await.code,
        Some(0)
    );
    let refused = async || {
        let outcome = run(&home, &canary, &with_all(&[&url], &all)).await;
        (outcome.code == Some(2) && outcome.stderr.contains("no key to seal it to"))
            .then_some(outcome)
    };
    let refused = until("the gateway hears of it", refused).await;
    for part in ["option --user has a secret", "blitz region key local"] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    assert_eq!(run(&home, &canary, &["curl", &url]).await.code, Some(0), "others run there");

    let store = state["store"].as_str().expect("a URL").trim_start_matches("http://").to_owned();
    let name = state["store_admin"].as_str().expect("a name");
    let password = state["store_password"].as_str().expect("a password");
    let store = Client::new(format!("http://{name}:{password}@{store}")).expect("a URL");
    let stored = documents(&store).await;
    assert!(stored.iter().any(|(_, text)| text.contains(PLAIN) && text.contains("\"sealed\"")));
    for (place, text) in &stored {
        canary.assert_not_in(place, text.as_bytes());
        assert!(!text.contains(&private), "{place} has the region's private key");
    }
    send_signal(up.id().expect("it runs"), "TERM").await;
    assert_eq!(up.wait().await.expect("its end").code(), Some(0));
    let files = files(home.path());
    assert!(files.iter().any(|(path, bytes)| path.contains("/data/") && has(bytes, PLAIN)));
    assert!(files.iter().any(|(path, bytes)| path.ends_with("log-of-up") && has(bytes, "TRACE")));
    for (path, bytes) in &files {
        canary.assert_not_in(path, bytes);
        let is_key = path.ends_with("region.keys");
        assert!(is_key == has(bytes, &private), "the region's private key in {path}");
    }
}

#[tokio::test]
async fn who_takes_a_job_over_opens_its_secrets_too() {
    let (stack, canary, witness) =
        (Stack::start(&["japan"]).await, Canary::new(), Witness::start().await);
    stack
        .publish("discreet", |manifest| {
            let word = manifest.arguments.iter_mut().find(|argument| argument.name == "WORD");
            word.expect("the words of the fixture").kind = ArgumentKind::Secret;
        })
        .await;
    // It has no key, and lets others have what it cannot open.
    let _keyless = stack
        .engine_with(stack.region(), "e0", |config| config.region_keys = Default::default())
        .await;
    let first = stack.engine(stack.region(), "e1", 2).await;
    let [word, url] = witness.words();
    let args = json!([word, format!("{url}{}", canary.text)]);
    let request = json!({"plugin": "discreet", "args": args, "regions": [stack.region()]});
    let job = stack.api.submit_with(request).await;
    let mut seen = witness.begins().await;
    let _second = stack.engine(stack.region(), "e2", 2).await;
    first.kill().await;
    seen.stops().await;
    witness.begins().await.answer("from the second").await;
    let events = stack.api.follow(&job).await;
    assert_eq!(stream(&events, "stdout"), "200 OK\nfrom the second");
    let end = events.last().expect("an end");
    assert_eq!(end.data["engine"], "e2", "{end:?}");
    canary.assert_not_in("events", format!("{events:?}").as_bytes());
    for (place, text) in documents(&stack.store).await {
        canary.assert_not_in(&place, text.as_bytes());
    }
}

/// A command line of curl: its own words, and those of all.
fn with_all<'a>(more: &[&'a str], all: &[&'a str]) -> Vec<&'a str> {
    [&["curl"], more, all].concat()
}
