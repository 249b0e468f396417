//! A script on a port of loopback.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::script::{Door, Script, Step};

/// What is written at once when a small piece is repeated.
const BLOCK_BYTES: usize = 64 * 1024;
/// A request head may have this many bytes; a client that sends more is not heard to its end.
const REQUEST_MAX_BYTES: usize = 1024 * 1024;
/// No connection lasts longer, whatever its script says: a story that failed must end, too.
const CONNECTION_MAX: Duration = Duration::from_secs(120);
/// What a client of HTTP/2 says first. Source: RFC 9113, section 3.4.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HTTP2_FRAME_HEAD_BYTES: usize = 9;
const HTTP2_HEADERS: u8 = 1;

/// Plays a script to everybody who connects. Dropping it ends it.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn start(script: &Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let script = script.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let script = script.clone();
                connections.spawn(async move {
                    // A client that leaves early is what the case is about, and no error of the server.
                    let played = tokio::time::timeout(CONNECTION_MAX, serve(stream, script)).await;
                    played.ok().and_then(Result::ok)
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, _task: AbortOnDropHandle::new(task) }
    }
}

async fn serve(stream: TcpStream, script: Script) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if script.resets {
        // From now on every close is a reset.
        stream.set_zero_linger()?;
    }
    match &script.door {
        Door::Plain => play(stream, &script).await,
        Door::Tls(identity) => play(identity.acceptor().accept(stream).await?, &script).await,
        Door::TlsCut(identity, bytes) => {
            let cut = Cut { stream, left: *bytes };
            let mut stream = identity.acceptor().accept(cut).into_fallible().await;
            if let Err((_, cut)) = &mut stream {
                for step in &script.steps {
                    rest(step, &mut cut.stream).await;
                }
            }
            Ok(())
        }
    }
}

/// Steps of a server that has nothing more to say.
async fn rest(step: &Step, stream: &mut TcpStream) {
    match step {
        Step::Pause(time) => tokio::time::sleep(*time).await,
        Step::Hang => drain(stream).await,
        _ => {}
    }
}

async fn play<S: AsyncRead + AsyncWrite + Send>(stream: S, script: &Script) -> io::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let listens = script.steps.iter().rposition(|step| matches!(step, Step::Hear | Step::HearSome));
    let (first, then) = script.steps.split_at(listens.map_or(0, |at| at + 1));
    for step in first {
        match step {
            Step::Hear => hear(&mut reader).await?,
            Step::HearSome => {
                let _heard: usize = reader.read(&mut vec![0; BLOCK_BYTES]).await?;
            }
            other => act(other, &mut writer).await?,
        }
    }
    let act = async {
        for step in then {
            match step {
                Step::Hang => std::future::pending().await,
                other => act(other, &mut writer).await?,
            }
        }
        match script.resets {
            true => Ok(()),
            false => writer.shutdown().await,
        }
    };
    if script.is_deaf {
        return act.await;
    }
    tokio::pin!(act);
    tokio::select! {
        done = &mut act => done?,
        () = drain(&mut reader) => return act_on(act).await,
    }
    if !script.resets {
        // What the client still sends must not be answered with a reset.
        drain(&mut reader).await;
    }
    Ok(())
}

/// The client will say no more, but it may still read.
async fn act_on(act: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    tokio::time::timeout(Duration::from_secs(1), act).await.unwrap_or(Ok(()))
}

async fn act(step: &Step, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    match step {
        Step::Say(bytes) => writer.write_all(bytes).await?,
        Step::Repeat(bytes, count) => repeat(bytes, *count, writer).await?,
        Step::Drip(bytes, pause) => {
            for byte in bytes.chunks(1) {
                writer.write_all(byte).await?;
                writer.flush().await?;
                tokio::time::sleep(*pause).await;
            }
        }
        Step::Pause(time) => tokio::time::sleep(*time).await,
        Step::Hear | Step::HearSome | Step::Hang => {}
    }
    writer.flush().await
}

async fn repeat(
    piece: &Bytes,
    count: u64,
    writer: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let at_once = (BLOCK_BYTES / piece.len().max(1)).max(1);
    let block = piece.repeat(at_once);
    let at_once = u64::try_from(at_once).unwrap_or(u64::MAX);
    let mut left = count;
    while left >= at_once {
        writer.write_all(&block).await?;
        left -= at_once;
    }
    for _ in 0..left {
        writer.write_all(piece).await?;
    }
    Ok(())
}

async fn drain(reader: &mut (impl AsyncRead + Unpin)) {
    let mut dropped = vec![0; BLOCK_BYTES];
    while let Ok(1..) = reader.read(&mut dropped).await {}
}

/// Reads up to the end of a request's head.
async fn hear(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut heard = Vec::new();
    while !is_request(&heard) && heard.len() < REQUEST_MAX_BYTES {
        if reader.read_buf(&mut heard).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

fn is_request(heard: &[u8]) -> bool {
    let Some(mut frames) = heard.strip_prefix(HTTP2_PREFACE) else {
        let may_be_http2 = heard.starts_with(&HTTP2_PREFACE[..heard.len().min(16)]);
        return !may_be_http2 && heard.windows(4).any(|four| four == b"\r\n\r\n");
    };
    while let [a, b, c, kind, ..] = *frames {
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
        if kind == HTTP2_HEADERS {
            return true;
        }
        let Some(next) = frames.get(HTTP2_FRAME_HEAD_BYTES + length..) else { return false };
        frames = next;
    }
    false
}

/// A connection that takes so many bytes from its server and then breaks.
#[derive(Debug)]
struct Cut {
    stream: TcpStream,
    left: usize,
}

impl AsyncRead for Cut {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Cut {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let length = bytes.len().min(self.left);
        let polled = Pin::new(&mut self.stream).poll_write(context, &bytes[..length]);
        if let Poll::Ready(Ok(written)) = polled {
            self.left -= written;
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
