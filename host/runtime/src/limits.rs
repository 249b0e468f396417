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
/// Address space of one compiler: a Python component takes 350 MiB, and two of these fit beside an engine on a
/// 4 GiB machine.
pub(crate) const COMPILE_MEMORY_BYTES: u64 = 1024 * MIB;
/// CPU time of one compiler: a Python or JavaScript component takes 8 to 11 s on a server, 30 s on a small board.
pub(crate) const COMPILE_CPU: Duration = Duration::from_secs(60);
/// Time of one compiler by the clock: it is nice, and a busy machine gives it a fifth of a CPU.
pub(crate) const COMPILE_TIME: Duration = Duration::from_secs(300);
/// Machine code of one component: a JavaScript component has 34 MiB, three times its WASM.
pub(crate) const COMPILED_MAX_BYTES: u64 = 256 * MIB;
/// What a compiler may say when it fails.
pub(crate) const COMPILE_MESSAGE_MAX_BYTES: usize = 4 * 1024;
/// How nice a compiler is: it takes what the jobs leave.
pub(crate) const COMPILE_NICE: i32 = 10;
/// Loaded plugins that are kept in memory; the longest unused one goes first and is read again from disk.
pub(crate) const LOADED_MAX: usize = 64;
/// Components that were refused and are remembered, so that nobody compiles them again: a few hundred bytes each.
pub(crate) const REFUSED_MAX: usize = 256;
/// Machine code of the plugins in memory: a dozen Python components.
pub(crate) const LOADED_CODE_MAX_BYTES: usize = 512 * 1024 * 1024;
/// Compiled components on disk: a hundred Python components, or ten thousand small ones.
pub(crate) const CACHE_MAX_BYTES: u64 = 4096 * MIB;
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
/// Sockets and connections of one run when its manifest names none: a scanner of a subnet's hosts.
pub const SOCKETS_DEFAULT: u32 = 64;
/// The most sockets that a manifest may ask for; a thousand runs at once stay below a raised file limit.
pub const SOCKETS_MAX: u32 = 1000;
/// The most that a plugin may have for its last words: a cancel is through within a second.
pub const GRACE_MAX: Duration = Duration::from_millis(800);
/// How long a run that was stopped waits for its receiver to take the record of its metrics: a stop is through
/// within 50 ms, and a receiver that is busy storing a flood may be longer.
pub(crate) const LAST_RECORD_TIME: Duration = Duration::from_millis(30);
/// Reasons of refusals that are told on stderr when a run fails: those of a few targets, not of a whole scan.
pub(crate) const REFUSALS_TOLD_MAX: usize = 8;
/// Random bytes that one call may ask for.
pub(crate) const RANDOM_MAX_BYTES: u64 = 64 * 1024;
/// Core instances, memories and tables of one component: a Python component has 13 instances.
pub(crate) const CORE_INSTANCES_MAX: usize = 200;
/// Linear memories of one component; their sum counts against the memory limit.
pub(crate) const MEMORIES_MAX: usize = 64;
/// Elements of all tables of one run: 8 bytes each on the host's side.
pub(crate) const TABLE_ELEMENTS_MAX: usize = 1_000_000;
/// What the host keeps for the core instances of one component: its globals, functions and imports. Python takes
/// 400 KiB.
pub(crate) const INSTANCE_STATE_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Unused slots of the pool that stay prepared for the plugin that ran in them.
pub(crate) const WARM_SLOTS_MAX: u32 = 64;
/// Memory that stays in any slot that was used, where it is cheaper to clear than to give back: with table and stack
/// below 84 MiB in all slots, after as many runs at once as there may be.
pub(crate) const WARM_MEMORY_BYTES: usize = 64 * 1024;
/// The same of a table.
pub(crate) const WARM_TABLE_BYTES: usize = 4 * 1024;
/// The same of a stack.
pub(crate) const WARM_STACK_BYTES: usize = 16 * 1024;
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
/// Characters of a plugin's text that an error shows: the name or the address that was meant, and not a whole memory.
pub(crate) const SHOWN_MAX_CHARS: usize = 200;
/// What is remembered of stderr, to find the message of a panic.
pub(crate) const STDERR_TAIL_BYTES: usize = 4 * 1024;

