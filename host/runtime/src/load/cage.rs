//! Shuts a load worker in before it hears what to do: nothing that a target answers can make it open a file, start a
//! program, or talk to anybody else.
//!
//! Sockets are TCP and nothing else. Where they go is the engine's to say: `connect` and `bind` are handed over to it (see
//! `connects`). `sendto` takes no address, `sendmsg` is missing.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use blitz_contract::load::work::Said;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, NetPort, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, Scope, path_beneath_rules,
};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::Resource;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use serde::{Deserialize, Serialize};

use super::{line, notify};
use crate::child::rights::{self, RightsError, mapped_bytes};

/// How long a worker waited for a core, which a report needs to tell whose fault a slow answer is. Both are of
/// the one thread that a worker has.
const SCHEDULER_STATISTICS: [&str; 2] = ["/proc/self/schedstat", "/proc/thread-self/schedstat"];

/// What a worker is held to: its one argument, as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Bars {
    /// Address space beside what its program has mapped.
    pub(super) memory_bytes: u64,
    pub(super) descriptors: u64,
    /// The engine makes its connections. False leaves them to the worker.
    pub(super) is_watched: bool,
    /// It may bind to addresses of this machine.
    pub(super) binds: bool,
    /// Of its targets.
    pub(super) ports: Vec<u16>,
    /// It runs without Landlock, too.
    pub(super) without_landlock: bool,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum CageError {
    #[error(transparent)]
    Rights(#[from] RightsError),
    #[error(
        "hold it off the files: this kernel has no Landlock ({0}); load the module, or let load workers run without"
    )]
    Landlock(RulesetError),
    #[error(
        "hand its connections over to the engine: {0}; take a kernel of version 5.6 or later, or let load workers run without"
    )]
    Watch(io::Error),
    #[error("hold it off the system's calls: {0}")]
    Calls(seccompiler::Error),
    #[error("tell the engine: {0}")]
    Line(io::Error),
}

/// Shuts the cage and says so, with the descriptor by which the engine hears of connects.
pub(super) fn shut(bars: &Bars, mut line: &UnixStream) -> Result<(), CageError> {
    rights::give_up(&[
        ("address space", Resource::As, mapped_bytes().saturating_add(bars.memory_bytes)),
        ("descriptors", Resource::Nofile, bars.descriptors),
    ])?;
    let lacks = match files(bars) {
        Ok(()) => None,
        Err(error) if bars.without_landlock => Some(format!("Landlock: {error}")),
        Err(error) => return Err(CageError::Landlock(error)),
    };
    let mut handed_over = vec![libc::SYS_connect];
    if bars.binds {
        handed_over.push(libc::SYS_bind);
    }
    let has_files = lacks.is_none();
    let frame = line::frame(&Said::Caged { lacks }).map_err(CageError::Line)?;
    let mut sent = 0;
    if bars.is_watched {
        let listener = notify::hand_over(&handed_over).map_err(CageError::Watch)?;
        // A descriptor is sent by a call that the cage does not have. It goes with the first byte, and the rest of the word
        // follows when the cage is shut.
        let first = frame.get(..1).unwrap_or_default();
        sent = send_beside(line, first, &listener).map_err(CageError::Line)?;
    }
    restrict(bars, has_files).map_err(CageError::Calls)?;
    line.write_all(frame.get(sent..).unwrap_or_default()).map_err(CageError::Line)
}

