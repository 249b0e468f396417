//! What guests reach by the sockets and the HTTP of WASI, as the standard libraries of many languages do: in this
//! process, on loopback, by the commands of the plugin `fixture`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use blitz_contract::{Capability, Exit, Limits};
use blitz_runtime::{Invocation, Plugin, Runtime, RuntimeConfig, TargetPolicy};
use blitz_tests::FIXTURE;
use blitz_tests::printed::{self, Printed};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How a run ended, and what it wrote.
#[derive(Debug, PartialEq, Eq)]
struct Ended {
    exit: Exit,
    stdout: String,
    stderr: String,
}

impl Ended {
    /// Whether it failed, and both lines are on stderr: the guest's code and the host's reason.
    fn says(&self, code: &str, reason: &str) -> bool {
        let reason = format!("blitz: {reason}");
        self.exit == Exit::Status(1)
            && self.stderr.contains(code)
            && self.stderr.lines().any(|line| line.starts_with(&reason))
    }
}

async fn fixture(targets: TargetPolicy) -> Plugin {
    let runtime = Runtime::new(RuntimeConfig { targets, ..RuntimeConfig::default() });
    let sha256 = blitz_jobs::plugin::sha256(FIXTURE);
    let runtime = runtime.expect("a runtime");
    runtime.load(Bytes::from_static(FIXTURE), &sha256).await.expect("the fixture")
}

const ALL: &[Capability] = &[Capability::Web, Capability::Sockets];

async fn run_with(
    plugin: &Plugin,
    capabilities: &[Capability],
    limits: Limits,
    args: &[&str],
) -> Ended {
    let (output, frames) = mpsc::channel(8);
    let invocation = Invocation {
        args: args.iter().map(|word| (*word).to_owned()).collect(),
        region: "testing".to_owned(),
        deadline: Duration::from_secs(30),
        limits,
        capabilities: capabilities.to_vec(),
        inputs: BTreeMap::new(),
        output,
        cancel: CancellationToken::new(),
        tape: blitz_runtime::Tape::Live,
        targets: Vec::new(),
        load: Default::default(),
    };
    let Printed { exit, stdout, stderr } = printed::run(plugin, invocation, frames).await;
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ended { exit, stdout: text(stdout), stderr: text(stderr) }
}

async fn run(plugin: &Plugin, args: &[&str]) -> Ended {
    run_with(plugin, ALL, Limits::default(), args).await
}

/// A server that answers every connection with the given bytes, once it has read `wanted` or the end.
async fn server(wanted: &'static str, answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut read = Vec::new();
                while !String::from_utf8_lossy(&read).contains(wanted) {
                    match stream.read_buf(&mut read).await {
                        Ok(0) | Err(_) => break,
                        Ok(_) => {}
                    }
                }
                stream.write_all(&answer).await.ok();
            });
        }
    });
    address
}

async fn echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut datagram = vec![0; 2048];
        while let Ok((length, sender)) = socket.recv_from(&mut datagram).await {
            socket.send_to(&datagram[..length], sender).await.ok();
        }
    });
    address
}

fn port(address: SocketAddr) -> String {
    address.port().to_string()
}

