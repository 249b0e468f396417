//! The command line: many worlds on several threads, one table, and what was found.

use std::io::{self, Write};
use std::num::NonZero;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use super::{Mutant, Mutants, Outcome, Size, Tally, World};

/// Nothing was found.
pub const CLEAN: u8 = 0;
/// Something was found.
pub const FOUND: u8 = 1;
/// The command line was not understood.
pub const USAGE: u8 = 2;

const HELP: &str = "\
Simulates regions of engines over a model of CouchDB in trouble, and judges what becomes of their jobs.
About 60 of 100 regions have a home cluster and hubs: links that are cut, regions that move, failovers, wiped homes.

Usage: simulate [--seeds A..B] [--engines N] [--regions N] [--jobs N] [--threads N]
                [--single] [--mutant NAME[,NAME]] [--first] [--trace JOB] [--verbose]
       simulate --prove-mutants
       simulate --list-mutants

  --seeds A..B        the worlds from A to B, both included [1..100]
  --engines N         engines in all regions together [1000]
  --regions N         regions [5]
  --jobs N            jobs in all regions together [1000]
  --single            no region has a hub: all are of one cluster
  --threads N         worlds at the same time [one a core]
  --mutant NAME,...   break these rules, to see that it is noticed
  --first             end a world at the first finding
  --trace JOB         tell every step of this job (its number or its id)
  --verbose           a line for each world, with the digest of all that happened in it, and its findings
  --prove-mutants     break every rule, and look for a world of 20 in which it is noticed
  --list-mutants      the rules that can be broken

A finding is one of these; the texts of world/verdict say exactly what is judged:

  overlap, ran-fenced     a job runs in two places; an engine runs on though it heard that the job is not its own
  begun-twice, run-again  a job that must not begin twice, or whose engine came to its end, begins once more
  wrong-region            an engine begins a job of another region
  abandoned               nobody took a dead engine's job for 70 s in which a watcher was there and well
  rescue-late             of the clear rescues, which nothing else struck, 1 in 100 takes longer than T_dead + 2 s
  poison-alive            a job is poison, and an engine that counts as dead was not: neither crashed by then, nor
                          silent for three minutes
  poison-spread           a job killed more than three engines
  wrong-end, end-changed, end-undone, told-twice, damaged
                          an end, or output, other than that of the claim which counts
  lost, stuck, untold, diverged, leaves-left, held, missed
                          at rest: no spec, no end, readers without one, copies that differ, leaves that lost, an
                          engine that still holds a job or has not heard of an end
  void                    an engine runs on a job of a database that was replaced
  wrong-epoch             an engine begins a job of a later home, or one of an earlier home that must not run twice
  unsettled               a job of an earlier home begins though what came of it there may still be on its way
  dropped-open            a database is dropped though one of its jobs is open
  started-twice, busy-loop  an engine begins a job that it runs, or is busy with nothing

Exits with 0 when nothing was found, 1 when something was, 2 when the command line is wrong.
";

/// What was asked for.
#[derive(Debug)]
struct Asked {
    seeds: RangeInclusive<u64>,
    size: Size,
    threads: usize,
    mutants: Vec<Mutant>,
    first: bool,
    trace: Option<String>,
    verbose: bool,
    what: What,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    Simulate,
    Prove,
    List,
    Help,
}

/// Performs a command line (without the program's name) and gives its exit code.
///
/// # Errors
///
/// When `out` cannot be written.
pub fn command(arguments: impl Iterator<Item = String>, out: &mut impl Write) -> io::Result<u8> {
    let asked = match read(arguments) {
        Ok(asked) => asked,
        Err(error) => {
            writeln!(out, "simulate: {error}; --help tells more")?;
            return Ok(USAGE);
        }
    };
    match asked.what {
        What::Help => out.write_all(HELP.as_bytes()).map(|()| CLEAN),
        What::List => {
            for mutant in Mutant::all() {
                writeln!(out, "{:<22} {}", mutant.to_string(), mutant.broken())?;
            }
            Ok(CLEAN)
        }
        What::Prove => super::proof::prove(asked.threads, out),
        What::Simulate => simulate(&asked, out),
    }
}

fn read(mut arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut asked = Asked {
        seeds: 1..=100,
        size: Size { engines: 1000, regions: 5, jobs: 1000, single: false },
        threads: thread::available_parallelism().map_or(1, NonZero::get),
        mutants: Vec::new(),
        first: false,
        trace: None,
        verbose: false,
        what: What::Simulate,
    };
    while let Some(flag) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{flag} wants a value"));
        match flag.as_str() {
            "--seeds" => asked.seeds = seeds(&value()?)?,
            "--engines" => asked.size.engines = count(&flag, &value()?)?,
            "--regions" => asked.size.regions = count(&flag, &value()?)?,
            "--jobs" => asked.size.jobs = count(&flag, &value()?)?,
            "--threads" => asked.threads = count(&flag, &value()?)?,
            "--mutant" => {
                for name in value()?.split(',') {
                    asked.mutants.push(name.parse()?);
                }
            }
            "--single" => asked.size.single = true,
            "--first" => asked.first = true,
            "--trace" => asked.trace = Some(value()?),
            "--verbose" => asked.verbose = true,
            "--prove-mutants" => asked.what = What::Prove,
            "--list-mutants" => asked.what = What::List,
            "--help" | "-h" => asked.what = What::Help,
            _ => return Err(format!("{flag:?} is not understood")),
        }
    }
    if asked.size.engines < asked.size.regions {
        return Err("each region needs an engine".to_owned());
    }
    Ok(asked)
}

