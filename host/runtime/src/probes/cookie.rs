//! What stands in the payload of a probe: the session's own number, which nobody else knows, and the probe's.

use super::ledger::Serial;
use super::wire::thirty_two;

/// The number of one session, by chance. An answer that quotes another is not for this session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag(u32);

/// What a payload says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Ours(Serial),
    Foreign,
    /// Too little of it is there.
    Unknown,
}

/// Tag and serial number: what a payload has at least.
pub(super) const COOKIE_BYTES: usize = 8;

impl Tag {
    /// # Errors
    ///
    /// The system has no random numbers.
    pub(super) fn by_chance() -> Result<Self, getrandom::Error> {
        Ok(Self(getrandom::u32()?))
    }

    #[cfg(test)]
    pub(super) fn new(number: u32) -> Self {
        Self(number)
    }

    /// A number that follows from it: two sessions seldom have the same.
    pub(super) fn half(self) -> u16 {
        let [a, b, c, d] = self.0.to_be_bytes();
        u16::from_be_bytes([a ^ c, b ^ d])
    }

    pub(super) fn number(self) -> u32 {
        self.0
    }

    /// At least a cookie; what follows is as others have it.
    pub(super) fn payload(self, serial: Serial, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length.max(COOKIE_BYTES));
        bytes.extend(self.cookie(serial));
        // "@ABC...", which Debian's traceroute sends.
        bytes.extend((0x40..0x80).cycle().take(length.saturating_sub(COOKIE_BYTES)));
        bytes
    }

    fn cookie(self, serial: Serial) -> [u8; COOKIE_BYTES] {
        (u64::from(self.0) << 32 | u64::from(serial.0)).to_be_bytes()
    }

    /// Whose payload this is the beginning of.
    pub(super) fn origin(self, payload: &[u8]) -> Origin {
        match (thirty_two(payload, 0), thirty_two(payload, 4)) {
            (Some(tag), Some(serial)) if tag == self.0 => Origin::Ours(Serial(serial)),
            (Some(_), Some(_)) => Origin::Foreign,
            _ => Origin::Unknown,
        }
    }

    /// The probe whose payload stands anywhere in a packet of our own, whatever headers are before it.
    pub(super) fn find(self, packet: &[u8]) -> Option<Serial> {
        let tag = self.0.to_be_bytes();
        let at = packet.windows(tag.len()).position(|window| window == tag)?;
        thirty_two(packet, at + tag.len()).map(Serial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_names_its_probe() {
        let (tag, serial) = (Tag::new(0xfeed_beef), Serial(77));
        let payload = tag.payload(serial, 12);
        assert_eq!(payload, [0xfe, 0xed, 0xbe, 0xef, 0, 0, 0, 77, b'@', b'A', b'B', b'C']);
        assert_eq!(tag.origin(&payload), Origin::Ours(serial));
        assert_eq!(tag.origin(&payload[..7]), Origin::Unknown);
        assert_eq!(Tag::new(1).origin(&payload), Origin::Foreign);
        assert_eq!(tag.payload(serial, 0).len(), COOKIE_BYTES);
        let packet = [&[0x45; 28][..], &payload].concat();
        assert_eq!(tag.find(&packet), Some(serial));
        assert_eq!(tag.find(&packet[..34]), None);
        assert_eq!(Tag::new(1).find(&packet), None);
    }
}
