//! `blitz couchdb`: a store for whoever speaks CouchDB, from the shell.

use std::path::Path;

use blitz_tests::Home;
use blitz_tests::program::send_signal;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

fn home() -> Home {
    Home::new(Path::new(env!("CARGO_BIN_EXE_bench")))
}

/// The first line of the answer and its body.
async fn get(url: &str, path: &str, headers: &str) -> String {
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn it_says_its_address_and_ends_in_order() {
    let home = home();
    for (signal, admin) in [("INT", None), ("TERM", Some("root:secret"))] {
        let mut command = home.command(&["couchdb", "--data", "d", "--listen", "127.0.0.1:0"]);
        if let Some(admin) = admin {
            command.env("BLITZ_COUCHDB_ADMIN", admin);
        }
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines.next_line().await.unwrap().unwrap();
        assert!(url.starts_with("http://127.0.0.1:"), "{url}");
        let anonymous = get(&url, "/_all_dbs", "").await;
        let wanted = if admin.is_some() { "HTTP/1.1 401 " } else { "HTTP/1.1 200 " };
        assert!(anonymous.starts_with(wanted), "{anonymous}");
        if admin.is_some() {
            let known = get(&url, "/_all_dbs", "Authorization: Basic cm9vdDpzZWNyZXQ=\r\n").await;
            assert!(known.contains("[\"_replicator\",\"_users\"]"), "{known}");
        }
        send_signal(child.id().unwrap(), signal).await;
        assert_eq!(child.wait().await.unwrap().code(), Some(0), "{signal}");
    }
}

#[tokio::test]
async fn what_is_wrong_says_the_next_step() {
    let home = home();
    std::fs::write(home.path().join("bad"), "root\n").unwrap();
    std::fs::write(home.path().join("key"), "no key\n").unwrap();
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    for (args, code, says) in [
        (&["--data", "d", "--listen", "0.0.0.0:0"][..], 2, "--admin-file"),
        (&["--data", "d", "--admin", "secret"], 2, "--admin has no administrator as NAME:PASSWORD"),
        (&["--data", "d", "--admin", ":x"], 2, "NAME:PASSWORD"),
        (&["--data", "d", "--admin-file", "missing"], 2, "'missing'"),
        (&["--data", "d", "--admin-file", "bad"], 2, "line 1 of 'bad'"),
        (&["--data", "d", "--token-key", "rsa:k=key"], 2, "BEGIN PUBLIC KEY"),
        (&["--data", "d", "--token-key", "none:k=key"], 2, "hmac:KID=FILE"),
        (&["--data", "d", "--listen", &taken], 1, "--listen"),
        (&["--data", "bad/d", "--listen", "127.0.0.1:0"], 1, "bad"),
        (&[], 2, "--data"),
    ] {
        let args: Vec<&str> = ["couchdb"].iter().chain(args).copied().collect();
        let outcome = home.run(&args).await;
        assert_eq!(outcome.code, Some(code), "{args:?}: {outcome:?}");
        assert!(outcome.stderr.contains(says), "{args:?}: {outcome:?}");
        assert!(!outcome.stderr.contains("secret"), "{args:?}: {outcome:?}");
    }
    // A secret that got lost must not open the server.
    let mut command = home.command(&["couchdb", "--data", "d", "--listen", "127.0.0.1:0"]);
    let outcome = command.env("BLITZ_COUCHDB_ADMIN", "").output().await.unwrap();
    assert_eq!(outcome.status.code(), Some(2), "{outcome:?}");
    assert!(String::from_utf8_lossy(&outcome.stderr).contains("BLITZ_COUCHDB_ADMIN"));
}

#[tokio::test]
async fn one_directory_has_one_server() {
    let home = home();
    let args = ["couchdb", "--data", "d", "--listen", "127.0.0.1:0"];
    let mut first = home.command(&args).spawn().unwrap();
    let mut lines = BufReader::new(first.stdout.take().unwrap()).lines();
    lines.next_line().await.unwrap().unwrap();
    let second = home.run(&args).await;
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains("give another directory"), "{second:?}");
    send_signal(first.id().unwrap(), "TERM").await;
    assert_eq!(first.wait().await.unwrap().code(), Some(0));
}
