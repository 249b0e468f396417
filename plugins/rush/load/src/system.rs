//! The two calls of the system that no crate offers safely, and nothing else.
#![expect(unsafe_code, reason = "calls of the C library; each block says why it is sound")]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

use rustix::event::Timespec;

/// What epoll says of one descriptor: the token that it was added with, and what it is ready for.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Event(libc::epoll_event);

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Event").field("token", &self.token()).field("flags", &self.flags()).finish()
    }
}

impl Event {
    pub(crate) const NONE: Self = Self(libc::epoll_event { events: 0, u64: 0 });

    pub(crate) fn token(self) -> u64 {
        self.0.u64
    }

    fn flags(self) -> u32 {
        self.0.events
    }

    /// Whether bytes, an end or an error can be read.
    pub(crate) fn is_readable(self) -> bool {
        self.flags() & (libc::EPOLLIN | libc::EPOLLHUP | libc::EPOLLERR).cast_unsigned() != 0
    }

    /// Whether it takes bytes again.
    pub(crate) fn is_writable(self) -> bool {
        self.flags() & libc::EPOLLOUT.cast_unsigned() != 0
    }

    /// Whether the peer has ended what it sends, or broke the connection.
    pub(crate) fn is_ended(self) -> bool {
        self.flags() & (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR).cast_unsigned() != 0
    }

    /// Whether it is broken.
    pub(crate) fn is_error(self) -> bool {
        self.flags() & (libc::EPOLLHUP | libc::EPOLLERR).cast_unsigned() != 0
    }
}

/// `epoll_pwait2`: waits to the nanosecond. rustix rounds up to milliseconds where a feature of the whole program is not set.
/// Gives how many of `events` were written.
///
/// # Errors
///
/// Of the system, but for an interruption, which is no event at all.
pub(crate) fn wait(
    epoll: BorrowedFd<'_>,
    events: &mut [Event],
    timeout_ns: Option<u64>,
) -> io::Result<usize> {
    let timeout = timeout_ns.map(|ns| Timespec {
        tv_sec: i64::try_from(ns / 1_000_000_000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(ns % 1_000_000_000).unwrap_or(0),
    });
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    let room = i32::try_from(events.len()).unwrap_or(i32::MAX);
    // SAFETY: `Event` is transparent over what the kernel writes, of which it writes at most `room`; the timeout is null or lives
    // until the call returns, and has the layout of the kernel's 64-bit `timespec`.
    let count = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            epoll.as_raw_fd(),
            events.as_mut_ptr(),
            room,
            timeout,
            ptr::null::<libc::sigset_t>(),
            0_usize,
        )
    };
    match usize::try_from(count) {
        Ok(count) => Ok(count.min(events.len())),
        Err(_) => match io::Error::last_os_error() {
            e if e.kind() == io::ErrorKind::Interrupted => Ok(0),
            e => Err(e),
        },
    }
}

/// `IP_BIND_ADDRESS_NO_PORT`: the port is chosen when the peer is known, so that each peer has all of them.
/// Source: `ip(7)`.
///
/// # Errors
///
/// Of the system.
pub(crate) fn bind_without_port(socket: BorrowedFd<'_>) -> io::Result<()> {
    let one: libc::c_int = 1;
    let size = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(4);
    // SAFETY: the value is an `int` of that size, and lives until the call returns.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            ptr::from_ref(&one).cast(),
            size,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
