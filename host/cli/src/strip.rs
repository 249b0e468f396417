//! Takes control sequences out of remote output before a terminal sees it. Pure, and the same however
//! the bytes are cut into pieces.
//!
//! Remote output is foreign: an escape sequence could rewrite the screen, the title or the clipboard.
//! What stays is text, tab and line feed, with the carriage return before it. A carriage return alone
//! becomes a line feed: it would let later text hide what stood before. What goes: the other C0 controls
//! and DEL, C1 controls (as UTF-8 and as bare bytes), and whole sequences (CSI, OSC, DCS, SOS, PM, APC).
//!
//! Source: ECMA-48, fifth edition, section 5; xterm's "Control Sequences" for BEL as the end of OSC;
//! RFC 3629, section 4, for what is a character.

use std::ops::RangeInclusive;

/// The filter of one stream.
#[derive(Debug, Default)]
pub(crate) struct Strip {
    state: State,
    /// Continuation bytes that the character under way still needs.
    continuation: u8,
    /// The first of them, where the lead byte narrows it: `0xE0 0x9B` is no character.
    next: Option<RangeInclusive<u8>>,
    /// `0xC2` was held back: the byte behind it decides whether it begins a C1 control.
    held: bool,
    /// A carriage return was held back: the byte behind it decides what it becomes.
    returned: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// Behind ESC.
    Escape,
    /// In a CSI sequence, up to its final byte.
    Csi,
    /// In a string (OSC, DCS, SOS, PM, APC), up to ST, BEL, CAN, SUB or the end of the line: one that
    /// is never closed must not swallow the rest of the output.
    String,
}

const ESC: u8 = 0x1b;
const BEL: u8 = 0x07;
const CAN: u8 = 0x18;
const SUB: u8 = 0x1a;
const DEL: u8 = 0x7f;

