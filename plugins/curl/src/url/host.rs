//! Host and port of a URL, as curl reads them.

use super::{decoded, ipv4, malformed};
use crate::exit::Problem;

/// Splits what stands between credentials and path.
pub(super) fn and_port(address: &str) -> Result<(String, Option<u16>), Problem> {
    let (host, port) = match address.find(']').filter(|_| address.starts_with('[')) {
        Some(end) => address.split_at(end + 1),
        None => address.split_at(address.find(':').unwrap_or(address.len())),
    };
    if host.is_empty() {
        return Err(malformed("No host part in the URL"));
    }
    let has_brackets = host.starts_with('[') && host.ends_with(']') && host.len() > 2;
    if !has_brackets && host.contains(FOREIGN_TO_HOSTS) {
        return Err(malformed("Bad hostname"));
    }
    let port = match port.strip_prefix(':') {
        Some("") => None,
        // `u16::from_str` takes a plus sign.
        Some(port) => match port.parse().ok().filter(|_| !port.starts_with('+')) {
            Some(port) => Some(port),
            None => {
                return Err(malformed("Port number was not a decimal number between 0 and 65535"));
            }
        },
        None if port.is_empty() => None,
        None => return Err(malformed("Bad hostname")),
    };
    // The zone of an IPv6 address keeps its percent sign: whether it may be used is the host's to say.
    let is_encoded = host.contains('%') && !has_brackets;
    let host = if is_encoded { without_percents(host)? } else { host.to_owned() };
    Ok((ipv4::normal(&host).unwrap_or(host), port))
}

/// As in curl. `%` is decoded before.
const FOREIGN_TO_HOSTS: [char; 27] = [
    '!', '"', '#', '$', '&', '\'', '(', ')', '*', '+', ',', '/', ':', ';', '<', '=', '>', '?', '@',
    '[', '\\', ']', '^', '`', '{', '|', '}',
];

fn without_percents(host: &str) -> Result<String, Problem> {
    let decoded = decoded(host);
    let is_foreign =
        |c: char| c.is_control() || c == ' ' || c == '%' || FOREIGN_TO_HOSTS.contains(&c);
    if decoded.contains(is_foreign) {
        return Err(malformed("Bad hostname"));
    }
    Ok(decoded)
}
