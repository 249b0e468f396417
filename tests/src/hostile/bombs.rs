//! Bodies of a gigabyte and more, plain and compressed: what is small on the wire and large behind it.

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress};

use super::case::{Case, case};
use super::script::{FOR_EVER, Script, Step, for_ever, say, times};

const MIB: u64 = 1 << 20;
/// The large body: as one would put it on a server to fill somebody's disk.
const LARGE_MIB: u64 = 1024;

/// Without name and time. Source: RFC 1952, section 2.3.
const GZIP_START: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// A window of 64 KiB, then an empty block that ends on a byte. Source: RFC 7932, section 9.
const BROTLI_START: &[u8] = &[0x0c];
/// The magic number, no options. Source: RFC 8878, section 3.1.1.
const ZSTD_START: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd, 0];
const ZSTD_WINDOW_128_KIB: &[u8] = &[7 << 3];
const ZSTD_WINDOW_128_MIB: &[u8] = &[17 << 3];
const ZSTD_WINDOW_LARGEST: &[u8] = &[0xff];
/// 128 KiB of zeros: a block of type RLE. Source: RFC 8878, section 3.1.1.2.
const ZSTD_ZEROS: &[u8] = &[0x02, 0, 0x10, 0];

/// Bodies as they are. Each is measured by itself.
#[must_use]
pub fn plain() -> Vec<Case> {
    let body = |count| Step::Repeat(Bytes::from(vec![b'x'; 1 << 20]), count);
    let length = format!("Content-Length: {}\r\n", LARGE_MIB * MIB);
    vec![
        case("1 GiB to nowhere", Script::answer([head(&length), body(LARGE_MIB)]))
            .with(&["-o", "/dev/null"])
            .lasts(30),
        case("a body without end to standard output", Script::answer([head(""), body(FOR_EVER)]))
            // The limit that is wanted is that of the output, also where writing so much takes its time.
            .with(&["--timeout", "120s"])
            .fails(122, "output limit 256 MiB reached")
            .is_kept()
            .lasts(90),
    ]
}

/// Bodies that unfold. Each is measured by itself.
#[must_use]
pub fn compressed() -> Vec<Case> {
    let coded = |coding: &str, steps: Vec<Step>| {
        Script::answer([head(&format!("Content-Encoding: {coding}\r\n"))].into_iter().chain(steps))
    };
    let bomb = |name, coding: &str, start: &[u8], piece: &[u8]| {
        case(name, coded(coding, vec![say(start), for_ever(piece)]))
            // A decoder that does not look at the clock is stopped, and the case fails.
            .with(&["--compressed", "-o", "/dev/null", "--timeout", "15s"])
            .times_out("1")
            .or(56, "")
            .or(61, "")
            .or(100, "")
    };
    let broken = |name, coding: &str, steps| {
        case(name, coded(coding, steps))
            .with(&["--compressed", "-o", "/dev/null"])
            .fails(61, "")
            .or(18, "")
            .or(56, "")
            .or(100, "")
    };
    let zeros = deflate_zeros();
    let nested_start = [GZIP_START, &deflate(GZIP_START)].concat();
    let nested_zeros = deflate(&zeros.repeat(64));
    let brotli = || coded("br", vec![say(BROTLI_START), for_ever(brotli_zeros())]);
    let zstd = |window| [ZSTD_START, window].concat();
    vec![
        bomb("gzip without end", "gzip", GZIP_START, &zeros),
        bomb("gzip in gzip without end", "gzip, gzip", &nested_start, &nested_zeros),
        bomb("brotli without end", "br", BROTLI_START, &brotli_zeros()),
        bomb("zstd without end", "zstd", &zstd(ZSTD_WINDOW_128_KIB), ZSTD_ZEROS),
        bomb("zstd with a window of 128 MiB", "zstd", &zstd(ZSTD_WINDOW_128_MIB), ZSTD_ZEROS)
            .or(122, ""),
        broken(
            "zstd with the largest window",
            "zstd",
            vec![say(zstd(ZSTD_WINDOW_LARGEST)), for_ever(ZSTD_ZEROS)],
        ),
        case("brotli without end, without a limit", brotli())
            .with(&["--compressed", "-o", "/dev/null"])
            .outlasts_its_job(),
        case("brotli without end, of which little is wanted", brotli()).with(&[
            "--compressed",
            "-o",
            "/dev/null",
            "--body-limit",
            "1000000",
        ]),
        broken(
            "a hundred codings",
            &["gzip"; 100].join(", "),
            vec![say(GZIP_START), for_ever(&zeros)],
        ),
        broken("gzip that is none", "gzip", vec![for_ever("not compressed ")]),
        // As curl: what came is shown.
        broken("gzip that ends too early", "gzip", vec![say(GZIP_START), times(&zeros, 1)])
            .or(0, ""),
        broken("an encoding that nobody knows", "rot13", vec![for_ever("uryyb ")]),
    ]
}

fn head(fields: &str) -> Step {
    say(format!("HTTP/1.1 200 OK\r\n{fields}\r\n"))
}

/// A block of one MiB of zeros that ends on a byte and is not the last: it can be repeated.
fn deflate_zeros() -> Vec<u8> {
    deflate(&vec![0; 1 << 20])
}

fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(plain.len() + 1024);
    let mut deflater = Compress::new(Compression::best(), false);
    deflater.compress_vec(plain, &mut packed, FlushCompress::Sync).expect("room for all of it");
    packed
}

/// 16 MiB of zeros in 14 bytes: a block whose three codes have one symbol each, and so no bits, with one command
/// that inserts all of it; then an empty block that ends on a byte. It can be repeated.
///
/// Source: RFC 7932, sections 3.4, 5 and 9.2.
fn brotli_zeros() -> Vec<u8> {
    const LENGTH: u64 = 16 << 20;
    /// Insert length code 23 with copy length code 0.
    const COMMAND: u64 = 448 + (7 << 3);
    /// From where code 23 counts, in 24 bits.
    const INSERT_BASE: u64 = 22_594;
    let mut bits = Bits::default();
    for (value, width) in [
        (0, 1),           // not the last
        (2, 2),           // six nibbles of length
        (LENGTH - 1, 24), //
        (0, 1),           // compressed
        (0, 3),           // one block type for literals, commands and distances
        (0, 6),           // no postfix bits, no direct distances
        (0, 2),           // context mode
        (0, 2),           // one tree for literals, one for distances
        (1, 4),           // literals: a simple code of one symbol
        (0, 8),
        (1, 4), // commands
        (COMMAND, 10),
        (1, 4), // distances
        (0, 6),
        (LENGTH - INSERT_BASE, 24), // the command's extra bits
        (0, 1),                     // not the last
        (3, 2),                     // no length: metadata
        (0, 3),                     // reserved, and no bytes of it
    ] {
        bits.push(value, width);
    }
    bits.bytes
}

/// Bits from the lowest to the highest in each byte.
#[derive(Debug, Default)]
struct Bits {
    bytes: Vec<u8>,
    count: u32,
}

impl Bits {
    fn push(&mut self, value: u64, width: u32) {
        for at in 0..width {
            if self.count.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let (1, Some(last)) = (value >> at & 1, self.bytes.last_mut()) {
                *last |= 1 << (self.count % 8);
            }
            self.count += 1;
        }
    }
}
