//! Programs by which the kernel keeps packets away from raw sockets that are of no interest here: raw sockets are given
//! those of everybody. What they let through is judged again. Source: `linux/filter.h` (classic BPF).

use std::net::IpAddr;

use libc::sock_filter;

use super::signal::{ERRORS_V4, ERRORS_V6};
use super::wire::{ECHO_REPLY_V4, ECHO_REPLY_V6};

/// Loads, into A: a byte, two, or four, at `k` or at X + `k`.
const BYTE_AT: u16 = 0x30;
const WORD_AT: u16 = 0x20;
const HALF_AT: u16 = 0x28;
const BYTE_FROM_X: u16 = 0x50;
const WORD_FROM_X: u16 = 0x40;
const HALF_FROM_X: u16 = 0x48;
/// X becomes the length of the IPv4 header at `k`.
const X_IS_HEADER: u16 = 0xb1;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

/// Where IPv4 has the source, and where IP has the target of a packet that is quoted behind eight bytes of ICMP.
const SOURCE_V4: u32 = 12;
const QUOTED_TARGET_V4: u32 = 8 + 16;
const QUOTED_TARGET_V6: u32 = 8 + 24;
/// Where an echo has its identifier, and TCP its flags.
const IDENTIFIER: u32 = 4;
const TCP_FLAGS: u32 = 13;
const SYN_OR_RESET: u32 = 0x06;

/// An instruction, and where it goes on when its question has the answer yes or no.
#[derive(Clone, Copy)]
enum Step {
    Load(u16, u32),
    /// Goes on when A is `k`, else at the label.
    Is(u32, Label),
    /// Goes to the label when A is `k`.
    When(u32, Label),
    /// Goes to the label when A has none of the bits.
    HasAny(u32, Label),
    Take,
    Drop,
    Here(Label),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Label {
    Errors,
    Drop,
}

/// Errors about packets to `target`, and replies to echoes with this identifier.
pub(super) fn icmp(target: IpAddr, identifier: Option<u16>) -> Vec<sock_filter> {
    let mut steps = Vec::new();
    let (reply, errors): (u8, &[u8]) = match target {
        IpAddr::V4(_) => {
            steps.push(Step::Load(X_IS_HEADER, 0));
            (ECHO_REPLY_V4, &ERRORS_V4)
        }
        IpAddr::V6(_) => (ECHO_REPLY_V6, &ERRORS_V6),
    };
    // A raw socket of IPv6 is given packets without their header.
    let (byte, half, word) = match target {
        IpAddr::V4(_) => (BYTE_FROM_X, HALF_FROM_X, WORD_FROM_X),
        IpAddr::V6(_) => (BYTE_AT, HALF_AT, WORD_AT),
    };
    steps.push(Step::Load(byte, 0));
    steps.extend(errors.iter().map(|kind| Step::When((*kind).into(), Label::Errors)));
    match identifier {
        Some(identifier) => steps.extend([
            Step::Is(reply.into(), Label::Drop),
            Step::Load(half, IDENTIFIER),
            Step::Is(identifier.into(), Label::Drop),
            Step::Take,
        ]),
        None => steps.push(Step::Drop),
    }
    steps.push(Step::Here(Label::Errors));
    match target {
        IpAddr::V4(target) => steps
            .extend([Step::Load(word, QUOTED_TARGET_V4), Step::Is(target.to_bits(), Label::Drop)]),
        IpAddr::V6(target) => {
            let mut at = QUOTED_TARGET_V6;
            for four in target.octets().as_chunks::<4>().0 {
                steps.push(Step::Load(word, at));
                steps.push(Step::Is(u32::from_be_bytes(*four), Label::Drop));
                at += 4;
            }
        }
    }
    steps.push(Step::Take);
    assemble(&steps)
}

/// Segments of `target` that may answer a SYN; of IPv6, those of anybody.
pub(super) fn handshakes(target: IpAddr) -> Vec<sock_filter> {
    let mut steps = Vec::new();
    if let IpAddr::V4(target) = target {
        steps.extend([
            Step::Load(WORD_AT, SOURCE_V4),
            Step::Is(target.to_bits(), Label::Drop),
            Step::Load(X_IS_HEADER, 0),
            Step::Load(BYTE_FROM_X, TCP_FLAGS),
        ]);
    } else {
        steps.push(Step::Load(BYTE_AT, TCP_FLAGS));
    }
    steps.extend([Step::HasAny(SYN_OR_RESET, Label::Drop), Step::Take]);
    assemble(&steps)
}

/// With the step that all are dropped at behind them.
fn assemble(steps: &[Step]) -> Vec<sock_filter> {
    let steps: Vec<Step> =
        steps.iter().copied().chain([Step::Here(Label::Drop), Step::Drop]).collect();
    let is_code = |step: &&Step| !matches!(step, Step::Here(_));
    // Instructions between one at `from` and a label behind it.
    let distance = |from: usize, label: Label| -> u8 {
        let to = steps.iter().position(|step| matches!(step, Step::Here(here) if *here == label));
        let between = steps.get(from + 1..to.unwrap_or(from + 1)).unwrap_or_default();
        u8::try_from(between.iter().filter(is_code).count()).unwrap_or(u8::MAX)
    };
    let code = |(at, step): (usize, &Step)| {
        let (code, jt, jf, k) = match *step {
            Step::Load(code, k) => (code, 0, 0, k),
            Step::Is(k, label) => (JUMP_IF_EQUAL, 0, distance(at, label), k),
            Step::When(k, label) => (JUMP_IF_EQUAL, distance(at, label), 0, k),
            Step::HasAny(k, label) => (JUMP_IF_ANY_BIT, 0, distance(at, label), k),
            Step::Take => (RETURN, 0, 0, u32::MAX),
            Step::Drop => (RETURN, 0, 0, 0),
            Step::Here(_) => return None,
        };
        Some(sock_filter { code, jt, jf, k })
    };
    steps.iter().enumerate().filter_map(code).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(program: &[sock_filter]) -> Vec<String> {
        let line = |(at, code): (usize, &sock_filter)| {
            format!("{at} {:#x} {} {} {:#x}", code.code, code.jt, code.jf, code.k)
        };
        program.iter().enumerate().map(line).collect()
    }

    #[test]
    fn jumps_lead_to_their_labels() {
        let program = icmp("192.0.2.1".parse().unwrap(), Some(0x1234));
        assert_eq!(
            shown(&program),
            [
                "0 0xb1 0 0 0x0",
                "1 0x50 0 0 0x0",
                "2 0x15 6 0 0x3",
                "3 0x15 5 0 0xb",
                "4 0x15 4 0 0xc",
                "5 0x15 0 6 0x0",
                "6 0x48 0 0 0x4",
                "7 0x15 0 4 0x1234",
                "8 0x6 0 0 0xffffffff",
                "9 0x40 0 0 0x18",
                "10 0x15 0 1 0xc0000201",
                "11 0x6 0 0 0xffffffff",
                "12 0x6 0 0 0x0",
            ]
        );
        assert_eq!(icmp("2001:db8::1".parse().unwrap(), None).len(), 16);
        assert_eq!(
            shown(&handshakes("2001:db8::1".parse().unwrap())),
            ["0 0x30 0 0 0xd", "1 0x45 0 1 0x6", "2 0x6 0 0 0xffffffff", "3 0x6 0 0 0x0",]
        );
    }
}
