//! The server that all clients load: one thread, the same short answer to every request, as cheap as the kernel lets it
//! be. It counts requests by the ends of their heads, so it serves requests without bodies only.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};

use crate::sample::say;

/// How this process becomes the server: `rush-server ANSWER_BYTES STALL_MS EVERY_MS PORT`, where port 0 is
/// the system's choice.
pub(crate) const WORD: &str = "rush-server";

/// Events of one wait.
const EVENTS: usize = 256;

/// Where the listener stands in an event's data.
const LISTENER: u64 = u64::MAX;

/// Serves until it is killed. Says its address on the first line.
pub(crate) fn run(words: &[String]) -> ExitCode {
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
    let body = usize::try_from(number(0)).unwrap_or(0);
    let stall =
        Stall { length: Duration::from_millis(number(1)), every: Duration::from_millis(number(2)) };
    let port = u16::try_from(number(3)).unwrap_or(0);
    match serve(port, body, &stall) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("rush-server: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// The whole answer to every request.
pub(crate) fn answer(body: usize) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {body}\r\n\r\n");
    let mut answer = head.into_bytes();
    answer.resize(answer.len() + body, b'x');
    answer
}

/// It answers nothing for `length` at the end of every `every`.
struct Stall {
    length: Duration,
    every: Duration,
}

fn serve(port: u16, body: usize, stall: &Stall) -> std::io::Result<()> {
    let listener = listen(port)?;
    say(&listener.local_addr()?.to_string());
    let answer = answer(body);
    let many: Vec<u8> = answer.repeat(16);
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
    let mut connections: Vec<Option<TcpStream>> = Vec::new();
    let mut received = vec![0; 64 << 10];
    let mut events = Vec::with_capacity(EVENTS);
    let begun = Instant::now();
    let mut rounds = 0;
    loop {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            if event.data.u64() == LISTENER {
                accept(&listener, &poll, &mut connections)?;
                continue;
            }
            let Ok(number) = usize::try_from(event.data.u64()) else { continue };
            let Some(Some(connection)) = connections.get(number) else { continue };
            let heads = match rustix::net::recv(
                connection,
                &mut received[..],
                rustix::net::RecvFlags::empty(),
            ) {
                Ok((0, _)) => 0,
                Ok((length, _)) => {
                    received[..length].windows(4).filter(|end| end == b"\r\n\r\n").count()
                }
                Err(rustix::io::Errno::AGAIN) => continue,
                Err(_) => 0,
            };
            let bytes = &many[..answer.len() * heads.min(16)];
            let sent = rustix::net::send(connection, bytes, rustix::net::SendFlags::NOSIGNAL);
            if heads == 0 || sent.is_err() {
                connections[number] = None;
            }
        }
        stall.wait(begun, &mut rounds)?;
    }
}

impl Stall {
    fn wait(&self, begun: Instant, rounds: &mut u32) -> std::io::Result<()> {
        if self.length.is_zero() || begun.elapsed() < self.every * (*rounds + 1) - self.length {
            return Ok(());
        }
        *rounds += 1;
        let left = (self.every * *rounds).saturating_sub(begun.elapsed());
        let nothing = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut none = Vec::with_capacity(1);
        let time = Timespec::try_from(left).map_err(std::io::Error::other)?;
        epoll::wait(&nothing, rustix::buffer::spare_capacity(&mut none), Some(&time))?;
        Ok(())
    }
}

/// Several servers may share a port: the kernel spreads the connections, and each has descriptors of its own.
fn listen(port: u16) -> std::io::Result<TcpListener> {
    let kind = rustix::net::SocketType::STREAM;
    let flags = rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(rustix::net::AddressFamily::INET, kind, flags, None)?;
    rustix::net::sockopt::set_socket_reuseport(&socket, true)?;
    rustix::net::bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    // A crowd that connects at once is not to be turned away.
    rustix::net::listen(&socket, 65_535)?;
    Ok(socket.into())
}

fn accept(
    listener: &TcpListener,
    poll: &OwnedFd,
    connections: &mut Vec<Option<TcpStream>>,
) -> std::io::Result<()> {
    loop {
        let connection = match listener.accept() {
            Ok((connection, _)) => connection,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
            // One descriptor too many: whoever waits is served when another has gone.
            Err(_) => return Ok(()),
        };
        connection.set_nonblocking(true)?;
        connection.set_nodelay(true)?;
        let number = usize::try_from(connection.as_raw_fd()).unwrap_or(0);
        if connections.len() <= number {
            connections.resize_with(number + 1, || None);
        }
        let data = epoll::EventData::new_u64(u64::try_from(number).unwrap_or(0));
        epoll::add(poll, &connection, data, epoll::EventFlags::IN)?;
        connections[number] = Some(connection);
    }
}

/// The server's process. Dropping it ends it.
pub(crate) struct Served {
    _child: tokio::process::Child,
    pub(crate) address: SocketAddr,
}

impl Served {
    /// Starts it, on the first core where there are several.
    pub(crate) async fn start(body: usize, stall: Option<(Duration, Duration)>) -> Self {
        Self::on_port(0, body, stall).await
    }

    /// So many on one port.
    pub(crate) async fn several(count: usize, body: usize) -> Vec<Self> {
        let mut all = vec![Self::start(body, None).await];
        while all.len() < count {
            all.push(Self::on_port(all[0].address.port(), body, None).await);
        }
        all
    }

    async fn on_port(port: u16, body: usize, stall: Option<(Duration, Duration)>) -> Self {
        use tokio::io::{AsyncBufReadExt as _, BufReader};
        let millis = |d: Duration| d.as_millis().to_string();
        let (length, every) = stall.unwrap_or_default();
        let mut command = super::site::on_core(0, &super::site::carrier());
        command.args([WORD, &body.to_string(), &millis(length), &millis(every), &port.to_string()]);
        command.stdout(std::process::Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the server starts");
        let stdout = child.stdout.take().expect("its words");
        let mut lines = BufReader::new(stdout).lines();
        let line = lines.next_line().await.expect("its first line").expect("its address");
        Self { _child: child, address: line.parse().expect("an address") }
    }
}
