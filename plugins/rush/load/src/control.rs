//! The socket to the engine: frames in both directions, without ever waiting once the test runs.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use blitz_contract::load::work::{FRAME_BYTES_MAX, Order, Said};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// Bytes that wait for an engine that does not read; beyond it, the engine is taken to be gone. A minute of large ticks.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// Why nothing more can be said or heard.
#[derive(Debug)]
pub(crate) enum Lost {
    /// The engine has closed the socket, or broke it.
    Closed,
    /// What came is no order.
    Garbled,
    /// What was said has not been read for too long.
    Unread,
}

/// Both ends' frames.
#[derive(Debug)]
pub(crate) struct Control {
    socket: UnixStream,
    heard: Vec<u8>,
    waiting: Vec<u8>,
}

impl Control {
    pub(crate) fn new(socket: UnixStream) -> Self {
        Self { socket, heard: Vec::new(), waiting: Vec::new() }
    }

    /// Waits for the next order.
    ///
    /// # Errors
    ///
    /// [`Lost`], when there will be none.
    pub(crate) fn next(&mut self) -> Result<Order, Lost> {
        let mut len = [0; 4];
        self.socket.set_nonblocking(false).map_err(|_| Lost::Closed)?;
        self.socket.read_exact(&mut len).map_err(|_| Lost::Closed)?;
        let len = frame_len(len)?;
        let mut frame = Vec::new();
        let read = (&self.socket).take(len as u64).read_to_end(&mut frame);
        match read {
            Ok(read) if read == len => serde_json::from_slice(&frame).map_err(|_| Lost::Garbled),
            _ => Err(Lost::Closed),
        }
    }

    /// The orders that are there.
    ///
    /// # Errors
    ///
    /// [`Lost`], when there will be no more.
    pub(crate) fn orders(&mut self) -> Result<Vec<Order>, Lost> {
        let mut piece = [0; 4096];
        loop {
            match recv(&self.socket, &mut piece, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(Lost::Closed),
                Ok((len, _)) => self.heard.extend_from_slice(&piece[..len]),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(_) => return Err(Lost::Closed),
            }
            if self.heard.len() > FRAME_BYTES_MAX {
                return Err(Lost::Garbled);
            }
        }
        let mut orders = Vec::new();
        while let Some((len, rest)) = self.heard.split_first_chunk::<4>() {
            let len = frame_len(*len)?;
            let Some(frame) = rest.get(..len) else { break };
            orders.push(serde_json::from_slice(frame).map_err(|_| Lost::Garbled)?);
            self.heard.drain(..4 + len);
        }
        Ok(orders)
    }

    /// Says it as soon as the engine reads.
    ///
    /// # Errors
    ///
    /// [`Lost`], when the engine will not hear it.
    pub(crate) fn say(&mut self, said: &Said) -> Result<(), Lost> {
        let text = serde_json::to_vec(said).map_err(|_| Lost::Garbled)?;
        let len = u32::try_from(text.len()).map_err(|_| Lost::Garbled)?;
        self.waiting.extend_from_slice(&len.to_le_bytes());
        self.waiting.extend_from_slice(&text);
        self.flush()
    }

    /// Sends what waits, as far as it goes.
    ///
    /// # Errors
    ///
    /// [`Lost`], when the engine will not hear it.
    pub(crate) fn flush(&mut self) -> Result<(), Lost> {
        let mut sent = 0;
        while sent < self.waiting.len() {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match send(&self.socket, &self.waiting[sent..], flags) {
                Ok(len) => sent += len,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(_) => return Err(Lost::Closed),
            }
        }
        self.waiting.drain(..sent);
        self.waiting.shrink_to(64 << 10);
        if self.waiting.len() > WAITING_BYTES_MAX { Err(Lost::Unread) } else { Ok(()) }
    }

    /// Whether something was said and not yet sent.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Waits until everything is sent: the test is over, and nothing else is left to do.
    ///
    /// # Errors
    ///
    /// [`Lost`], when the engine will not hear it.
    pub(crate) fn finish(mut self) -> Result<(), Lost> {
        let sent: io::Result<()> =
            self.socket.set_nonblocking(false).and_then(|()| self.socket.write_all(&self.waiting));
        sent.map_err(|_| Lost::Closed)
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn frame_len(bytes: [u8; 4]) -> Result<usize, Lost> {
    let len = usize::try_from(u32::from_le_bytes(bytes)).map_err(|_| Lost::Garbled)?;
    if len > FRAME_BYTES_MAX { Err(Lost::Garbled) } else { Ok(len) }
}
