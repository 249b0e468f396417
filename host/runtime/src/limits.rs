//! Every limit of a run, by name and with its reason, and how a limit is printed.
//!
//! A plugin's manifest may ask for more or less memory, output and CPU time; what it asks for is lowered
//! to the maximum here. The limits of an HTTP exchange stand in `http::limits`.

use std::fmt;
use std::time::Duration;

use blitz_contract::Limits;

/// One mebibyte.
const MIB: u64 = 1024 * 1024;

/// Linear memory of one run when its manifest names none: curl needs 2 MiB, a Python component 40 MiB.
pub const MEMORY_DEFAULT_BYTES: u64 = 64 * MIB;
/// The most memory that a manifest may ask for: four of these fit beside an engine on a 4 GiB machine.
pub const MEMORY_MAX_BYTES: u64 = 512 * MIB;
/// All streams of one run when its manifest names none: enough to download an installer image's index,
/// not to fill a database by mistake.
pub const OUTPUT_DEFAULT_BYTES: u64 = 256 * MIB;
/// The most output that a manifest may ask for: one DVD image.
pub const OUTPUT_MAX_BYTES: u64 = 4096 * MIB;
/// Time that one run may compute when its manifest names none. A run that waits uses none.
pub const CPU_DEFAULT: Duration = Duration::from_secs(60);
/// The most CPU time that a manifest may ask for.
pub const CPU_MAX: Duration = Duration::from_secs(3600);
/// Runs at once in one runtime; further ones wait. About 100 KiB each while they wait for the network.
pub const INSTANCES_MAX: usize = 1000;

/// How often a computing guest gives the thread back, and so the grain of every time limit.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// Largest component that is compiled: a Python one has 18 MiB.
pub(crate) const COMPONENT_MAX_BYTES: u64 = 64 * MIB;
/// Components compiled at once: a Python component takes 350 MiB and 8 s of CPU, and a small one should
/// not wait for it.
pub(crate) const COMPILES_AT_ONCE: usize = 2;
/// Loaded plugins that are kept in memory; the longest unused one goes first and is read again from disk.
pub(crate) const LOADED_MAX: usize = 64;
/// Compiled components kept on disk: three versions of a hundred plugins.
pub(crate) const CACHE_FILES_MAX: usize = 300;
/// Largest piece of output that is handed on at once.
pub(crate) const FRAME_MAX_BYTES: usize = 64 * 1024;
/// Largest structured event; the contract names this number.
pub(crate) const EVENT_MAX_BYTES: usize = 64 * 1024;
/// Files that one run may write on the user's machine.
pub(crate) const OUTPUT_FILES_MAX: usize = 64;
/// Longest name of such a file: `PATH_MAX` of Linux.
pub(crate) const FILE_NAME_MAX_BYTES: usize = 4096;
/// Largest piece that `read-input` and the body's `read` copy into the guest at once.
pub(crate) const READ_MAX_BYTES: usize = 1024 * 1024;
/// HTTP bodies that one run may hold open: each owns a connection.
pub(crate) const BODIES_MAX: usize = 32;
/// Handles (streams, pollables, bodies) of one run that the host keeps in its own memory.
pub(crate) const RESOURCES_MAX: usize = 4096;
/// Random bytes that one call may ask for.
pub(crate) const RANDOM_MAX_BYTES: u64 = 64 * 1024;
/// Core instances, memories and tables of one component: a Python component has 13 instances.
pub(crate) const CORE_INSTANCES_MAX: usize = 200;
/// Linear memories of one component; their sum counts against the memory limit.
pub(crate) const MEMORIES_MAX: usize = 64;
/// Elements of one table: 8 bytes each on the host's side.
pub(crate) const TABLE_ELEMENTS_MAX: usize = 1_000_000;
/// Stack of the guest's own frames.
pub(crate) const GUEST_STACK_BYTES: usize = 1024 * 1024;
/// The fiber's whole stack: the guest's frames and those of the host functions that it calls.
pub(crate) const FIBER_STACK_BYTES: usize = 2 * 1024 * 1024;
/// What `describe` may use, for it only returns a text.
pub(crate) const DESCRIBE_TIME: Duration = Duration::from_secs(10);
/// CPU time of `describe`; an interpreter starts in 1 s when the machine is busy.
pub(crate) const DESCRIBE_CPU: Duration = Duration::from_secs(5);
/// Longest manifest.
pub(crate) const MANIFEST_MAX_BYTES: usize = 256 * 1024;
/// What is remembered of stderr, to find the message of a panic.
pub(crate) const STDERR_TAIL_BYTES: usize = 4 * 1024;

