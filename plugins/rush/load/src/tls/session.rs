//! One TLS connection: cipher text in, plain text out, and back.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

use rustls::client::UnbufferedClientConnection;
use rustls::unbuffered::{ConnectionState, EncodeError};

use crate::failure::Failure;

use super::failure;

/// Cipher text that waits to be sent, at most: four records. More is taken when some of it is gone.
const UNSENT_BYTES_MAX: usize = 64 << 10;

/// What an empty buffer may keep: a request without a body needs no allocation.
const IDLE_BYTES_MAX: usize = 1 << 10;

/// Plain text of one record. Source: RFC 8446, section 5.1.
const RECORD_BYTES_MAX: usize = 16 << 10;

/// What TLS adds to a record, at most: header, nonce, tag and type.
const RECORD_EXTRA_BYTES_MAX: usize = 64;

/// One connection.
pub(crate) struct Session {
    held: UnbufferedClientConnection,
    /// Cipher text of a record that did not come whole yet.
    pub(super) partial: Vec<u8>,
    /// Cipher text that is not sent.
    pub(super) unsent: Vec<u8>,
    /// How much of it is.
    sent: usize,
    is_ready: bool,
    is_h2: bool,
    needs_h2: bool,
    has_ended: bool,
    /// rustls has failed, or is at work.
    is_broken: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("is_ready", &self.is_ready).finish_non_exhaustive()
    }
}

/// What is written when rustls lets us.
enum Write<'a> {
    Record(&'a [u8]),
    /// The alert `close_notify`.
    Close,
}

impl Write<'_> {
    fn bytes_max(&self) -> usize {
        match self {
            Self::Record(record) => record.len() + RECORD_EXTRA_BYTES_MAX,
            Self::Close => RECORD_EXTRA_BYTES_MAX,
        }
    }
}

/// Of a session that is asked again.
const BROKEN: &str = "the session has failed before";

/// What rustls wants next.
enum Next {
    /// More of the peer's bytes.
    More,
    /// Nothing: plain text may be written.
    Open,
}

impl Session {
    pub(super) fn new(
        held: UnbufferedClientConnection,
        needs_h2: bool,
    ) -> Result<Box<Self>, Failure> {
        let mut made = Box::new(Self {
            held,
            partial: Vec::new(),
            unsent: Vec::new(),
            sent: 0,
            is_ready: false,
            is_h2: false,
            needs_h2,
            has_ended: false,
            is_broken: false,
        });
        made.drive(&mut [], &mut Vec::new())?;
        Ok(made)
    }

    /// Takes all of what came, and puts its plain text behind what `plain` holds. The handshake goes on within: look at
    /// [`Session::pending`] behind it.
    ///
    /// # Errors
    ///
    /// [`blitz_contract::load::ErrorKind::Tls`]; the connection is of no use then.
    pub(crate) fn came(&mut self, cipher: &mut [u8], plain: &mut Vec<u8>) -> Result<(), Failure> {
        if self.partial.is_empty() {
            let used = self.drive(cipher, plain)?;
            self.partial.extend_from_slice(cipher.get(used..).unwrap_or_default());
            return Ok(());
        }
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(cipher);
        let used = self.drive(&mut whole, plain)?;
        if used < whole.len() {
            whole.drain(..used);
            self.partial = whole;
        }
        Ok(())
    }

    /// Whether the peer said that it has nothing more to send: without that, the end of its connection is no end of a
    /// message.
    pub(crate) fn ended(&self) -> bool {
        self.has_ended
    }

    /// Whether the handshake is done.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Whether the server has chosen HTTP/2.
    #[cfg(test)]
    pub(crate) fn is_h2(&self) -> bool {
        self.is_h2
    }

    /// Encrypts what there is room for, and says how much that was.
    ///
    /// # Errors
    ///
    /// [`blitz_contract::load::ErrorKind::Tls`].
    pub(crate) fn say(&mut self, plain: &[u8]) -> Result<usize, Failure> {
        // Also where there is no room, and nothing would be tried.
        if self.is_broken {
            return Err(failure(&BROKEN));
        }
        let mut said = 0;
        for record in plain.chunks(RECORD_BYTES_MAX) {
            if self.unsent.len() - self.sent + record.len() + RECORD_EXTRA_BYTES_MAX
                > UNSENT_BYTES_MAX
            {
                break;
            }
            self.encrypt(Write::Record(record))?;
            said += record.len();
        }
        Ok(said)
    }

    /// Tells the peer that nothing more will come (`close_notify`), with the next flush.
    ///
    /// # Errors
    ///
    /// [`blitz_contract::load::ErrorKind::Tls`].
    pub(crate) fn close(&mut self) -> Result<(), Failure> {
        if self.is_ready { self.encrypt(Write::Close) } else { Ok(()) }
    }

    /// Whether cipher text waits to be sent.
    pub(crate) fn pending(&self) -> bool {
        self.sent < self.unsent.len()
    }

