//! The witness: a listener outside of blitz to which each run of a job tells its start and its end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// One run that was seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// When it told its start.
    pub(crate) began: Instant,
    /// When it told its end.
    pub(crate) ended: Option<Instant>,
    /// When its connection closed, whatever it had told.
    pub(crate) closed: Option<Instant>,
}

/// The runs of all jobs, by the name that the job's arguments have.
#[derive(Debug, Clone)]
pub(crate) struct Witness {
    pub(crate) address: SocketAddr,
    runs: Arc<Mutex<BTreeMap<String, Vec<Seen>>>>,
}

impl Witness {
    /// Listens on a port that the system chooses, until the runtime ends.
    pub(crate) async fn start() -> Result<Self, String> {
        Self::start_at("127.0.0.1:0").await
    }

    /// The same at another address.
    pub(crate) async fn start_at(place: &str) -> Result<Self, String> {
        let listener = TcpListener::bind(place).await.map_err(|e| e.to_string())?;
        let address = listener.local_addr().map_err(|e| e.to_string())?;
        let witness = Self { address, runs: Arc::default() };
        let hears = witness.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(hears.clone().hear(stream));
            }
        });
        Ok(witness)
    }

    /// The names of all jobs that were begun, told to anybody or not, with their runs.
    pub(crate) fn all(&self) -> BTreeMap<String, Vec<Seen>> {
        self.with(|runs| runs.clone())
    }

    fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<String, Vec<Seen>>) -> T) -> T {
        look(&mut self.runs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn hear(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        let mut run: Option<(String, usize)> = None;
        loop {
            let mut line = String::new();
            // A run that was killed closes its connection in any way.
            if !matches!(stream.read_line(&mut line).await, Ok(1..)) {
                break;
            }
            let now = Instant::now();
            match (line.trim_end().split_once(' '), &run) {
                (Some(("start", name)), None) => {
                    let seen = Seen { began: now, ended: None, closed: None };
                    let index = self.with(|runs| {
                        let runs = runs.entry(name.to_owned()).or_default();
                        runs.push(seen);
                        runs.len() - 1
                    });
                    run = Some((name.to_owned(), index));
                }
                (Some(("end", name)), Some((begun, _))) if name == begun => {
                    self.change(run.as_ref(), |seen| seen.ended = Some(now));
                }
                _ => break,
            }
            if stream.get_mut().write_all(b"heard\n").await.is_err() {
                break;
            }
        }
        self.change(run.as_ref(), |seen| seen.closed = Some(Instant::now()));
    }

    fn change(&self, run: Option<&(String, usize)>, change: impl FnOnce(&mut Seen)) {
        let Some((name, index)) = run else { return };
        self.with(|runs| runs.get_mut(name).and_then(|runs| runs.get_mut(*index)).map(change));
    }
}
