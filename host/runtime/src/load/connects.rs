//! Makes the connections of one worker: the kernel hands its `connect` over to a thread of the engine, which reads the
//! address from the worker's memory, holds it against those that were judged, and connects a duplicate of the worker's
//! descriptor to its own copy of the address. What the worker writes into its memory meanwhile changes nothing.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::notify::{Asked, Listener};

/// Longest address that is read: `sockaddr_storage`.
const ADDRESS_BYTES_MAX: usize = 128;

/// Where a worker's sockets may go, and come from.
#[derive(Debug, Clone, Default)]
pub(super) struct Ways {
    targets: Arc<HashMap<(IpAddr, u16), SocketAddr>>,
    sources: Arc<[IpAddr]>,
}

impl Ways {
    pub(super) fn new(targets: impl IntoIterator<Item = SocketAddr>, sources: &[IpAddr]) -> Self {
        let targets = targets.into_iter().map(|address| ((address.ip(), address.port()), address));
        Self { targets: Arc::new(targets.collect()), sources: sources.into() }
    }
}

/// Answers the calls of this worker, on a thread that ends with it.
///
/// # Errors
///
/// Where the worker's memory or its descriptors are out of reach: no thread was started.
pub(super) fn serve(listener: OwnedFd, worker: Pid, ways: Ways) -> io::Result<()> {
    let watch = Watch {
        listener: Listener::new(listener),
        memory: File::open(format!("/proc/{}/mem", worker.as_raw_nonzero()))?,
        process: pidfd_open(worker, PidfdFlags::empty())?,
        worker,
        ways,
        has_told: false,
    };
    // Asked once before it is needed: the same right as for every descriptor.
    pidfd_getfd(&watch.process, 0, PidfdGetfdFlags::empty())?;
    std::thread::Builder::new().name("blitz-connects".to_owned()).spawn(move || watch.run())?;
    Ok(())
}

struct Watch {
    listener: Listener,
    memory: File,
    process: OwnedFd,
    worker: Pid,
    ways: Ways,
    /// The log has a refusal of this worker.
    has_told: bool,
}

impl Watch {
    fn run(mut self) {
        loop {
            let mut ready = [PollFd::new(&self.listener, PollFlags::IN)];
            match poll(&mut ready, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    return tracing::warn!(%error, "a load worker's connections are watched no more");
                }
            }
            let [ready] = ready;
            if ready.revents().contains(PollFlags::IN) {
                match self.listener.next() {
                    Ok(Some(asked)) => {
                        let errno = self.answer(&asked).err().map_or(0, Errno::raw_os_error);
                        self.listener.answer(&asked, errno);
                    }
                    Ok(None) => {}
                    Err(error) => {
                        return tracing::debug!(%error, "a load worker's connections are watched no more");
                    }
                }
            } else if ready.revents().intersects(PollFlags::HUP | PollFlags::ERR) {
                // The worker is gone.
                return;
            }
        }
    }

    fn answer(&mut self, asked: &Asked) -> Result<(), Errno> {
        if asked.thread != self.worker.as_raw_nonzero().get().unsigned_abs() {
            return Err(Errno::PERM);
        }
        let [descriptor, at, length, ..] = asked.arguments;
        let address = self.read(at, length)?;
        if !self.listener.is_valid(asked) {
            return Err(Errno::PERM);
        }
        let address = parse(&address).ok_or(Errno::ACCESS);
        let is_bind = asked.call == libc::SYS_bind;
        let allowed = address.and_then(|address| {
            let known = match is_bind {
                true => self.ways.sources.contains(&address.ip()) && address.port() == 0,
                false => self.ways.targets.contains_key(&(address.ip(), address.port())),
            };
            if known { Ok(address) } else { Err(Errno::ACCESS) }
        });
        if allowed.is_err() && !self.has_told {
            self.has_told = true;
            tracing::warn!(
                ?address,
                is_bind,
                "a load worker asked for an address that is none of its test's"
            );
        }
        let address = allowed?;
        let descriptor =
            u32::try_from(descriptor & 0xffff_ffff).ok().and_then(|d| i32::try_from(d).ok());
        let socket =
            pidfd_getfd(&self.process, descriptor.ok_or(Errno::BADF)?, PidfdGetfdFlags::empty())?;
        if is_bind {
            return rustix::net::bind(&socket, &address);
        }
        // This thread waits for nobody.
        if !fcntl_getfl(&socket)?.contains(OFlags::NONBLOCK) {
            return Err(Errno::INVAL);
        }
        let target = self.ways.targets.get(&(address.ip(), address.port())).unwrap_or(&address);
        rustix::net::connect(socket.as_fd(), target)
    }

    /// The worker's memory.
    fn read(&self, at: u64, length: u64) -> Result<Vec<u8>, Errno> {
        let length = usize::try_from(length).ok().filter(|length| *length <= ADDRESS_BYTES_MAX);
        let mut bytes = vec![0; length.ok_or(Errno::INVAL)?];
        self.memory.read_exact_at(&mut bytes, at).map_err(|_| Errno::FAULT)?;
        Ok(bytes)
    }
}

/// An address as the kernel has it. Source: `ip(7)`, `ipv6(7)`.
fn parse(bytes: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
    let port = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
    let address: IpAddr = match i32::from(family) {
        libc::AF_INET => Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(4..8)?).ok()?).into(),
        libc::AF_INET6 => Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(8..24)?).ok()?).into(),
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_kernel_has_them() {
        let mut v4 = vec![0; 16];
        v4[..2].copy_from_slice(&2u16.to_ne_bytes());
        v4[2..8].copy_from_slice(&[0x1f, 0x90, 127, 0, 0, 1]);
        assert_eq!(parse(&v4), Some("127.0.0.1:8080".parse().unwrap()));
        let mut v6 = vec![0; 28];
        v6[..2].copy_from_slice(&10u16.to_ne_bytes());
        v6[3] = 80;
        v6[23] = 1;
        assert_eq!(parse(&v6), Some("[::1]:80".parse().unwrap()));
        for short in [&v4[..7], &v6[..23], &[], &[0; 16], &1u16.to_ne_bytes()] {
            assert_eq!(parse(short), None);
        }
    }
}
