//! Sockets on loopback that accept, refuse, or do not answer.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// A listener on a free port, and where it is.
pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A port of `host` that nobody listens on: just freed, and not given out again soon.
pub(crate) async fn closed_port(host: &str) -> u16 {
    TcpListener::bind((host, 0)).await.unwrap().local_addr().unwrap().port()
}

/// An address whose queue of connections is full, so that it does not answer at all. It stays so while
/// the returned sockets live.
pub(crate) async fn silent() -> (SocketAddr, (TcpListener, Vec<TcpStream>)) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) =
        tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
    {
        queued.push(stream.unwrap());
        assert!(queued.len() < 100, "the queue does not fill");
    }
    (address, (listener, queued))
}
