//! Who a client is: names, cookies and tokens, as friends and attackers send them.

use crate::client::{Connection, Server};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use blitz_embedded::{Admin, Options, Storage, TokenAlgorithm, TokenKey};
use serde_json::json;

pub(crate) fn options() -> Options {
    let admin = Admin { name: String::from("root"), password: String::from("pw") };
    let key = TokenKey {
        id: String::from("_default"),
        algorithm: TokenAlgorithm::Hmac,
        key: b"secret".to_vec(),
    };
    Options { admins: vec![admin], token_keys: vec![key], ..Options::default() }
}

pub(crate) fn basic(pair: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(pair))
}

/// Status, head and body.
pub(crate) async fn ask(
    server: &Server,
    line: &str,
    headers: &str,
    body: &str,
) -> (u16, String, String) {
    let mut connection = Connection::open(server.address).await;
    connection.send(line, headers, body).await;
    let (status, head, body) = connection.whole().await;
    (status, head, String::from_utf8(body).unwrap())
}

pub(crate) async fn add_user(server: &Server, name: &str, password: &str, roles: &[&str]) {
    let body = json!({"name": name, "password": password, "roles": roles, "type": "user"});
    let line = format!("PUT /_users/org.couchdb.user:{name}");
    let (status, _, said) = ask(server, &line, &basic("root:pw"), &body.to_string()).await;
    assert_eq!(status, 201, "{said}");
}

/// The cookie of a login, as a client sends it back.
async fn login(server: &Server, name: &str, password: &str) -> String {
    let body = json!({"name": name, "password": password}).to_string();
    let (status, head, said) = ask(server, "POST /_session", "", &body).await;
    assert_eq!(status, 200, "{said}");
    let cookie = head.split("AuthSession=").nth(1).unwrap().split(';').next().unwrap();
    cookie.to_owned()
}

async fn name_by(server: &Server, headers: &str) -> String {
    let (status, _, said) = ask(server, "GET /_session", headers, "").await;
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    match status {
        200 => json["userCtx"]["name"].as_str().unwrap_or("nobody").to_owned(),
        _ => format!("{status} {}", json["reason"].as_str().unwrap()),
    }
}

#[tokio::test]
async fn headers_that_do_not_prove_a_name_prove_nothing() {
    let server = Server::start(Storage::Memory, options()).await;
    let two = format!("{}{}", basic("root:pw"), basic("a:b"));
    let long = "a".repeat(1 << 20);
    for (headers, wanted) in [
        (basic("root:pw"), "root"),
        (basic("root:p"), "401 Name or password is incorrect."),
        (basic("root\0:pw"), "401 Name or password is incorrect."),
        (basic("Root:pw"), "401 Name or password is incorrect."),
        (basic("root"), "nobody"),
        (basic("_:_"), "nobody"),
        (two, "400 a request has one Authorization header at most"),
        (
            String::from("Authorization: Basic rubbish\r\n"),
            "400 Authorization header has invalid base64 value",
        ),
        (String::from("Authorization: Bearer rubbish\r\n"), "400 Malformed token"),
        (format!("Authorization: Bearer {}\r\n", &long[..100_000]), "400 Malformed token"),
        (String::from("Authorization: Negotiate abc\r\n"), "nobody"),
        (
            String::from("Cookie: AuthSession=rubbish\r\n"),
            "400 Malformed AuthSession cookie. Please clear your cookies.",
        ),
        (String::from("Cookie: AuthSession=\r\n"), "nobody"),
        (format!("Cookie: AuthSession={}\r\n", STANDARD.encode("root:6B014F2D:xxxx")), "nobody"),
        (
            String::from("X-Auth-CouchDB-UserName: root\r\nX-Auth-CouchDB-Roles: _admin\r\n"),
            "nobody",
        ),
    ] {
        assert_eq!(name_by(&server, &headers).await, wanted, "{headers:.80}");
    }
    // A megabyte is more than the head of a request may have.
    let mut connection = Connection::open(server.address).await;
    let headers = format!("Authorization: Bearer {long}\r\n");
    connection.send("GET /_session", &headers, "").await;
    assert_eq!(connection.head().await.0, 431);
    server.stop().await;
}

