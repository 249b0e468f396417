//! What a guest may set on a socket: kept until there is a connection, then applied to it.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;

/// Largest buffer of a socket in the kernel that a guest may ask for: 5 MB/s at 200 ms of round trip.
const BUFFER_MAX_BYTES: u64 = 1024 * 1024;
/// What is told as the size of a buffer that nobody set: the kernel grows it as needed, from about so much.
const BUFFER_DEFAULT_BYTES: u64 = 128 * 1024;
/// Linux refuses more. The same for the interval.
const KEEP_ALIVE_IDLE_MAX: Duration = Duration::from_secs(32_767);
/// Linux refuses more.
const KEEP_ALIVE_COUNT_MAX: u32 = 127;

/// The options that were set, and the defaults of Linux for the others.
#[derive(Debug, Clone, Default)]
pub(super) struct Options {
    keep_alive: Option<bool>,
    keep_alive_idle: Option<Duration>,
    keep_alive_interval: Option<Duration>,
    keep_alive_count: Option<u32>,
    hop_limit: Option<u8>,
    receive_buffer: Option<u64>,
    send_buffer: Option<u64>,
}

impl Options {
    pub(super) fn keep_alive(&self) -> bool {
        self.keep_alive.unwrap_or(false)
    }

    pub(super) fn set_keep_alive(&mut self, on: bool) {
        self.keep_alive = Some(on);
    }

    pub(super) fn keep_alive_idle_ns(&self) -> u64 {
        nanoseconds(self.keep_alive_idle.unwrap_or(Duration::from_secs(7200)))
    }

    pub(super) fn set_keep_alive_idle_ns(&mut self, ns: u64) -> Result<(), ErrorCode> {
        self.keep_alive_idle = Some(whole_seconds(ns)?);
        Ok(())
    }

    pub(super) fn keep_alive_interval_ns(&self) -> u64 {
        nanoseconds(self.keep_alive_interval.unwrap_or(Duration::from_secs(75)))
    }

    pub(super) fn set_keep_alive_interval_ns(&mut self, ns: u64) -> Result<(), ErrorCode> {
        self.keep_alive_interval = Some(whole_seconds(ns)?);
        Ok(())
    }

    pub(super) fn keep_alive_count(&self) -> u32 {
        self.keep_alive_count.unwrap_or(9)
    }

    pub(super) fn set_keep_alive_count(&mut self, count: u32) -> Result<(), ErrorCode> {
        self.keep_alive_count = Some(not_zero(count)?.min(KEEP_ALIVE_COUNT_MAX));
        Ok(())
    }

    pub(super) fn hop_limit(&self) -> u8 {
        self.hop_limit.unwrap_or(64)
    }

    pub(super) fn set_hop_limit(&mut self, hops: u8) -> Result<(), ErrorCode> {
        self.hop_limit = Some(not_zero(hops)?);
        Ok(())
    }

    pub(super) fn receive_buffer(&self) -> u64 {
        self.receive_buffer.unwrap_or(BUFFER_DEFAULT_BYTES)
    }

    pub(super) fn set_receive_buffer(&mut self, bytes: u64) -> Result<(), ErrorCode> {
        self.receive_buffer = Some(not_zero(bytes)?.min(BUFFER_MAX_BYTES));
        Ok(())
    }

    pub(super) fn send_buffer(&self) -> u64 {
        self.send_buffer.unwrap_or(BUFFER_DEFAULT_BYTES)
    }

    pub(super) fn set_send_buffer(&mut self, bytes: u64) -> Result<(), ErrorCode> {
        self.send_buffer = Some(not_zero(bytes)?.min(BUFFER_MAX_BYTES));
        Ok(())
    }

    /// Sets what was asked for on a TCP socket.
    pub(super) fn apply_to_tcp(&self, fd: impl AsFd, remote: SocketAddr) -> Result<(), Errno> {
        let fd = fd.as_fd();
        if let Some(on) = self.keep_alive {
            sockopt::set_socket_keepalive(fd, on)?;
        }
        if let Some(idle) = self.keep_alive_idle {
            sockopt::set_tcp_keepidle(fd, idle)?;
        }
        if let Some(interval) = self.keep_alive_interval {
            sockopt::set_tcp_keepintvl(fd, interval)?;
        }
        if let Some(count) = self.keep_alive_count {
            sockopt::set_tcp_keepcnt(fd, count)?;
        }
        self.apply(fd, remote)
    }

    /// Sets what was asked for on a socket of any kind.
    pub(super) fn apply(&self, fd: impl AsFd, remote: SocketAddr) -> Result<(), Errno> {
        let fd = fd.as_fd();
        match self.hop_limit {
            Some(hops) if remote.is_ipv4() => sockopt::set_ip_ttl(fd, hops.into())?,
            Some(hops) => sockopt::set_ipv6_unicast_hops(fd, Some(hops))?,
            None => {}
        }
        // Linux doubles what it is given, for its own book-keeping.
        let half = |bytes: u64| usize::try_from(bytes / 2).unwrap_or(usize::MAX);
        if let Some(bytes) = self.receive_buffer {
            sockopt::set_socket_recv_buffer_size(fd, half(bytes))?;
        }
        if let Some(bytes) = self.send_buffer {
            sockopt::set_socket_send_buffer_size(fd, half(bytes))?;
        }
        Ok(())
    }
}

fn not_zero<T: Default + PartialEq>(value: T) -> Result<T, ErrorCode> {
    if value == T::default() { Err(ErrorCode::InvalidArgument) } else { Ok(value) }
}

/// Rounded up, as the kernel counts.
fn whole_seconds(ns: u64) -> Result<Duration, ErrorCode> {
    let seconds = not_zero(ns)?.div_ceil(1_000_000_000);
    Ok(Duration::from_secs(seconds).min(KEEP_ALIVE_IDLE_MAX))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
