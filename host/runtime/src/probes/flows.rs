//! The flows of a session: each has a socket with a source port of its own. When there are too many, or no place for one
//! more, the one that was not used for the longest time goes.

use std::collections::VecDeque;
use std::io;

use super::limits::{FLOWS_MAX, PORTS_MAX};
use super::places::{Place, Places};
use super::socket::Socket;
use super::way::SendError;

#[derive(Debug)]
pub(super) struct Flow {
    /// The guest's.
    pub(super) number: u16,
    /// The source port.
    pub(super) port: u16,
    pub(super) socket: Socket,
    name: u64,
    place: Place,
}

#[derive(Debug)]
pub(super) struct Flows {
    /// In the order of their last use.
    flows: VecDeque<Flow>,
    /// The numbers and ports of those that went, the latest last.
    gone: VecDeque<(u16, u16)>,
    opened_count: u64,
    places: Places,
}

impl Flows {
    pub(super) fn new(places: Places) -> Self {
        Self { flows: VecDeque::new(), gone: VecDeque::new(), opened_count: 0, places }
    }

    /// The flow of this number. `leave` is given one that goes for it; `open` makes its socket, which is listened to by
    /// the name that it is given.
    ///
    /// # Errors
    ///
    /// [`SendError::Limit`] where there is no place for its socket, and none to give up.
    pub(super) fn of(
        &mut self,
        number: u16,
        leave: impl FnOnce(&Flow),
        open: impl FnOnce(u64) -> io::Result<(Socket, u16)>,
    ) -> Result<&mut Flow, SendError> {
        let known = self.flows.iter().position(|flow| flow.number == number);
        let flow = match known.and_then(|at| self.flows.remove(at)) {
            Some(flow) => flow,
            None => {
                let place = self.place(leave)?;
                let name = self.opened_count;
                let (socket, port) = open(name)?;
                self.opened_count += 1;
                Flow { number, port, socket, name, place }
            }
        };
        self.flows.push_back(flow);
        self.flows
            .back_mut()
            .ok_or_else(|| SendError::Unsent(io::Error::other("a flow that is not there")))
    }

    /// A place for one more, which is that of an own one where there is no other.
    fn place(&mut self, leave: impl FnOnce(&Flow)) -> Result<Place, SendError> {
        let taken = match self.flows.len() < FLOWS_MAX {
            true => self.places.take(),
            false => Err(format!("at most {FLOWS_MAX} flows of a session are open")),
        };
        taken.or_else(|text| {
            let gone = self.flows.pop_front().ok_or(SendError::Limit(text))?;
            leave(&gone);
            if self.gone.len() >= PORTS_MAX {
                self.gone.pop_front();
            }
            self.gone.push_back((gone.number, gone.port));
            Ok(gone.place)
        })
    }

    pub(super) fn named(&self, name: u64) -> Option<&Flow> {
        self.flows.iter().find(|flow| flow.name == name)
    }

    /// The number of the flow that has this source port, or had it as the latest.
    pub(super) fn number_of(&self, port: u16) -> Option<u16> {
        let open = self.flows.iter().find(|flow| flow.port == port).map(|flow| flow.number);
        let gone = || self.gone.iter().rev().find(|(_, gone)| *gone == port);
        open.or_else(|| gone().map(|(number, _)| *number))
    }
}
