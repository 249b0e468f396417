//! A cable between one engine and the store that can be pulled and plugged in again. While it is pulled nothing comes
//! through and nothing is refused, as when a network is gone; what was under way comes late, or never. It remembers
//! what was asked.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// Bytes that are carried at once.
const PIECE_BYTES: usize = 16 << 10;

/// Requests that are remembered, the first ones: what an engine asks when it starts.
const REQUESTS_MAX: usize = 1_000;

/// What was asked, in the order in which it went through.
type Asked = Arc<Mutex<Vec<String>>>;

/// The cable; dropped, everything that goes through it is cut.
#[derive(Debug)]
pub struct Cable {
    url: String,
    plugged: watch::Sender<bool>,
    asked: Asked,
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
        let asked = Asked::default();
        let carries = carry_all(listener, server.to_owned(), is_plugged, Arc::clone(&asked));
        let task = AbortOnDropHandle::new(tokio::spawn(carries));
        Self { url: format!("http://{who}{at}{address}"), plugged, asked, _task: task }
    }

    /// Where the server is reached through it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The first requests that went through, each as its method and its path.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
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

async fn carry_all(
    listener: TcpListener,
    server: String,
    is_plugged: watch::Receiver<bool>,
    asked: Asked,
) {
    let mut carried = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let (server, is_plugged) = (server.clone(), is_plugged.clone());
        carried.spawn(carry(near, server, is_plugged, Arc::clone(&asked)));
        while carried.try_join_next().is_some() {}
    }
}

async fn carry(
    near: TcpStream,
    server: String,
    mut is_plugged: watch::Receiver<bool>,
    asked: Asked,
) {
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
    let notes = |piece: &[u8]| note(&asked, piece);
    tokio::join!(
        pump(near_in, far_out, is_plugged.clone(), notes),
        pump(far_in, near_out, is_plugged, |_| {})
    );
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut is_plugged: watch::Receiver<bool>,
    notes: impl Fn(&[u8]),
) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(length) = from.read(&mut piece).await {
        if is_plugged.wait_for(|plugged| *plugged).await.is_err() || length == 0 {
            return;
        }
        notes(&piece[..length]);
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}

/// Remembers the request that a piece begins with; one that is sent begins a piece of its own.
fn note(asked: &Asked, piece: &[u8]) {
    let line = piece.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let request = str::from_utf8(line).ok().and_then(|line| line.strip_suffix(" HTTP/1.1"));
    let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(request) = request
        && asked.len() < REQUESTS_MAX
    {
        asked.push(request.to_owned());
    }
}
