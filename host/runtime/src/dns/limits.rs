//! The limits of one exchange with a DNS server.

use std::time::Duration;

/// The longest question: many times what options of EDNS need, and what servers commonly take in one datagram. Source:
/// RFC 6891, section 6.2.5.
pub(super) const QUESTION_MAX_BYTES: usize = 4096;
/// The longest answer: what fits behind the two bytes of its length that TCP has. Source: RFC 1035, section 4.2.2.
pub(super) const MESSAGE_MAX_BYTES: usize = 65_535;
/// The head of every message. Source: RFC 1035, section 4.1.1.
pub(super) const HEADER_BYTES: usize = 12;
/// The longest name, its last label included. Source: RFC 1035, section 2.3.4.
pub(super) const NAME_MAX_BYTES: usize = 255;
/// The longest label; larger numbers in its place are pointers.
pub(super) const LABEL_MAX_BYTES: u8 = 63;
/// The longest text that names a server: a name has 255 bytes, and longer URLs are not taken everywhere.
pub(super) const SERVER_MAX_BYTES: usize = 2048;
/// Messages that do not answer and are passed over. Forgers send many.
pub(super) const STRAYS_MAX: usize = 64;
/// How long an answer is waited for when nobody says: as dig does.
pub(super) const TIME_DEFAULT: Duration = Duration::from_secs(5);
/// The longest that somebody may wait: a resolver gives up on a dead zone within 30 s.
pub(super) const TIME_MAX: Duration = Duration::from_secs(60);