fn send_beside(line: &UnixStream, bytes: &[u8], descriptor: &OwnedFd) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    Ok(sendmsg(line, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

/// Landlock: two files to read. What the engine connects is not held against it, so that a watched worker has no way to
/// connect at all; another one has its targets' ports.
fn files(bars: &Bars) -> Result<(), RulesetError> {
    let ports: &[u16] = if bars.is_watched { &[] } else { &bars.ports };
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))?
        .handle_access(AccessNet::ConnectTcp)?
        .scope(Scope::from_all(ABI::V6))?
        .create()?
        .add_rules(path_beneath_rules(SCHEDULER_STATISTICS, AccessFs::ReadFile))?;
    for port in ports {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    let status = rules.restrict_self()?;
    debug_assert!(status.no_new_privs, "set before");
    Ok(())
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Everything else fails with `EPERM`.
fn restrict(bars: &Bars, has_files: bool) -> Result<(), seccompiler::Error> {
    let this = TargetArch::try_from(std::env::consts::ARCH)?;
    let eperm = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(allowed(bars, has_files)?, eperm, SeccompAction::Allow, this)?;
    seccompiler::apply_filter(&BpfProgram::try_from(filter)?)
}

/// Harmless whatever the arguments are. Where a call needs no look at its arguments, the kernel remembers that and asks
/// the filter no more: `recvfrom` and `write` cost nothing.
const FREE: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_getpeername,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_gettid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_shutdown,
    libc::SYS_sigaltstack,
    libc::SYS_statx,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_write,
    libc::SYS_writev,
];

/// The same, where an older machine has older calls.
#[cfg(target_arch = "x86_64")]
const FREE_HERE: &[i64] = &[libc::SYS_epoll_wait, libc::SYS_poll, libc::SYS_time];
#[cfg(not(target_arch = "x86_64"))]
const FREE_HERE: &[i64] = &[];

/// Levels and options of `setsockopt`. Not `TCP_FASTOPEN_CONNECT`, nor what sends packets anywhere else.
const SOCKET_OPTIONS: &[(libc::c_int, libc::c_int)] = &[
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
    (libc::SOL_SOCKET, libc::SO_LINGER),
    (libc::SOL_SOCKET, libc::SO_RCVBUF),
    (libc::SOL_SOCKET, libc::SO_SNDBUF),
    (libc::SOL_SOCKET, libc::SO_REUSEADDR),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
    (libc::IPPROTO_TCP, libc::TCP_QUICKACK),
    (libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT),
];

fn allowed(bars: &Bars, has_files: bool) -> Result<Rules, seccompiler::Error> {
    use SeccompCmpOp::{Eq, MaskedEq};

    let own = u64::from(std::process::id());
    let mut rules: Rules = FREE.iter().chain(FREE_HERE).map(|call| (*call, Vec::new())).collect();
    rules.insert(libc::SYS_connect, Vec::new());
    if bars.binds && bars.is_watched {
        rules.insert(libc::SYS_bind, Vec::new());
    }
    let mut when = |call: i64, conditions: &[(u8, SeccompCmpArgLen, SeccompCmpOp, u64)]| {
        let conditions: Result<_, _> = conditions
            .iter()
            .map(|(argument, length, compare, value)| {
                SeccompCondition::new(*argument, length.clone(), compare.clone(), *value)
            })
            .collect();
        rules.entry(call).or_default().push(SeccompRule::new(conditions?)?);
        Ok::<_, seccompiler::Error>(())
    };
    // The kernel reads 32 bits of an `int`, and all of a pointer.
    let (int, pointer) = (|| SeccompCmpArgLen::Dword, || SeccompCmpArgLen::Qword);

    if has_files {
        let writes = (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC).unsigned_abs();
        when(libc::SYS_openat, &[(2, int(), MaskedEq(writes.into()), 0)])?;
    }
    let stream = u64::from(libc::SOCK_STREAM.unsigned_abs());
    let kind = u64::from(!(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC).unsigned_abs());
    for family in [libc::AF_INET, libc::AF_INET6] {
        for protocol in [0, libc::IPPROTO_TCP] {
            when(
                libc::SYS_socket,
                &[
                    (0, int(), Eq, family.unsigned_abs().into()),
                    (1, int(), MaskedEq(kind), stream),
                    (2, int(), Eq, protocol.unsigned_abs().into()),
                ],
            )?;
        }
    }
    for (level, option) in SOCKET_OPTIONS {
        let (level, option) = (u64::from(level.unsigned_abs()), u64::from(option.unsigned_abs()));
        when(libc::SYS_setsockopt, &[(1, int(), Eq, level), (2, int(), Eq, option)])?;
    }
    when(libc::SYS_sendto, &[(4, pointer(), Eq, 0)])?;
    for command in
        [libc::F_DUPFD_CLOEXEC, libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_SETFL]
    {
        when(libc::SYS_fcntl, &[(1, int(), Eq, command.unsigned_abs().into())])?;
    }
    for request in [libc::FIONBIO, libc::FIONREAD] {
        when(libc::SYS_ioctl, &[(1, int(), Eq, request)])?;
    }
    // To read limits; and signals only to oneself, as abort does.
    when(libc::SYS_prlimit64, &[(0, int(), Eq, 0), (2, pointer(), Eq, 0)])?;
    when(libc::SYS_kill, &[(0, int(), Eq, own)])?;
    when(libc::SYS_tgkill, &[(0, int(), Eq, own)])?;
    when(libc::SYS_tkill, &[(0, int(), Eq, own)])?;
    for option in [libc::PR_SET_NAME, libc::PR_SET_VMA, libc::PR_SET_TIMERSLACK] {
        when(libc::SYS_prctl, &[(0, int(), Eq, option.unsigned_abs().into())])?;
    }
    Ok(rules)
}
