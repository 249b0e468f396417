//! Which of a session's sockets have something to say: one epoll instance, which is itself waited for.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{Timespec, epoll};
use tokio::io::unix::AsyncFd;

use super::socket::{Socket, awaited};

/// Sockets of one look.
const EVENTS_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Ready {
    epoll: AsyncFd<OwnedFd>,
}

impl Ready {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll: awaited(epoll)? })
    }

    /// Listens to a socket under a name. A socket that is closed is not listened to any more.
    pub(super) fn add(&self, socket: &Socket, name: u64) -> io::Result<()> {
        let data = epoll::EventData::new_u64(name);
        Ok(epoll::add(self.epoll.get_ref(), socket, data, epoll::EventFlags::IN)?)
    }

    /// The same for one that is connecting.
    pub(super) fn add_connecting(&self, socket: &Socket, name: u64) -> io::Result<()> {
        let data = epoll::EventData::new_u64(name);
        Ok(epoll::add(self.epoll.get_ref(), socket, data, epoll::EventFlags::OUT)?)
    }

    /// The names of those that have something to say. Errors are always listened to.
    pub(super) fn now(&self) -> io::Result<Vec<u64>> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let space = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(self.epoll.get_ref(), space, Some(&at_once)) {
            Ok(_) => Ok(events.iter().map(|event| event.data.u64()).collect()),
            Err(rustix::io::Errno::INTR) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until there may be one.
    pub(super) async fn wait(&self) -> io::Result<()> {
        loop {
            let mut guard = self.epoll.readable().await?;
            if !self.now()?.is_empty() {
                return Ok(());
            }
            guard.clear_ready();
        }
    }
}
