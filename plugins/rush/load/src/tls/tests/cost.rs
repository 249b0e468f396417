//! What a connection holds and costs: a measurement, run by hand in release, against a server that the environment names
//! (`LOAD_TARGET=127.0.0.1:1 LOAD_CONNECTIONS=1000`).

use std::env;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::event::{PollFd, PollFlags};

use super::{Session, Tls, work};

/// Of this process, in bytes.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Time that this thread ran, in nanoseconds.
pub(crate) fn cpu_ns() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// Waits, reads once, and gives what came to the session.
fn turn(session: &mut Session, fd: &OwnedFd, buffer: &mut [u8], plain: &mut Vec<u8>) {
    session.flush(fd.as_fd()).unwrap();
    rustix::event::poll(&mut [PollFd::new(fd, PollFlags::IN)], None).unwrap();
    let length = rustix::io::read(fd, &mut *buffer).unwrap();
    assert!(length > 0);
    session.came(&mut buffer[..length], plain).unwrap();
}

#[test]
#[ignore = "a measurement"]
fn what_a_connection_holds() {
    let target: SocketAddr = env::var("LOAD_TARGET").unwrap().parse().unwrap();
    let connections: u64 = env::var("LOAD_CONNECTIONS").map_or(1000, |text| text.parse().unwrap());
    let resumes = env::var("LOAD_RESUME").map_or(vec![false, true], |text| vec![text == "1"]);
    for resume in resumes {
        let tls = Tls::new(&work("https://localhost/", "http1", false, resume, Vec::new()))
            .unwrap()
            .unwrap();
        let (mut buffer, mut plain) = (vec![0; 64 << 10], Vec::with_capacity(64 << 10));
        let mut held: Vec<(Box<Session>, OwnedFd)> = Vec::with_capacity(2000);
        let (mut memory, mut spent) = (0, 0);
        for number in 0..=connections {
            if number == 1 {
                memory = resident();
                spent = cpu_ns();
            }
            let stream = TcpStream::connect(target).unwrap();
            stream.set_nonblocking(true).unwrap();
            let fd = OwnedFd::from(stream);
            let mut session = tls.session(0).unwrap();
            while !session.is_ready() {
                turn(&mut session, &fd, &mut buffer, &mut plain);
            }
            session.flush(fd.as_fd()).unwrap();
            held.push((session, fd));
        }
        let handshakes = (cpu_ns() - spent) / connections;
        let after_handshakes = resident().saturating_sub(memory);
        let spent = cpu_ns();
        let request = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
        for _ in 0..20 {
            for (session, _) in &mut held {
                assert_eq!(session.say(request).unwrap(), request.len());
            }
            for (session, fd) in &mut held {
                plain.clear();
                while !plain.windows(4).any(|four| four == b"\r\n\r\n") {
                    turn(session, fd, &mut buffer, &mut plain);
                }
            }
        }
        println!(
            "resume {resume}: {after_handshakes} bytes after {connections} handshakes ({} a connection), {} after requests; session {} bytes; \
             {} us a handshake, {:.2} us a request",
            after_handshakes / connections,
            resident().saturating_sub(memory) / connections,
            size_of::<Session>(),
            handshakes / 1000,
            (cpu_ns() - spent) as f64 / 1000.0 / 20.0 / connections as f64,
        );
    }
}
