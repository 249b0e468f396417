//! What the user asks for, and the page that says what there is.

use std::time::Duration;

use crate::fault::KINDS;

/// The flags of a run.
#[derive(Debug, Clone)]
pub(crate) struct Flags {
    pub(crate) faults: usize,
    pub(crate) jobs: usize,
    pub(crate) seed: u64,
    pub(crate) faster: u32,
    pub(crate) engines: usize,
    pub(crate) gateways: usize,
    /// No faults, and for so long.
    pub(crate) soak: Option<Duration>,
    /// No faults of processes but so many cuts between places.
    pub(crate) cuts: Option<usize>,
    /// The directory with store and logs stays.
    pub(crate) keep: bool,
    /// Kinds of faults by their words; empty: all.
    pub(crate) kinds: Vec<String>,
}

/// What the words mean.
#[derive(Debug)]
pub(crate) enum Asked {
    Help,
    Run(Flags),
}

/// The seed when nobody names one: two runs of the same command plan the same.
const SEED: u64 = 20_111;

/// As fast as in the stories: an engine is dead after 5 s, which a busy machine does not reach by accident.
const FASTER: u32 = 5;

/// The most of anything that is a process here: each takes memory, and all share this machine.
const PROCESSES_MAX: u64 = 100;

pub(crate) const HELP: &str = "\
chaos: real processes in trouble, and whether a job was lost or ran twice

    chaos [--faults N] [--jobs N] [--seed N] [--faster N] [--engines N] [--gateways N] [--kinds K,..] [--keep]
    chaos --soak MINUTES [--jobs N] [--engines N] [--gateways N] [--keep]
    chaos --cuts N [--seed N] [--faster N] [--keep]

  --faults N     faults, one each quarter of T_dead (200)
  --jobs N       jobs, at a steady pace over the same time (1000; with --soak 50000): 3 of 5 are safe; 9 of 10 last
                 0.1 to 3 s, the others T_dead to twice T_dead
  --seed N       plans faults and jobs (20111)
  --faster N     all durations of the protocol divided by N (5: T_stop 3 s, T_dead 5 s); with --soak 1
  --engines N    processes that run jobs (10)
  --gateways N   processes that take and tell jobs, each with a keeper (2)
  --kinds K,..   only these faults: kill, kill-new, pause, freeze, cut, refuse, stall, deaf, term, store, gateway
  --soak MIN     no faults: a steady stream of jobs for so long, after a burst at its start; each process's own memory
                 and descriptors are sampled every 5 s, and a slope of the later half is a violation when it is more
                 than noise: 192 KiB, 4 descriptors. Tables for 10,000 jobs are filled before: fewer than 40,000
                 jobs may show that
  --cuts N       three places in network namespaces (needs root), each with a store, a gateway, and engines of its own
                 region and of another's; so many times a way is cut for 1 to 20 s: a place is down or its packets
                 are lost, two places lose each other's, or one the other's. Jobs come in everywhere all the time
  --keep         keeps the directory with store and logs, as a violation does, and tells of the slowest rescues

Faults, 4 of 5 aimed at an engine that runs a job:
  kill      kill -9, started again under its id        kill-new  the same under a new id
  pause     SIGSTOP shorter than T_stop                freeze    SIGSTOP longer than T_dead
  cut       its connections to the store are closed    refuse    the same, and no new ones for some time
  stall     its connections stand still for some time  deaf      its requests arrive, the answers are lost
  term      SIGTERM: it drains, and is started again
  store     kill -9 of the store, started again        gateway   kill -9 of a gateway, started again
An engine is left alone while it has a job that was claimed for the third time: its plugin would be quarantined.
Some of cut, refuse, stall and deaf meet the connections of a gateway.
With BLITZ_TEST_COUCHDB=http://NAME:PASSWORD@HOST:PORT that store is used; the fault 'store' then
cuts all engines off at once.

Witnesses: each run of a job connects to this program at its start and at its end, outside of blitz.

What is a violation:
  lost     a job that was accepted and has no end 60 s after the last fault, or a safe job with the end 'lost'
  double   two readers were told different ends or outputs; a job that is done was told another output than the
           one right output (any other end: no beginning of it); a never job was begun twice
  beside   two runs of a job at the same time for more than 0.3 s, and no engine that had it was stopped
  unseen   a job is done and no run of it reached its end
  end      an end that no fault explains. A fault counts that met the store, or an engine that had the job, between
           its submission and its end (and until T_dead after it was healed):
           'lost' of a never job that was begun: a kill, or faults of T_stop less two beats together;
           'lost' of one that was not begun, 'expired': any; 'poison': three; 'cancelled' of a never job: term;
           'failed': none
  late     p99 of the rescues is above T_dead + 2 s, both divided by --faster: from kill or freeze to the claim of
           another engine or the end; rescues during which the store was away
           are told apart
  broken   a process ended by itself

