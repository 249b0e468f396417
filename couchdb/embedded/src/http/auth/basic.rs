//! The name and the password of Basic authentication (RFC 7617).

use super::super::refusal::Refusal;
use crate::document::attachment::BASE64;
use base64::Engine as _;

/// The pair behind `Basic `; None when it names nobody, which CouchDB takes for no header at all.
pub(super) fn read(encoded: &str) -> Result<Option<(String, Vec<u8>)>, Refusal> {
    let invalid = || Refusal::bad_request("Authorization header has invalid base64 value");
    let decoded = BASE64.decode(encoded).map_err(|_| invalid())?;
    let Some(colon) = decoded.iter().position(|byte| *byte == b':') else { return Ok(None) };
    let (name, password) = (&decoded[..colon], &decoded[colon + 1..]);
    // With these a browser forgets what it was told.
    if (name, password) == (b"_", b"_") {
        return Ok(None);
    }
    let name = String::from_utf8(name.to_vec()).map_err(|_| invalid())?;
    Ok(Some((name, password.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_at_the_first_colon() {
        let read = |text: &[u8]| read(&BASE64.encode(text)).map_err(|refusal| refusal.status);
        let pair = |name: &str, password: &[u8]| Ok(Some((name.to_owned(), password.to_vec())));
        assert_eq!(read(b"u:p:w"), pair("u", b"p:w"));
        assert_eq!(read(b":"), pair("", b""));
        assert_eq!(read("jos\u{e9}:\u{e9}".as_bytes()), pair("jos\u{e9}", "\u{e9}".as_bytes()));
        assert_eq!(read(b"u\0x:\xff"), pair("u\0x", b"\xff"));
        assert_eq!(read(b"nobody"), Ok(None));
        assert_eq!(read(b"_:_"), Ok(None));
        assert_eq!(read(b"\xff:p"), Err(http::StatusCode::BAD_REQUEST));
        assert!(super::read("rubbish").is_err());
    }
}
