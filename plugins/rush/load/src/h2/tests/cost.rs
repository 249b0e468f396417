//! What a request costs: a measurement, run by hand in release, against a server that the environment names
//! (`LOAD_TARGET=127.0.0.1:1 LOAD_SCHEME=https LOAD_STREAMS=10 LOAD_CONNECTIONS=50 LOAD_REQUESTS=100000`).

use std::env;
use std::os::fd::OwnedFd;

use rustix::event::epoll;
use serde_json::json;

use super::{Driver, Happened, connect, handshake, script};
use crate::tls::Tls;
use crate::tls::tests::cost::cpu_ns;
use crate::tls::tests::work;

fn asked(name: &str, otherwise: &str) -> String {
    env::var(name).unwrap_or_else(|_| otherwise.to_owned())
}

#[test]
#[ignore = "a measurement"]
fn what_a_request_costs() {
    let (target, scheme) = (asked("LOAD_TARGET", ""), asked("LOAD_SCHEME", "http"));
    let streams: u32 = asked("LOAD_STREAMS", "1").parse().unwrap();
    let connections: u64 = asked("LOAD_CONNECTIONS", "50").parse().unwrap();
    let mut left: u64 = asked("LOAD_REQUESTS", "100000").parse().unwrap();
    let requests = left;
    let tls = (scheme == "https").then(|| {
        let work = work("https://localhost/", "http2", false, true, Vec::new());
        Tls::new(&work).unwrap().unwrap()
    });
    let begin = cpu_ns();
    let poll: OwnedFd = epoll::create(epoll::CreateFlags::empty()).unwrap();
    let mut held: Vec<Driver> = (0..connections)
        .map(|number| {
            let fd = connect(target.parse().unwrap());
            let session = tls.as_ref().map(|tls| handshake(tls, &fd).unwrap());
            let (_, script) = script(&scheme, &[json!({"method": "GET"})]);
            let mut driver = Driver::new(script, fd, session, streams);
            driver.open();
            driver.held.with_fd(|fd| {
                epoll::add(&poll, fd, epoll::EventData::new_u64(number), epoll::EventFlags::IN)
                    .unwrap();
            });
            for lane in 0..streams {
                driver.send(lane, 0);
                left = left.saturating_sub(1);
            }
            driver.turn();
            driver
        })
        .collect();
    let opened = cpu_ns();
    let (mut answers, mut turns, mut events) = (0, 0, Vec::with_capacity(256));
    while answers < requests {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None).unwrap();
        for event in &events {
            let driver = &mut held[usize::try_from(event.data.u64()).unwrap()];
            let mut is_readable = true;
            loop {
                turns += 1;
                let (turn, told) = driver.act(is_readable);
                let is_quiet = told.is_empty();
                is_readable = turn.wants_turn;
                for one in told {
                    let Happened::Answered { lane, status: 200, .. } = one else {
                        panic!("{one:?}")
                    };
                    answers += 1;
                    if left > 0 {
                        left -= 1;
                        driver.send(lane, 0);
                    }
                }
                if is_quiet && !turn.wants_turn {
                    break;
                }
            }
        }
    }
    let spent = cpu_ns() - opened;
    println!(
        "{scheme} m={streams} C={connections}: {:.2} us a request, {turns} turns for {requests} requests, opening {:.1} us a connection",
        spent as f64 / 1000.0 / requests as f64,
        (opened - begin) as f64 / 1000.0 / connections as f64
    );
}