With --cuts:
  lost     as above, or a job that ends in another way than 'done'; a never job may end as 'lost' or 'cancelled' after
           it met a cut: its engine stood at another place than its region's home, and was cut off
  double   as above
  apart    two clusters name different runs of a job 5 s after the last job has ended
  late     after a heal it took more than 5 s until all clusters had what one of them had at the heal
  broken   as above

Exit status: 0 clean, 1 a violation, 2 wrong usage, 130 after ^C.";

/// Reads the words.
pub(crate) fn parse(words: &[String]) -> Result<Asked, String> {
    let mut flags = Flags {
        faults: 200,
        jobs: 0,
        seed: SEED,
        faster: 0,
        engines: 10,
        gateways: 2,
        soak: None,
        cuts: None,
        keep: false,
        kinds: Vec::new(),
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (name, given) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        let mut text = || given.clone().or_else(|| words.next().cloned());
        let mut number = |least: u64, most: u64| {
            let text = text().ok_or_else(|| format!("{name} needs a number"))?;
            match text.parse::<u64>() {
                Ok(number) if (least..=most).contains(&number) => Ok(number),
                _ => Err(format!("{name} takes a number from {least} to {most}, not {text:?}")),
            }
        };
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        match name {
            "--help" | "-h" => return Ok(Asked::Help),
            "--faults" => flags.faults = count(number(0, 100_000)?),
            "--jobs" => flags.jobs = count(number(1, 1_000_000)?),
            "--seed" => flags.seed = number(0, u64::MAX)?,
            "--faster" => flags.faster = u32::try_from(number(1, 20)?).unwrap_or(FASTER),
            "--engines" => flags.engines = count(number(1, PROCESSES_MAX)?),
            "--gateways" => flags.gateways = count(number(1, PROCESSES_MAX)?),
            "--soak" => flags.soak = Some(Duration::from_secs(60 * number(1, 24 * 60)?)),
            "--cuts" => flags.cuts = Some(count(number(1, 10_000)?)),
            "--keep" => flags.keep = true,
            "--kinds" => {
                let list = text().ok_or("--kinds needs a list")?;
                flags.kinds = list.split(',').map(str::to_owned).collect();
                let is_none = |word: &&String| KINDS.iter().all(|(_, known, _)| known != word);
                if let Some(unknown) = flags.kinds.iter().find(is_none) {
                    return Err(format!("no kind {unknown:?}; --help says which there are"));
                }
            }
            other => return Err(format!("no flag {other:?}; --help says what there is")),
        }
    }
    let is_soak = flags.soak.is_some();
    if flags.jobs == 0 {
        flags.jobs = if is_soak { 50_000 } else { 1000 };
    }
    if flags.faster == 0 {
        flags.faster = if is_soak { 1 } else { FASTER };
    }
    Ok(Asked::Run(flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(line: &str) -> Result<Flags, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match parse(&words)? {
            Asked::Run(flags) => Ok(flags),
            Asked::Help => Err("help".to_owned()),
        }
    }

    #[test]
    fn what_is_not_said_has_its_value() {
        let usual = flags("").unwrap();
        assert_eq!((usual.faults, usual.jobs, usual.faster, usual.engines), (200, 1000, 5, 10));
        let soak = flags("--soak 20 --seed=7").unwrap();
        assert_eq!((soak.jobs, soak.faster, soak.seed), (50_000, 1, 7));
        assert_eq!(soak.soak, Some(Duration::from_secs(1200)));
        assert_eq!(flags("--cuts 50").unwrap().cuts, Some(50));
        assert_eq!(flags("--kinds kill,deaf").unwrap().kinds, ["kill", "deaf"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, says) in [
            ("--faults", "--faults needs a number"),
            ("--jobs 0", "--jobs takes a number from 1"),
            ("--kinds kill,flood", "no kind \"flood\""),
            ("--speed 3", "no flag \"--speed\""),
            ("--jobs 3 --help", "help"),
        ] {
            let wrong = flags(line).expect_err(line);
            assert!(wrong.contains(says), "{line}: {wrong}");
        }
    }
}
