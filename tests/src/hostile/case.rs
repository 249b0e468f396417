//! One row of the tables: a server, a command line, and the end that it must come to.

use std::net::SocketAddr;
use std::time::Duration;

use super::script::{Door, Script};

/// What a busy machine may add to the time of a case: starting the program, and the job's road.
const OVERHEAD: Duration = Duration::from_secs(6);
/// What the process with the engine may grow by over one case: buffers, caches, and what an allocator keeps.
const GROWTH_MAX_BYTES: u64 = 32 << 20;
/// The same when the output is kept: store and gateway are of the same process, and pages and chunks under way are
/// theirs.
const GROWTH_MAX_BYTES_KEPT: u64 = 64 << 20;

/// A hostile server, the `blitz curl` that meets it, and how that ends.
#[derive(Debug, Clone)]
pub struct Case {
    /// What the server does, in words.
    pub name: &'static str,
    /// What the server does.
    pub script: Script,
    /// Options of `blitz curl`.
    pub options: Vec<&'static str>,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The end that is wanted, or those that are as good.
    pub ends: Vec<End>,
    /// What standard output is, when it matters.
    pub prints: Option<&'static [u8]>,
    /// The time limit of the command line, or that of the product that stands for it.
    pub limit: Duration,
    /// What the process with the engine may grow by.
    pub growth_max_bytes: u64,
}

/// How a command may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// The exit code.
    pub code: i32,
    /// What standard error holds: the limit that was reached, or the mistake that was found.
    pub says: &'static str,
}

/// A case of `blitz curl URL` that succeeds at once, until more is said of it.
#[must_use]
pub fn case(name: &'static str, script: Script) -> Case {
    let scheme = if matches!(script.door, Door::Plain) { "http" } else { "https" };
    Case {
        name,
        script,
        options: Vec::new(),
        scheme,
        ends: vec![End { code: 0, says: "" }],
        prints: None,
        limit: Duration::ZERO,
        growth_max_bytes: GROWTH_MAX_BYTES,
    }
}

impl Case {
    /// With these options, too.
    #[must_use]
    pub fn with(mut self, options: &[&'static str]) -> Self {
        self.options.extend(options);
        self
    }

    /// Ends with this exit code and message.
    #[must_use]
    pub fn fails(mut self, code: i32, says: &'static str) -> Self {
        self.ends = vec![End { code, says }];
        self
    }

    /// Another end is as good.
    #[must_use]
    pub fn or(mut self, code: i32, says: &'static str) -> Self {
        self.ends.push(End { code, says });
        self
    }

    /// Prints exactly this on standard output.
    #[must_use]
    pub fn prints(mut self, bytes: &'static [u8]) -> Self {
        self.prints = Some(bytes);
        self
    }

    /// Ends by the `--max-time` of the command line.
    ///
    /// # Panics
    ///
    /// When this is no number of seconds.
    #[must_use]
    pub fn times_out(self, seconds: &'static str) -> Self {
        let limit = seconds.parse().expect("a number of seconds");
        let mut case = self.with(&["--max-time", seconds]);
        case.limit = Duration::from_secs_f64(limit);
        case.fails(28, "timed out after ")
    }

    /// Ends by the job's own time, since the command line has no limit.
    #[must_use]
    pub fn outlasts_its_job(self) -> Self {
        let mut case = self.with(&["--timeout", "1s"]);
        case.limit = Duration::from_secs(1);
        case.fails(121, "time limit ")
    }

    /// Fills the store with output.
    #[must_use]
    pub fn is_kept(mut self) -> Self {
        self.growth_max_bytes = GROWTH_MAX_BYTES_KEPT;
        self
    }

    /// Takes so long by itself.
    #[must_use]
    pub fn lasts(mut self, seconds: u64) -> Self {
        self.limit = Duration::from_secs(seconds);
        self
    }

    /// The words behind `curl`.
    #[must_use]
    pub fn words(&self, server: SocketAddr) -> Vec<String> {
        let url = format!("{}://{server}/", self.scheme);
        self.options.iter().map(|option| (*option).to_owned()).chain([url]).collect()
    }

    /// Within this time it has ended.
    #[must_use]
    pub fn within(&self) -> Duration {
        self.limit + OVERHEAD
    }
}