fn seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let bad = || format!("{text:?} is no range of seeds such as 1..20");
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let (from, to) = (from.parse().map_err(|_| bad())?, to.parse().map_err(|_| bad())?);
    if from <= to { Ok(from..=to) } else { Err(bad()) }
}

fn count(flag: &str, text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| format!("{flag} wants a number from 1 on, not {text:?}"))
}

fn simulate(asked: &Asked, out: &mut impl Write) -> io::Result<u8> {
    let mutants = asked.mutants.iter().fold(Mutants::default(), |all, mutant| all.with(*mutant));
    let seeds: Vec<u64> = asked.seeds.clone().collect();
    let mut total = Tally::default();
    let mut found = 0usize;
    let mut failed = Ok(());
    each(
        asked.threads,
        &seeds,
        |seed| {
            let world = World::new(*seed, asked.size, mutants);
            let world = match &asked.trace {
                Some(job) => world.tracing(job),
                None => world,
            };
            world.run(asked.first)
        },
        |outcome| {
            total.add(&outcome.tally);
            found += usize::from(!outcome.findings.is_empty());
            failed = tell(&outcome, asked, out);
            failed.is_ok()
        },
    );
    failed?;
    write!(out, "{total}")?;
    let slow = total.slow_rescue();
    if let Some((slow, bound)) = slow {
        let (time, job, seed) = (slow.time.as_secs_f64(), slow.job, slow.seed);
        writeln!(
            out,
            "\nFOUND rescue-late: 1 in 100 clear rescues takes {time:.1} s and more, over {} s: seed {seed}, job {job}",
            bound.as_secs()
        )?;
    }
    if found == 0 {
        return Ok(if slow.is_none() { CLEAN } else { FOUND });
    }
    writeln!(out, "\nsomething was found in {found} of {} worlds", seeds.len())?;
    Ok(FOUND)
}

fn tell(outcome: &Outcome, asked: &Asked, out: &mut impl Write) -> io::Result<()> {
    for line in &outcome.lines {
        writeln!(out, "{line}")?;
    }
    if asked.verbose {
        let (events, digest) = (outcome.tally.events, outcome.digest);
        writeln!(out, "seed {} digest {digest:016x} events {events}", outcome.seed)?;
        for finding in &outcome.findings {
            let seconds = finding.at.as_secs_f64();
            writeln!(out, "  {} at {seconds:.3} s: {}", finding.verdict, finding.text)?;
        }
    }
    if let Some(finding) = outcome.findings.first() {
        let Size { engines, regions, jobs, single } = asked.size;
        let count: u64 = outcome.tally.findings.values().sum();
        let seconds = finding.at.as_secs_f64();
        writeln!(
            out,
            "seed {}: {count} found, first {} at {seconds:.3} s: {}",
            outcome.seed, finding.verdict, finding.text
        )?;
        write!(
            out,
            "  simulate --seeds {0}..{0} --engines {engines} --regions {regions} --jobs {jobs}",
            outcome.seed
        )?;
        if single {
            write!(out, " --single")?;
        }
        if !asked.mutants.is_empty() {
            let names: Vec<String> = asked.mutants.iter().map(ToString::to_string).collect();
            write!(out, " --mutant {}", names.join(","))?;
        }
        writeln!(out, " --trace JOB")?;
    }
    Ok(())
}

/// Does `work` for each of `all` on several threads, and `hear`s what came of it in their order, until that is false.
pub(super) fn each<T: Sync, R: Send>(
    threads: usize,
    all: &[T],
    work: impl Fn(&T) -> R + Sync,
    mut hear: impl FnMut(R) -> bool,
) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        // Each thread is at most one result ahead.
        let (done, results) = mpsc::sync_channel(threads);
        for _ in 0..threads {
            let (done, next, work) = (done.clone(), &next, &work);
            scope.spawn(move || {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(one) = all.get(place) else { return };
                    if done.send((place, work(one))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        let mut waiting = std::collections::BTreeMap::new();
        let mut expected = 0;
        for (place, result) in results {
            waiting.insert(place, result);
            while let Some(result) = waiting.remove(&expected) {
                expected += 1;
                if !hear(result) {
                    return;
                }
            }
        }
    });
}
