//! Bodies that other programs compressed, whole, in pieces, broken and damaged.

use std::collections::VecDeque;
use std::io::Write as _;
use std::time::Duration;

use blitz_plugin::web::{Failure, FailureKind};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;

use super::*;

const TEXT: &[u8] = include_bytes!("tests/text.txt");
const BROTLI: &[u8] = include_bytes!("tests/text.br");
const ZSTD: &[u8] = include_bytes!("tests/text.zst");

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn raw(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[derive(Debug)]
struct Pieces {
    pieces: VecDeque<Vec<u8>>,
    failure: Option<Failure>,
}

impl Body for Pieces {
    fn read(&mut self, _bytes_max: u32) -> Result<Vec<u8>, Failure> {
        match self.pieces.pop_front() {
            Some(piece) => Ok(piece),
            None => self.failure.take().map_or(Ok(Vec::new()), Err),
        }
    }

    fn total_us(&self) -> u64 {
        0
    }
}

fn encodings(header: &str) -> Result<Vec<Encoding>, Problem> {
    Encoding::of(&vec![("Content-Encoding".to_owned(), header.as_bytes().to_vec())])
}

/// What came, and how it ended: `ok`, or a problem's number.
fn decode(header: &str, bytes: &[u8], piece_bytes: usize, fails: bool) -> (Vec<u8>, String) {
    let failure = fails.then(|| Failure::new(FailureKind::Partial, "broken off"));
    let mut body =
        Pieces { pieces: bytes.chunks(piece_bytes).map(<[u8]>::to_vec).collect(), failure };
    let wire = Wire::new("here", TimeLimit::start(None));
    let encodings = encodings(header).unwrap();
    let mut decoded = Decoded::new(&mut body, &encodings, &wire);
    let mut buffer = vec![0; 5000];
    let mut came = Vec::new();
    loop {
        match decoded.read(&mut buffer) {
            Ok(0) => {
                assert_eq!(wire.received_bytes.get(), u64::try_from(bytes.len()).unwrap());
                return (came, "ok".to_owned());
            }
            Ok(length) => came.extend_from_slice(&buffer[..length]),
            Err(problem) => return (came, problem.code.status().to_string()),
        }
    }
}

#[test]
fn every_encoding_is_taken_off() {
    for (header, bytes) in [
        ("gzip", gzip(TEXT)),
        ("x-gzip", gzip(TEXT)),
        ("GZIP", gzip(TEXT)),
        ("deflate", zlib(TEXT)),
        ("deflate", raw(TEXT)),
        ("br", BROTLI.to_vec()),
        ("zstd", ZSTD.to_vec()),
        ("zstd", [&[0x5a, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9], ZSTD].concat()),
        ("identity, gzip", gzip(TEXT)),
        ("deflate, gzip", gzip(&zlib(TEXT))),
        ("br , zstd,gzip,deflate", zlib(&gzip(&zstd_stored(BROTLI)))),
    ] {
        for piece_bytes in [1, 7, 100_000] {
            let (came, end) = decode(header, &bytes, piece_bytes, false);
            assert_eq!((came == TEXT, end.as_str()), (true, "ok"), "{header} by {piece_bytes}");
        }
    }
    let (came, end) = decode("zstd", &[ZSTD, ZSTD].concat(), 50, false);
    assert_eq!((came == TEXT.repeat(2), end.as_str()), (true, "ok"), "two frames");
}

/// A frame of one block that is not compressed.
fn zstd_stored(bytes: &[u8]) -> Vec<u8> {
    let size = u32::try_from(bytes.len()).unwrap();
    let head = (size << 3 | 1).to_le_bytes();
    [&[0x28, 0xb5, 0x2f, 0xfd, 0, 0x50][..], &head[..3], bytes].concat()
}

#[test]
fn damage_and_ends_are_as_in_curl() {
    let mut wrong_sum = gzip(TEXT);
    let length = wrong_sum.len();
    wrong_sum[length - 6] ^= 1;
    let with_more = |bytes: Vec<u8>| [bytes, b"more and more".to_vec()].concat();
    for (header, bytes, expected) in [
        ("gzip", b"this is no gzip".to_vec(), "61"),
        ("gzip", wrong_sum, "61"),
        ("deflate", b"\xff\xff\xff no".to_vec(), "61"),
        ("br", b"\xff\xff\xff no".to_vec(), "61"),
        ("zstd", b"\xff\xff\xff no zstd".to_vec(), "61"),
        ("gzip, weird", gzip(TEXT), "61"),
        ("gzip", with_more(gzip(TEXT)), "23"),
        ("deflate", with_more(zlib(TEXT)), "23"),
        ("br", with_more(BROTLI.to_vec()), "23"),
        ("zstd", with_more(ZSTD.to_vec()), "61"),
        ("zstd", vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x69, 1, 0, 0], "61"),
        ("zstd", vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0, 1, 0, 0x80, 0, 1, 0, 0], "61"),
        ("zstd", [ZSTD, &[0x28, 0xb5, 0x2f, 0xfd, 0, 0x69, 1, 0, 0]].concat(), "61"),
    ] {
        for piece_bytes in [1, 100_000] {
            let (_, end) = decode(header, &bytes, piece_bytes, false);
            assert_eq!(end, expected, "{header} {:?}", &bytes[..9]);
        }
    }
    for header in ["gzip", "deflate", "br", "zstd", "weird", "gzip, br"] {
        assert_eq!(decode(header, b"", 1, false), (Vec::new(), "ok".to_owned()), "{header}");
    }
    assert_eq!(encodings("gzip, br, gzip, br, gzip").unwrap().len(), 5);
    let problem = encodings("gzip, br, gzip, br, gzip, br").unwrap_err();
    assert_eq!(problem.text, "Reject response due to more than 5 content encodings");
}

