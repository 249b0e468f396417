//! Sockets that the engine connects and gives away.

use std::time::Duration;

use blitz_contract::{Capability, Exit, Limits, Stream};
use blitz_runtime::{Runtime, RuntimeConfig, TargetPolicy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use crate::support::{config, hostile, invocation, load, run, runtime, simple, text};

#[tokio::test]
async fn a_socket_reaches_its_peer_and_no_other() {
    let runtime = runtime();
    let plugin = load(&runtime, hostile()).await;
    let right = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let wrong = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = |socket: &UdpSocket| socket.local_addr().unwrap().port().to_string();

    let args = ["ports", &port(&right), &port(&wrong)];
    let (mut sends, frames) = invocation(&args, 8);
    sends.capabilities = vec![Capability::Sockets];
    let (exit, frames) = run(&plugin, sends, frames).await;
    assert_eq!(exit, Exit::Status(0));
    assert_eq!(text(&frames, &Stream::Stdout), "send: OK\nsendto: EPERM\nreconnect: EPERM\n");

    let mut packet = [0; 16];
    let length = tokio::time::timeout(Duration::from_secs(10), right.recv(&mut packet)).await;
    assert_eq!(&packet[..length.unwrap().unwrap()], b"right");
    assert!(wrong.try_recv(&mut packet).is_err(), "a packet went elsewhere");

    // Without the grant, the refusal names it.
    let (_, frames) = simple(&plugin, &args).await;
    let denied = text(&frames, &Stream::Stdout);
    assert!(denied.starts_with("connect_udp: 1 ") && denied.contains("\"sockets\""), "{denied}");
}

#[tokio::test]
async fn the_target_policy_holds() {
    let public = RuntimeConfig { targets: TargetPolicy::public_only(), ..config() };
    let runtime = Runtime::new(public).unwrap();
    let plugin = load(&runtime, hostile()).await;
    let (mut sends, frames) = invocation(&["ports", "9", "9"], 8);
    sends.capabilities = vec![Capability::Sockets];
    let (_, frames) = run(&plugin, sends, frames).await;
    let denied = text(&frames, &Stream::Stdout);
    assert!(denied.starts_with("connect_udp: 1 ") && denied.contains("127.0.0.1"), "{denied}");
}

#[tokio::test]
async fn connections_work_and_are_bounded() {
    let runtime = runtime();
    let plugin = load(&runtime, hostile()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let echoing = async {
        let mut open = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut word = [0; 4];
            // One that was refused on the plugin's side is closed at once.
            if stream.read_exact(&mut word).await.is_ok() {
                stream.write_all(&word).await.unwrap();
            }
            open.push(stream);
        }
    };
    let (mut dials, frames) = invocation(&["dial", &port], 8);
    dials.capabilities = vec![Capability::Sockets];
    dials.limits = Limits { sockets: Some(20), ..Limits::default() };
    let (exit, frames) = tokio::select! {
        ended = run(&plugin, dials, frames) => ended,
        () = echoing => unreachable!("it echoes for ever"),
    };
    assert_eq!(exit, Exit::Status(0));
    let told = text(&frames, &Stream::Stdout);
    let (count, refusal) = told.split_once(' ').unwrap();
    assert!((20..40).contains(&count.parse::<u32>().unwrap()), "{told}");
    assert_eq!(refusal, "2 the run's limit of open sockets is reached; close one first\n");
}
