//! Waiting for what must come, with a limit that says what did not.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// What must come comes within this time even on a busy machine; what does not is a failure.
const LIMIT: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer.
///
/// # Panics
///
/// When there is none within 30 seconds: `what` says what was waited for.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, ask: impl FnMut() -> F) -> T {
    within(LIMIT, what, ask).await
}

/// The same within this time, for what takes longer.
///
/// # Panics
///
/// When there is no answer until then.
pub async fn within<T, F: Future<Output = Option<T>>>(
    limit: Duration,
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "waited {limit:?} for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