#[test]
fn what_breaks_off_is_shown_as_far_as_it_came() {
    for (header, bytes) in [
        ("gzip", gzip(TEXT)),
        ("deflate", zlib(TEXT)),
        ("deflate", raw(TEXT)),
        ("br", BROTLI.to_vec()),
        ("zstd", ZSTD.to_vec()),
        ("deflate, gzip", gzip(&zlib(TEXT))),
    ] {
        for kept in 0..bytes.len() {
            let (came, end) = decode(header, &bytes[..kept], 64, false);
            assert_eq!((TEXT.starts_with(&came), end.as_str()), (true, "ok"), "{header} {kept}");
            let (came, end) = decode(header, &bytes[..kept], 64, true);
            assert!(TEXT.starts_with(&came), "{header} {kept}");
            assert_eq!(end, "18", "{header} {kept}");
        }
    }
}

#[test]
fn a_bomb_unfolds_piece_by_piece() {
    const ZEROS: usize = 8_000_000;
    for (header, bytes) in [
        ("br", include_bytes!("tests/zeros.br").to_vec()),
        ("gzip", gzip(&vec![0; ZEROS])),
        ("gzip, gzip", gzip(&gzip(&vec![0; ZEROS]))),
    ] {
        let (came, end) = decode(header, &bytes, 1000, false);
        assert_eq!((came.len(), end.as_str()), (ZEROS, "ok"), "{header}");
    }
}

#[test]
fn data_is_shown_before_its_end() {
    let bytes = gzip(&vec![7; 4_000_000]);
    let mut body =
        Pieces { pieces: bytes.chunks(100).map(<[u8]>::to_vec).collect(), failure: None };
    let wire = Wire::new("here", TimeLimit::start(None));
    let mut decoded = Decoded::new(&mut body, &[Encoding::Gzip], &wire);
    assert!(decoded.read(&mut [0; 5000]).unwrap() > 0);
    assert!(wire.received_bytes.get() <= 200, "{wire:?}");
}

#[test]
fn what_unfolds_to_nothing_ends_with_the_time() {
    // A gzip header, and deflate blocks that are empty.
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let inner = [&head[..], &[0, 0, 0, 0xff, 0xff].repeat(4_000_000)].concat();
    let mut body = Pieces { pieces: VecDeque::from([gzip(&inner)]), failure: None };
    let wire = Wire::new("here", TimeLimit::start(Some(Duration::from_millis(1))));
    let mut decoded = Decoded::new(&mut body, &[Encoding::Gzip, Encoding::Gzip], &wire);
    let problem = decoded.read(&mut [0; 5000]).unwrap_err();
    assert_eq!(problem.code, Code::TimedOut, "{problem:?}");
}

proptest! {
    #[test]
    fn damage_never_panics(
        which in 0..4_usize,
        changes in prop::collection::vec((0..1100_usize, any::<u8>()), 1..9),
    ) {
        let (header, mut bytes) = [
            ("gzip", gzip(TEXT)),
            ("deflate", zlib(TEXT)),
            ("br", BROTLI.to_vec()),
            ("zstd", ZSTD.to_vec()),
        ][which].clone();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let failure = None;
        let mut body = Pieces { pieces: VecDeque::from([bytes]), failure };
        let wire = Wire::new("here", TimeLimit::start(None));
        let encodings = encodings(header).unwrap();
        let mut decoded = Decoded::new(&mut body, &encodings, &wire);
        let mut buffer = vec![0; 5000];
        for _ in 0..1000 {
            if !matches!(decoded.read(&mut buffer), Ok(1..)) {
                break;
            }
        }
    }
}