#[tokio::test]
async fn standard_sockets_reach_what_the_policy_allows() {
    let plugin = fixture(TargetPolicy::any()).await;
    let tcp = server("hello", "and back").await;
    let ended = run(&plugin, &["tcp", "127.0.0.1", &port(tcp), "hello"]).await;
    assert_eq!((&ended.exit, &*ended.stdout), (&Exit::Status(0), "and back"), "{ended:?}");
    let ended = run(&plugin, &["tcp", "localhost", &port(tcp), "hello"]).await;
    assert_eq!((&ended.exit, &*ended.stdout), (&Exit::Status(0), "and back"), "{ended:?}");
    // Far more than the kernel takes at once.
    let large = server("hello", vec![b'x'; 8 * 1024 * 1024]).await;
    let ended = run(&plugin, &["tcp", "127.0.0.1", &port(large), "hello"]).await;
    assert_eq!((ended.exit, ended.stdout.len()), (Exit::Status(0), 8 * 1024 * 1024));
    let udp = echo().await;
    for command in ["udp", "udp-connected"] {
        let ended = run(&plugin, &[command, "127.0.0.1", &port(udp), "ping"]).await;
        let wanted = format!("ping from {udp}\n");
        assert_eq!((&ended.exit, &ended.stdout), (&Exit::Status(0), &wanted), "{ended:?}");
    }
    let ended = run(&plugin, &["resolve", "localhost"]).await;
    assert!(ended.stdout.lines().any(|line| line == "127.0.0.1"), "{ended:?}");
    let ended = run(&plugin, &["resolve", "name.invalid"]).await;
    assert_eq!(ended.exit, Exit::Status(1), "{ended:?}");
}