impl Strip {
    /// The part of `bytes` that is safe to show.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut safe = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            self.take(byte, &mut safe);
        }
        safe
    }

    fn take(&mut self, byte: u8, safe: &mut Vec<u8>) {
        if std::mem::take(&mut self.returned) {
            safe.push(if byte == b'\n' { b'\r' } else { b'\n' });
        }
        if std::mem::take(&mut self.held) {
            match byte {
                0x80..=0x9f => return self.control(byte, safe),
                0xa0..=0xbf => return self.text(&[0xc2, byte], safe),
                // A lone 0xC2 is no character, and could make a C1 control of what comes behind a
                // sequence that is taken out.
                _ => self.text("\u{fffd}".as_bytes(), safe),
            }
        }
        if self.continuation > 0 {
            if self.next.take().unwrap_or(0x80..=0xbf).contains(&byte) {
                self.continuation -= 1;
                return self.text(&[byte], safe);
            }
            self.continuation = 0;
        }
        match byte {
            0xc2 => self.held = true,
            0x00..=0x1f | DEL | 0x80..=0x9f => self.control(byte, safe),
            _ => {
                self.continuation = match byte {
                    0xc3..=0xdf => 1,
                    0xe0..=0xef => 2,
                    0xf0..=0xf4 => 3,
                    _ => 0,
                };
                self.next = match byte {
                    0xe0 => Some(0xa0..=0xbf),
                    0xed => Some(0x80..=0x9f),
                    0xf0 => Some(0x90..=0xbf),
                    0xf4 => Some(0x80..=0x8f),
                    _ => None,
                };
                self.text(&[byte], safe);
            }
        }
    }

    /// A control character: C0, DEL, or C1 by its value.
    fn control(&mut self, byte: u8, safe: &mut Vec<u8>) {
        match byte {
            ESC => self.state = State::Escape,
            0x9b => self.state = State::Csi,
            0x90 | 0x98 | 0x9d | 0x9e | 0x9f => self.state = State::String,
            0x80..=0x9f | CAN | SUB => self.state = State::Text,
            BEL if self.state == State::String => self.state = State::Text,
            b'\n' => {
                self.state = State::Text;
                safe.push(byte);
            }
            b'\t' if self.state == State::Text => safe.push(byte),
            b'\r' if self.state == State::Text => self.returned = true,
            _ => {}
        }
    }

    /// Bytes that are not control characters: text, or the inside of a sequence.
    fn text(&mut self, bytes: &[u8], safe: &mut Vec<u8>) {
        self.state = match (self.state, bytes) {
            (State::Text, _) => {
                safe.extend_from_slice(bytes);
                State::Text
            }
            (State::String, _) => State::String,
            // No sequence holds a character beyond ASCII: it is text, and the sequence was none.
            (State::Escape | State::Csi, [0x80..=0xff, ..]) => {
                safe.extend_from_slice(bytes);
                State::Text
            }
            (State::Escape, [b'[']) => State::Csi,
            (State::Escape, [b']' | b'P' | b'X' | b'^' | b'_']) => State::String,
            // Intermediate bytes go on; a final byte ends a two-character sequence.
            (State::Escape, [0x20..=0x2f]) => State::Escape,
            (State::Escape, _) => State::Text,
            (State::Csi, [0x20..=0x3f]) => State::Csi,
            (State::Csi, _) => State::Text,
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strip(bytes: &[u8], cut: usize) -> Vec<u8> {
        let mut filter = Strip::default();
        bytes.chunks(cut.max(1)).flat_map(|piece| filter.push(piece)).collect()
    }

    #[test]
    fn text_stays_and_controls_go() {
        for (input, safe) in [
            (&b"plain\ttext\r\n"[..], &b"plain\ttext\r\n"[..]),
            ("é 日本 🦀 ✓\n".as_bytes(), "é 日本 🦀 ✓\n".as_bytes()),
            (b"rm -rf /\rharmless\r\r\n", b"rm -rf /\nharmless\n\r\n"),
            (b"\x1b[31mred\x1b[0m", b"red"),
            (b"\x1b[38;5;1mred\x1b[?25l", b"red"),
            (b"a\x1b]0;title\x07b", b"ab"),
            (b"a\x1b]52;c;aGk=\x1b\\b", b"ab"),
            (b"a\x1bPq#0\x1b\\b", b"ab"),
            (b"a\xc2\x9b31mb", b"ab"),
            (b"a\x9b31mb", b"ab"),
            (b"a\xc2\x9d0;t\xc2\x9cb", b"ab"),
            (b"a\x1b(Bb\x1b7c", b"abc"),
            (b"a\x08\x08\x07\x00\x7fb\x0c", b"ab"),
            (b"never closed \x1b]0;title\nnext", b"never closed \nnext"),
            (b"\xc2\xa9 and \xc2", b"\xc2\xa9 and "),
            (b"\xc2x\xff\xfe", b"\xef\xbf\xbdx\xff\xfe"),
            (b"\xc2\x1b\xc3\x9b31m", "\u{fffd}\u{db}31m".as_bytes()),
            (b"\x1b\x1b[1mb", b"b"),
        ] {
            for cut in 1..8 {
                assert_eq!(strip(input, cut), safe, "{input:?} cut at {cut}");
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_dangerous_passes(
            bytes in proptest::collection::vec(prop_oneof![
                Just(0x1b), Just(0xc2), Just(0x9b), Just(b'['), Just(b']'), Just(0x07), any::<u8>()
            ], 0..200),
            cut in 1..20usize,
        ) {
            let safe = strip(&bytes, cut);
            prop_assert_eq!(&safe, &strip(&bytes, bytes.len()));
            for (at, byte) in safe.iter().enumerate() {
                prop_assert!(
                    !matches!(byte, 0..=8 | 0x0b | 0x0c | 0x0e..=0x1f | 0x7f),
                    "{byte:#x} at {at}"
                );
            }
            prop_assert!(!safe.windows(2).any(|w| w[0] == 0xc2 && matches!(w[1], 0x80..=0x9f)));
            prop_assert!(!safe.windows(2).any(|w| w[0] == b'\r' && w[1] != b'\n'));
            prop_assert!(!safe.utf8_chunks().any(|c| matches!(c.invalid(), [0x80..=0x9f])));
        }

        #[test]
        fn text_is_not_harmed(text in "[^\\p{Cc}]{0,80}", cut in 1..9usize) {
            prop_assert_eq!(strip(text.as_bytes(), cut), text.as_bytes());
        }
    }
}
