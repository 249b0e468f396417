//! A child process from its start to its burial: it never outlives its run, and leaves no zombie.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;

use crate::child::{CHILD, ChildProgram};

/// Ticks of `/proc/PID/stat` in a second: `USER_HZ`, the same on all machines that engines are built for.
const TICKS_PER_S: u64 = 100;

/// A running child. Dropping it kills it.
pub(crate) struct Process {
    /// `None` once it is buried.
    child: Option<Child>,
    end: AsyncFd<OwnedFd>,
    pid: Pid,
}

/// The engine's ends of what a child was started with.
pub(crate) struct Ends {
    pub(crate) socket: tokio::net::UnixStream,
    pub(crate) stdout: pipe::Receiver,
    pub(crate) stderr: pipe::Receiver,
}

impl Process {
    /// Starts the program as a child with these words, which waits for its first frame.
    ///
    /// To be called on a thread that lives as long as the child may: the kernel kills the child when the thread
    /// that made it ends. Without a function that runs between fork and exec, `std` needs no copy of this
    /// process' page tables, so descriptors travel by the socket, and all of the cage is the child's work.
    pub(crate) fn start(
        program: &ChildProgram,
        words: impl IntoIterator<Item = OsString>,
    ) -> io::Result<(Self, Ends)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let (stdout, stdout_of_child) = io::pipe()?;
        // A pipe, also for a child without words: a file would be held against its limit of file sizes.
        let (stderr, stderr_of_child) = io::pipe()?;
        let child = Command::new(&program.program)
            .arg(CHILD)
            .args(words)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(stdout_of_child)
            .stderr(stderr_of_child)
            .process_group(0)
            .spawn()?;
        let pid =
            i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::Other)?;
        let unfinished = Unfinished(Some(child), pid);
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        // SAFETY: an `OwnedFd` that nobody else has; it stays open and the same until the `AsyncFd` is dropped.
        #[expect(unsafe_code, reason = "tokio wants the owner's word for a descriptor")]
        let end = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) };
        let end = end.map_err(|e| e.into_parts().1)?;
        let ends = Ends {
            socket: tokio::net::UnixStream::from_std(ours)?,
            stdout: pipe::Receiver::from_owned_fd(stdout.into())?,
            stderr: pipe::Receiver::from_owned_fd(stderr.into())?,
        };
        Ok((Self { child: unfinished.into_child(), end, pid }, ends))
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Ends it, whatever it does.
    pub(crate) fn kill(&self) {
        if self.child.is_some()
            && let Err(error) = kill_process_group(self.pid, Signal::KILL)
        {
            tracing::debug!(%error, "a child process was not killed");
        }
    }

    /// Waits for its end and buries it.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        loop {
            let mut ready = self.end.readable().await?;
            let child = self.child.as_mut().ok_or(io::ErrorKind::NotFound)?;
            if let Some(status) = child.try_wait()? {
                self.child = None;
                return Ok(status);
            }
            ready.clear_ready();
        }
    }

    /// CPU time that it used, in steps of 10 ms.
    pub(crate) fn cpu_time(&self) -> Option<Duration> {
        self.child.as_ref()?;
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.pid.as_raw_nonzero())).ok()?;
        ticks(&stat).map(|ticks| Duration::from_millis(ticks * (1000 / TICKS_PER_S)))
    }
}

/// `utime` and `stime`, fields 14 and 15; the second, in parentheses, may contain anything.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    user.checked_add(system)
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        bury(self.child.take());
    }
}

/// A child whose other parts are not made yet.
struct Unfinished(Option<Child>, Pid);

impl Unfinished {
    fn into_child(mut self) -> Option<Child> {
        self.0.take()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.0.is_some() {
            // It may have ended by itself.
            kill_process_group(self.1, Signal::KILL).ok();
            bury(self.0.take());
        }
    }
}

/// Waits for a child that was killed: apart, as it may have much memory to give back.
fn bury(child: Option<Child>) {
    let Some(mut child) = child else { return };
    let pid = child.id();
    let waiting = move || child.wait().map(drop);
    match std::thread::Builder::new().name("blitz-bury".to_owned()).spawn(waiting) {
        Ok(thread) => drop(thread),
        Err(error) => tracing::warn!(pid, %error, "a child process stays a zombie"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 12 30 0 0 20 0 1 0 9 1 1";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (x"), None);
    }
}
