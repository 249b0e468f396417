//! What a peer may send that moves an exchange nowhere: interim answers, and the frames with which HTTP/2 keeps
//! its connections in order. A peer that only sends these would be listened to for ever.

use super::limits::IDLE_MAX_BYTES;

/// The peer sent too much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum OverBudget {
    #[error("the server sent more than {} KiB before the head of its answer ended", IDLE_MAX_BYTES / 1024)]
    BeforeHead,
    #[error("the server sent more than {} KiB of HTTP/2 frames without any data", IDLE_MAX_BYTES / 1024)]
    WithoutData,
}

/// Counts what comes.
#[derive(Debug)]
pub(super) enum Budget {
    /// HTTP/1 before the head is complete.
    Head {
        spent: usize,
    },
    /// HTTP/1 behind it: all that comes is the body, and hyper bounds what is around its chunks.
    Body,
    Frames(Frames),
}

impl Budget {
    pub(super) fn new(is_http2: bool) -> Self {
        if is_http2 { Self::Frames(Frames::default()) } else { Self::Head { spent: 0 } }
    }

    pub(super) fn head_is_complete(&mut self) {
        if let Self::Head { .. } = self {
            *self = Self::Body;
        }
    }

    /// `written` is all that went out: the peer answers each part of a long request with frames of its own.
    pub(super) fn spend(&mut self, bytes: &[u8], written: u64) -> Result<(), OverBudget> {
        match self {
            Self::Head { spent } => {
                *spent = spent.saturating_add(bytes.len());
                if *spent > IDLE_MAX_BYTES { Err(OverBudget::BeforeHead) } else { Ok(()) }
            }
            Self::Body => Ok(()),
            Self::Frames(frames) => {
                frames.pass(bytes);
                // Two updates of the windows, 26 bytes, for each 1664 written are generous.
                let earned = usize::try_from(written / 64).unwrap_or(usize::MAX);
                if frames.idle <= IDLE_MAX_BYTES.saturating_add(earned) {
                    Ok(())
                } else if frames.had_data {
                    Err(OverBudget::WithoutData)
                } else {
                    Err(OverBudget::BeforeHead)
                }
            }
        }
    }

    /// What the heads of HTTP/2 had, as compressed.
    pub(super) fn heads_bytes(&self) -> usize {
        match self {
            Self::Frames(frames) => frames.heads,
            Self::Head { .. } | Self::Body => 0,
        }
    }
}

/// The frames of HTTP/2 as they pass, RFC 9113 section 4.1: a length of 24 bits, a type, and six bytes more.
#[derive(Debug, Default)]
pub(super) struct Frames {
    header: [u8; Self::HEADER_BYTES],
    header_bytes: usize,
    payload_left: usize,
    /// Of frames other than data, since the latest data.
    idle: usize,
    heads: usize,
    had_data: bool,
}

impl Frames {
    const HEADER_BYTES: usize = 9;
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const CONTINUATION: u8 = 9;

    fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                let passed = self.payload_left.min(bytes.len());
                self.payload_left -= passed;
                bytes = &bytes[passed..];
                self.count(passed);
                continue;
            }
            let passed = (Self::HEADER_BYTES - self.header_bytes).min(bytes.len());
            self.header[self.header_bytes..][..passed].copy_from_slice(&bytes[..passed]);
            self.header_bytes += passed;
            bytes = &bytes[passed..];
            if self.header_bytes == Self::HEADER_BYTES {
                self.header_bytes = 0;
                let [high, middle, low, ..] = self.header;
                self.payload_left =
                    usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                self.idle = self.idle.saturating_add(Self::HEADER_BYTES);
            }
        }
    }

    fn count(&mut self, bytes: usize) {
        match self.header[3] {
            Self::DATA => {
                self.idle = 0;
                self.had_data = true;
            }
            kind => {
                self.idle = self.idle.saturating_add(bytes);
                if kind == Self::HEADERS || kind == Self::CONTINUATION {
                    self.heads = self.heads.saturating_add(bytes);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, 0, 0, 0, 0, 1];
        frame.extend(std::iter::repeat_n(7, length.into()));
        frame
    }

    #[test]
    fn an_http1_answer_has_its_budget_until_the_head() {
        let mut budget = Budget::new(false);
        assert_eq!(budget.spend(&[b'x'; IDLE_MAX_BYTES], 0), Ok(()));
        assert_eq!(budget.spend(b"x", 0), Err(OverBudget::BeforeHead));
        budget.head_is_complete();
        assert_eq!(budget.spend(&[b'x'; IDLE_MAX_BYTES], 0), Ok(()));
    }

    #[test]
    fn data_renews_the_budget_of_http2_however_it_is_cut() {
        let ping = frame(6, 8);
        let half = IDLE_MAX_BYTES / ping.len() / 2 + 1;
        for cut in [1, 2, 9, 10, 1000] {
            let mut budget = Budget::new(true);
            let mut send =
                |bytes: &[u8]| bytes.chunks(cut).try_for_each(|piece| budget.spend(piece, 0));
            assert_eq!(send(&ping.repeat(half)), Ok(()), "{cut}");
            assert_eq!(send(&frame(0, 1)), Ok(()), "{cut}");
            assert_eq!(send(&ping.repeat(half)), Ok(()), "{cut}");
            // Data without data renews nothing.
            assert_eq!(send(&frame(0, 0)), Ok(()), "{cut}");
            assert_eq!(send(&ping.repeat(half)), Err(OverBudget::WithoutData), "{cut}");
        }
        let mut budget = Budget::new(true);
        assert_eq!(
            budget.spend(&ping.repeat(2 * half), 1 << 30),
            Ok(()),
            "a long request went out"
        );
        assert_eq!(budget.spend(&ping, 0), Err(OverBudget::BeforeHead));
    }
}
