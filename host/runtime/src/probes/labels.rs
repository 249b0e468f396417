//! MPLS labels in the extension of an ICMP error. Sources: RFC 4884, RFC 4950.

use blitz_contract::probes::Label;

use super::limits::LABELS_MAX;
use super::wire::{checksum, sixteen};

/// Where an extension begins in the packet that is quoted when nobody says it: routers wrote them before there was
/// a field for it. Source: RFC 4884, section 5.5.
const USUAL_OFFSET_BYTES: usize = 128;
/// Version, checksum.
const HEADER_BYTES: usize = 4;
/// Length, class, kind.
const OBJECT_BYTES: usize = 4;
const ENTRY_BYTES: usize = 4;
/// The class and kind of an incoming label stack. Source: RFC 4950, section 3.
const LABEL_STACK: (u8, u8) = (1, 1);

/// The labels that an ICMP error tells. `quoted` begins `skipped` bytes into the packet that it quotes, and
/// `at` is where in `quoted` the sender says that the extension begins.
pub(super) fn labels(quoted: &[u8], skipped: usize, at: Option<usize>) -> Vec<Label> {
    match at {
        Some(at) => quoted.get(at..).map(of_extension).unwrap_or_default(),
        None => {
            let usual = USUAL_OFFSET_BYTES.checked_sub(skipped).and_then(|at| quoted.get(at..));
            // Nobody says that it is one, so its checksum must.
            let usual = usual.filter(|bytes| sixteen(bytes, 2).is_some_and(|sum| sum != 0));
            usual.map(of_extension).unwrap_or_default()
        }
    }
}

fn of_extension(bytes: &[u8]) -> Vec<Label> {
    let Some(version) = bytes.first().map(|byte| byte >> 4) else { return Vec::new() };
    let has_checksum = sixteen(bytes, 2).is_some_and(|sum| sum != 0);
    if version != 2 || (has_checksum && checksum(&[bytes]) != 0) {
        return Vec::new();
    }
    let mut rest = bytes.get(HEADER_BYTES..).unwrap_or_default();
    let mut labels = Vec::new();
    while let (Some(length), Some(&class), Some(&kind)) =
        (sixteen(rest, 0), rest.get(2), rest.get(3))
    {
        let Some(object) = rest.get(OBJECT_BYTES..usize::from(length)) else { break };
        if (class, kind) == LABEL_STACK {
            labels.extend(object.chunks_exact(ENTRY_BYTES).map(entry));
        }
        rest = rest.get(usize::from(length)..).unwrap_or_default();
    }
    labels.truncate(LABELS_MAX);
    labels
}

/// `bytes` are four.
fn entry(bytes: &[u8]) -> Label {
    let word = bytes.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
    let [_, _, third, ttl] = word.to_be_bytes();
    Label { label: word >> 12, traffic_class: third >> 1 & 7, is_bottom: third & 1 == 1, ttl }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An extension with these entries, as a router writes it.
    pub(crate) fn extension(entries: &[[u8; 4]]) -> Vec<u8> {
        let mut bytes = vec![0x20, 0, 0, 0];
        let length = u16::try_from(OBJECT_BYTES + entries.len() * ENTRY_BYTES).unwrap();
        bytes.extend(length.to_be_bytes());
        bytes.extend([1, 1]);
        bytes.extend(entries.as_flattened());
        let sum = checksum(&[&bytes]).to_be_bytes();
        bytes[2..4].copy_from_slice(&sum);
        bytes
    }

    const OUTER: Label = Label { label: 24_015, traffic_class: 5, is_bottom: false, ttl: 1 };
    const INNER: Label = Label { label: 3, traffic_class: 0, is_bottom: true, ttl: 254 };
    /// 24015 = 0x05dcf.
    const ENTRIES: [[u8; 4]; 2] = [[0x05, 0xdc, 0xfa, 1], [0x00, 0x00, 0x31, 254]];

    #[test]
    fn a_stack_is_read_outermost_first() {
        let mut quoted = vec![0x45; 100];
        quoted.extend(extension(&ENTRIES));
        assert_eq!(labels(&quoted, 28, Some(100)), [OUTER, INNER]);
        assert_eq!(labels(&quoted, 28, None), [OUTER, INNER], "also where nobody says it");
        assert_eq!(labels(&quoted, 20, None), [], "but nowhere else");
        assert_eq!(labels(&quoted, 28, Some(96)), []);
        assert_eq!(labels(&quoted, 28, Some(5000)), []);
        quoted[107] ^= 1;
        assert_eq!(labels(&quoted, 28, Some(100)), [], "its checksum is wrong");
    }

    #[test]
    fn other_objects_are_passed_over() {
        let mut bytes = vec![0x20, 0, 0, 0, 0, 8, 2, 1, 1, 2, 3, 4];
        bytes.extend(&extension(&ENTRIES[1..])[4..]);
        assert_eq!(of_extension(&bytes), [INNER], "a checksum of zero is none");
        bytes[0] = 0x10;
        assert_eq!(of_extension(&bytes), [], "another version");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(
            quoted in prop::collection::vec(any::<u8>(), 0..300),
            skipped in 0_usize..200,
            at in prop::option::of(0_usize..400),
        ) {
            prop_assert!(labels(&quoted, skipped, at).len() <= LABELS_MAX);
        }

        #[test]
        fn what_is_written_is_read(entries in prop::collection::vec(any::<[u8; 4]>(), 0..16)) {
            let read = labels(&extension(&entries), 0, Some(0));
            let written: Vec<[u8; 4]> = read
                .iter()
                .map(|label| {
                    let class = u32::from(label.traffic_class) << 9;
                    let bottom = u32::from(label.is_bottom) << 8;
                    (label.label << 12 | class | bottom | u32::from(label.ttl)).to_be_bytes()
                })
                .collect();
            prop_assert_eq!(written, entries);
        }
    }
}
