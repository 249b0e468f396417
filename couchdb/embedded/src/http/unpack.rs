//! Bodies that a client has packed: `Content-Encoding: gzip`, as some clients send all of them.

use super::refusal::Refusal;
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use http::StatusCode;
use std::io::Read as _;

/// Whether the body is packed. The texts are CouchDB's.
pub(crate) fn is_packed(encoding: Option<&str>) -> Result<bool, Refusal> {
    match encoding {
        None | Some("" | "identity") => Ok(false),
        Some("gzip") => Ok(true),
        Some(other) => Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "bad_content_type",
            format!("{other} is not a supported content encoding."),
        )),
    }
}

/// Unpacks a body; None when it has more than `limit` bytes then.
pub(crate) fn unpack(packed: &[u8], limit: usize) -> Result<Option<Bytes>, Refusal> {
    let mut bytes = Vec::new();
    // One byte more tells what is too long from what just fits.
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let read = MultiGzDecoder::new(packed).take(most).read_to_end(&mut bytes);
    if read.is_err() {
        return Err(Refusal::bad_request("Request body is not properly gzipped."));
    }
    Ok((bytes.len() <= limit).then(|| bytes.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write as _;

    #[test]
    fn a_body_is_unpacked_up_to_the_limit() {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(&[b'x'; 1000]).unwrap();
        let packed = packed.finish().unwrap();
        assert_eq!(unpack(&packed, 1000).unwrap().unwrap().len(), 1000);
        assert_eq!(unpack(&packed, 999), Ok(None));
        for broken in [&packed[..packed.len() - 9], b"{}", b""] {
            assert_eq!(unpack(broken, 1000).unwrap_err().status, StatusCode::BAD_REQUEST);
        }
    }

    #[test]
    fn only_gzip_is_known() {
        for (encoding, packed) in
            [(None, false), (Some(""), false), (Some("identity"), false), (Some("gzip"), true)]
        {
            assert_eq!(is_packed(encoding), Ok(packed), "{encoding:?}");
        }
        assert!(is_packed(Some("GZIP")).is_err());
    }
}
