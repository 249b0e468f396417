//! A cable between one engine and the store that can be pulled and plugged in again. While it is pulled nothing comes
//! through and nothing is refused, as when a network is gone; what was under way comes late, or never.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// Bytes that are carried at once.
const PIECE_BYTES: usize = 16 << 10;

/// The cable; dropped, everything that goes through it is cut.
#[derive(Debug)]
pub struct Cable {
    url: String,
    plugged: watch::Sender<bool>,
    _task: AbortOnDropHandle<()>,
}

impl Cable {
    /// A cable to the server at `url`, `http://[NAME:PASSWORD@]HOST:PORT`, plugged in.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub async fn to(url: &str) -> Self {
        let rest = url.strip_prefix("http://").expect("http://").trim_end_matches('/');
        let (who, server) = rest.rsplit_once('@').map_or(("", rest), |(who, at)| (who, at));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let at = if who.is_empty() { "" } else { "@" };
        let (plugged, is_plugged) = watch::channel(true);
        let task = AbortOnDropHandle::new(tokio::spawn(carry_all(
            listener,
            server.to_owned(),
            is_plugged,
        )));
        Self { url: format!("http://{who}{at}{address}"), plugged, _task: task }
    }

    /// Where the server is reached through it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on nothing comes through.
    pub fn pull(&self) {
        self.plugged.send_replace(false);
    }

    /// Everything comes through again.
    pub fn plug(&self) {
        self.plugged.send_replace(true);
    }
}

async fn carry_all(listener: TcpListener, server: String, is_plugged: watch::Receiver<bool>) {
    let mut carried = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let (server, is_plugged) = (server.clone(), is_plugged.clone());
        carried.spawn(carry(near, server, is_plugged));
        while carried.try_join_next().is_some() {}
    }
}

async fn carry(near: TcpStream, server: String, mut is_plugged: watch::Receiver<bool>) {
    if is_plugged.wait_for(|plugged| *plugged).await.is_err() {
        return;
    }
    let Ok(far) = TcpStream::connect(&server).await else { return };
    for stream in [&near, &far] {
        // Output is small: held back for company it would come late.
        drop(stream.set_nodelay(true));
    }
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    tokio::join!(pump(near_in, far_out, is_plugged.clone()), pump(far_in, near_out, is_plugged));
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut is_plugged: watch::Receiver<bool>,
) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(length) = from.read(&mut piece).await {
        if is_plugged.wait_for(|plugged| *plugged).await.is_err() || length == 0 {
            return;
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
