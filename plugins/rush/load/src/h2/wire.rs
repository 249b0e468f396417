//! What a connection of HTTP/2 reads from and writes to: a socket, with TLS or without.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::failure::Failure;
use crate::tls::Session;

/// The socket and what is known about it.
#[derive(Debug)]
pub(super) struct Wire {
    fd: OwnedFd,
    tls: Option<Box<Session>>,
    /// Of the loop, during a turn.
    scratch: Vec<u8>,
    /// Plain text that the reader had no room for.
    plain: Vec<u8>,
    /// How much of it was read.
    read: usize,
    /// What this turn may still read.
    budget: usize,
    /// The socket had nothing more, and epoll has not said otherwise.
    is_drained: bool,
    is_blocked: bool,
    has_ended: bool,
    /// What came first was the beginning of an answer of HTTP/1.
    speaks_http1: Option<bool>,
    failed: Option<Failure>,
    sent: u64,
    received: u64,
}

/// A handle for the `h2` crate.
#[derive(Debug)]
pub(super) struct Io(pub(super) Rc<RefCell<Wire>>);

impl Wire {
    pub(super) fn new(fd: OwnedFd, tls: Option<Box<Session>>, came: Vec<u8>) -> Self {
        Self {
            fd,
            tls,
            scratch: Vec::new(),
            plain: came,
            read: 0,
            budget: 0,
            is_drained: false,
            is_blocked: false,
            has_ended: false,
            speaks_http1: None,
            failed: None,
            sent: 0,
            received: 0,
        }
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// A turn begins: with a buffer, and with so many bytes to read at most.
    pub(super) fn begin(&mut self, scratch: Vec<u8>, budget: usize, is_readable: bool) {
        self.scratch = scratch;
        self.budget = budget;
        self.is_drained &= !is_readable;
        self.is_blocked = false;
    }

    /// It ends: the buffer goes back.
    pub(super) fn end(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.scratch)
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// The turn ended because it had read enough.
    pub(super) fn is_exhausted(&self) -> bool {
        self.budget == 0 && !self.has_ended
    }

    /// Bytes of HTTP/2, sent and received, since the last time; what TLS adds is not in them.
    pub(super) fn take_counts(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.sent), std::mem::take(&mut self.received))
    }

    pub(super) fn failed(&self) -> Option<&Failure> {
        self.failed.as_ref()
    }

    /// The server has said all that it will.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    pub(super) fn speaks_http1(&self) -> bool {
        self.speaks_http1 == Some(true)
    }

    /// One `recv` at most. `None`: nothing now. An empty reading is the end.
    fn read(&mut self, into: &mut ReadBuf<'_>) -> io::Result<Option<()>> {
        loop {
            let waiting = self.plain.get(self.read..).unwrap_or_default();
            if !waiting.is_empty() {
                let taken = waiting.len().min(into.remaining());
                into.put_slice(&waiting[..taken]);
                self.read += taken;
                if self.read == self.plain.len() {
                    self.plain = Vec::new();
                    self.read = 0;
                }
                return Ok(Some(()));
            }
            if self.has_ended {
                return Ok(Some(()));
            }
            if self.is_drained || self.budget == 0 || self.scratch.is_empty() {
                return Ok(None);
            }
            let most = if self.tls.is_some() {
                self.scratch.len()
            } else {
                self.scratch.len().min(into.remaining())
            };
            let length =
                match rustix::net::recv(&self.fd, &mut self.scratch[..most], RecvFlags::DONTWAIT) {
                    Ok((length, _)) => length,
                    Err(Errno::INTR) => continue,
                    Err(Errno::AGAIN) => {
                        self.is_drained = true;
                        return Ok(None);
                    }
                    Err(error) => return Err(error.into()),
                };
            // Less than was asked for was all: epoll says when there is more.
            self.is_drained = length < most && length > 0;
            self.has_ended = length == 0;
            self.budget = self.budget.saturating_sub(length);
            if let Some(tls) = &mut self.tls {
                let before = self.plain.len();
                let came = tls.came(&mut self.scratch[..length], &mut self.plain);
                self.received += count(self.plain.len() - before);
                self.has_ended |= tls.ended();
                if let Err(failure) = came {
                    return Err(self.fail(failure));
                }
                self.look(None);
            } else {
                self.received += count(length);
                self.look(Some(length));
                into.put_slice(&self.scratch[..length]);
                return Ok(Some(()));
            }
        }
    }

    /// Remembers what the first bytes were.
    fn look(&mut self, length: Option<usize>) {
        let came = length.map_or(&self.plain[..], |length| &self.scratch[..length]);
        if self.speaks_http1.is_none() && !came.is_empty() {
            self.speaks_http1 = Some(came.starts_with(b"HTTP/1"));
        }
    }

    /// `None`: nothing can be taken now.
    fn write(&mut self, plain: &[u8]) -> io::Result<Option<usize>> {
        if self.tls.is_none() {
            return self.send(plain);
        }
        self.flush()?;
        let said = self.tls.as_mut().map_or(Ok(0), |tls| tls.say(plain));
        let said = said.map_err(|failure| self.fail(failure))?;
        self.sent += count(said);
        self.flush()?;
        Ok((said > 0 || plain.is_empty()).then_some(said))
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        loop {
            match rustix::io::write(&self.fd, bytes) {
                Ok(sent) => {
                    self.sent += count(sent);
                    return Ok(Some(sent));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.is_blocked = true;
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// False: something is left.
    fn flush(&mut self) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else { return Ok(true) };
        let found = tls.flush(self.fd.as_fd());
        self.is_blocked = matches!(found, Ok(false));
        found
    }

    fn fail(&mut self, failure: Failure) -> io::Error {
        let error = io::Error::other(failure.text.clone());
        self.failed = Some(failure);
        error
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // The end of TLS is said, as far as the socket takes it at once.
        if let Some(tls) = &mut self.tls
            && tls.close().is_ok()
        {
            drop(tls.flush(self.fd.as_fd()));
        }
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.0.borrow_mut().read(into).transpose() {
            Some(found) => Poll::Ready(found),
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        plain: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.0.borrow_mut().write(plain).transpose() {
            Some(found) => Poll::Ready(found),
            None => Poll::Pending,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0.borrow_mut().flush() {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// The descriptor is closed with its owner; a half-open connection is of no use here.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
