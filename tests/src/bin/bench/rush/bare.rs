//! The floor: a client that sends and receives, and looks at nothing but the number of bytes.

use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};

use crate::sample::say;

/// How this process becomes the client: `rush-bare ADDRESS CONNECTIONS SECONDS ANSWER_BYTES`. Prints the number of
/// answers.
pub(crate) const WORD: &str = "rush-bare";

const EVENTS: usize = 256;

pub(crate) fn run(words: &[String]) -> ExitCode {
    let [address, connections, seconds, answer] = words else { return ExitCode::from(2) };
    let parsed = (address.parse(), connections.parse(), seconds.parse(), answer.parse());
    let (Ok(address), Ok(connections), Ok(seconds), Ok(answer)) = parsed else {
        return ExitCode::from(2);
    };
    match load(address, connections, Duration::from_secs(seconds), answer) {
        Ok(answers) => {
            say(&answers.to_string());
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&format!("rush-bare: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn load(
    address: SocketAddr,
    connections: usize,
    time: Duration,
    answer: usize,
) -> std::io::Result<u64> {
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut open: Vec<(TcpStream, usize)> = Vec::with_capacity(connections);
    for number in 0..connections {
        let connection = TcpStream::connect(address)?;
        connection.set_nonblocking(true)?;
        connection.set_nodelay(true)?;
        let data = epoll::EventData::new_u64(u64::try_from(number).unwrap_or(0));
        epoll::add(&poll, &connection, data, epoll::EventFlags::IN)?;
        open.push((connection, answer));
    }
    let send = |connection: &TcpStream| {
        rustix::net::send(connection, request.as_bytes(), rustix::net::SendFlags::NOSIGNAL)
    };
    for (connection, _) in &open {
        send(connection)?;
    }
    let mut received = vec![0; 64 << 10];
    let mut events = Vec::with_capacity(EVENTS);
    let (end, mut answers) = (Instant::now() + time, 0);
    let tick = Timespec::try_from(Duration::from_millis(100)).map_err(std::io::Error::other)?;
    while Instant::now() < end {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), Some(&tick))?;
        for event in &events {
            let Ok(number) = usize::try_from(event.data.u64()) else { continue };
            let (connection, left) = &mut open[number];
            let (length, _) = rustix::net::recv(
                &*connection,
                &mut received[..],
                rustix::net::RecvFlags::empty(),
            )?;
            if length == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            *left = left.saturating_sub(length);
            if *left == 0 {
                *left = answer;
                answers += 1;
                send(connection)?;
            }
        }
    }
    Ok(answers)
}
