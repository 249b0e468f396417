//! The first line of a connection, made acceptable.
//!
//! People write `curl 'http://..../_all_docs?startkey="é"'`, and CouchDB takes the quotes and the bytes of
//! the letter as they are. hyper refuses them. So the first request line of a connection, which is all that such a command
//! sends, is read here and what a URL may not hold is escaped. Later requests of the same connection
//! come from programs, which escape by themselves.

use bytes::{Buf as _, Bytes};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// The longest first line that is looked at, in bytes; hyper decides about longer ones.
const LINE_BYTES_MAX: usize = 16 << 10;

/// The connection with its first line as hyper wants it.
pub(super) async fn mend(mut stream: TcpStream) -> io::Result<impl AsyncRead + AsyncWrite + Unpin> {
    let mut start = Vec::with_capacity(1024);
    while !start.contains(&b'\n') && start.len() < LINE_BYTES_MAX {
        if stream.read_buf(&mut start).await? == 0 {
            break;
        }
    }
    let start = Bytes::from(escape(start));
    let (rest, write) = stream.into_split();
    Ok(tokio::io::join(Started { start, rest }, write))
}

/// A stream whose start was read before. Its memory is given back once it is read again: a connection
/// may live for days.
struct Started<R> {
    start: Bytes,
    rest: R,
}

impl<R: AsyncRead + Unpin> AsyncRead for Started<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.start.is_empty() {
            return Pin::new(&mut this.rest).poll_read(context, buffer);
        }
        let count = this.start.len().min(buffer.remaining());
        buffer.put_slice(&this.start[..count]);
        this.start.advance(count);
        if this.start.is_empty() {
            this.start = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

/// Escapes what a URL may not hold, in the first line only.
fn escape(start: Vec<u8>) -> Vec<u8> {
    let end = start.iter().position(|byte| *byte == b'\n').unwrap_or(start.len());
    let (line, rest) = start.split_at(end);
    let unfit = |byte: &u8| {
        !byte.is_ascii()
            || matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
    };
    if !line.iter().any(unfit) {
        return start;
    }
    let mut mended = Vec::with_capacity(start.len() + 64);
    for byte in line {
        if unfit(byte) {
            mended.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            mended.push(*byte);
        }
    }
    mended.extend_from_slice(rest);
    mended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_start_comes_first_and_is_given_back() {
        let start = Bytes::from(b"GET / HT".to_vec());
        let mut stream = Started { start: start.clone(), rest: &b"TP/1.1"[..] };
        let mut three = [0; 3];
        stream.read_exact(&mut three).await.unwrap();
        assert!(!start.is_unique());
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!((&three, rest.as_str()), (b"GET", " / HTTP/1.1"));
        assert!(start.is_unique(), "the connection still holds its start");
    }

    #[test]
    fn only_the_first_line_is_touched() {
        for (start, mended) in [
            (
                "GET /a?key=\"b\" HTTP/1.1\r\nA: \"b\"\r\n",
                "GET /a?key=%22b%22 HTTP/1.1\r\nA: \"b\"\r\n",
            ),
            ("GET / HTTP/1.1\r\n\r\n{\"a\":1}", "GET / HTTP/1.1\r\n\r\n{\"a\":1}"),
            ("GET /{", "GET /%7B"),
            ("GET /é HTTP/1.1\r\nA: é\r\n", "GET /%C3%A9 HTTP/1.1\r\nA: é\r\n"),
            ("", ""),
        ] {
            assert_eq!(escape(start.into()), mended.as_bytes(), "{start:?}");
        }
    }
}
