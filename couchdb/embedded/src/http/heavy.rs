//! Work on large bodies: parsing, base64 and hashing, away from the threads that serve the others.

use super::refusal::Refusal;
use crate::error::StoreError;

/// Reading or hashing more than this many bytes would keep a thread from other requests: about a
/// millisecond of work.
const IN_PLACE: usize = 256 << 10;

/// Runs `work` on `bytes` bytes: here when they are few, on a thread for long work when they are many.
pub(crate) async fn run<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    if bytes <= IN_PLACE {
        return work();
    }
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_large_work_leaves_the_thread() {
        let thread = || Ok(std::thread::current().id());
        let here = thread().unwrap();
        assert_eq!(run(IN_PLACE, thread).await.unwrap(), here);
        assert_ne!(run(IN_PLACE + 1, thread).await.unwrap(), here);
    }
}
