//! Frames between an engine and a worker: four bytes of length, little end first, and JSON.

use std::io;
use std::os::fd::OwnedFd;

use blitz_contract::load::work::{FRAME_BYTES_MAX, SAID_BYTES_MAX};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt as _, Interest};
use tokio::net::UnixStream;

/// Bytes that are taken at once: so much stands behind a frame at most, and is moved when it is taken out.
const PIECE_BYTES: usize = 64 * 1024;
const PIECE_BYTES_MAX: u64 = PIECE_BYTES as u64;
/// Length of the prefix.
const PREFIX_BYTES: usize = 4;

/// What came, and is not a whole frame yet.
#[derive(Debug, Default)]
pub(super) struct Received(Vec<u8>);

/// A frame as it is sent.
pub(super) fn frame(said: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; PREFIX_BYTES];
    serde_json::to_writer(&mut frame, said)?;
    let length = frame.len() - PREFIX_BYTES;
    if length > FRAME_BYTES_MAX {
        let text = format!(
            "a frame to a load worker has {length} bytes, at most {FRAME_BYTES_MAX} are sent"
        );
        return Err(io::Error::other(text));
    }
    let length = u32::try_from(length).map_err(io::Error::other)?;
    if let Some(prefix) = frame.first_chunk_mut::<PREFIX_BYTES>() {
        *prefix = length.to_le_bytes();
    }
    Ok(frame)
}

impl Received {
    /// The next frame, if it is whole.
    fn take<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some((prefix, rest)) = self.0.split_first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_le_bytes(*prefix)).unwrap_or(usize::MAX);
        if length > SAID_BYTES_MAX {
            let text = format!(
                "a frame of {length} bytes was announced, at most {SAID_BYTES_MAX} are read"
            );
            return Err(io::Error::other(text));
        }
        let Some(json) = rest.get(..length) else { return Ok(None) };
        let said = serde_json::from_slice(json)?;
        self.0.drain(..PREFIX_BYTES + length);
        Ok(Some(said))
    }

    /// The next whole frame; `None` when the other end is closed. Dropping the future loses nothing.
    pub(super) async fn next<T: DeserializeOwned>(
        &mut self,
        socket: &mut (impl AsyncRead + Unpin),
    ) -> io::Result<Option<T>> {
        loop {
            if let Some(said) = self.take()? {
                return Ok(Some(said));
            }
            self.0.reserve(PIECE_BYTES);
            let mut piece = (&mut *socket).take(PIECE_BYTES_MAX);
            if piece.read_buf(&mut self.0).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The same of the first frame, with the descriptor that may come beside it.
    pub(super) async fn first<T: DeserializeOwned>(
        &mut self,
        socket: &UnixStream,
    ) -> io::Result<Option<(T, Option<OwnedFd>)>> {
        let mut descriptor = None;
        loop {
            if let Some(said) = self.take()? {
                return Ok(Some((said, descriptor)));
            }
            let mut piece = [0; 1024];
            let came = socket
                .async_io(Interest::READABLE, || {
                    let mut space =
                        [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                    let mut control = RecvAncillaryBuffer::new(&mut space);
                    let mut into = [io::IoSliceMut::new(&mut piece)];
                    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
                    let came = recvmsg(socket, &mut into, &mut control, flags)?.bytes;
                    for message in control.drain() {
                        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
                            descriptor = descriptors.next();
                        }
                    }
                    Ok(came)
                })
                .await?;
            if came == 0 {
                return Ok(None);
            }
            self.0.extend_from_slice(piece.get(..came).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use blitz_contract::load::work::Said;

    use super::*;

    #[tokio::test]
    async fn frames_come_whole_and_long_ones_are_refused() {
        let mut bytes = frame(&Said::Ready).unwrap();
        bytes.extend(frame(&Said::Refused("x".to_owned())).unwrap());
        let (mut received, mut from) = (Received::default(), bytes.as_slice());
        assert_eq!(received.next(&mut from).await.unwrap(), Some(Said::Ready));
        assert_eq!(received.next(&mut from).await.unwrap(), Some(Said::Refused("x".to_owned())));
        assert_eq!(received.next::<Said>(&mut from).await.unwrap(), None);
        let mut long = [255_u8; 8].as_slice();
        let error = received.next::<Said>(&mut long).await.unwrap_err();
        assert!(error.to_string().contains("4294967295 bytes"), "{error}");
    }

    #[tokio::test]
    async fn what_a_worker_says_takes_little_memory() {
        // Longer than a worker's word, and not longer than an engine's.
        let length = u32::try_from(SAID_BYTES_MAX + 1).unwrap();
        let mut long = &length.to_le_bytes()[..];
        let error = Received::default().next::<Said>(&mut long).await.unwrap_err();
        assert!(error.to_string().contains("1048577 bytes"), "{error}");
        // Behind a long frame come many short ones: they are not taken in all at once.
        let mut bytes = frame(&Said::Refused("x".repeat(SAID_BYTES_MAX / 2))).unwrap();
        let short = frame(&Said::Ready).unwrap();
        bytes.extend(short.repeat(SAID_BYTES_MAX / 2 / short.len()));
        let (mut received, mut from) = (Received::default(), bytes.as_slice());
        for _ in 0..10 {
            received.next::<Said>(&mut from).await.unwrap().unwrap();
            assert!(received.0.len() < PIECE_BYTES, "{}", received.0.len());
        }
    }
}
