//! A small web server as a process of its own, so that its CPU time is nobody else's.
//!
//! `/` gives 512 bytes; `/hops/N` redirects to `/hops/N-1`, and `/hops/0` is `/`; `/wait/HEAD/BODY` gives the
//! head after so many milliseconds and the body after so many more.

use std::io;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::sample::say;

/// The word that makes this program a peer.
pub(crate) const WORD: &str = "peer";

const BODY: [u8; 512] = [b'x'; 512];

/// A request of ours has far less.
const REQUEST_MAX_BYTES: usize = 8 * 1024;

/// A peer that runs until it is dropped.
pub(crate) struct Peer {
    _process: Child,
    /// `127.0.0.1:PORT`
    pub(crate) address: String,
}

impl Peer {
    pub(crate) async fn start() -> Self {
        let program = std::env::current_exe().expect("the path of this program");
        let mut process = Command::new(program)
            .arg(WORD)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the peer starts");
        let mut said = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let address = said.next_line().await.expect("text").expect("the peer says its address");
        Self { _process: process, address }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// What the process does; it ends with the one that started it.
pub(crate) fn run() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map(|runtime| runtime.block_on(serve())) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) | Err(error) => {
            say(&format!("bench: the peer failed: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    say(&listener.local_addr()?.to_string());
    loop {
        let (stream, _) = listener.accept().await?;
        // A client that goes away early is its own matter.
        tokio::spawn(async move { answer(stream).await.ok() });
    }
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") && request.len() < REQUEST_MAX_BYTES {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let request = String::from_utf8_lossy(&request);
    let path: Vec<&str> = request.split(' ').nth(1).unwrap_or("/").split('/').collect();
    let number = |at: usize| path.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    match (path.get(1).copied(), number(2)) {
        (Some("hops"), hops @ 1..) => {
            let head = "HTTP/1.1 302 Found\r\nContent-Length: 512\r\nLocation: /hops";
            let mut answer = format!("{head}/{}\r\n\r\n", hops - 1).into_bytes();
            answer.extend(BODY);
            stream.write_all(&answer).await
        }
        (Some("wait"), ms) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            stream.write_all(&head()).await?;
            tokio::time::sleep(Duration::from_millis(number(3))).await;
            stream.write_all(&BODY).await
        }
        _ => stream.write_all(&[head(), BODY.to_vec()].concat()).await,
    }
}

fn head() -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n", BODY.len())
        .into_bytes()
}
