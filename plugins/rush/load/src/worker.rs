//! The road of a worker: an order with the work, the word to go, the test, the last tick.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use blitz_contract::load::work::{Order, Said, Work};
use blitz_contract::load::{Closing, Share, Tick, Verdict};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clock::{Clock, SECOND_NS};
use crate::control::{Control, Lost};
use crate::machine::Machine;
use crate::runner::Runner;

/// Carries out one work order that comes over `socket`, and says over it what happened: the whole life of a worker process.
///
/// Fails when the work was refused or the engine is gone; a closed socket ends the test at once. It writes to nothing but the
/// socket and its connections, and starts no thread.
pub fn worker(socket: UnixStream) -> ExitCode {
    // Before anything else: a cage may be shut around us, and what is open stays open.
    let machine = Machine::open();
    match work(Control::new(socket), machine) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn work(mut control: Control, machine: Machine) -> Result<(), Lost> {
    let work: Box<Work> = match control.next()? {
        Order::Work(work) => work,
        Order::Stop => return stopped(control, Share::WHOLE),
        Order::Go { .. } => return Err(Lost::Garbled),
    };
    if let Err(error) = work.plan.check() {
        return refused(control, format!("carry out the plan: {error}"));
    }
    let share = work.share;
    let runner = Runner::new(&work, machine);
    drop(work);
    let runner = match runner {
        Ok(runner) => runner,
        Err(reason) => return refused(control, reason),
    };
    control.say(&Said::Ready)?;
    let clock = match control.next()? {
        Order::Go { in_us } => Clock::starting_in(in_us.saturating_mul(1000)),
        Order::Stop => return stopped(control, share),
        Order::Work(_) => return Err(Lost::Garbled),
    };
    if !start(&mut control, clock)? {
        return stopped(control, share);
    }
    runner.run(control, clock)
}

/// Waits for the start; false when the engine has changed its mind.
fn start(control: &mut Control, clock: Clock) -> Result<bool, Lost> {
    loop {
        let ahead_ns = clock.ahead_ns();
        if ahead_ns == 0 {
            return Ok(true);
        }
        let timeout = Timespec {
            tv_sec: i64::try_from(ahead_ns / SECOND_NS).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(ahead_ns % SECOND_NS).unwrap_or(0),
        };
        let mut watched = [PollFd::from_borrowed_fd(control.as_fd(), PollFlags::IN)];
        match poll(&mut watched, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => match control.orders()?.first() {
                None => {}
                Some(Order::Stop) => return Ok(false),
                Some(_) => return Err(Lost::Garbled),
            },
            Err(_) => return Err(Lost::Closed),
        }
    }
}

fn refused(mut control: Control, reason: String) -> Result<(), Lost> {
    control.say(&Said::Refused(reason))?;
    control.finish()?;
    Err(Lost::Closed)
}

/// Stopped before the start.
fn stopped(mut control: Control, share: Share) -> Result<(), Lost> {
    let closing = Closing { share, verdict: Verdict::Stopped, text: String::new(), at_us: None };
    control.say(&Said::Tick(Box::new(Tick { closing: Some(closing), ..Tick::default() })))?;
    control.finish()
}
