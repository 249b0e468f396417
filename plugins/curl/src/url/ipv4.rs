//! IPv4 addresses in the forms that C libraries take: `127.1`, `0x7f.0.0.1`, `0177.0.0.1`, `2130706433`.
//!
//! curl writes them as four decimal numbers before anything else sees them, and so do we: what is
//! asked, shown and held against a policy is then one and the same.

use std::net::Ipv4Addr;

/// The address as four decimal numbers; `None` when it is a name.
pub(super) fn normal(host: &str) -> Option<String> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let parts: Option<Vec<u64>> = host.split('.').map(number).collect();
    let parts = parts?;
    let (&last, heads) = parts.split_last()?;
    // Each part before the last one is a byte; the last one fills what they leave.
    let free_bytes = 4_usize.checked_sub(heads.len()).filter(|&free| free > 0)?;
    if heads.iter().any(|&part| part > 255) || last >> (8 * free_bytes) != 0 {
        return None;
    }
    let heads = heads.iter().enumerate().fold(0, |sum, (at, part)| sum | part << (24 - 8 * at));
    Some(Ipv4Addr::from(u32::try_from(heads | last).ok()?).to_string())
}

/// Hexadecimal with `0x`, octal with `0`, else decimal.
fn number(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let (digits, radix) = match lower.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None if lower.len() > 1 && lower.starts_with('0') => (&lower[1..], 8),
        None => (lower.as_str(), 10),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_alphanumeric());
    u64::from_str_radix(digits, radix).ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_becomes_four_numbers() {
        for (host, expected) in [
            ("127.0.0.1", Some("127.0.0.1")),
            ("127.1", Some("127.0.0.1")),
            ("127.0.257", Some("127.0.1.1")),
            ("0x7f.1", Some("127.0.0.1")),
            ("0X7F000001", Some("127.0.0.1")),
            ("0177.0.0.01", Some("127.0.0.1")),
            ("2130706433", Some("127.0.0.1")),
            ("127.0.0.1.", Some("127.0.0.1")),
            ("0", Some("0.0.0.0")),
            ("4294967295", Some("255.255.255.255")),
            ("4294967296", None),
            ("256.1", None),
            ("1.2.3.256", None),
            ("1.2.3.4.5", None),
            ("1..2", None),
            ("08", None),
            ("0x", None),
            ("+1", None),
            ("1.2.3.x", None),
            ("example.com", None),
            ("", None),
        ] {
            assert_eq!(normal(host).as_deref(), expected, "{host}");
        }
    }
}
