//! The first line of a connection, made acceptable.
//!
//! People write `curl 'http://..../_all_docs?startkey="a"'`, and CouchDB takes the quotes as they are.
//! hyper refuses them. So the first request line of a connection, which is all that such a command
//! sends, is read here and what a URL may not hold is escaped. Later requests of the same connection
//! come from programs, which escape by themselves.

use std::io;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    net::TcpStream,
};

/// The longest first line that is looked at, in bytes; hyper decides about longer ones.
const LINE_BYTES_MAX: usize = 16 << 10;

/// The connection with its first line as hyper wants it.
pub(super) async fn mend(mut stream: TcpStream) -> io::Result<impl AsyncRead + AsyncWrite> {
    let mut start = Vec::with_capacity(1024);
    while !start.contains(&b'\n') && start.len() < LINE_BYTES_MAX {
        if stream.read_buf(&mut start).await? == 0 {
            break;
        }
    }
    let start = io::Cursor::new(escape(start));
    let (read, write) = stream.into_split();
    Ok(tokio::io::join(start.chain(read), write))
}

/// Escapes what a URL may not hold, in the first line only.
fn escape(start: Vec<u8>) -> Vec<u8> {
    let end = start.iter().position(|byte| *byte == b'\n').unwrap_or(start.len());
    let (line, rest) = start.split_at(end);
    let unfit =
        |byte: &u8| matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}');
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

    #[test]
    fn only_the_first_line_is_touched() {
        for (start, mended) in [
            (
                "GET /a?key=\"b\" HTTP/1.1\r\nA: \"b\"\r\n",
                "GET /a?key=%22b%22 HTTP/1.1\r\nA: \"b\"\r\n",
            ),
            ("GET / HTTP/1.1\r\n\r\n{\"a\":1}", "GET / HTTP/1.1\r\n\r\n{\"a\":1}"),
            ("GET /{", "GET /%7B"),
            ("", ""),
        ] {
            assert_eq!(escape(start.into()), mended.as_bytes(), "{start:?}");
        }
    }
}
