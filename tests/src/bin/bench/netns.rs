//! What tests run inside of network namespaces. Not for people: no help names it.
//!
//! As a program and not in the test's own process, because a thread enters a namespace only with `unsafe`.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use blitz_tests::net::guests;
use blitz_tests::net::path::{forger, labels, wire};
use blitz_tests::net::server::{Plan, serve};
use tokio::net::{TcpStream, UdpSocket};

use crate::parts;
use crate::sample::say;

/// A SYN has left long before.
const CONNECT_LIMIT: Duration = Duration::from_millis(500);

/// Serves what the words say until standard input ends.
pub(crate) fn server(words: &[String]) -> ExitCode {
    let Some(plan) = Plan::from_words(words) else {
        say(&format!("bench: no plan of servers: {words:?}"));
        return ExitCode::from(2);
    };
    block_on(async {
        match serve(plan).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                say(&format!("bench: {error}"));
                ExitCode::FAILURE
            }
        }
    })
}

/// Is the link that takes time of a path, until standard input ends.
pub(crate) fn wire(words: &[String]) -> ExitCode {
    block_on(async { ended(wire::serve(words).await) })
}

/// Is a router that lies to this source, until standard input ends.
pub(crate) fn forger(words: &[String]) -> ExitCode {
    match addresses(words)[..] {
        [source] => ended(forger::serve(source)),
        _ => refused(words),
    }
}

/// Is a router that tells this source about labels, from this address, until standard input ends.
pub(crate) fn labels(words: &[String]) -> ExitCode {
    match addresses(words)[..] {
        [source, own] => ended(labels::serve(source, own)),
        _ => refused(words),
    }
}

fn addresses(words: &[String]) -> Vec<Ipv4Addr> {
    words.iter().filter_map(|word| word.parse().ok()).collect()
}

fn refused(words: &[String]) -> ExitCode {
    say(&format!("bench: not the addresses of a router: {words:?}"));
    ExitCode::from(2)
}

fn ended(result: std::io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("bench: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs the guests of a plan, which is in this file.
pub(crate) fn guests(words: &[String]) -> ExitCode {
    let plan = words.first().ok_or_else(|| std::io::Error::other("name a file"));
    let plan = plan.and_then(std::fs::read).and_then(|text| Ok(serde_json::from_slice(&text)?));
    let plan: guests::Plan = match plan {
        Ok(plan) => plan,
        Err(error) => {
            say(&format!("bench: no plan of guests: {words:?}: {error}"));
            return ExitCode::from(2);
        }
    };
    block_on(async {
        match guests::run(plan, |line| say(&line)).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                say(&format!("bench: {error}"));
                ExitCode::FAILURE
            }
        }
    })
}

/// Sends a datagram and opens a connection to each address, whoever may answer.
pub(crate) fn probe(words: &[String]) -> ExitCode {
    block_on(async {
        for address in words.iter().filter_map(|word| word.parse::<SocketAddr>().ok()) {
            let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            if let Ok(socket) = UdpSocket::bind(any).await {
                socket.send_to(b"probe", address).await.ok();
            }
            let connected = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address)).await;
            say(&format!("probe {address} {}", matches!(connected, Ok(Ok(_)))));
        }
        ExitCode::SUCCESS
    })
}

fn block_on(runs: impl Future<Output = ExitCode>) -> ExitCode {
    parts::block_on(&mut tokio::runtime::Builder::new_current_thread(), runs)
}
