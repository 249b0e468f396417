//! A TCP proxy between one process and a store, which closes, refuses and stalls connections and loses answers.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Bytes on their way in one direction of one connection: what a stalled connection may hold.
const PIECE_BYTES: usize = 64 << 10;

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything passes.
    Open,
    /// Each connection is closed as soon as it comes.
    Refuse,
    /// Connections stand, and nothing passes in either direction.
    Stall,
    /// Requests pass. The connection is closed with the first byte of an answer, which is lost.
    Deaf,
}

#[derive(Debug, Clone, Copy)]
struct State {
    mode: Mode,
    /// Rises when all connections are to be closed.
    cuts: u64,
}

/// One proxy. It ends with the runtime that it was started in.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    state: watch::Sender<State>,
}

impl Proxy {
    /// A proxy to this address, open.
    ///
    /// # Errors
    ///
    /// When there is no free port.
    pub async fn start(to: SocketAddr) -> Result<Self, String> {
        Self::listen("127.0.0.1:0", to).await
    }

    /// The same at another address than that of this machine alone.
    ///
    /// # Errors
    ///
    /// When it is not to be had.
    pub async fn listen(at: &str, to: SocketAddr) -> Result<Self, String> {
        let listener = TcpListener::bind(at).await.map_err(|e| e.to_string())?;
        let address = listener.local_addr().map_err(|e| e.to_string())?;
        let (state, states) = watch::channel(State { mode: Mode::Open, cuts: 0 });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if states.borrow().mode != Mode::Refuse {
                    tokio::spawn(carry(stream, to, states.clone()));
                }
            }
        });
        Ok(Self { address, state })
    }

    /// Changes what becomes of connections from now on.
    pub fn set(&self, mode: Mode) {
        self.state.send_modify(|state| state.mode = mode);
    }

    /// Closes all connections that there are.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }
}

async fn carry(from: TcpStream, to: SocketAddr, states: watch::Receiver<State>) {
    // The store may be away: then the process's connection is closed, as its own would be refused.
    let Ok(store) = TcpStream::connect(to).await else { return };
    for stream in [&from, &store] {
        // A socket that has gone already says so at its first use.
        stream.set_nodelay(true).ok();
    }
    let (requests, to_asker) = from.into_split();
    let (answers, to_store) = store.into_split();
    let cuts = states.borrow().cuts;
    let mut watched = states.clone();
    // What ends one direction ends the connection: HTTP has no half of one.
    tokio::select! {
        () = pump(requests, to_store, false, states.clone()) => {}
        () = pump(answers, to_asker, true, states) => {}
        _ = watched.wait_for(|state| state.cuts != cuts) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    is_answer: bool,
    mut states: watch::Receiver<State>,
) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        let Ok(state) = states.wait_for(|state| state.mode != Mode::Stall).await.map(|s| *s) else {
            return;
        };
        if is_answer && state.mode == Mode::Deaf {
            return;
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    /// A server that answers each byte with the same byte, and counts those that came.
    async fn echo() -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let counts = Arc::clone(&counts);
                tokio::spawn(async move {
                    while let Ok(byte) = stream.read_u8().await {
                        counts.fetch_add(1, Ordering::SeqCst);
                        stream.write_u8(byte).await.ok();
                    }
                });
            }
        });
        (address, heard)
    }

    async fn asks(stream: &mut TcpStream) -> bool {
        stream.write_u8(7).await.is_ok() && stream.read_u8().await.is_ok()
    }

    #[tokio::test]
    async fn each_mode_does_what_it_says() {
        let (server, heard) = echo().await;
        let proxy = Proxy::start(server).await.unwrap();
        let mut held = TcpStream::connect(proxy.address).await.unwrap();
        assert!(asks(&mut held).await, "open");
        proxy.set(Mode::Refuse);
        assert!(asks(&mut held).await, "what stands is cut apart");
        proxy.cut();
        assert!(!asks(&mut held).await, "cut");
        let mut refused = TcpStream::connect(proxy.address).await.unwrap();
        assert!(!asks(&mut refused).await, "refused");
        proxy.set(Mode::Deaf);
        let before = heard.load(Ordering::SeqCst);
        let mut deaf = TcpStream::connect(proxy.address).await.unwrap();
        assert!(!asks(&mut deaf).await, "the answer is lost");
        assert_eq!(heard.load(Ordering::SeqCst), before + 1, "and the request is not");
    }

    #[tokio::test]
    async fn a_stalled_connection_goes_on_where_it_was() {
        let (server, heard) = echo().await;
        let proxy = Proxy::start(server).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        assert!(asks(&mut stream).await);
        proxy.set(Mode::Stall);
        stream.write_u8(9).await.unwrap();
        let early = tokio::time::timeout(Duration::from_millis(50), stream.read_u8()).await;
        assert!(early.is_err() && heard.load(Ordering::SeqCst) == 1, "nothing passes");
        proxy.set(Mode::Open);
        assert_eq!(stream.read_u8().await.unwrap(), 9);
    }
}
