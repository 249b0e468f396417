//! How the bytes of an attachment are packed: gzip for types that shrink, as CouchDB stores them.
//!
//! CouchDB compresses with Erlang's zlib at level 8. The deflate stream here is made by another
//! implementation of the same format, so that the same text may have other packed bytes, and with
//! them another digest and another revision, than on a CouchDB. What was packed elsewhere is kept
//! as it came.

use super::attachment::BASE64;
use base64::Engine as _;
use bytes::Bytes;
use flate2::{Compression, GzBuilder, write::MultiGzDecoder};
use md5::{Digest as _, Md5};
use std::io::{self, Write};

/// `compression_level` of CouchDB's attachments.
const LEVEL: u32 = 8;

/// The operating system that zlib writes into the head of its output on Unix.
const UNIX: u8 = 3;

/// How the bytes of an attachment come, or lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
}

/// The bytes of an attachment as they are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) encoding: Encoding,
    /// `md5-` and the digest of `data` in base64.
    pub(crate) digest: String,
    /// How long the attachment is said to be.
    pub(crate) length: u64,
    pub(crate) data: Bytes,
}

/// Why packed bytes are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadPacking {
    /// They are no gzip, or it ends too early.
    NotGzip,
    /// Unpacked they are longer than an attachment may be.
    TooLarge,
}

/// Packs the bytes, if a type like this is worth it.
pub(crate) fn pack(content_type: &str, data: Bytes) -> Packed {
    let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
    if is_compressible(content_type) {
        let mut gzip =
            GzBuilder::new().operating_system(UNIX).write(Vec::new(), Compression::new(LEVEL));
        // A Vec takes everything; were it not so, the bytes would be kept as they are.
        if gzip.write_all(&data).is_ok()
            && let Ok(packed) = gzip.finish()
        {
            let data = Bytes::from(packed);
            return Packed { encoding: Encoding::Gzip, digest: digest(&data), length, data };
        }
    }
    Packed { encoding: Encoding::Identity, digest: digest(&data), length, data }
}

/// Takes bytes that came packed, and looks through them once: unpacked they may be `limit` bytes.
pub(crate) fn take_packed(data: Bytes, limit: usize) -> Result<Packed, BadPacking> {
    let mut counter = MultiGzDecoder::new(Counter { count: 0, limit });
    let counted = counter.write_all(&data).and_then(|()| counter.try_finish());
    let count = counter.get_ref().count;
    if count > limit {
        return Err(BadPacking::TooLarge);
    }
    if counted.is_err() || data.is_empty() {
        return Err(BadPacking::NotGzip);
    }
    let length = u64::try_from(count).unwrap_or(u64::MAX);
    Ok(Packed { encoding: Encoding::Gzip, digest: digest(&data), length, data })
}

/// Takes what is unpacked and keeps nothing of it.
#[derive(Debug)]
struct Counter {
    count: usize,
    limit: usize,
}

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.count += bytes.len();
        if self.count > self.limit {
            return Err(io::Error::other("the attachment is too large"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The digest as it stands in documents.
pub(crate) fn digest(data: &[u8]) -> String {
    format!("md5-{}", BASE64.encode(Md5::digest(data)))
}

/// CouchDB's `compressible_types` as they come configured, with or without parameters.
fn is_compressible(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    kind.starts_with("text/")
        || ["application/javascript", "application/json", "application/xml"].contains(&&*kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_of_couchdb_are_packed() {
        for (content_type, packed) in [
            ("text/plain", true),
            ("Text/HTML; charset=utf-8", true),
            ("application/json", true),
            (" application/xml ;a=b", true),
            ("application/jsonx", false),
            ("application/octet-stream", false),
            ("", false),
        ] {
            assert_eq!(is_compressible(content_type), packed, "{content_type}");
        }
    }

    /// What CouchDB 3.5.0 stores of an empty and of a short text; it is the same here.
    #[test]
    fn short_texts_are_packed_into_the_bytes_that_couchdb_has() {
        for (text, digest) in [
            ("", "md5-cCkGbCesb17xjWYNV0GXmg=="),
            ("text body", "md5-13/UfW978i4WRx6pDsW09Q=="),
            ("hello hello hello hello", "md5-iZnIgHaZ3ETVHDtRSQc4IA=="),
        ] {
            let packed = pack("text/plain", Bytes::from(text));
            assert_eq!(packed.digest, digest, "{text:?}");
            assert_eq!(packed.length, u64::try_from(text.len()).unwrap());
        }
    }

    #[test]
    fn packed_bytes_are_looked_through_before_they_are_taken() {
        let packed = pack("text/plain", Bytes::from(vec![b'a'; 1000])).data;
        let taken =
            |data: &Bytes, limit| take_packed(data.clone(), limit).map(|taken| taken.length);
        assert_eq!(taken(&packed, 1000), Ok(1000));
        assert_eq!(taken(&packed, 999), Err(BadPacking::TooLarge));
        for bad in [&b""[..], b"abc", &packed[..packed.len() - 1], &packed[..5]] {
            assert_eq!(taken(&Bytes::copy_from_slice(bad), 1000), Err(BadPacking::NotGzip));
        }
    }
}
