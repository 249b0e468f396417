//! The limits of one exchange.

/// Fields of a request's or an answer's head. The most that hyper parses without a heap for them.
pub(super) const HEADERS_MAX: usize = 100;
/// Bytes of a head; nginx and Apache refuse more than 32 KiB of their own accord.
pub(super) const HEAD_MAX_BYTES: usize = 64 * 1024;
/// Bytes of an HTTP/2 head, 32 more for each field, up to which it is taken in so that its limit can be named: the
/// library resets what is larger as it resets any malformed head, and names only what is four times as large.
pub(super) const HTTP2_LIST_MAX_BYTES: u32 = 256 * 1024;
/// Path and query of a request: what the `http` crate holds. Servers refuse more than 8 to 32 KiB.
pub(super) const TARGET_MAX_BYTES: usize = 65_534;
/// Body of a request: it lies in the guest's memory and once more in ours.
pub(super) const REQUEST_BODY_MAX_BYTES: usize = 64 * 1024 * 1024;
/// What an HTTP/2 peer may send before the guest reads: 5 MB/s at 200 ms of round trip.
pub(super) const HTTP2_WINDOW_BYTES: u32 = 1024 * 1024;
/// The same for the connection, which has one stream. Half of it is what the library lets small frames cost beyond
/// their data while the guest does not read; a window's worth of frames of 30 bytes must fit.
pub(super) const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 16 * HTTP2_WINDOW_BYTES;
/// What a peer may send before its head, or over HTTP/2 without any data: four of the largest heads.
pub(super) const IDLE_MAX_BYTES: usize = 4 * HEAD_MAX_BYTES;
/// Read in one go while the peer sends without a pause; then others have their turn, the time limits first.
/// About 20 microseconds of copying.
pub(super) const TURN_MAX_BYTES: usize = 64 * 1024;
