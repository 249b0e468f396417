//! Servers: of the `h2` crate in a thread of its own, and by hand.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use http::{Request, Response};
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

use super::PATIENCE;

/// Serves one connection in a thread of its own: `/echo` the body, `/long` a megabyte, `/cookie` two cookies, `/trailer`
/// a trailer, `/never` nothing until the client resets, else the method and the headers `x-...`. Says how many requests came and how
/// many were reset.
pub(super) fn serve(
    builder: Builder,
    tls: Option<ServerConfig>,
) -> (SocketAddr, JoinHandle<(u32, u32)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(tokio::task::LocalSet::new().run_until(async move {
            let stream = tokio::net::TcpStream::from_std(stream).unwrap();
            match tls {
                None => connection(builder, stream).await,
                Some(config) => {
                    let acceptor = TlsAcceptor::from(Arc::new(config));
                    match acceptor.accept(stream).await {
                        Ok(stream) => connection(builder, stream).await,
                        Err(_) => (0, 0),
                    }
                }
            }
        }))
    });
    (address, served)
}

async fn connection<T>(builder: Builder, io: T) -> (u32, u32)
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
{
    let mut connection = builder.handshake::<_, Bytes>(io).await.unwrap();
    let (mut came, mut tasks) = (0, Vec::new());
    while let Some(Ok((request, answer))) = connection.accept().await {
        came += 1;
        tasks.push(tokio::task::spawn_local(one(request, answer)));
    }
    let mut reset = 0;
    for task in tasks {
        reset += u32::from(task.await.unwrap());
    }
    (came, reset)
}

/// True: the client has reset it.
async fn one(request: Request<h2::RecvStream>, mut answer: SendResponse<Bytes>) -> bool {
    let (head, mut body) = request.into_parts();
    let mut text = Vec::new();
    while let Some(Ok(data)) = body.data().await {
        text.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    let mut response =
        Response::builder().status(if head.uri.path() == "/missing" { 404 } else { 200 });
    match head.uri.path() {
        "/echo" => {}
        _ if head.method == "HEAD" => {}
        "/long" => text = vec![b'x'; 1 << 20],
        "/cookie" => {
            response = response.header("set-cookie", "a=1; Path=/").header("set-cookie", "b=2");
        }
        "/never" => {
            return std::future::poll_fn(|context| answer.poll_reset(context)).await.is_ok();
        }
        "/trailer" => {
            let mut stream = answer.send_response(response.body(()).unwrap(), false).unwrap();
            stream.send_data(Bytes::from_static(b"abc"), false).unwrap();
            let trailers = http::HeaderMap::from_iter([(
                http::header::ETAG,
                http::HeaderValue::from_static("1"),
            )]);
            return stream.send_trailers(trailers).is_err();
        }
        _ => text = format!("{} {:?}", head.method, head.uri.authority()).into_bytes(),
    }
    let Ok(mut stream) = answer.send_response(response.body(()).unwrap(), text.is_empty()) else {
        return true;
    };
    if !text.is_empty() {
        stream.send_data(Bytes::from(text), true).unwrap();
    }
    false
}

/// A frame of HTTP/2. Source: RFC 9113, section 4.1.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut made = vec![length[1], length[2], length[3], kind, flags];
    made.extend_from_slice(&stream.to_be_bytes());
    made.extend_from_slice(payload);
    made
}

pub(super) fn settings() -> Vec<u8> {
    frame(4, 0, 0, &[])
}

/// An answer with the status 200 and no body: the eighth entry of the static table of HPACK.
pub(super) fn ok(stream: u32) -> Vec<u8> {
    frame(1, 0x5, stream, &[0x88])
}

/// Serves one connection by hand: reads until so many requests came, writes the bytes, and ends, or waits for the client to go.
pub(super) fn by_hand(
    requests: usize,
    answer: Vec<u8>,
    stays: bool,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        read_requests(&mut stream, requests);
        let wrote = stream.write_all(&answer);
        if stays || wrote.is_err() {
            let mut rest = [0; 4096];
            while stream.read(&mut rest).is_ok_and(|length| length > 0) {}
        }
    });
    (address, served)
}

fn read_requests(stream: &mut TcpStream, requests: usize) {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).unwrap();
    assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let mut seen = 0;
    while seen < requests {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut payload).unwrap();
        seen += usize::from(head[3] == 1);
    }
}
