//! The kernel's notifications of system calls, which need unsafe code: a filter that hands calls over, and the other end
//! of it. Source: `seccomp_unotify(2)`.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// `BPF_RET | BPF_K`: ends a filter with a constant.
const RETURN: libc::c_ushort = 0x06;
/// Who answers runs at once where the asker slept: half of the cost of a call. Source: `include/uapi/linux/seccomp.h`.
const SYNC_WAKE_UP: u64 = 1;

/// Hands these calls of this thread over, for good: whoever has the descriptor answers them.
///
/// # Errors
///
/// The kernel's, where it does not know this.
pub(super) fn hand_over(calls: &[i64]) -> io::Result<OwnedFd> {
    let other = |e: seccompiler::BackendError| io::Error::other(e.to_string());
    let rules: BTreeMap<i64, _> = calls.iter().map(|call| (*call, Vec::new())).collect();
    let this = TargetArch::try_from(std::env::consts::ARCH).map_err(other)?;
    // The builder of filters has no word for this action, so another one holds its place.
    let place = SeccompAction::Trace(0);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, place, this).map_err(other)?;
    let mut program = BpfProgram::try_from(filter).map_err(other)?;
    for instruction in &mut program {
        if instruction.code == RETURN && instruction.k == libc::SECCOMP_RET_TRACE {
            instruction.k = libc::SECCOMP_RET_USER_NOTIF;
        }
    }
    let program = libc::sock_fprog {
        len: program.len().try_into().map_err(io::Error::other)?,
        filter: program.as_mut_ptr().cast(),
    };
    // SAFETY: the kernel reads the program, which lives until it returns; both forms of an instruction are those of C.
    #[expect(unsafe_code, reason = "a call of the system that has no safe form")]
    let listener = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    };
    let listener = i32::try_from(listener).map_err(io::Error::other)?;
    if listener < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor that nobody else has.
    #[expect(unsafe_code, reason = "a call of the system that has no safe form")]
    let listener = unsafe { OwnedFd::from_raw_fd(listener) };
    Ok(listener)
}

/// The end that answers.
#[derive(Debug)]
pub(super) struct Listener(OwnedFd);

/// A call that waits for its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    id: u64,
    /// The thread that asks.
    pub(super) thread: u32,
    /// Of this machine.
    pub(super) call: i64,
    pub(super) arguments: [u64; 6],
}

impl Listener {
    pub(super) fn new(listener: OwnedFd) -> Self {
        let listener = Self(listener);
        // A kernel that does not know it is slower, and right.
        if let Err(error) = listener.set_flags(SYNC_WAKE_UP) {
            tracing::debug!(%error, "calls that are handed over wake another core");
        }
        listener
    }

    fn set_flags(&self, flags: u64) -> io::Result<()> {
        // SAFETY: the call takes its argument by value.
        #[expect(unsafe_code, reason = "a call of the system that has no safe form")]
        let done =
            unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, flags) };
        told(done)
    }

    /// The next call; `None` when it went away meanwhile.
    ///
    /// # Errors
    ///
    /// The kernel's: there will be no more.
    pub(super) fn next(&self) -> io::Result<Option<Asked>> {
        let mut asked = libc::seccomp_notif {
            id: 0,
            pid: 0,
            flags: 0,
            data: libc::seccomp_data { nr: 0, arch: 0, instruction_pointer: 0, args: [0; 6] },
        };
        // SAFETY: a structure of the size that this request has in its number, zero as the kernel wants it.
        #[expect(unsafe_code, reason = "a call of the system that has no safe form")]
        let done = unsafe {
            libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut asked)
        };
        match told(done) {
            Ok(()) => Ok(Some(Asked {
                id: asked.id,
                thread: asked.pid,
                call: asked.data.nr.into(),
                arguments: asked.data.args,
            })),
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ENOENT | libc::EINTR | libc::EAGAIN)
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the thread still waits: what was read of its memory before was its own.
    pub(super) fn is_valid(&self, asked: &Asked) -> bool {
        // SAFETY: the kernel reads 64 bits.
        #[expect(unsafe_code, reason = "a call of the system that has no safe form")]
        let done = unsafe {
            libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const asked.id)
        };
        told(done).is_ok()
    }

    /// Lets the call return 0, or fail with this error number. An asker that is gone needs none.
    pub(super) fn answer(&self, asked: &Asked, errno: i32) {
        let mut answer = libc::seccomp_notif_resp { id: asked.id, val: 0, error: -errno, flags: 0 };
        // SAFETY: a structure of the size that this request has in its number.
        #[expect(unsafe_code, reason = "a call of the system that has no safe form")]
        let done = unsafe {
            libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut answer)
        };
        if let Err(error) = told(done) {
            tracing::trace!(%error, "nobody waits for an answer any more");
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn told(done: libc::c_int) -> io::Result<()> {
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
