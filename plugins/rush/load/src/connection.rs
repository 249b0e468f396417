//! One connection of a lane, or of the lanes that share it.

use std::os::fd::OwnedFd;

use crate::answer::{Held, Reader};
use crate::h2::Multiplex;
use crate::tls::Session;

/// 56 bytes, and nothing on the heap, where it is plain and answers come in one piece.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Open in all stages but the first two, and [`Stage::Shared`], where the multiplex has it.
    pub(crate) socket: Option<OwnedFd>,
    /// Counts the sockets that it had: events of an earlier one are told by it.
    pub(crate) epoch: u32,
    /// Bytes of the request that were sent.
    pub(crate) written: u32,
    /// Which of the addresses of its target it goes to.
    pub(crate) address: u16,
    pub(crate) stage: Stage,
    /// A request was answered on it.
    pub(crate) is_used: bool,
    /// It is watched for room to write.
    pub(crate) is_full: bool,
    pub(crate) reader: Reader,
    /// When connecting began, and then the TLS handshake.
    pub(crate) began_ns: u64,
    pub(crate) held: Option<Box<Held>>,
    pub(crate) wire: Option<Box<Wire>>,
}

/// What is between the socket and the answers, where that is not nothing.
#[derive(Debug)]
pub(crate) enum Wire {
    Tls(Box<Session>),
    Shared(Box<Multiplex>),
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Shut,
    /// It is to be opened when its turn has come.
    Queued,
    Connecting,
    /// In the TLS handshake.
    Securing,
    /// Open, and nothing is on its way.
    Ready,
    /// A part of a request is sent.
    Sending,
    /// A request is sent.
    Receiving,
    /// HTTP/2: all its lanes use it at once.
    Shared,
}

impl Connection {
    pub(crate) const fn new() -> Self {
        Self {
            socket: None,
            epoch: 0,
            written: 0,
            address: 0,
            stage: Stage::Shut,
            is_used: false,
            is_full: false,
            reader: Reader::new(false),
            began_ns: 0,
            held: None,
            wire: None,
        }
    }

    /// Whether TCP is established.
    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.stage, Stage::Shut | Stage::Queued | Stage::Connecting)
    }

    /// Whether a lane may send on it, were it not for others.
    pub(crate) fn is_usable(&self) -> bool {
        matches!(self.stage, Stage::Ready | Stage::Shared)
    }
}
