//! A message that somebody else wrote: whether it is one question, and whether another message answers it.

use super::limits::{HEADER_BYTES, LABEL_MAX_BYTES, NAME_MAX_BYTES, QUESTION_MAX_BYTES};
use crate::bindings::blitz::plugin::dns::Error;

/// QR in the third byte: that this is an answer. Source: RFC 1035, section 4.1.1, as all of these.
const RESPONSE: u8 = 0b1000_0000;
/// OPCODE in the third byte; 0 is a query.
const OPCODE: u8 = 0b0111_1000;
/// RCODE in the fourth byte.
const RCODE: u8 = 0b0000_1111;
/// Behind a name: type and class.
const TYPE_AND_CLASS_BYTES: usize = 4;
/// Behind those of a record: how long it may be kept, and the length of its data.
const TTL_AND_LENGTH_BYTES: usize = 6;
/// Types that ask for a whole zone. Source: RFC 1995, RFC 5936.
const TRANSFERS: [(u16, &str); 2] = [(251, "IXFR"), (252, "AXFR")];

/// Refuses what the engine's own resolver is not asked for: it may give whole zones to the engine's machine that it
/// gives to nobody else.
pub(super) fn check_own(record_type: u16) -> Result<(), Error> {
    match TRANSFERS.iter().find(|(transfer, _)| *transfer == record_type) {
        None => Ok(()),
        Some((_, word)) => Err(Error::Denied(format!(
            "the engine's own resolver is not asked for {word}; name a server"
        ))),
    }
}

/// One question as it goes out.
#[derive(Debug)]
pub(super) struct Ask {
    bytes: Vec<u8>,
    /// Where the question's name ends.
    name_end: usize,
}

impl Ask {
    /// Takes a message that asks one question. Others are not sent: who may ask a server may not therefore change a
    /// zone there, nor answer for it, nor send whatever he likes to whoever listens.
    pub(super) fn new(bytes: Vec<u8>) -> Result<Self, Error> {
        let failed = |text: String| Err(Error::Failed(text));
        if bytes.len() > QUESTION_MAX_BYTES {
            return Err(Error::Limit(format!(
                "a DNS message that is sent has at most {QUESTION_MAX_BYTES} bytes, this one {}",
                bytes.len()
            )));
        }
        let Some([_, _, flags, _, counts @ ..]) = bytes.first_chunk::<HEADER_BYTES>() else {
            return failed(format!(
                "a DNS message has at least {HEADER_BYTES} bytes, this one {}",
                bytes.len()
            ));
        };
        let [q1, q0, an1, an0, ns1, ns0, ar1, ar0] = *counts;
        let [questions, answers, authorities, additional] =
            [[q1, q0], [an1, an0], [ns1, ns0], [ar1, ar0]].map(u16::from_be_bytes);
        if flags & RESPONSE != 0 {
            return failed("the DNS message is an answer; only questions are sent".to_owned());
        }
        if flags & OPCODE != 0 {
            let opcode = (flags & OPCODE) >> 3;
            return failed(format!(
                "the DNS message has OPCODE {opcode}; only queries (0) are sent"
            ));
        }
        if questions != 1 {
            return failed(format!("the DNS message has {questions} questions; it must have one"));
        }
        if (answers, authorities) != (0, 0) {
            return failed(format!(
                "the DNS message has {answers} answers and {authorities} authority records; a question has none"
            ));
        }
        let Some(name_end) = name_end(&bytes, HEADER_BYTES)
            .filter(|name_end| bytes.len() >= name_end + TYPE_AND_CLASS_BYTES)
        else {
            return failed("the DNS message's question is broken".to_owned());
        };
        let Some(end) = records_end(&bytes, name_end + TYPE_AND_CLASS_BYTES, additional) else {
            return failed("the DNS message's additional section is broken".to_owned());
        };
        match bytes.len().saturating_sub(end) {
            0 => Ok(Self { bytes, name_end }),
            rest => failed(format!(
                "the DNS message must end where its records do, {rest} bytes before"
            )),
        }
    }

