//! A small HTTP server on loopback that says hello: the target of the demonstration.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Bytes of a request's head. Ours has about 100.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Time for one request.
const REQUEST_MAX: Duration = Duration::from_secs(5);

/// Requests at the same time; more wait in the listener's queue.
const REQUESTS_MAX: usize = 16;

/// What it says.
pub(crate) const GREETING: &str = "hello from the other side\n";

/// A server that runs until it is dropped.
pub(crate) struct Hello {
    pub(crate) address: SocketAddr,
    /// Its task, aborted with it.
    _task: JoinSet<()>,
}

impl Hello {
    /// Listens on a free port of loopback.
    pub(crate) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let mut task = JoinSet::new();
        task.spawn(serve(listener));
        Ok(Self { address, _task: task })
    }
}

async fn serve(listener: TcpListener) {
    let mut requests = JoinSet::new();
    loop {
        if requests.len() >= REQUESTS_MAX {
            requests.join_next().await;
        }
        // A connection that failed before it was taken is the client's matter.
        if let Ok((stream, _)) = listener.accept().await {
            requests.spawn(async move {
                let _late = timeout(REQUEST_MAX, answer(stream)).await;
            });
        }
        while requests.try_join_next().is_some() {}
    }
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        if head.len() > HEAD_BYTES_MAX || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let (status, body) = match head.split(|b| *b == b' ').nth(1) {
        Some(b"/hello") => ("200 OK", GREETING),
        _ => ("404 Not Found", "only /hello is here\n"),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
