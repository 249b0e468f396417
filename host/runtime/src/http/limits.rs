//! The limits of one exchange.

/// Fields of a request's or an answer's head. The most that hyper parses without a heap for them.
pub(super) const HEADERS_MAX: usize = 100;
/// Bytes of a head; nginx and Apache refuse more than 32 KiB of their own accord.
pub(super) const HEAD_MAX_BYTES: usize = 64 * 1024;
/// Body of a request: it lies in the guest's memory and once more in ours.
pub(super) const REQUEST_BODY_MAX_BYTES: usize = 64 * 1024 * 1024;
/// What an HTTP/2 peer may send before the guest reads: 5 MB/s at 200 ms of round trip.
pub(super) const HTTP2_WINDOW_BYTES: u32 = 1024 * 1024;