/// The limits of one run: the manifest's wishes under the host's maxima.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effective {
    pub(crate) memory_bytes: u64,
    pub(crate) output_bytes: u64,
    pub(crate) cpu: Duration,
    pub(crate) sockets: u32,
    pub(crate) grace: Duration,
}

impl Effective {
    pub(crate) fn of(asked: &Limits) -> Self {
        Self {
            memory_bytes: asked.memory_bytes.unwrap_or(MEMORY_DEFAULT_BYTES).min(MEMORY_MAX_BYTES),
            output_bytes: asked.output_bytes.unwrap_or(OUTPUT_DEFAULT_BYTES).min(OUTPUT_MAX_BYTES),
            cpu: asked.cpu_ms.map_or(CPU_DEFAULT, Duration::from_millis).min(CPU_MAX),
            sockets: asked.sockets.unwrap_or(SOCKETS_DEFAULT).min(SOCKETS_MAX),
            grace: asked.grace_ms.map_or(Duration::ZERO, Duration::from_millis).min(GRACE_MAX),
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

/// A plugin's text in an error, cut where it is long: as it is, or by `{:?}` in quotation marks.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl Shown<'_> {
    /// What is shown, and what stands for the rest.
    fn parts(&self) -> (&str, &'static str) {
        let cut = self.0.char_indices().nth(SHOWN_MAX_CHARS);
        cut.and_then(|(at, _)| self.0.get(..at)).map_or((self.0, ""), |begin| (begin, "..."))
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (begin, rest) = self.parts();
        write!(f, "{begin}{rest}")
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (begin, rest) = self.parts();
        write!(f, "{begin:?}{rest}")
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
                cpu: CPU_DEFAULT,
                sockets: SOCKETS_DEFAULT,
                grace: Duration::ZERO,
            }
        );
        let greedy = Limits {
            memory_bytes: Some(u64::MAX),
            output_bytes: Some(u64::MAX),
            cpu_ms: Some(u64::MAX),
            sockets: Some(u32::MAX),
            slots: Some(u32::MAX),
            grace_ms: Some(u64::MAX),
        };
        assert_eq!(
            Effective::of(&greedy),
            Effective {
                memory_bytes: MEMORY_MAX_BYTES,
                output_bytes: OUTPUT_MAX_BYTES,
                cpu: CPU_MAX,
                sockets: SOCKETS_MAX,
                grace: GRACE_MAX,
            }
        );
        let modest = Limits {
            memory_bytes: Some(7),
            output_bytes: Some(8),
            cpu_ms: Some(9),
            sockets: Some(10),
            slots: None,
            grace_ms: Some(11),
        };
        assert_eq!(
            Effective::of(&modest),
            Effective {
                memory_bytes: 7,
                output_bytes: 8,
                cpu: Duration::from_millis(9),
                sockets: 10,
                grace: Duration::from_millis(11),
            }
        );
    }

    #[test]
    fn long_texts_are_cut() {
        let long = "\u{fc}".repeat(SHOWN_MAX_CHARS);
        for (text, shown) in [
            (String::new(), String::new()),
            ("a b".to_owned(), "a b".to_owned()),
            (long.clone(), long.clone()),
            (format!("{long}x"), format!("{long}...")),
            (long.repeat(1000), format!("{long}...")),
        ] {
            assert_eq!(Shown(&text).to_string(), shown);
        }
        assert_eq!(format!("{:?}", Shown("a\nb")), "\"a\\nb\"");
        assert_eq!(format!("{:?}", Shown(&long.repeat(2))), format!("\"{long}\"..."));
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
