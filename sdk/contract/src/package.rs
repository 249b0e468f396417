//! The manifest inside a component: a custom section at the top level of the file, so that a manifest can be read
//! without running anything, and a plain WASI command can have one.
//!
//! Source: the WebAssembly binary format, "Modules" and "Custom Section"; the component model's "Binary Format".

/// The name of the section; its content is the manifest as JSON.
pub const MANIFEST_SECTION: &str = "blitz:manifest";

/// The magic number, then the version and layer.
const PREAMBLE_BYTES: usize = 8;
const MAGIC: &[u8] = b"\0asm";
const CUSTOM: u8 = 0;

/// The text of the last such section; `None` when there is none, or the file is not made of sections.
#[must_use]
pub fn manifest(wasm: &[u8]) -> Option<&str> {
    let mut found = None;
    let mut rest = sections(wasm)?;
    while let Some((&id, after)) = rest.split_first() {
        let (length, after) = leb128(after)?;
        let (content, after) = after.split_at_checked(length)?;
        rest = after;
        if id != CUSTOM {
            continue;
        }
        let (name_length, content) = leb128(content)?;
        let (name, content) = content.split_at_checked(name_length)?;
        if name == MANIFEST_SECTION.as_bytes() {
            found = Some(std::str::from_utf8(content).ok()?);
        }
    }
    found
}

/// The file with this manifest in place of any that it had; `None` when it is not made of sections.
#[must_use]
pub fn with_manifest(wasm: &[u8], json: &str) -> Option<Vec<u8>> {
    let mut rest = sections(wasm)?;
    let mut packed = wasm[..PREAMBLE_BYTES].to_vec();
    while let Some((&id, after)) = rest.split_first() {
        let (length, content) = leb128(after)?;
        let (content, after) = content.split_at_checked(length)?;
        let (section, _) = rest.split_at(rest.len() - after.len());
        rest = after;
        let is_ours = id == CUSTOM
            && leb128(content).is_some_and(|(name_length, content)| {
                content.get(..name_length) == Some(MANIFEST_SECTION.as_bytes())
            });
        if !is_ours {
            packed.extend_from_slice(section);
        }
    }
    let mut content = Vec::new();
    push_leb128(&mut content, MANIFEST_SECTION.len());
    content.extend_from_slice(MANIFEST_SECTION.as_bytes());
    content.extend_from_slice(json.as_bytes());
    packed.push(CUSTOM);
    push_leb128(&mut packed, content.len());
    packed.extend(content);
    Some(packed)
}

fn sections(wasm: &[u8]) -> Option<&[u8]> {
    wasm.starts_with(MAGIC).then(|| wasm.get(PREAMBLE_BYTES..))?
}

fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    /// Bytes of an unsigned number of 32 bits.
    const BYTES_MAX: usize = 5;
    let mut value = 0u64;
    for (at, byte) in bytes.iter().take(BYTES_MAX).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, &bytes[at + 1..]));
        }
    }
    None
}

fn push_leb128(bytes: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn a_manifest_is_packed_once() {
        assert_eq!(manifest(EMPTY), None);
        let long = "x".repeat(300);
        let packed = with_manifest(EMPTY, &long).unwrap();
        assert_eq!(manifest(&packed), Some(long.as_str()));
        let again = with_manifest(&packed, "{}").unwrap();
        assert_eq!(manifest(&again), Some("{}"));
        assert_eq!(with_manifest(&again, &long).unwrap(), packed);
    }

    #[test]
    fn what_is_no_file_of_sections_has_none() {
        let packed = with_manifest(EMPTY, "{}").unwrap();
        for bytes in [&b""[..], b"\0asm", b"\x7fELF", &packed[..packed.len() - 1]] {
            assert_eq!(manifest(bytes), None, "{bytes:?}");
        }
        assert_eq!(with_manifest(&packed[..packed.len() - 1], "{}"), None);
        let endless = [EMPTY, &[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]].concat();
        assert_eq!(with_manifest(&endless, "{}"), None);
    }
}
