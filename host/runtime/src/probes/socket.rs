//! The system calls of probes: sockets with a time to live, with stamps, and with a queue of errors. All unsafe code of
//! [`crate::probes`] is here.

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, SendFlags, SocketFlags, SocketType, ipproto, sockopt};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::ancillary::{self, Notes};
use super::limits::{RECEIVE_BUFFER_BYTES, SEND_TRIES};

/// A socket that never waits.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    is_ipv4: bool,
    /// What it sends with.
    ttl: u8,
}

/// Which packets are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queue {
    /// Those that came.
    Packets,
    /// Errors of those that were sent, and the stamps of their departure.
    Errors,
}

/// A packet that was read into a buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received {
    /// Bytes of it that are in the buffer.
    pub(super) length: usize,
    /// Its sender; of an error, where the packet went that it is about.
    pub(super) name: Option<SocketAddr>,
    pub(super) notes: Notes,
}

/// `struct sockaddr_in6`, the longest name of these sockets.
const NAME_BYTES: u8 = 28;
/// Stamps, time to live, and an error with its sender take some 200.
const CONTROL_BYTES: usize = 512;
/// `SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE`: the driver's own stamp of each packet that leaves.
const DEPARTURES: libc::c_uint =
    libc::SOF_TIMESTAMPING_TX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE;
/// Of `linux/in.h` and `linux/in6.h`; since Linux 5.9.
const IP_RECVERR_RFC4884: libc::c_int = 26;
const IPV6_RECVERR_RFC4884: libc::c_int = 31;

