//! What the kernel says beside a packet: stamps, the time to live, and the error that it is about. Pure: bytes of
//! Linux's own layout in, facts out. Sources: cmsg(3), ip(7), `linux/errqueue.h`, `linux/net_tstamp.h`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::stamp::Stamp;

/// The facts beside one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Notes {
    /// When it came, or the error did; of a packet that left, when it did.
    pub(super) stamp: Option<Stamp>,
    /// The time to live that it came with.
    pub(super) ttl: Option<u8>,
    pub(super) error: Option<QueuedError>,
}

/// An error in the queue of a socket: `struct sock_extended_err`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueuedError {
    pub(super) origin: Source,
    pub(super) kind: u8,
    pub(super) code: u8,
    pub(super) info: u32,
    /// Where in the bytes that are quoted an extension begins. Source: RFC 4884.
    pub(super) extension_at: Option<usize>,
    /// Who says it.
    pub(super) offender: Option<IpAddr>,
}

/// Where such an error comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// This machine.
    Local,
    /// A packet of ICMP or ICMPv6.
    Icmp,
    /// None: the stamp of a packet that left.
    Departure,
    Other,
}

/// `struct sock_extended_err`.
const ERROR_BYTES: usize = 16;
const ORIGIN_LOCAL: u8 = 1;
const ORIGIN_ICMP: u8 = 2;
const ORIGIN_ICMPV6: u8 = 3;
const ORIGIN_TIMESTAMPING: u8 = 4;
/// The extension's checksum is wrong, or its objects are.
const RFC4884_IS_INVALID: u8 = 1;

/// Length, level, type.
const HEADER_BYTES: usize = size_of::<usize>() + 8;

/// Reads control messages one behind the other; stops at what is none.
pub(super) fn notes(mut control: &[u8]) -> Notes {
    let mut notes = Notes::default();
    while let Some((level, kind, data, rest)) = message(control) {
        note(&mut notes, level, kind, data);
        control = rest;
    }
    notes
}

fn message(control: &[u8]) -> Option<(i32, i32, &[u8], &[u8])> {
    let length = usize::from_ne_bytes(*control.first_chunk()?);
    let level = int(control, size_of::<usize>())?;
    let kind = int(control, size_of::<usize>() + 4)?;
    let data = control.get(HEADER_BYTES..length)?;
    let next = length.checked_next_multiple_of(size_of::<usize>())?;
    Some((level, kind, data, control.get(next..).unwrap_or_default()))
}

fn note(notes: &mut Notes, level: i32, kind: i32, data: &[u8]) {
    match (level, kind) {
        // The second has three of them, of which the first is made by software and the same as the one of the first.
        (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS | libc::SO_TIMESTAMPING) => {
            notes.stamp = time(data).or(notes.stamp);
        }
        (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
            notes.ttl = int(data, 0).and_then(|ttl| u8::try_from(ttl).ok());
        }
        (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
            notes.error = error(data);
        }
        _ => {}
    }
}

/// A `struct timespec` of this machine's width; `None` for the epoch itself, which says that there is no stamp.
fn time(data: &[u8]) -> Option<Stamp> {
    let (seconds, nanoseconds) = if size_of::<libc::timespec>() == 16 {
        (long(data, 0)?, long(data, 8)?)
    } else {
        (int(data, 0)?.into(), int(data, 4)?.into())
    };
    let seconds = u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?;
    let stamp = seconds.checked_add(u64::try_from(nanoseconds).ok()?)?;
    (stamp > 0).then_some(Stamp(stamp))
}

fn error(data: &[u8]) -> Option<QueuedError> {
    let &[_, _, _, _, origin, kind, code, _, i0, i1, i2, i3, l0, l1, flags, _] =
        data.first_chunk::<ERROR_BYTES>()?;
    let origin = match origin {
        ORIGIN_LOCAL => Source::Local,
        ORIGIN_ICMP | ORIGIN_ICMPV6 => Source::Icmp,
        ORIGIN_TIMESTAMPING => Source::Departure,
        _ => Source::Other,
    };
    let at = usize::from(u16::from_ne_bytes([l0, l1]));
    let has_extension = origin == Source::Icmp && at > 0 && flags & RFC4884_IS_INVALID == 0;
    Some(QueuedError {
        origin,
        kind,
        code,
        info: u32::from_ne_bytes([i0, i1, i2, i3]),
        extension_at: has_extension.then_some(at),
        offender: data.get(ERROR_BYTES..).and_then(name).map(|name| name.ip().to_canonical()),
    })
}

/// A `struct sockaddr_in` or `sockaddr_in6`.
pub(super) fn name(bytes: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(*bytes.first_chunk()?);
    let port = super::wire::sixteen(bytes, 2)?;
    match i32::from(family) {
        libc::AF_INET => {
            let four: [u8; 4] = *bytes.get(4..)?.first_chunk()?;
            Some(SocketAddr::new(Ipv4Addr::from(four).into(), port))
        }
        libc::AF_INET6 => {
            let sixteen: [u8; 16] = *bytes.get(8..)?.first_chunk()?;
            Some(SocketAddr::new(Ipv6Addr::from(sixteen).into(), port))
        }
        _ => None,
    }
}

fn int(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn long(bytes: &[u8], at: usize) -> Option<i64> {
    Some(i64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn control(messages: &[(i32, i32, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (level, kind, data) in messages {
            bytes.extend((HEADER_BYTES + data.len()).to_ne_bytes());
            bytes.extend(level.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(data);
            bytes.resize(bytes.len().next_multiple_of(size_of::<usize>()), 0);
        }
        bytes
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_time_exceeded_is_read() {
        let stamp = [5_i64.to_ne_bytes(), 17_i64.to_ne_bytes()].concat();
        let mut queued = vec![113, 0, 0, 0, ORIGIN_ICMP, 11, 0, 0];
        queued.extend(1480_u32.to_ne_bytes());
        queued.extend(100_u16.to_ne_bytes());
        queued.extend([0, 0]);
        queued.extend(u16::try_from(libc::AF_INET).unwrap().to_ne_bytes());
        queued.extend([0, 0, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        let bytes = control(&[
            (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, stamp),
            (libc::IPPROTO_IP, libc::IP_TTL, 63_i32.to_ne_bytes().to_vec()),
            (libc::IPPROTO_IP, libc::IP_RECVERR, queued.clone()),
        ]);
        let error = QueuedError {
            origin: Source::Icmp,
            kind: 11,
            code: 0,
            info: 1480,
            extension_at: Some(100),
            offender: Some(Ipv4Addr::new(10, 0, 0, 1).into()),
        };
        let stamp = Some(Stamp(5_000_000_017));
        assert_eq!(notes(&bytes), Notes { stamp, ttl: Some(63), error: Some(error) });
        queued[14] = RFC4884_IS_INVALID;
        let bytes = control(&[(libc::IPPROTO_IP, libc::IP_RECVERR, queued)]);
        assert_eq!(notes(&bytes).error.unwrap().extension_at, None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            length in 0_usize..80,
            data in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            notes(&bytes);
            name(&bytes);
            for (level, kind) in [
                (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS),
                (libc::SOL_SOCKET, libc::SO_TIMESTAMPING),
                (libc::IPPROTO_IP, libc::IP_RECVERR),
                (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT),
            ] {
                let mut bytes = control(&[(level, kind, data.clone())]);
                bytes[..size_of::<usize>()].copy_from_slice(&length.to_ne_bytes());
                notes(&bytes);
            }
        }
    }
}
