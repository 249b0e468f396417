//! How long a replication waits for an end that says nothing, and what is tried again: how often and after which pause.

use blitz_couchdb::Error;
use std::time::Duration;

/// After so long without an answer a request is given up; CouchDB's `connection_timeout` is as long.
const SILENCE: Duration = Duration::from_secs(30);

/// The least and the most that may be asked for: three round trips of the Earth; an hour helps nobody.
const SILENCE_MIN: Duration = Duration::from_millis(500);
const SILENCE_MAX: Duration = Duration::from_secs(600);

/// How often one request is tried before the run fails; CouchDB's `retries_per_request` is 5.
const TRIES: u32 = 5;

/// The most that may be asked for: the pauses double.
const TRIES_MAX: u32 = 20;

/// The pause after the first failure; it doubles with each. With the usual tries a run gives up after about 4 s of pauses,
/// and then the job is kept back.
const PAUSE: Duration = Duration::from_millis(250);

/// How long a source is asked to wait for a change at most before it answers that there was none: below the minute after
/// which CouchDB and many proxies answer by themselves.
const WAIT_MAX: Duration = Duration::from_secs(25);

/// A request with attachments may take so many times as long as another: 96 MiB at 3 Mbit/s, as usual.
const TRANSFER: u32 = 10;

/// The slowest line on which a batch of documents still arrives, in bytes a second: what is written gets as long as that
/// takes, besides the usual time.
const BYTES_A_SECOND_MIN: u64 = 64 << 10;

/// How large the documents of a batch should be together, in bytes, with the usual time for a request; who waits for less time
/// asks for less, down to [`BATCH_BYTES_MIN`]. What they are is known only when they have come, so the next batch is sized
/// by the one before.
const BATCH_BYTES: u64 = 2 << 20;
/// See [`BATCH_BYTES`].
const BATCH_BYTES_MIN: u64 = 64 << 10;

/// How patient a replication is: `connection_timeout` and `retries_per_request` of its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// A request without an answer is given up after this. An end that packets do not get through to any more says nothing
    /// either, so this is how soon a cut is noticed.
    silence: Duration,
    tries: u32,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { silence: SILENCE, tries: TRIES }
    }
}

impl Patience {
    /// What was asked for, within bounds.
    pub(crate) fn new(connection_timeout_ms: Option<u64>, retries: Option<u64>) -> Patience {
        let silence = connection_timeout_ms.map_or(SILENCE, Duration::from_millis);
        let tries = retries.map_or(TRIES, |tries| u32::try_from(tries).unwrap_or(TRIES_MAX));
        Patience {
            silence: silence.clamp(SILENCE_MIN, SILENCE_MAX),
            tries: tries.clamp(1, TRIES_MAX),
        }
    }

    /// For one request.
    pub(crate) fn request(self) -> Duration {
        self.silence
    }

    /// For one with attachments.
    pub(crate) fn transfer(self) -> Duration {
        self.silence * TRANSFER
    }

    /// For one that writes so many bytes of documents.
    pub(crate) fn writing(self, bytes: usize) -> Duration {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        (self.silence + Duration::from_secs(bytes / BYTES_A_SECOND_MIN)).min(self.transfer())
    }

    /// How long a source is asked to wait for a change: nothing is heard from it meanwhile.
    pub(crate) fn wait(self) -> Duration {
        (self.silence / 2).min(WAIT_MAX)
    }

    /// How large the documents of a batch should be together.
    pub(crate) fn batch_bytes(self) -> usize {
        let part = u64::try_from(self.silence.as_millis()).unwrap_or(u64::MAX);
        let whole = u64::try_from(SILENCE.as_millis()).unwrap_or(u64::MAX);
        let bytes = (BATCH_BYTES.saturating_mul(part) / whole).clamp(BATCH_BYTES_MIN, BATCH_BYTES);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// Tries a request until it has an answer that trying again would not change.
    pub(crate) async fn with<T, F>(self, mut request: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut tries = 1;
        loop {
            let error = match request().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if tries >= self.tries || !is_passing(&error) {
                return Err(error);
            }
            tracing::debug!(%error, tries, "a request of a replication is tried again");
            tokio::time::sleep(pause(tries, random())).await;
            tries += 1;
        }
    }
}

/// Whether the same request may have another answer a moment later.
fn is_passing(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } | Error::Timeout { .. } | Error::Decode { .. } => true,
        // 501 is a server that will not learn it.
        Error::Status { code, .. } => matches!(code, 408 | 429 | 500 | 502..),
        // `Error::TooLarge` too: the same documents are as large the next time.
        _ => false,
    }
}

/// Between a half and the whole of a time that doubles.
fn pause(tries: u32, random: u8) -> Duration {
    let whole = PAUSE.saturating_mul(1 << tries.min(16).saturating_sub(1));
    whole / 2 + whole / 2 * u32::from(random) / 255
}

fn random() -> u8 {
    let mut byte = [128];
    // Without a random source all that is lost is the spread.
    getrandom::fill(&mut byte).unwrap_or_default();
    byte[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16) -> Error {
        let (request, error, reason) = Default::default();
        Error::Status { request, code, error, reason }
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for (code, wanted) in [
            (503, true),
            (500, true),
            (429, true),
            (408, true),
            (501, false),
            (400, false),
            (413, false),
        ] {
            assert_eq!(is_passing(&status(code)), wanted, "{code}");
        }
        let (request, limit_bytes) = (String::new(), 1);
        assert!(!is_passing(&Error::TooLarge { request, limit_bytes }));
    }

    #[test]
    fn what_is_asked_for_is_kept_within_bounds() {
        assert_eq!(Patience::new(None, None), Patience::default());
        let usual = Patience::default();
        assert_eq!((usual.transfer(), usual.batch_bytes()), (SILENCE * 10, 2 << 20));
        let short = Patience::new(Some(5_000), Some(2));
        let second = Duration::from_secs(1);
        assert_eq!((short.request(), short.wait(), short.tries), (5 * second, 5 * second / 2, 2));
        assert_eq!(short.writing(1 << 20), 21 * second);
        assert_eq!(short.writing(1 << 30), short.transfer());
        assert!(short.batch_bytes() < usual.batch_bytes() && short.batch_bytes() > 300_000);
        assert_eq!(Patience::new(Some(0), Some(0)), Patience { silence: SILENCE_MIN, tries: 1 });
        let most = Patience::new(Some(u64::MAX), Some(u64::MAX));
        assert_eq!((most.silence, most.tries), (SILENCE_MAX, TRIES_MAX));
    }

    #[test]
    fn pauses_grow_and_are_spread() {
        assert_eq!(pause(1, 0), PAUSE / 2);
        assert_eq!(pause(1, 255), PAUSE);
        assert_eq!(pause(4, 255), PAUSE * 8);
    }
}