    /// IANA's number of what is asked for.
    pub(super) fn record_type(&self) -> u16 {
        let found = self.bytes.get(self.name_end..).and_then(|rest| rest.first_chunk());
        found.copied().map_or(0, u16::from_be_bytes)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether a message has our id and our question. Names differ in nothing by the case of their letters.
    pub(super) fn is_answered_by(&self, answer: &[u8]) -> bool {
        let Some([high, low, flags, code, questions @ ..]) = answer.first_chunk::<HEADER_BYTES>()
        else {
            return false;
        };
        if !self.bytes.starts_with(&[*high, *low]) || flags & (RESPONSE | OPCODE) != RESPONSE {
            return false;
        }
        match questions {
            [0, 1, ..] => {}
            // Servers that refuse or cannot read a question may leave it out.
            [0, 0, ..] => return code & RCODE != 0,
            _ => return false,
        }
        let end = self.name_end + TYPE_AND_CLASS_BYTES;
        let (Some(asked), Some(found)) =
            (self.bytes.get(HEADER_BYTES..end), answer.get(HEADER_BYTES..end))
        else {
            return false;
        };
        let (name, kind) = asked.split_at(self.name_end - HEADER_BYTES);
        let (found_name, found_kind) = found.split_at(self.name_end - HEADER_BYTES);
        // No length of a label is a letter's number.
        name.eq_ignore_ascii_case(found_name) && kind == found_kind
    }
}

/// Where so many records end that begin here. Their names have no pointers: EDNS belongs to the root, and the names of
/// signatures are written out. Source: RFC 6891, section 6.1.2; RFC 8945, section 4.2.
fn records_end(bytes: &[u8], start: usize, count: u16) -> Option<usize> {
    let mut at = start;
    for _ in 0..count {
        at = name_end(bytes, at)? + TYPE_AND_CLASS_BYTES + TTL_AND_LENGTH_BYTES;
        let length = bytes.get(..at)?.last_chunk().copied().map(u16::from_be_bytes)?;
        at += usize::from(length);
    }
    (at <= bytes.len()).then_some(at)
}

/// Where the name ends that begins here and has no pointers. The first question's has none: nothing stands before it.
fn name_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        let length = *bytes.get(at)?;
        at += 1;
        if length > LABEL_MAX_BYTES {
            return None;
        }
        at += usize::from(length);
        if at - start > NAME_MAX_BYTES {
            return None;
        }
        if length == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A question for `Ab.example`, type A, with id 0x1234 and recursion desired.
    fn question() -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        bytes.extend(b"\x02Ab\x07example\0\0\x01\0\x01");
        bytes
    }

    fn with(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = question();
        change(&mut bytes);
        bytes
    }

    /// The same with an OPT record that has these options.
    fn with_options(options: &[(u16, &[u8])]) -> Vec<u8> {
        let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
        let mut data = Vec::new();
        for (code, option) in options {
            data.extend([&code.to_be_bytes()[..], &length(option), option].concat());
        }
        with(|bytes| {
            bytes[11] = 1;
            bytes.extend([0, 0, 41, 0x04, 0xd0, 0, 0, 0x80, 0]);
            bytes.extend(length(&data));
            bytes.extend(data);
        })
    }

    /// Bytes of one option that fill the longest question.
    const ROOM_BYTES: usize = QUESTION_MAX_BYTES - 28 - 11 - 4;

    #[test]
    fn only_one_question_is_sent() {
        assert!(Ask::new(question()).is_ok());
        for (bytes, says) in [
            (Vec::new(), "a DNS message has at least 12 bytes, this one 0"),
            (vec![0; 11], "a DNS message has at least 12 bytes, this one 11"),
            (
                with_options(&[(12, &[7; ROOM_BYTES + 1])]),
                "a DNS message that is sent has at most 4096 bytes, this one 4097",
            ),
            (with(|b| b[2] |= 0x80), "the DNS message is an answer; only questions are sent"),
            (with(|b| b[2] |= 0x28), "the DNS message has OPCODE 5; only queries (0) are sent"),
            (with(|b| b[5] = 0), "the DNS message has 0 questions; it must have one"),
            (with(|b| b[5] = 2), "the DNS message has 2 questions; it must have one"),
            (
                with(|b| b[7] = 2),
                "the DNS message has 2 answers and 0 authority records; a question has none",
            ),
            (
                with(|b| b[8] = 1),
                "the DNS message has 0 answers and 256 authority records; a question has none",
            ),
            (
                with(|b| b.extend([0; 40])),
                "the DNS message must end where its records do, 40 bytes before",
            ),
            (
                [with_options(&[]), b"GET / HTTP/1.1\r\n\r\n".to_vec()].concat(),
                "the DNS message must end where its records do, 18 bytes before",
            ),
            (with(|b| b[11] = 1), "the DNS message's additional section is broken"),
            (with(|b| b[10] = 0xff), "the DNS message's additional section is broken"),
            (
                // Data that is said to be longer than it is, and a length that is half there.
                [&with_options(&[])[..38], &[1]].concat(),
                "the DNS message's additional section is broken",
            ),
            (with_options(&[])[..38].to_vec(), "the DNS message's additional section is broken"),
            (
                with(|b| {
                    b[11] = 1;
                    b.extend([0xc0, 12, 0, 41, 0, 0, 0, 0, 0, 0, 0, 0]);
                }),
                "the DNS message's additional section is broken",
            ),
            (with(|b| b.truncate(20)), "the DNS message's question is broken"),
            (with(|b| b.truncate(26)), "the DNS message's question is broken"),
            (with(|b| b[12] = 0xc0), "the DNS message's question is broken"),
            (
                with(|b| {
                    b.truncate(12);
                    b.extend([&[63][..], &[b'a'; 63]].concat().repeat(5));
                    b.extend([0, 0, 1, 0, 1]);
                }),
                "the DNS message's question is broken",
            ),
        ] {
            let (Error::Limit(text) | Error::Failed(text) | Error::Denied(text)) =
                Ask::new(bytes).unwrap_err();
            assert_eq!(text, says);
        }
    }

    #[test]
    fn questions_have_options_of_edns() {
        let subnet = [0, 1, 24, 0, 192, 0, 2];
        let mut signed = with_options(&[(3, &[])]);
        signed[11] = 2;
        signed.extend(b"\x03key\0\0\xfa\0\xff\0\0\0\0\0\x02ab");
        for (bytes, length) in [
            (with_options(&[]), 39),
            (with_options(&[(3, &[]), (8, &subnet), (10, &[9; 8])]), 39 + 4 + 11 + 12),
            (with_options(&[(10, &[9; 40])]), 39 + 44),
            (with_options(&[(12, &[7; ROOM_BYTES])]), QUESTION_MAX_BYTES),
            (signed, 43 + 17),
        ] {
            assert_eq!(bytes.len(), length);
            let ask = Ask::new(bytes.clone()).unwrap();
            assert_eq!((ask.bytes(), ask.record_type()), (&bytes[..], 1));
        }
    }

    #[test]
    fn whole_zones_are_not_asked_of_the_engines_own_resolver() {
        for (kind, is_asked) in [(1, true), (250, true), (251, false), (252, false), (255, true)] {
            let ask = Ask::new(with(|bytes| bytes[25] = kind)).unwrap();
            assert_eq!(check_own(ask.record_type()).is_ok(), is_asked, "{kind}");
        }
    }

    #[test]
    fn an_answer_has_our_id_and_our_question() {
        let ask = Ask::new(question()).unwrap();
        let answer = |change: fn(&mut Vec<u8>)| {
            with(|bytes| {
                bytes[2] |= 0x80;
                change(bytes);
            })
        };
        for (message, is_answer) in [
            (answer(|_| ()), true),
            (answer(|b| b.extend([9; 30])), true),
            // Another case of letters, a truncated answer, any code.
            (answer(|b| b[13] = b'a'), true),
            (answer(|b| b[2] |= 0x02), true),
            (answer(|b| b[3] = 3), true),
            // Without its question, from a server that refuses; and from one that does not.
            (answer(|b| (b[5], b[3]) = (0, 5)), true),
            (answer(|b| b[5] = 0), false),
            (answer(|b| b[0] = 0), false),
            (answer(|b| b[2] = 1), false),
            (answer(|b| b[2] |= 0x28), false),
            (answer(|b| b[5] = 2), false),
            (answer(|b| b[13] = b'x'), false),
            (answer(|b| b[25] = 28), false),
            (answer(|b| b[27] = 3), false),
            (answer(|b| b.truncate(27)), false),
            (answer(|b| b.truncate(5)), false),
            (Vec::new(), false),
        ] {
            assert_eq!(ask.is_answered_by(&message), is_answer, "{message:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(
            kept in HEADER_BYTES..=28,
            additional in 0_u8..3,
            asked in prop::collection::vec(prop_oneof![Just(0), any::<u8>()], 0..80),
            heard in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let mut message = question();
            message.truncate(kept);
            message[11] = additional;
            message.extend(asked);
            if let Ok(ask) = Ask::new(message.clone()) {
                message[2] |= RESPONSE;
                prop_assert!(ask.is_answered_by(&message));
                ask.is_answered_by(&heard);
                message.truncate(HEADER_BYTES);
                message.extend(&heard);
                ask.is_answered_by(&message);
            }
        }
    }
}
