//! Text with holes, and how values go into it.

use super::value::{Drawing, Names};

/// Digits of a length.
const NUMBER_BYTES: usize = 20;
/// What a byte takes that is percent-encoded.
const ESCAPED_BYTES: usize = 3;

/// Pieces of bytes, some of which are filled in.
#[derive(Debug, Clone, Default)]
pub(super) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone)]
enum Piece {
    Text(Vec<u8>),
    /// Number of a value.
    Hole(usize, Rule),
    /// How many bytes the body has, as a decimal number.
    BodyBytes,
}

/// What of a value cannot stand at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// What no request line can hold is percent-encoded; everything else goes in as it is, so that a value may hold
    /// `/`, `&` and what is encoded already.
    Url,
    /// Control characters become spaces: no value begins a new line. Source: RFC 9110, section 5.5.
    Head,
    /// Anything.
    Body,
}

impl Template {
    /// Without holes.
    pub(super) fn text(bytes: Vec<u8>) -> Self {
        Self { pieces: vec![Piece::Text(bytes)] }
    }

    /// `#{name}` of a known name is a hole, any other stays as it is.
    pub(super) fn parse(text: &str, rule: Rule, names: &Names) -> Self {
        let mut made = Self::default();
        let mut rest = text;
        while let Some(at) = rest.find("#{") {
            let (before, hole) = rest.split_at(at);
            let known = hole[2..]
                .find('}')
                .and_then(|end| names.find(&hole[2..2 + end]).map(|value| (value, end + 3)));
            if let Some((value, length)) = known {
                made.push(before.as_bytes());
                made.pieces.push(Piece::Hole(value, rule));
                rest = &hole[length..];
            } else {
                made.push(before.as_bytes());
                made.push(b"#{");
                rest = &hole[2..];
            }
        }
        made.push(rest.as_bytes());
        made
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        match self.pieces.last_mut() {
            Some(Piece::Text(text)) => text.extend_from_slice(bytes),
            _ if bytes.is_empty() => {}
            _ => self.pieces.push(Piece::Text(bytes.to_vec())),
        }
    }

    pub(super) fn push_body_bytes(&mut self) {
        self.pieces.push(Piece::BodyBytes);
    }

    pub(super) fn append(&mut self, other: Self) {
        for piece in other.pieces {
            match piece {
                Piece::Text(text) => self.push(&text),
                hole => self.pieces.push(hole),
            }
        }
    }

    /// Its text, changed.
    pub(super) fn map_text(mut self, change: impl Fn(&[u8]) -> Vec<u8>) -> Self {
        for piece in &mut self.pieces {
            if let Piece::Text(text) = piece {
                *text = change(text);
            }
        }
        self
    }

    /// Everything, when there are no holes.
    pub(super) fn fixed(&self) -> Option<&[u8]> {
        match &self.pieces[..] {
            [] => Some(&[]),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Bytes that it has at most, with the longest values in its holes.
    pub(super) fn bytes_max(&self, names: &Names) -> usize {
        let of_piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.len(),
            Piece::BodyBytes => NUMBER_BYTES,
            Piece::Hole(value, Rule::Url) => names.bytes_max(*value).saturating_mul(ESCAPED_BYTES),
            Piece::Hole(value, Rule::Head | Rule::Body) => names.bytes_max(*value),
        };
        self.pieces.iter().fold(0, |sum: usize, piece| sum.saturating_add(of_piece(piece)))
    }

    /// Whether nothing depends on a value.
    pub(super) fn is_fixed(&self) -> bool {
        !self.pieces.iter().any(|piece| matches!(piece, Piece::Hole(..)))
    }

    pub(super) fn write(&self, drawing: &Drawing<'_>, body_bytes: usize, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::BodyBytes => out.extend_from_slice(body_bytes.to_string().as_bytes()),
                Piece::Hole(value, rule) => {
                    let begin = out.len();
                    drawing.write(*value, out);
                    rule.hold(out, begin);
                }
            }
        }
    }
}

impl Rule {
    /// Changes what stands in `out` from `begin` on.
    fn hold(self, out: &mut Vec<u8>, begin: usize) {
        match self {
            Self::Body => {}
            Self::Head => {
                for byte in &mut out[begin..] {
                    if is_control(*byte) {
                        *byte = b' ';
                    }
                }
            }
            Self::Url => {
                if out[begin..].iter().any(|byte| breaks_url(*byte)) {
                    let value = out.split_off(begin);
                    out.extend_from_slice(&escape(&value));
                }
            }
        }
    }
}

/// What no header's value may hold.
pub(super) fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

/// White space and controls end a request line, `#` begins what is no part of it, the others are refused by readers.
fn breaks_url(byte: u8) -> bool {
    byte <= b' ' || byte >= 0x7f || b"#<>\"`".contains(&byte)
}

/// Percent-encodes what breaks a URL. Source: RFC 3986, section 2.1.
pub(super) fn escape(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Vec::with_capacity(bytes.len() + 8);
    for byte in bytes {
        if breaks_url(*byte) {
            out.extend_from_slice(&[
                b'%',
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ]);
        } else {
            out.push(*byte);
        }
    }
    out
}