    /// What waits, in place of sending it.
    #[cfg(test)]
    pub(super) fn taken(&mut self) -> Vec<u8> {
        let rest = self.unsent.split_off(self.sent);
        self.sent = 0;
        self.unsent = Vec::new();
        rest
    }

    /// Sends what waits, as far as the socket, which does not block, takes it. True: nothing is left. By `write`, which the
    /// cage's filter lets pass without a look.
    ///
    /// # Errors
    ///
    /// Of the socket, `WouldBlock` excepted.
    pub(crate) fn flush(&mut self, fd: BorrowedFd<'_>) -> io::Result<bool> {
        while let Some(rest) = self.unsent.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match rustix::io::write(fd, rest) {
                Ok(sent) => self.sent += sent,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    // What is gone makes room, however long the socket is never quite empty.
                    self.unsent.drain(..self.sent);
                    self.sent = 0;
                    return Ok(false);
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.sent = 0;
        self.unsent.clear();
        self.unsent.shrink_to(IDLE_BYTES_MAX);
        Ok(true)
    }

    /// One record of plain text, or the alert that nothing more comes; before it, what rustls itself has to say.
    fn encrypt(&mut self, write: Write<'_>) -> Result<(), Failure> {
        // rustls remembers what of a message it has seen, and wants to see it again with each call.
        let mut partial = std::mem::take(&mut self.partial);
        let (used, next) = self.step(&mut partial, &mut Vec::new(), Some(write))?;
        partial.drain(..used);
        self.partial = partial;
        match next {
            Next::Open => Ok(()),
            Next::More => Err(failure(&"the handshake is not done")),
        }
    }

    /// Processes all whole records; says how many bytes those were.
    fn drive(&mut self, cipher: &mut [u8], plain: &mut Vec<u8>) -> Result<usize, Failure> {
        let found = self.step(cipher, plain, None);
        match found {
            Ok((used, Next::Open)) if !self.is_ready => {
                self.is_ready = true;
                self.is_h2 = self.held.alpn_protocol() == Some(b"h2");
                if self.needs_h2 && !self.is_h2 {
                    return Err(failure(&"the server does not choose HTTP/2 (ALPN h2)"));
                }
                Ok(used)
            }
            Ok((used, _)) => Ok(used),
            Err(failed) => Err(failed),
        }
    }

    /// One state after the other, until rustls wants something of others; then is the moment to write.
    fn step(
        &mut self,
        cipher: &mut [u8],
        plain: &mut Vec<u8>,
        write: Option<Write<'_>>,
    ) -> Result<(usize, Next), Failure> {
        // After an error rustls may only be dropped: it panics when it is asked again. Its alert for the peer is lost with
        // that; the peer sees the connection end.
        if std::mem::replace(&mut self.is_broken, true) {
            return Err(failure(&BROKEN));
        }
        let mut used = 0;
        loop {
            let status = self.held.process_tls_records(cipher.get_mut(used..).unwrap_or_default());
            let mut discard = status.discard;
            let next = match status.state.map_err(|error| failure(&error))? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(|error| failure(&error))?;
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                    None
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    let begin = self.unsent.len();
                    self.unsent.resize(begin + IDLE_BYTES_MAX, 0);
                    let mut written = data.encode(&mut self.unsent[begin..]);
                    if let Err(EncodeError::InsufficientSize(size)) = &written {
                        self.unsent.resize(begin + size.required_size, 0);
                        written = data.encode(&mut self.unsent[begin..]);
                    }
                    let written = written.map_err(|error| failure(&error))?;
                    self.unsent.truncate(begin + written);
                    None
                }
                // It stands in the buffer, and goes out in this order.
                ConnectionState::TransmitTlsData(data) => {
                    data.done();
                    None
                }
                ConnectionState::PeerClosed => {
                    self.has_ended = true;
                    None
                }
                ConnectionState::BlockedHandshake => Some(Next::More),
                ConnectionState::WriteTraffic(mut traffic) => {
                    if let Some(write) = &write {
                        let begin = self.unsent.len();
                        self.unsent.resize(begin + write.bytes_max(), 0);
                        let written = match write {
                            Write::Record(record) => {
                                traffic.encrypt(record, &mut self.unsent[begin..])
                            }
                            Write::Close => traffic.queue_close_notify(&mut self.unsent[begin..]),
                        };
                        self.unsent.truncate(begin + written.as_ref().copied().unwrap_or_default());
                        written.map_err(|error| failure(&error))?;
                    }
                    Some(Next::Open)
                }
                ConnectionState::Closed if matches!(write, Some(Write::Record(_))) => {
                    return Err(failure(&"the connection is closed on both sides"));
                }
                ConnectionState::Closed => Some(Next::Open),
                ConnectionState::ReadEarlyData(_) => None,
                _ => return Err(failure(&"a state that this program does not know")),
            };
            used += discard;
            if let Some(next) = next {
                self.is_broken = false;
                return Ok((used, next));
            }
        }
    }
}