impl Socket {
    /// One for packets to an address of the same family as `target`. Nothing leaves by it yet.
    ///
    /// # Errors
    ///
    /// Those of socket(2): `EPERM` and `EACCES` where a right is missing, `EMFILE`.
    pub(super) fn open(target: IpAddr, kind: SocketType, protocol: Protocol) -> io::Result<Self> {
        let is_ipv4 = target.is_ipv4();
        let family = if is_ipv4 { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = rustix::net::socket_with(family, kind, flags, Some(protocol))?;
        let socket = Self { fd, is_ipv4, ttl: 0 };
        socket.set(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
        let (level, ttl) = socket.of_family(libc::IP_RECVTTL, libc::IPV6_RECVHOPLIMIT);
        socket.set(level, ttl, 1)?;
        if !is_ipv4 && kind == SocketType::STREAM {
            // The kernel's label is by chance for each connection, and routers spread by it what is one flow.
            socket.set(libc::IPPROTO_IPV6, libc::IPV6_AUTOFLOWLABEL, 0)?;
        }
        Ok(socket)
    }

    /// Numbers of an option of IP and of its sibling of IPv6: the level and the option.
    fn of_family(&self, v4: libc::c_int, v6: libc::c_int) -> (libc::c_int, libc::c_int) {
        match self.is_ipv4 {
            true => (libc::IPPROTO_IP, v4),
            false => (libc::IPPROTO_IPV6, v6),
        }
    }

    /// Whether packets may be cut on their way. When not, what the kernel has heard of the way does not count, and
    /// a packet that is too large for the first link is not sent.
    pub(super) fn dont_fragment(&self, dont: bool) -> io::Result<()> {
        let (level, option) = self.of_family(libc::IP_MTU_DISCOVER, libc::IPV6_MTU_DISCOVER);
        let value = match (dont, self.is_ipv4) {
            (true, true) => libc::IP_PMTUDISC_PROBE,
            (true, false) => libc::IPV6_PMTUDISC_PROBE,
            (false, true) => libc::IP_PMTUDISC_DONT,
            (false, false) => libc::IPV6_PMTUDISC_DONT,
        };
        self.set(level, option, value)?;
        match self.is_ipv4 {
            true => Ok(()),
            false => self.set(libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, dont.into()),
        }
    }

    /// Errors of its packets, from whomever, stand in a queue from now on.
    pub(super) fn queue_errors(&self) -> io::Result<()> {
        let (level, option) = self.of_family(libc::IP_RECVERR, libc::IPV6_RECVERR);
        self.set(level, option, 1)?;
        let (level, option) = self.of_family(IP_RECVERR_RFC4884, IPV6_RECVERR_RFC4884);
        if let Err(error) = self.set(level, option, 1) {
            tracing::debug!(%error, "extensions of ICMP errors are found by their usual place");
        }
        Ok(())
    }

    /// The driver's stamps of its packets stand in the queue of errors from now on, where the system has them.
    pub(super) fn stamp_departures(&self) {
        let flags = libc::c_int::try_from(DEPARTURES).unwrap_or_default();
        if let Err(error) = self.set(libc::SOL_SOCKET, libc::SO_TIMESTAMPING, flags) {
            tracing::debug!(%error, "departures are stamped by a look at the clock");
        }
    }

    /// Lets it hold more than sockets do. Less is no error.
    pub(super) fn hold_more(&self) {
        if let Err(error) = sockopt::set_socket_recv_buffer_size(&self.fd, RECEIVE_BUFFER_BYTES) {
            tracing::debug!(%error, "a small receive buffer");
        }
    }

    pub(super) fn bind(&self, source: SocketAddr) -> io::Result<SocketAddr> {
        rustix::net::bind(&self.fd, &source)?;
        Ok(rustix::net::getsockname(&self.fd)?.try_into()?)
    }

    /// The next packets leave with it.
    pub(super) fn set_ttl(&mut self, ttl: u8) -> io::Result<()> {
        if self.ttl != ttl {
            let (level, option) = self.of_family(libc::IP_TTL, libc::IPV6_UNICAST_HOPS);
            self.set(level, option, ttl.into())?;
            self.ttl = ttl;
        }
        Ok(())
    }

    /// Hands one packet to the kernel.
    ///
    /// A socket gives the error of an earlier packet to whoever calls it next, and sends nothing then. So it is tried
    /// again: an error of this packet stays.
    pub(super) fn send(&self, bytes: &[u8], target: SocketAddr) -> io::Result<()> {
        let mut tried = 0;
        loop {
            match rustix::net::sendto(&self.fd, bytes, SendFlags::empty(), &target) {
                Ok(_) => return Ok(()),
                Err(error) => {
                    tried += 1;
                    if tried >= tries(error) {
                        return Err(error.into());
                    }
                }
            }
        }
    }

    /// Begins a connection.
    ///
    /// # Errors
    ///
    /// Those of connect(2), but not that it takes time.
    pub(super) fn begin_connect(&self, target: SocketAddr) -> io::Result<()> {
        match rustix::net::connect(&self.fd, &target) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Packets of this peer alone come from now on, and the route is looked up.
    pub(super) fn connect(&self, target: SocketAddr) -> io::Result<()> {
        Ok(rustix::net::connect(&self.fd, &target)?)
    }

    /// A port may be taken again at once, and a connection ends with a reset, which leaves nothing behind.
    pub(super) fn end_at_once(&self) -> io::Result<()> {
        sockopt::set_socket_reuseaddr(&self.fd, true)?;
        Ok(sockopt::set_socket_linger(&self.fd, Some(Duration::ZERO))?)
    }

    /// A connection that nobody has accepted by then is given up when the kernel would send something again.
    pub(super) fn give_up_after(&self, time: Duration) -> io::Result<()> {
        let ms = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        Ok(sockopt::set_tcp_user_timeout(&self.fd, ms)?)
    }

    /// The error that the next call would give, which does not give it then.
    pub(super) fn take_error(&self) -> io::Result<()> {
        Ok(sockopt::socket_error(&self.fd)??)
    }

    /// Whether a connection that began has been accepted.
    pub(super) fn is_connected(&self) -> bool {
        matches!(rustix::net::getpeername(&self.fd), Ok(Some(_)))
    }

    /// Of its route, which [`Socket::connect`] has looked up, as far as the kernel has heard of it.
    pub(super) fn mtu(&self) -> io::Result<u32> {
        let (level, option) = self.of_family(libc::IP_MTU, libc::IPV6_MTU);
        let mtu: libc::c_int = self.get(level, option)?;
        u32::try_from(mtu).map_err(io::Error::other)
    }

    /// What an interface carries, of whatever name the system has for it.
    #[expect(unsafe_code, reason = "rustix does not have this request")]
    pub(super) fn mtu_of(&self, interface: &str) -> io::Result<u32> {
        // SAFETY: a structure of numbers and pointers, of which all may be zero.
        let mut request: libc::ifreq = unsafe { mem::zeroed() };
        // The last place stays zero and ends the name.
        let places = request.ifr_name.iter_mut().rev().skip(1).rev();
        for (place, byte) in places.zip(interface.bytes()) {
            *place = libc::c_char::from_ne_bytes([byte]);
        }
        // SAFETY: the request takes an `ifreq`, which lives through the call.
        let done = unsafe { libc::ioctl(self.fd.as_raw_fd(), libc::SIOCGIFMTU, &raw mut request) };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: this request writes the number, and any bytes are one.
        let mtu = unsafe { request.ifr_ifru.ifru_mtu };
        u32::try_from(mtu).map_err(io::Error::other)
    }

    /// From the SYN to its answer, as the kernel's TCP has measured it; `None` where it was sent again.
    pub(super) fn handshake_time(&self) -> io::Result<Option<Duration>> {
        let info: TcpInfo = self.get(libc::IPPROTO_TCP, libc::TCP_INFO)?;
        let time = Duration::from_micros(info.words[TCPI_RTT].into());
        Ok((info.words[TCPI_TOTAL_RETRANS] == 0).then_some(time))
    }

    /// The kernel throws away what the filter does not let through.
    pub(super) fn filter(&self, filter: &mut [libc::sock_filter]) -> io::Result<()> {
        let len = u16::try_from(filter.len()).map_err(io::Error::other)?;
        let program = libc::sock_fprog { len, filter: filter.as_mut_ptr() };
        self.set_value(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
    }

    fn set(&self, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
        self.set_value(level, option, &value)
    }

    /// `value` is of the type that the option has.
    #[expect(unsafe_code, reason = "rustix does not have these options")]
    fn set_value<T>(&self, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
        let length = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
        let from = std::ptr::from_ref(value).cast();
        // SAFETY: `from` are `length` bytes that live through the call, and the kernel only reads them; the array
        // that a filter's `value` points to is the caller's and lives as long.
        let done = unsafe { libc::setsockopt(self.fd.as_raw_fd(), level, option, from, length) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// `T` is of the type that the option has, of numbers alone. What an older kernel does not give is zero.
    #[expect(unsafe_code, reason = "rustix does not have these options")]
    fn get<T: Default>(&self, level: libc::c_int, option: libc::c_int) -> io::Result<T> {
        let mut value = T::default();
        let mut length = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
        let to = std::ptr::from_mut(&mut value).cast();
        // SAFETY: `to` has room for `length` bytes and lives through the call; any bytes are a `T` of numbers.
        let done =
            unsafe { libc::getsockopt(self.fd.as_raw_fd(), level, option, to, &raw mut length) };
        if done == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
    }

    /// Reads one packet; `None` when there is none.
    #[expect(unsafe_code, reason = "rustix does not read these control messages")]
    pub(super) fn receive(&self, queue: Queue, buffer: &mut [u8]) -> io::Result<Option<Received>> {
        let mut name = [0_u8; NAME_BYTES as usize];
        let mut control = [0_u8; CONTROL_BYTES];
        let mut piece = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: a structure of numbers and pointers, of which all may be zero.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_name = name.as_mut_ptr().cast();
        header.msg_namelen = NAME_BYTES.into();
        header.msg_iov = &raw mut piece;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = CONTROL_BYTES as _;
        let flags = match queue {
            Queue::Packets => libc::MSG_DONTWAIT,
            Queue::Errors => libc::MSG_DONTWAIT | libc::MSG_ERRQUEUE,
        };
        // SAFETY: the header points to `name`, `piece`, `buffer` and `control` with their own lengths, and all of them
        // live through the call.
        let read = unsafe { libc::recvmsg(self.fd.as_raw_fd(), &raw mut header, flags) };
        let Ok(length) = usize::try_from(read) else {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock => Ok(None),
                _ => Err(error),
            };
        };
        let name_bytes = usize::try_from(header.msg_namelen).unwrap_or_default();
        Ok(Some(Received {
            length: length.min(buffer.len()),
            name: name.get(..name_bytes).and_then(ancillary::name),
            // What the kernel has not written is zero, and ends them.
            notes: ancillary::notes(&control),
        }))
    }
}

/// Has the kernel stamp packets from now on, as long as this process lives.
///
/// It does so while any socket wants it, and takes a while to begin: the first answers of the first session would have
/// the time at which they were read. Going on costs less for each packet than beginning again for each session.
pub(super) fn keep_stamps() {
    static KEPT: OnceLock<Option<Socket>> = OnceLock::new();
    KEPT.get_or_init(|| {
        let kept = Socket::open(Ipv4Addr::LOCALHOST.into(), SocketType::DGRAM, ipproto::UDP);
        kept.inspect_err(|error| tracing::debug!(%error, "packets are not stamped ahead")).ok()
    });
}

/// How often a packet with this error is handed to the kernel, which copies it each time.
fn tries(error: Errno) -> usize {
    match error {
        // Of this packet: a firewall that counts and logs it, a queue that is full.
        Errno::PERM | Errno::AGAIN => 1,
        // A router's word on an earlier one, or that this one is too large.
        Errno::MSGSIZE => 2,
        _ => SEND_TRIES,
    }
}

/// What can be waited for until it is readable.
#[expect(unsafe_code, reason = "tokio leaves it to the caller that the descriptor stays the same")]
pub(super) fn awaited(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` gives the same descriptor for its whole life, and closes it when it is dropped.
    let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    Ok(registered?)
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The beginning of `struct tcp_info`: eight bytes, and numbers of four.
#[repr(C)]
#[derive(Default)]
struct TcpInfo {
    states: [u8; 8],
    words: [u32; 24],
}

/// Microseconds; where in the numbers it is.
const TCPI_RTT: usize = 15;
/// Packets that were sent again.
const TCPI_TOTAL_RETRANS: usize = 23;

#[cfg(test)]
mod tests;
