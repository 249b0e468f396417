//! The head of an HTTP/1 answer as it stood on the wire. hyper lower-cases names and drops what it cannot read;
//! people compare with what the server wrote, and a head that broke is classed by how it began.

use super::limits::{HEAD_MAX_BYTES, HEADERS_MAX};

/// What came, from the first byte on, up to [`HEAD_MAX_BYTES`].
#[derive(Debug, Default)]
pub(super) struct Recording {
    bytes: Vec<u8>,
}

/// The final head.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) reason: Vec<u8>,
    /// In the server's order and case.
    pub(super) fields: Vec<(String, Vec<u8>)>,
}

/// How far a final head came that was not read whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    /// Not a byte; at most interim answers.
    Nothing,
    /// Of a status line, which did not end.
    Unfinished,
    /// A whole status line.
    StatusLine,
    /// Something that is not HTTP/1.
    Foreign,
}

impl Recording {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let room = HEAD_MAX_BYTES.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Interim answers are passed over. `None` when it is not whole.
    pub(super) fn written(&self) -> Option<Written> {
        let mut rest = self.bytes.as_slice();
        loop {
            let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
            let mut head = httparse::Response::new(&mut fields);
            let parsed = parser().parse_response(&mut head, rest).ok()?;
            let httparse::Status::Complete(length) = parsed else { return None };
            if !is_interim(head.code) {
                let owned = |field: &httparse::Header<'_>| {
                    (field.name.trim_end().to_owned(), unfolded(field.value))
                };
                let fields = head.headers.iter().map(owned).collect();
                return Some(Written { reason: reason(rest), fields });
            }
            rest = &rest[length..];
        }
    }

    pub(super) fn beginning(&self) -> Beginning {
        let rest = self.behind_interim();
        let word = b"HTTP/";
        let length = rest.len().min(word.len());
        if rest.is_empty() {
            return Beginning::Nothing;
        }
        if rest[..length] != word[..length] {
            return Beginning::Foreign;
        }
        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
            return Beginning::Unfinished;
        };
        let mut line = rest[..=end].to_vec();
        line.extend_from_slice(b"\r\n");
        let mut head = httparse::Response::new(&mut []);
        match head.parse(&line) {
            Ok(httparse::Status::Complete(_)) if head.code >= Some(100) => Beginning::StatusLine,
            _ => Beginning::Foreign,
        }
    }

    fn behind_interim(&self) -> &[u8] {
        let mut rest = self.bytes.as_slice();
        loop {
            let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
            let mut head = httparse::Response::new(&mut fields);
            match parser().parse_response(&mut head, rest) {
                Ok(httparse::Status::Complete(length)) if is_interim(head.code) => {
                    rest = &rest[length..];
                }
                _ => return rest,
            }
        }
    }
}

/// Takes what hyper is told to take, or the two would not see the same fields.
fn parser() -> httparse::ParserConfig {
    let mut parser = httparse::ParserConfig::default();
    parser.allow_obsolete_multiline_headers_in_responses(true);
    parser.allow_spaces_after_header_name_in_responses(true);
    parser
}

fn is_interim(code: Option<u16>) -> bool {
    matches!(code, Some(100 | 102..=199))
}

/// Of a head whose status line was parsed. The parser itself gives none that has bytes beyond ASCII.
fn reason(head: &[u8]) -> Vec<u8> {
    let start = head.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0);
    let line = head[start..].split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.splitn(3, |&byte| byte == b' ').nth(2).unwrap_or_default().to_vec()
}

/// The lines of a folded value in one, as curl joins them: of the blanks around a line's end the last one stays.
fn unfolded(value: &[u8]) -> Vec<u8> {
    if !value.contains(&b'\n') {
        return value.to_vec();
    }
    let is_blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let mut joined = Vec::with_capacity(value.len());
    for (at, line) in value.split(|&byte| byte == b'\n').enumerate() {
        let line = line.trim_ascii_end();
        let blanks = line.iter().take_while(|byte| is_blank(byte)).count();
        let keep = if at == 0 { 0 } else { blanks.saturating_sub(1) };
        joined.extend_from_slice(&line[keep..]);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(pieces: &[&[u8]]) -> Recording {
        let mut recording = Recording::default();
        for piece in pieces {
            recording.add(piece);
        }
        recording
    }

    fn written(reason: &str, fields: &[(&str, &str)]) -> Option<Written> {
        let field = |&(name, value): &(&str, &str)| (name.to_owned(), value.as_bytes().to_vec());
        Some(Written {
            reason: reason.as_bytes().to_vec(),
            fields: fields.iter().map(field).collect(),
        })
    }

    #[test]
    fn the_head_is_as_the_server_wrote_it() {
        for (pieces, wanted) in [
            (
                &[&b"HTTP/1.1 200 OK\r\nX-ONE: 1\r"[..], b"\nx-Two: 2\r\nX-One: 3\r\n\r\nbody: no\r\n\r\n"]
                    [..],
                written("OK", &[("X-ONE", "1"), ("x-Two", "2"), ("X-One", "3")]),
            ),
            (
                &[b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.0 204\r\nServer: s\r\n\r\n"],
                written("", &[("Server", "s")]),
            ),
            (
                &[b"HTTP/1.1 200 OK\r\nX: a \r\n \t b\t\r\n\tc\r\n \r\nY : 1\r\n\r\n"],
                written("OK", &[("X", "a b\tc"), ("Y", "1")]),
            ),
            (&["HTTP/1.1 200 déjà vu\nA:b\n\n".as_bytes()], written("déjà vu", &[("A", "b")])),
            (&[b"HTTP/1.1 200 OK\r\nX-One: 1\r\n"], None),
            (&[b"SSH-2.0-x\r\n\r\n"], None),
        ] {
            assert_eq!(recording(pieces).written(), wanted, "{pieces:?}");
        }
    }

    #[test]
    fn a_broken_head_is_classed_by_how_it_began() {
        for (bytes, wanted) in [
            (&b""[..], Beginning::Nothing),
            (b"HTTP/1.1 100 Continue\r\n\r\n", Beginning::Nothing),
            (b"H", Beginning::Unfinished),
            (b"HTTP/1.1 2", Beginning::Unfinished),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2", Beginning::Unfinished),
            (b"HTTP/1.1 200 OK\r\n", Beginning::StatusLine),
            (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", Beginning::StatusLine),
            (b"HTTP/1.1 100 Continue\r\nno colon\r\n\r\n", Beginning::StatusLine),
            (b"HTTP/1.2 200 OK\r\n", Beginning::Foreign),
            (b"HTTP/1.1 099 OK\r\n", Beginning::Foreign),
            (b"HTTP/1.1 2000 OK\r\n", Beginning::Foreign),
            (b"S", Beginning::Foreign),
            (b"220 mail\r\n", Beginning::Foreign),
            (b"\0\0\x06\x04\0", Beginning::Foreign),
        ] {
            assert_eq!(recording(&[bytes]).beginning(), wanted, "{}", bytes.escape_ascii());
        }
    }
}
