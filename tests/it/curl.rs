//! `blitz curl` as a person types it: the whole program, against servers on loopback.

use std::path::Path;

use blitz_tests::web::ok;
use blitz_tests::{Home, Web};

fn home() -> Home {
    Home::new(Path::new(env!("CARGO_BIN_EXE_bench")))
}

fn answer(path: &str) -> Vec<u8> {
    match path {
        "/hello" => ok("hello\n"),
        "/missing" => b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nnone\n".to_vec(),
        "/moved" => b"HTTP/1.1 302 Found\r\nLocation: /hello\r\nContent-Length: 0\r\n\r\n".to_vec(),
        "/binary" => {
            let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 256\r\n\r\n".to_vec();
            answer.extend(0..=255);
            answer
        }
        "/silent" => Vec::new(),
        _ => ok("something\n"),
    }
}

#[tokio::test]
async fn one_command_with_nothing_started_before() {
    let (home, web) = (home(), Web::start(answer).await);
    let outcome = home.run(&["curl", "-r", "local", &web.url("/hello")]).await;
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), "hello\n"), "{outcome:?}");
    // No region is named: any will do.
    let outcome = home.run(&["curl", "-s", "-i", &web.url("/hello")]).await;
    assert!(outcome.stdout.starts_with("HTTP/1.1 200 OK\r\n"), "{outcome:?}");
    assert!(outcome.stdout.ends_with("\r\n\r\nhello\n"), "{outcome:?}");
}

#[tokio::test]
async fn failures_have_the_exit_codes_of_curl() {
    let (home, web) = (home(), Web::start(answer).await);
    let _up = home.up(&["--region", "local"]).await;
    let refused = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/", listener.local_addr().unwrap())
    };
    let (missing, silent) = (web.url("/missing"), web.url("/silent"));
    let tls = crate::tls::self_signed().await;
    let secure = format!("https://localhost:{}/", tls.port());
    let waits = crate::tls::accepts_and_waits().await;
    let slow = format!("http://{waits}/");
    for (args, code, says) in [
        (&["http://name.invalid/"][..], 6, "Could not resolve host: name.invalid"),
        (&[refused.as_str()], 7, "Failed to connect"),
        (&["http://[::1/"], 3, ""),
        (&["ftp://example.com/"], 1, "Protocol"),
        (&["-f", &missing], 22, "404"),
        (&["--max-time", "0.3", &slow], 28, "timed out"),
        (&[&silent], 52, "Empty reply from server"),
        (&[&secure], 60, "certificate"),
    ] {
        let args: Vec<&str> = ["curl"].iter().chain(args).copied().collect();
        let outcome = home.run(&args).await;
        assert_eq!(outcome.code, Some(code), "{args:?}: {outcome:?}");
        assert!(outcome.stderr.contains(says), "{args:?}: {outcome:?}");
    }
    let outcome = home.run(&["curl", "-k", &secure]).await;
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), "secure\n"), "{outcome:?}");
    let outcome = home.run(&["curl", &missing]).await;
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), "none\n"), "{outcome:?}");
}

#[tokio::test]
async fn files_and_stdin_are_those_of_the_users_machine() {
    let (home, web) = (home(), Web::start(answer).await);
    let _up = home.up(&["--region", "local"]).await;
    std::fs::write(home.path().join("body.json"), r#"{"a": 1}"#).unwrap();
    let url = web.url("/hello");
    let args = ["curl", "-s", "-o", "out", "-D", "head", "-d", "@body.json", &url];
    let outcome = home.run(&args).await;
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), ""), "{outcome:?}");
    let read = |name: &str| std::fs::read_to_string(home.path().join(name)).unwrap();
    assert_eq!(read("out"), "hello\n");
    assert!(read("head").starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(web.requests().pop().unwrap().ends_with(r#"{"a": 1}"#));

    let outcome = home.run_with_input(&["curl", "-s", "-d", "@-", &url], b"from stdin").await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(web.requests().pop().unwrap().ends_with("from stdin"));

    let outcome = home.run(&["curl", "-s", "-F", "file=@body.json;type=text/plain", &url]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let request = web.requests().pop().unwrap();
    assert!(request.contains("multipart/form-data; boundary="), "{request}");
    assert!(request.contains("filename=\"body.json\""), "{request}");

    let outcome = home.run(&["curl", "-d", "@absent", &url]).await;
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("absent"), "{outcome:?}");
}

#[tokio::test]
async fn bytes_arrive_as_they_were_and_redirects_are_followed() {
    let (home, web) = (home(), Web::start(answer).await);
    let _up = home.up(&["--region", "local"]).await;
    let outcome = home.run(&["curl", "-s", "-o", "bytes", &web.url("/binary")]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let bytes = std::fs::read(home.path().join("bytes")).unwrap();
    assert_eq!(bytes, Vec::from_iter(0..=255u8));
    let format = "%{http_code} %{num_redirects} %{url_effective}\\n";
    let moved = web.url("/moved");
    let outcome = home.run(&["curl", "-sL", "-o", "/dev/null", "-w", format, &moved]).await;
    assert_eq!(outcome.stdout, format!("200 1 {}\n", web.url("/hello")), "{outcome:?}");
}

#[tokio::test]
async fn an_option_that_is_not_supported_is_refused_by_name() {
    let home = home();
    let outcome = home.run(&["curl", "--proxy", "http://p/", "http://127.0.0.1/"]).await;
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("--proxy is not supported"), "{outcome:?}");
    let outcome = home.run(&["curl", "--json", "{}", "http://127.0.0.1/"]).await;
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("the one of curl goes behind '--'"), "{outcome:?}");
}
