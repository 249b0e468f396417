//! What is tried again, how often and after which pause.

use blitz_couchdb::Error;
use std::time::Duration;

/// How often one request is tried before the run fails; CouchDB's `retries_per_request` is 5.
const TRIES_MAX: u32 = 5;

/// The pause after the first failure; it doubles with each. A run gives up after about 8 s of pauses,
/// and then the job is kept back.
const PAUSE: Duration = Duration::from_millis(250);

/// Tries a request until it has an answer that trying again would not change.
pub(crate) async fn patiently<T, F>(mut request: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut tries = 1;
    loop {
        let error = match request().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if tries >= TRIES_MAX || !is_passing(&error) {
            return Err(error);
        }
        tracing::debug!(%error, tries, "a request of a replication is tried again");
        tokio::time::sleep(pause(tries, random())).await;
        tries += 1;
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
    fn pauses_grow_and_are_spread() {
        assert_eq!(pause(1, 0), PAUSE / 2);
        assert_eq!(pause(1, 255), PAUSE);
        assert_eq!(pause(4, 255), PAUSE * 8);
    }
}
