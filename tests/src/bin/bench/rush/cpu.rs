//! CPU time of process trees, as the kernel counted it.

use std::time::Duration;

/// Ticks of `/proc/PID/stat` in a second: `USER_HZ`.
const TICKS_PER_S: u64 = 100;

/// What a process used, with all children that have ended and were waited for.
pub(crate) fn of(pid: u32) -> Duration {
    sum(&format!("/proc/{pid}/stat"), 4)
}

/// What the ended children of this process used.
pub(crate) fn of_children() -> Duration {
    let all = sum("/proc/self/stat", 4);
    all.saturating_sub(sum("/proc/self/stat", 2))
}

/// `utime`, `stime`, `cutime` and `cstime` are the fields 14 to 17; the second one, in parentheses, may have anything in
/// it.
fn sum(path: &str, fields: usize) -> Duration {
    let stat = std::fs::read_to_string(path).unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = rest
        .split_ascii_whitespace()
        .skip(11)
        .take(fields)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * (1000 / TICKS_PER_S))
}

/// Memory of a process in KiB: its own (`RssAnon`), and the most that it ever had with the pages of its program
/// (`VmHWM`), which it shares with whoever runs the same.
pub(crate) fn memory_kib(pid: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    (field("RssAnon:"), field("VmHWM:"))
}

/// The children of a process.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(text.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    found
}
