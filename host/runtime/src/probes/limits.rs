//! The limits of probes.

use std::time::Duration;

/// Sessions that one run may hold open: a tool has one target, and a comparison of targets a dozen.
pub(crate) const SESSIONS_MAX: usize = 16;
/// Sessions of all runs of a process: five for each of a hundred traces. Each has up to four descriptors of its own, and
/// with raw sockets the kernel compares what arrives with each of them.
pub(super) const SESSIONS_OF_ENGINE_MAX: usize = 512;
/// Sockets of flows and of TCP probes, of all runs of a process: a small part of the descriptors and of the ports that
/// it may have, of which connections and other runs need theirs.
pub(super) const SOCKETS_OF_ENGINE_MAX: usize = 2048;
/// Probes of one call of `send`; the contract names this number.
pub(super) const SEND_MAX: usize = 256;
/// Probes of one session that are remembered: sixteen full calls of `send`.
pub(super) const OUT_MAX: usize = 4096;
/// How long a probe is remembered. The slowest answers that were ever measured took some ten seconds, of links that
/// had gone away and come back.
pub(super) const PROBE_MEMORY: Duration = Duration::from_secs(60);
/// Answers that one probe is given: more than two or three are a loop or a flood.
pub(super) const ANSWERS_OF_PROBE_MAX: u8 = 16;
/// Answers that wait for the guest to ask for them: those of all probes that are out.
pub(super) const ANSWERS_MAX: usize = OUT_MAX;
/// Flows of one session that are open, each with a socket of its own: routers spread over 16 ways at most in practice,
/// and 64 flows find them. The contract names this number.
pub(super) const FLOWS_MAX: usize = 64;
/// Flows that were closed and whose ports are remembered, for answers that are told by raw sockets: those of as many
/// probes as are sent at once.
pub(super) const PORTS_MAX: usize = SEND_MAX;
/// TCP probes of one session that wait for an answer without raw sockets, each with a socket of its own.
pub(super) const CONNECTS_MAX: usize = 256;
/// When a connection that nobody answered is closed: the kernel sends its SYN again one second after the first.
/// Source: RFC 6298, section 2.
pub(super) const CONNECT_TIME: Duration = Duration::from_millis(900);
/// Packets of all sockets of a session that are read before others have their turn on the thread.
pub(super) const READ_MAX: usize = 1024;
/// What a socket may hold for us that hears the answers to all probes of a session: a few hundred packets of 1500 bytes.
/// The system may give less.
pub(super) const RECEIVE_BUFFER_BYTES: usize = 512 * 1024;
/// Bytes of a packet that are read: what answers quote is at most as long as what was sent, and all that is told apart
/// stands at its beginning.
pub(super) const PACKET_MAX_BYTES: usize = 2048;
/// How often a packet is handed to the kernel that gives the errors of earlier packets in place of sending it.
pub(super) const SEND_TRIES: usize = 8;
/// Addresses whose names a session looks up, and those of one call of `names`: 64 hops with 16
/// addresses each. The contract names this number.
pub(super) const NAMES_MAX: usize = 1024;
/// How long after an answer another one to a probe that looks alike is taken for its duplicate: copies arrive
/// together, and tools send one probe a second.
pub(super) const DUPLICATE_TIME: Duration = Duration::from_millis(500);
/// MPLS labels of one answer: stacks that are seen have up to five.
pub(super) const LABELS_MAX: usize = 16;
/// How far the system's clock may be from the monotonic one while a probe is out. Beyond it somebody has set it.
pub(super) const CLOCK_SLACK: Duration = Duration::from_millis(1);
/// Packets as large as a link of the Internet carries, of which one counts as a probe for the rates.
pub(super) const PACKET_OF_RATE_BYTES: u16 = 1500;
