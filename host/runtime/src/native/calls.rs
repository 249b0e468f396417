//! Which calls of the system a caged plugin may make: a list of those that are allowed, all others fail with
//! `EPERM`; a few that no honest library makes end the process.
//!
//! A filter sees numbers and no paths: `stat` tells that a file exists and how large it is, wherever it is. What is
//! in a file stays closed.
//!
//! Threads are not allowed: the kernel counts them for a whole user and not for a process, so a plugin could take
//! all that the engine has. A plugin with many connections waits for them with `poll` or `epoll`.
//!
//! Sockets come from the engine, connected. `connect` and `bind` are missing, and so is everything that names an
//! address for one packet: `sendto` only without one, and `sendmsg`, whose address a filter cannot see, not at all.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Shuts the filter; it cannot be opened again.
pub(super) fn restrict() -> Result<(), seccompiler::Error> {
    let this = TargetArch::try_from(std::env::consts::ARCH)?;
    let eperm = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let allow = SeccompFilter::new(allowed()?, eperm, SeccompAction::Allow, this)?;
    let deadly: Rules = DEADLY.iter().map(|call| (*call, Vec::new())).collect();
    let kill = SeccompFilter::new(deadly, SeccompAction::Allow, SeccompAction::KillProcess, this)?;
    // The kernel asks all filters, and takes the strictest answer. The list of what is allowed comes last, as it
    // forbids adding filters.
    for filter in [kill, allow] {
        seccompiler::apply_filter(&BpfProgram::try_from(filter)?)?;
    }
    Ok(())
}

/// No library tries these to see whether they work.
const DEADLY: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_bpf,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_kexec_load,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_reboot,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_keyctl,
    libc::SYS_add_key,
];

/// Harmless whatever the arguments are: memory, clocks, descriptors that one has, and one's own end.
const FREE: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpeername,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_newfstatat,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_pselect6,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_shutdown,
    libc::SYS_sigaltstack,
    libc::SYS_statx,
    libc::SYS_sysinfo,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_gettime,
    libc::SYS_timerfd_settime,
    libc::SYS_times,
    libc::SYS_uname,
    libc::SYS_write,
    libc::SYS_writev,
];

/// The same, where an older machine has older calls.
#[cfg(target_arch = "x86_64")]
const FREE_HERE: &[i64] = &[
    libc::SYS_access,
    libc::SYS_dup2,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_lstat,
    libc::SYS_pause,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const FREE_HERE: &[i64] = &[];

/// What makes an open file more than one that is read.
const WRITES: libc::c_int = libc::O_ACCMODE
    | libc::O_CREAT
    | libc::O_TRUNC
    | libc::O_APPEND
    | libc::O_TMPFILE & !libc::O_DIRECTORY;

/// Commands of `fcntl`: flags and copies. Not `F_SETOWN` and `F_SETSIG`, by which the kernel sends a signal to
/// any process of the same user.
const FCNTL: &[libc::c_int] = &[
    libc::F_DUPFD,
    libc::F_DUPFD_CLOEXEC,
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_SETFL,
];

/// Levels and options of `setsockopt`: time limits, buffers, keep-alive, and the TTL of one's own packets.
const SOCKET_OPTIONS: &[(libc::c_int, libc::c_int)] = &[
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
    (libc::SOL_SOCKET, libc::SO_LINGER),
    (libc::SOL_SOCKET, libc::SO_RCVBUF),
    (libc::SOL_SOCKET, libc::SO_RCVTIMEO),
    (libc::SOL_SOCKET, libc::SO_SNDBUF),
    (libc::SOL_SOCKET, libc::SO_SNDTIMEO),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
    (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
    (libc::IPPROTO_TCP, libc::TCP_QUICKACK),
    (libc::IPPROTO_IP, libc::IP_TTL),
    (libc::IPPROTO_IP, libc::IP_TOS),
    (libc::IPPROTO_IP, libc::IP_RECVERR),
    (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
];

fn allowed() -> Result<Rules, seccompiler::Error> {
    use SeccompCmpOp::{Eq, MaskedEq};

    let own = u64::from(std::process::id());
    let mut rules: Rules = FREE.iter().chain(FREE_HERE).map(|call| (*call, Vec::new())).collect();
    let mut when = |call: i64, conditions: &[(u8, SeccompCmpOp, u64)]| {
        let conditions: Result<_, _> = conditions
            .iter()
            .map(|(argument, compare, value)| {
                // The kernel reads 32 bits of an `int`; what stands above them is not its matter.
                let length = match compare {
                    Eq if *value == 0 => SeccompCmpArgLen::Qword,
                    _ => SeccompCmpArgLen::Dword,
                };
                SeccompCondition::new(*argument, length, compare.clone(), *value)
            })
            .collect();
        rules.entry(call).or_default().push(SeccompRule::new(conditions?)?);
        Ok::<_, seccompiler::Error>(())
    };

    let writes = u64::from(WRITES.unsigned_abs());
    when(libc::SYS_openat, &[(2, MaskedEq(writes), 0)])?;
    #[cfg(target_arch = "x86_64")]
    when(libc::SYS_open, &[(1, MaskedEq(writes), 0)])?;
    for command in FCNTL {
        when(libc::SYS_fcntl, &[(1, Eq, u64::from(command.unsigned_abs()))])?;
    }
    for request in [libc::FIONBIO, libc::FIONREAD] {
        when(libc::SYS_ioctl, &[(1, Eq, request)])?;
    }
    for (level, option) in SOCKET_OPTIONS {
        let (level, option) = (u64::from(level.unsigned_abs()), u64::from(option.unsigned_abs()));
        // A level of 0 is IP, and 32 bits as the others.
        when(libc::SYS_setsockopt, &[(1, MaskedEq(0xffff_ffff), level), (2, Eq, option)])?;
    }
    // No address; `TCP_FASTOPEN` is of no use without one.
    when(libc::SYS_sendto, &[(4, Eq, 0)])?;
    // To read limits; and signals only to oneself, as abort does.
    when(libc::SYS_prlimit64, &[(0, Eq, 0), (2, Eq, 0)])?;
    when(libc::SYS_kill, &[(0, Eq, own)])?;
    when(libc::SYS_tgkill, &[(0, Eq, own)])?;
    when(libc::SYS_tkill, &[(0, Eq, own)])?;
    // A thread's name, and names of anonymous memory; both come from allocators.
    for option in [libc::PR_SET_NAME, libc::PR_GET_NAME, libc::PR_SET_VMA] {
        when(libc::SYS_prctl, &[(0, Eq, u64::from(option.unsigned_abs()))])?;
    }
    Ok(rules)
}
