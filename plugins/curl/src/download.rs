//! A body on its way to where it goes: read, decoded, counted, and cut where a limit says so.

use blitz_plugin::web::Answer;
use blitz_plugin::{Arguments, Host};

use crate::args::Settings;
use crate::decode::{Decoded, Encoding, Wire};
use crate::exit::{Code, Problem, from_failure};
use crate::stats::Stats;
use crate::time_limit::TimeLimit;

/// One read of a body. The host gives what has arrived, so this only bounds memory.
const PIECE_BYTES: u32 = 64 * 1024;

/// One read of a decoder.
const DECODED_BYTES: usize = 64 * 1024;

/// How much of a body is brought.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    /// `--max-filesize`: a longer body is a failure. As it comes, before decoding.
    pub(crate) file_bytes_max: Option<u64>,
    /// `--body-limit`: the rest of a longer body is left unread. After decoding.
    pub(crate) body_bytes_max: Option<u64>,
}

impl Limits {
    pub(crate) fn read(args: &Arguments) -> Result<Self, Problem> {
        Ok(Self {
            // Zero is no limit, as in curl.
            file_bytes_max: size(args, "max-filesize")?.filter(|&bytes| bytes > 0),
            body_bytes_max: size(args, "body-limit")?,
        })
    }
}

/// A number of bytes with `k`, `M` or `G` behind it, of 1024 each, as in curl.
fn size(args: &Arguments, name: &str) -> Result<Option<u64>, Problem> {
    let Some(text) = args.value(name) else { return Ok(None) };
    let (digits, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let factor = match unit {
        "" | "b" | "B" => Some(1),
        "k" | "K" => Some(1 << 10),
        "m" | "M" => Some(1 << 20),
        "g" | "G" => Some(1_u64 << 30),
        _ => None,
    };
    let bytes = digits.parse().ok().zip(factor).and_then(|(n, factor)| factor.checked_mul(n));
    bytes.map(Some).ok_or_else(|| {
        Problem::usage(format!("option --{name}: {text:?} is not a size (500, 10k, 2M, 1G)"))
    })
}

/// Refuses an answer whose head announces more than `--max-filesize`, also where no body follows, as curl does.
pub(crate) fn check_announced(answer: &Answer, settings: &Settings) -> Result<(), Problem> {
    match announced(answer).zip(settings.limits.file_bytes_max) {
        Some((bytes, bytes_max)) if bytes > bytes_max => {
            Err(Problem::new(Code::FileTooLarge, "Maximum file size exceeded"))
        }
        _ => Ok(()),
    }
}

/// A body that is being brought.
pub(crate) struct Download<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) region: &'a str,
    pub(crate) time_limit: TimeLimit,
    pub(crate) stats: &'a mut Stats,
    /// Bytes given to where the body goes, heads among them.
    pub(crate) written_bytes: &'a mut u64,
}

impl Download<'_> {
    /// Brings the body of an answer to its end or to a limit.
    pub(crate) fn run(&mut self, answer: &mut Answer, host: &mut dyn Host) -> Result<(), Problem> {
        let encodings =
            if self.settings.decodes { Encoding::of(&answer.headers)? } else { Vec::new() };
        let announced = announced(answer);
        let outcome = if encodings.is_empty() {
            self.plain(answer, host)
        } else {
            self.decoded(answer, &encodings, host)
        };
        if self.stats.body_truncated && self.settings.tells() {
            let of = announced.filter(|_| encodings.is_empty());
            let of = of.map(|bytes| format!(" of {bytes}")).unwrap_or_default();
            let shown = self.stats.shown_bytes;
            let text = format!("curl: body cut at {shown}{of} bytes (--body-limit)\n");
            host.stderr().write_all(text.as_bytes()).ok();
        }
        outcome
    }

    fn plain(&mut self, answer: &mut Answer, host: &mut dyn Host) -> Result<(), Problem> {
        loop {
            let piece = answer
                .body
                .read(PIECE_BYTES)
                .map_err(|failure| from_failure(failure, self.region))?;
            if piece.is_empty() {
                return Ok(());
            }
            let before = self.stats.body_bytes;
            self.stats.body_bytes = before.saturating_add(count(piece.len()));
            let permitted =
                self.settings.limits.file_bytes_max.map(|max| max.saturating_sub(before));
            let permitted = cut(&piece, permitted);
            if self.write(permitted, host)? {
                return Ok(());
            }
            if permitted.len() < piece.len() {
                return Err(self.too_large());
            }
        }
    }

    fn decoded(
        &mut self,
        answer: &mut Answer,
        encodings: &[Encoding],
        host: &mut dyn Host,
    ) -> Result<(), Problem> {
        let wire = Wire::new(self.region, self.time_limit);
        let mut decoded = Decoded::new(answer.body.as_mut(), encodings, &wire);
        let mut buffer = vec![0; DECODED_BYTES];
        loop {
            let outcome = decoded.read(&mut buffer);
            self.stats.body_bytes = wire.received_bytes.get();
            let length = outcome?;
            let file_bytes_max = self.settings.limits.file_bytes_max;
            if file_bytes_max.is_some_and(|max| self.stats.body_bytes > max) {
                return Err(self.too_large());
            }
            if length == 0 || self.write(&buffer[..length], host)? {
                return Ok(());
            }
        }
    }

    /// Writes up to the limit of `--body-limit`; true when it cut something off.
    fn write(&mut self, bytes: &[u8], host: &mut dyn Host) -> Result<bool, Problem> {
        let shown = self.stats.shown_bytes;
        let left = self.settings.limits.body_bytes_max.map(|max| max.saturating_sub(shown));
        let permitted = cut(bytes, left);
        if !permitted.is_empty() {
            self.settings.body_to.write(permitted, host)?;
            self.stats.shown_bytes = shown.saturating_add(count(permitted.len()));
            *self.written_bytes = self.written_bytes.saturating_add(count(permitted.len()));
        }
        self.stats.body_truncated = permitted.len() < bytes.len();
        Ok(self.stats.body_truncated)
    }

    fn too_large(&self) -> Problem {
        let max = self.settings.limits.file_bytes_max.unwrap_or_default();
        let received = self.stats.body_bytes;
        let text = format!("Exceeded the maximum allowed file size ({max}) with {received} bytes");
        Problem::new(Code::FileTooLarge, text)
    }
}

/// The length that the head announced.
fn announced(answer: &Answer) -> Option<u64> {
    let mut named =
        answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    std::str::from_utf8(&named.next()?.1).ok()?.trim().parse().ok()
}

fn cut(bytes: &[u8], bytes_max: Option<u64>) -> &[u8] {
    let length = bytes_max.map_or(bytes.len(), |max| usize::try_from(max).unwrap_or(usize::MAX));
    &bytes[..length.min(bytes.len())]
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
