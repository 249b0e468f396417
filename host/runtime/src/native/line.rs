//! The child's end of the socket: frames, one after the other, without anything asynchronous.

use std::io::{self, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::frame::{DESCRIPTORS_MAX, FrameError, Lengths, PREFIX_BYTES, decode, encode};

pub(super) struct Line(UnixStream);

/// What came in one frame.
pub(super) struct Received<T> {
    pub(super) header: T,
    pub(super) body: Vec<u8>,
    pub(super) descriptors: Vec<OwnedFd>,
    /// More descriptors came than this process may have.
    pub(super) is_cut: bool,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    #[error("the engine is gone: {0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Frame(#[from] FrameError),
}

impl Line {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self(socket.into())
    }

    pub(super) fn send<T: Serialize>(&mut self, header: &T, body: &[u8]) -> Result<(), LineError> {
        Ok(self.0.write_all(&encode(header, body)?)?)
    }

    pub(super) fn receive<T: DeserializeOwned>(&mut self) -> Result<Received<T>, LineError> {
        let mut prefix = [0; PREFIX_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut iov = [IoSliceMut::new(&mut prefix)];
        let message = loop {
            match recvmsg(&self.0, &mut iov, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other.map_err(io::Error::from)?,
            }
        };
        let is_cut = message.flags.contains(ReturnFlags::CTRUNC);
        let descriptors = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten()
            .collect();
        let rest = prefix
            .get_mut(message.bytes..)
            .ok_or(io::ErrorKind::InvalidData)
            .map_err(io::Error::from)?;
        self.0.read_exact(rest)?;
        let lengths = Lengths::parse(prefix)?;
        let mut header = vec![0; lengths.header];
        self.0.read_exact(&mut header)?;
        let mut body = vec![0; lengths.body];
        self.0.read_exact(&mut body)?;
        Ok(Received { header: decode(&header)?, body, descriptors, is_cut })
    }
}
