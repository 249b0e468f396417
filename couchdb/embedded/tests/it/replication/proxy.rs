//! A bad network made by hand: it is slow, it cuts connections, or it answers rubbish.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// What happens to the bytes that a server sends.
#[derive(Clone, Copy)]
enum Way {
    /// Each piece waits.
    Slow(Duration),
    /// A connection ends after so many bytes; every other one lives twice as long.
    Cut(u64),
    /// They are never asked for: this is said instead.
    Say(&'static str),
}

/// Listens until it is dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    cuts: Arc<AtomicU64>,
    broken: Arc<AtomicBool>,
    silent: watch::Sender<bool>,
    _task: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn slow(to: SocketAddr, pause: Duration) -> Proxy {
        Proxy::start(Some(to), Way::Slow(pause)).await
    }

    pub(crate) async fn cutting(to: SocketAddr, bytes: u64) -> Proxy {
        Proxy::start(Some(to), Way::Cut(bytes)).await
    }

    pub(crate) async fn saying(text: &'static str) -> Proxy {
        Proxy::start(None, Way::Say(text)).await
    }

    /// How many connections were cut so far.
    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }

    /// Cuts every connection, or lets them be again.
    pub(crate) fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::Relaxed);
    }

    /// Lets no byte through any more, and says nothing of it, as a line that loses all packets. Connections of that time
    /// stay dead when it is over.
    pub(crate) fn set_silent(&self, silent: bool) {
        self.silent.send_replace(silent);
    }

    async fn start(to: Option<SocketAddr>, way: Way) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cuts = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&cuts);
        let broken = Arc::new(AtomicBool::new(false));
        let is_broken = Arc::clone(&broken);
        let silent = watch::Sender::new(false);
        let is_silent = silent.subscribe();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            let mut number = 0;
            while let Ok((client, _)) = listener.accept().await {
                if is_broken.load(Ordering::Relaxed) {
                    connections.shutdown().await;
                    continue;
                }
                number += 1;
                let (counter, mut silent) = (Arc::clone(&counter), is_silent.clone());
                connections.spawn(async move {
                    // Dropped unfinished, it would close the connection, and that is a word.
                    let mut carries = std::pin::pin!(carry(client, to, way, number, counter));
                    let falls_silent = async { silent.wait_for(|silent| *silent).await.is_ok() };
                    let is_silent = tokio::select! {
                        () = carries.as_mut() => false,
                        is_silent = falls_silent => is_silent,
                    };
                    if is_silent {
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        Proxy { address, cuts, broken, silent, _task: task }
    }
}

async fn carry(
    mut client: TcpStream,
    to: Option<SocketAddr>,
    way: Way,
    number: u64,
    cuts: Arc<AtomicU64>,
) {
    if let Way::Say(text) = way {
        let mut asked = [0; 4096];
        // A client that has gone is as well.
        if client.read(&mut asked).await.is_ok() {
            drop(client.write_all(text.as_bytes()).await);
        }
        return;
    }
    let Some(to) = to else { return };
    let Ok(mut server) = TcpStream::connect(to).await else { return };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let there = tokio::io::copy(&mut from_client, &mut to_server);
    let back = async {
        let mut left = match way {
            Way::Cut(bytes) => bytes * (1 + number % 2),
            Way::Slow(_) | Way::Say(_) => u64::MAX,
        };
        let mut piece = vec![0; 8192];
        while let Ok(length @ 1..) = from_server.read(&mut piece).await {
            if let Way::Slow(pause) = way {
                tokio::time::sleep(pause).await;
            }
            let count = u64::try_from(length).unwrap();
            if count > left {
                cuts.fetch_add(1, Ordering::Relaxed);
                return;
            }
            left -= count;
            if to_client.write_all(&piece[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        _ = there => {}
        () = back => {}
    }
}