#[tokio::test]
async fn a_cookie_lives_over_a_restart_and_dies_with_the_password() {
    let directory = tempfile::tempdir().unwrap();
    let storage = || Storage::Directory(directory.path().to_owned());
    let server = Server::start(storage(), options()).await;
    add_user(&server, "ann", "first", &["engine"]).await;
    let (ann, root) = (login(&server, "ann", "first").await, login(&server, "root", "pw").await);
    server.stop().await;

    let server = Server::start(storage(), options()).await;
    let sent = |cookie: &str| format!("Cookie: a=b; AuthSession={cookie}\r\n");
    assert_eq!(name_by(&server, &sent(&ann)).await, "ann");
    assert_eq!(name_by(&server, &sent(&root)).await, "root");
    for end in [ann.len() - 1, ann.len() - 4, ann.len() / 2] {
        assert_ne!(name_by(&server, &sent(&ann[..end])).await, "ann", "{end}");
    }
    assert_ne!(name_by(&server, &sent(&format!("{ann}AAAA"))).await, "ann");
    let read = ask(&server, "GET /_users/org.couchdb.user:ann", &basic("root:pw"), "").await.2;
    let mut document: serde_json::Value = serde_json::from_str(&read).unwrap();
    assert!(document["salt"].is_string() && document.get("password").is_none(), "{document}");
    assert_eq!(document["iterations"], 600_000);
    document["password"] = json!("second");
    let line = "PUT /_users/org.couchdb.user:ann";
    let changed = ask(&server, line, &basic("root:pw"), &document.to_string()).await;
    assert_eq!(changed.0, 201, "{}", changed.2);
    assert_eq!(name_by(&server, &sent(&ann)).await, "nobody");
    assert_eq!(name_by(&server, &basic("ann:second")).await, "ann");
    let gone = ask(&server, "DELETE /_users", &basic("root:pw"), "").await;
    assert_eq!(gone.0, 200);
    assert!(name_by(&server, &basic("ann:second")).await.starts_with("401"));
    server.stop().await;
    // Another password of the administrator ends its sessions too.
    let mut other = options();
    other.admins[0].password = String::from("new");
    let server = Server::start(storage(), other).await;
    assert_eq!(name_by(&server, &sent(&root)).await, "nobody");
    server.stop().await;
}

#[tokio::test]
async fn a_password_is_hashed_once_and_then_known() {
    let server = Server::start(Storage::Memory, options()).await;
    add_user(&server, "ann", "pw", &[]).await;
    assert_eq!(name_by(&server, &basic("ann:pw")).await, "ann");
    let start = std::time::Instant::now();
    for _ in 0..100 {
        assert_eq!(name_by(&server, &basic("ann:pw")).await, "ann");
    }
    // One hash alone takes longer in this profile than all these requests.
    assert!(start.elapsed() < std::time::Duration::from_secs(2), "{:?}", start.elapsed());
    server.stop().await;
}

#[tokio::test]
async fn many_guesses_at_once_are_no_way_around_the_lock() {
    let server = Server::start(Storage::Memory, options()).await;
    let mut guesses = tokio::task::JoinSet::new();
    for guess in 0..24 {
        let address = server.address;
        guesses.spawn(async move {
            let mut connection = Connection::open(address).await;
            connection.send("GET /_session", &basic(&format!("root:{guess}")), "").await;
            connection.head().await.0
        });
    }
    let wrong = guesses.join_all().await.into_iter().filter(|status| *status == 401).count();
    assert!((5..=8).contains(&wrong), "{wrong} passwords were tried");
    assert!(name_by(&server, &basic("root:pw")).await.starts_with("403 Account is temporarily"));
    server.stop().await;
}

#[tokio::test]
async fn a_login_leads_to_no_other_server() {
    let server = Server::start(Storage::Memory, options()).await;
    let body = json!({"name": "root", "password": "pw"}).to_string();
    for (next, status, location) in [
        ("/x", 302, Some("Location: http://test/x")),
        ("//evil.example", 302, Some("Location: http://test//evil.example")),
        ("http://evil.example", 400, None),
        ("/a%0d%0aSet-Cookie:%20x=y", 400, None),
    ] {
        let (got, head, _) = ask(&server, &format!("POST /_session?next={next}"), "", &body).await;
        assert_eq!(got, status, "{next}");
        let found = head.lines().find(|line| line.to_ascii_lowercase().starts_with("location"));
        let wanted = location.map(str::to_ascii_lowercase);
        assert_eq!(found.map(str::to_ascii_lowercase), wanted, "{next}");
    }
    server.stop().await;
}