#[tokio::test]
async fn errors_of_connections_have_their_codes() {
    let plugin = fixture(TargetPolicy::any()).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr();
    let closed = port(closed.expect("an address"));
    let ended = run(&plugin, &["tcp", "127.0.0.1", &closed, "x"]).await;
    assert!(ended.stderr.contains("Connection refused"), "{ended:?}");
    let ended = run(&plugin, &["fetch", &format!("http://127.0.0.1:{closed}/")]).await;
    assert!(ended.stderr.contains("ConnectionRefused"), "{ended:?}");
    for command in ["udp", "udp-connected"] {
        let ended = run(&plugin, &[command, "127.0.0.1", &closed, "x"]).await;
        assert!(ended.stderr.contains("Connection refused"), "{ended:?}");
    }
    let ended = run(&plugin, &["fetch", "http://name.invalid/"]).await;
    assert!(ended.stderr.contains("DnsError"), "{ended:?}");
    let garbage = server("\r\n\r\n", "SSH-2.0-OpenSSH\r\n").await;
    let ended = run(&plugin, &["fetch", &format!("http://{garbage}/")]).await;
    assert!(ended.stderr.contains("HttpProtocolError"), "{ended:?}");
    let silent = server("never", "").await;
    let ended = run(&plugin, &["fetch", &format!("http://{silent}/"), "body", "100"]).await;
    assert!(ended.stderr.contains("ConnectionReadTimeout"), "{ended:?}");
    let plain = server("\n", "not TLS\r\n").await;
    let ended = run(&plugin, &["fetch", &format!("https://{plain}/")]).await;
    assert!(ended.stderr.contains("TlsProtocolError"), "{ended:?}");
    let half = server("\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await;
    let ended = run(&plugin, &["fetch", &format!("http://{half}/")]).await;
    assert_eq!((ended.exit, &*ended.stdout), (Exit::Status(1), "200\nhalf"), "{}", ended.stderr);
}

/// With a time limit the standard library calls every connection of this target a success; the SDK does not.
#[tokio::test]
async fn the_sdk_connects_or_says_why_not() {
    let plugin = fixture(TargetPolicy::any()).await;
    let open = server("x", "").await;
    let ended = run(&plugin, &["reach", "localhost", &port(open), "20000"]).await;
    let wanted = format!("reached {open}\n");
    assert_eq!((&ended.exit, &ended.stdout), (&Exit::Status(0), &wanted), "{ended:?}");
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr();
    let closed = port(closed.expect("an address"));
    let ended = run(&plugin, &["reach", "127.0.0.1", &closed, "20000"]).await;
    assert_eq!((&ended.exit, &*ended.stdout), (&Exit::Status(1), ""), "{ended:?}");
    assert!(ended.stderr.contains("Connection refused"), "{ended:?}");
    // Its queue has one place, which is taken: the kernel passes over who comes next.
    let full = TcpSocket::new_v4().expect("a socket");
    full.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let full = full.listen(0).expect("a listener");
    let address = full.local_addr().expect("an address");
    let _taken = TcpStream::connect(address).await.expect("a connection");
    let ended = run(&plugin, &["reach", "127.0.0.1", &port(address), "100"]).await;
    assert_eq!((&ended.exit, &*ended.stdout), (&Exit::Status(1), ""), "{ended:?}");
    assert!(ended.stderr.contains("timed out"), "{ended:?}");
    let denying = fixture(TargetPolicy::public_only()).await;
    for (plugin, rights, says) in [
        (&denying, ALL, "the engine's target policy refuses the address"),
        (&plugin, &[], "the grant \"sockets\" is missing"),
    ] {
        let args = ["reach", "127.0.0.1", &port(open), "20000"];
        let ended = run_with(plugin, rights, Limits::default(), &args).await;
        assert_eq!((&ended.exit, &*ended.stdout), (&Exit::Status(1), ""), "{ended:?}");
        assert!(ended.stderr.contains(says), "{ended:?}");
    }
}

#[tokio::test]
async fn what_the_policy_refuses_is_told_with_its_reason() {
    let plugin = fixture(TargetPolicy::public_only()).await;
    let address = server("x", "reached").await;
    let (port, url) = (port(address), format!("http://{address}/"));
    for args in [
        &["tcp", "127.0.0.1", &port, "x"][..],
        &["tcp", "127.1", &port, "x"],
        &["tcp", "0x7f000001", &port, "x"],
        &["udp", "127.0.0.1", &port, "x"],
        &["udp-connected", "127.0.0.1", &port, "x"],
        &["hold", "127.0.0.1", &port, "2"],
    ] {
        let ended = run(&plugin, args).await;
        let reason = "127.0.0.1 is loopback (policy public-only)";
        assert!(ended.says("Permission denied", reason), "{args:?} {ended:?}");
        assert_eq!(ended.stderr.matches("blitz: ").count(), 1, "once: {ended:?}");
    }
    let ended = run(&plugin, &["tcp", "localhost", &port, "x"]).await;
    let name = "localhost: ";
    assert!(ended.says("Permission denied", name), "{ended:?}");
    let ended = run(&plugin, &["fetch", &url]).await;
    assert!(ended.says("HttpRequestDenied", "127.0.0.1 is loopback"), "{ended:?}");
    let ended = run(&plugin, &["udp", "224.0.0.1", "5353", "x"]).await;
    assert!(ended.says("Permission denied", "224.0.0.1 is multicast"), "{ended:?}");
    // Without the reason there is no line: a run that ends well says nothing.
    let ended = run(&plugin, &["noop"]).await;
    assert_eq!(ended.stderr, "");
}

#[tokio::test]
async fn rules_with_a_name_hold_for_the_addresses_it_gave() {
    let address = server("x", "reached").await;
    let port = port(address);
    let rule = |text: &str| text.parse().expect("a rule");
    let closed = TargetPolicy::any().deny(rule("localhost"));
    let closed = fixture(closed).await;
    let ended = run(&closed, &["tcp", "localhost", &port, "x"]).await;
    assert!(ended.says("Permission denied", "localhost: "), "{ended:?}");
    assert!(ended.stderr.contains("denied by the rule localhost"), "{ended:?}");
    let ended = run(&closed, &["tcp", "127.0.0.1", &port, "x"]).await;
    assert_eq!(ended.stdout, "reached", "the name is closed, not its address: {ended:?}");
}

#[tokio::test]
async fn groups_and_listening_are_refused_by_every_policy() {
    let plugin = fixture(TargetPolicy::any()).await;
    for address in ["224.0.0.1", "239.255.255.250", "255.255.255.255", "ff02::1"] {
        for command in ["udp", "udp-connected", "tcp"] {
            let ended = run(&plugin, &[command, address, "5353", "x"]).await;
            assert_eq!((ended.exit, &*ended.stdout), (Exit::Status(1), ""), "{command} {address}");
        }
    }
    for (address, port) in [("0.0.0.0", "0"), ("127.0.0.1", "0"), ("0.0.0.0", "8080")] {
        let ended = run(&plugin, &["listen", address, port]).await;
        assert_eq!((&ended.exit, &*ended.stdout), (&Exit::Status(1), ""), "{ended:?}");
        assert!(ended.stderr.contains("Permission denied"), "{ended:?}");
    }
}

#[tokio::test]
async fn sockets_are_counted() {
    let plugin = fixture(TargetPolicy::any()).await;
    let address = server("never", "").await;
    let limits = || Limits { sockets: Some(3), ..Limits::default() };
    let three = ["hold", "127.0.0.1", &port(address), "3"];
    let ended = run_with(&plugin, ALL, limits(), &three).await;
    assert_eq!((&ended.exit, &*ended.stdout), (&Exit::Status(0), "held 3\n"), "{ended:?}");
    let four = ["hold", "127.0.0.1", &port(address), "4"];
    let ended = run_with(&plugin, ALL, limits(), &four).await;
    assert!(ended.says("", "a run of this plugin holds at most 3 sockets open"), "{ended:?}");
}

#[tokio::test]
async fn without_the_grants_nothing_is_reached_and_the_rest_runs() {
    let plugin = fixture(TargetPolicy::any()).await;
    let address = server("x", "reached").await;
    let (port, url) = (port(address), format!("http://{address}/"));
    let none = async |args: &[&str]| run_with(&plugin, &[], Limits::default(), args).await;
    // It imports all of these interfaces.
    assert_eq!(none(&["echo", "hi"]).await.stdout, "hi\n");
    for args in [
        &["tcp", "127.0.0.1", &port, "x"][..],
        &["udp", "127.0.0.1", &port, "x"],
        &["resolve", "localhost"],
        &["listen", "0.0.0.0", "0"],
    ] {
        let ended = none(args).await;
        assert!(ended.says("", "the job has no grant \"sockets\""), "{args:?} {ended:?}");
        assert_eq!(ended.stdout, "");
    }
    let ended = none(&["fetch", &url]).await;
    assert!(ended.says("HttpRequestDenied", "the job has no grant \"web\""), "{ended:?}");
    // Each opens its own.
    for (grant, args) in
        [(Capability::Web, ["resolve", "localhost"]), (Capability::Sockets, ["fetch", &url])]
    {
        let ended = run_with(&plugin, &[grant], Limits::default(), &args).await;
        assert_eq!((&ended.exit, &*ended.stdout), (&Exit::Status(1), ""), "{ended:?}");
    }
}

#[tokio::test]
async fn wasi_http_makes_whole_exchanges() {
    let plugin = fixture(TargetPolicy::any()).await;
    let plain = server("\r\n\r\n", "HTTP/1.1 203 Fine\r\nContent-Length: 4\r\n\r\nbody").await;
    let ended = run(&plugin, &["fetch", &format!("http://{plain}/path?query")]).await;
    assert_eq!((&ended.exit, &*ended.stdout), (&Exit::Status(0), "203\nbody"), "{ended:?}");
    let posted = server(
        "the words",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n\
         5\r\nfirst\r\n6\r\n, last\r\n0\r\nX-Sum: 11\r\n\r\n",
    )
    .await;
    let ended = run(&plugin, &["fetch", &format!("http://{posted}/"), "the words"]).await;
    let wanted = "200\nfirst, lastx-sum: 11\n";
    assert_eq!((&ended.exit, &*ended.stdout), (&Exit::Status(0), wanted), "{ended:?}");
    let mut large = b"HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n".to_vec();
    large.resize(large.len() + 8_388_608, b'x');
    let large = server("\r\n\r\n", large).await;
    let ended = run(&plugin, &["fetch", &format!("http://{large}/")]).await;
    assert_eq!((ended.exit, ended.stdout.len()), (Exit::Status(0), 8_388_608 + 4));
}