/// The limits of one run: the manifest's wishes under the host's maxima.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effective {
    pub(crate) memory_bytes: u64,
    pub(crate) output_bytes: u64,
    pub(crate) cpu: Duration,
}

impl Effective {
    pub(crate) fn of(asked: &Limits) -> Self {
        Self {
            memory_bytes: asked.memory_bytes.unwrap_or(MEMORY_DEFAULT_BYTES).min(MEMORY_MAX_BYTES),
            output_bytes: asked.output_bytes.unwrap_or(OUTPUT_DEFAULT_BYTES).min(OUTPUT_MAX_BYTES),
            cpu: asked.cpu_ms.map_or(CPU_DEFAULT, Duration::from_millis).min(CPU_MAX),
        }
    }
}

/// A number of bytes as a person reads it: `71 MiB`, `1.5 KiB`, `12 bytes`.
pub(crate) struct Size(pub(crate) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = match self.0 {
            0..1024 => return write!(f, "{} bytes", self.0),
            1024..MIB => (1024, "KiB"),
            _ => (MIB, "MiB"),
        };
        let tenths = (self.0 % unit) * 10 / unit;
        match tenths {
            0 => write!(f, "{} {name}", self.0 / unit),
            _ => write!(f, "{}.{tenths} {name}", self.0 / unit),
        }
    }
}

/// A duration as a person reads it: `250 ms`, `2 s`, `1.5 s`.
pub(crate) struct Span(pub(crate) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        match (ms / 1000, ms % 1000) {
            (0, _) => write!(f, "{ms} ms"),
            (s, 0) => write!(f, "{s} s"),
            (s, rest) => {
                let digits = format!("{rest:03}");
                write!(f, "{s}.{} s", digits.trim_end_matches('0'))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_lowered_to_the_maximum() {
        assert_eq!(
            Effective::of(&Limits::default()),
            Effective {
                memory_bytes: MEMORY_DEFAULT_BYTES,
                output_bytes: OUTPUT_DEFAULT_BYTES,
                cpu: CPU_DEFAULT
            }
        );
        let greedy = Limits {
            memory_bytes: Some(u64::MAX),
            output_bytes: Some(u64::MAX),
            cpu_ms: Some(u64::MAX),
        };
        assert_eq!(
            Effective::of(&greedy),
            Effective {
                memory_bytes: MEMORY_MAX_BYTES,
                output_bytes: OUTPUT_MAX_BYTES,
                cpu: CPU_MAX
            }
        );
        let modest = Limits { memory_bytes: Some(7), output_bytes: Some(8), cpu_ms: Some(9) };
        assert_eq!(
            Effective::of(&modest),
            Effective { memory_bytes: 7, output_bytes: 8, cpu: Duration::from_millis(9) }
        );
    }

    #[test]
    fn sizes_and_spans_are_readable() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1536, "1.5 KiB"),
            (64 * MIB, "64 MiB"),
            (71 * MIB + 65_536, "71 MiB"),
            (5000 * MIB, "5000 MiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
        for (ms, text) in
            [(0, "0 ms"), (250, "250 ms"), (2000, "2 s"), (1500, "1.5 s"), (60_010, "60.01 s")]
        {
            assert_eq!(Span(Duration::from_millis(ms)).to_string(), text);
        }
    }
}
