//! ICMP echo requests by a raw socket, where ping sockets are not allowed.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use blitz_contract::probes::Probe;

use super::echo::{clue, request};
use super::ledger::Serial;
use super::listener::{Listener, Message};
use super::ready::Ready;
use super::signal::Heard;
use super::way::{Ends, SendError, Sent, Way};
use super::wire::{PROTOCOL_ICMP, PROTOCOL_ICMPV6, sixteen};

#[derive(Debug)]
pub(super) struct RawEcho {
    ends: Ends,
    listener: Listener,
    identifier: u16,
}

impl RawEcho {
    /// # Errors
    ///
    /// `EPERM` without the capability `CAP_NET_RAW`.
    pub(super) fn open(ends: Ends, ready: &Ready) -> io::Result<Self> {
        let identifier = next_identifier();
        let mut listener = Listener::open(&ends, Some(identifier), ready)?;
        let socket = listener.socket();
        socket.dont_fragment(ends.dont_fragment)?;
        socket.stamp_departures();
        Ok(Self { ends, listener, identifier })
    }

    fn hear_all(&self, heard: &mut Heard) {
        let Self { ends, listener, identifier } = self;
        let protocol = if ends.target.is_ipv4() { PROTOCOL_ICMP } else { PROTOCOL_ICMPV6 };
        listener.hear(ends, heard, |message| {
            let echo = match message {
                Message::Reply { echo } => *echo,
                Message::Error { quoted, .. } => {
                    let is_ours = quoted.target == ends.target && quoted.protocol == protocol;
                    is_ours.then_some(quoted.transport)?
                }
            };
            (sixteen(echo, 4)? == *identifier).then(|| clue(ends, echo))?
        });
    }
}

/// No two sessions of this process have the same, until there are too many.
fn next_identifier() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Two engines on one machine seldom begin with the same.
    let number =
        std::process::id().wrapping_mul(31).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
    let [_, _, high, low] = number.to_be_bytes();
    u16::from_be_bytes([high, low])
}

impl Way for RawEcho {
    fn send(
        &mut self,
        probe: &Probe,
        serial: Serial,
        _ready: &Ready,
        heard: &mut Heard,
    ) -> Result<Sent, SendError> {
        let request = request(&self.ends, self.identifier, probe, serial);
        let target = self.ends.target_at(0);
        let socket = self.listener.socket();
        socket.set_ttl(probe.ttl)?;
        let sent = socket.send(&request, target);
        self.hear_all(heard);
        sent?;
        Ok(Sent::default())
    }

    fn hear(&mut self, _name: u64, heard: &mut Heard) {
        self.hear_all(heard);
    }
}
