//! What is explored: who takes part, what may go wrong and how often.

use blitz_contract::Retry;
use blitz_jobs::guards::Guards;

/// One world and its bounds.
#[derive(Debug, Clone)]
pub struct Config {
    /// What it is called.
    pub name: &'static str,
    /// Copies of the job's database: 1, which checks exactly, or 3, which check alone.
    pub copies: usize,
    /// Engines, 1 to 3.
    pub engines: usize,
    /// Whether the job may run twice.
    pub retry: Retry,
    /// Whether a watcher declares an engine dead only when it has crashed or its lease has run out.
    pub patient: bool,
    /// Leases may run out.
    pub leases: bool,
    /// The job may expire.
    pub expires: bool,
    /// The user may cancel.
    pub cancels: bool,
    /// The keeper removes leaves that lost.
    pub tidies: bool,
    /// Watchers find engines dead, and the keeper ends jobs. Without them the engines are alone, and an end need not be
    /// reached.
    pub watches: bool,
    /// States that differ in names alone are one.
    pub merges: bool,
    /// It is meant to be explored to the end.
    pub is_whole: bool,
    /// The bounds.
    pub bounds: Bounds,
    /// The rules that are on.
    pub guards: Guards,
}

/// How often what may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Claims of the job.
    pub attempts: u32,
    /// Claims that one start of an engine sends; 0 is no bound. Without one there is no end to them where leaves that
    /// lost are removed, and the job is claimed anew over what was.
    pub tries: u8,
    /// Requests or answers that are lost, reads that fail, feeds that bring something old.
    pub losses: u8,
    /// Engines that crash; each may start again.
    pub crashes: u8,
    /// Times that a copy goes away; it comes back with what it had.
    pub outages: u8,
    /// States; above it the search stops and is not complete.
    pub states: usize,
}

/// So many states of one copy are a matter of seconds.
const STATES_MAX: usize = 40_000_000;

/// Three copies have too many orders for all of them: so many states, nearest first, are a matter of ten seconds.
const STATES_THREE_MAX: usize = 700_000;

/// Everything that is explored by default.
#[must_use]
pub fn all(guards: Guards) -> Vec<Config> {
    let one = |name, retry, patient, (attempts, losses, crashes)| Config {
        name,
        copies: 1,
        engines: 3,
        retry,
        patient,
        leases: true,
        expires: true,
        cancels: true,
        tidies: true,
        watches: true,
        merges: guards == Guards::default(),
        is_whole: true,
        bounds: Bounds { attempts, tries: 0, losses, crashes, outages: 0, states: STATES_MAX },
        guards,
    };
    let three = |name, retry, engines, leases, (attempts, losses, crashes, outages)| Config {
        name,
        copies: 3,
        engines,
        retry,
        patient: true,
        leases,
        expires: false,
        cancels: false,
        tidies: true,
        watches: true,
        merges: false,
        is_whole: false,
        bounds: Bounds { attempts, tries: 0, losses, crashes, outages, states: STATES_THREE_MAX },
        guards,
    };
    let (safe, never) = (Retry::Safe, Retry::Never);
    let whole = |world: Config| Config {
        tidies: false,
        watches: false,
        is_whole: true,
        bounds: Bounds { tries: 1, states: STATES_MAX, ..world.bounds },
        ..world
    };
    vec![
        one("one copy, may run twice", safe, true, (2, 1, 1)),
        one("one copy, may run twice, three attempts", safe, true, (3, 1, 1)),
        one("one copy, must not run twice", never, true, (1, 2, 2)),
        one("one copy, may run twice, hasty watchers", safe, false, (2, 1, 1)),
        one("one copy, must not run twice, hasty watchers", never, false, (1, 2, 2)),
        whole(three("three copies, may run twice, engines alone", safe, 2, false, (1, 0, 0, 0))),
        whole(three(
            "three copies, must not run twice, engines alone",
            never,
            2,
            false,
            (1, 0, 0, 0),
        )),
        three("three copies, may run twice", safe, 2, false, (1, 0, 0, 0)),
        Config {
            tidies: false,
            ..three("three copies, may run twice, a crash", safe, 2, false, (2, 0, 1, 0))
        },
        three("three copies, must not run twice", never, 2, false, (1, 0, 0, 0)),
        three("three copies, must not run twice, leases", never, 2, true, (1, 0, 0, 0)),
        three("three copies, must not run twice, losses", never, 2, false, (1, 1, 0, 0)),
        three("three copies, must not run twice, an outage", never, 2, false, (1, 0, 0, 1)),
        three("three copies, must not run twice, three engines", never, 3, false, (1, 0, 0, 0)),
    ]
}
