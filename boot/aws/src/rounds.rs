//! `blitz-boot run`, `scale` and `reconcile`: rounds of the fleet's regions, once or until ^C.

use std::io::{self, Write as _};
use std::path::PathBuf;

use blitz_boot_core::fleet::{Fleet, FleetRegion};
use blitz_boot_core::netns::{self, Namespaces, Prefix};
use blitz_boot_core::process::Processes;
use blitz_boot_core::provider::Provider;
use blitz_boot_core::reconcile::Rules;
use blitz_boot_core::round::{self, Duties, Report};
use blitz_boot_core::shift::{self, Told, Worker};
use blitz_couchdb::Client;
use blitz_jobs::clock::now_ms;
use blitz_jobs::id::Incarnation;
use blitz_jobs::timing::Timing;
use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::access::Access;
use crate::ec2::Ec2;
use crate::failure::Failure;
use crate::fleet_file::{FleetArgs, chosen, read_fleet};
use crate::machine;
use crate::stdout::print;
use crate::text::{plain, utc};

/// The flags of rounds.
#[derive(Debug, Args)]
pub(crate) struct RoundsArgs {
    #[command(flatten)]
    fleet: FleetArgs,
    /// The store at the home of the regions: http://HOST:PORT; with NAME:PASSWORD@ better in BLITZ_STORE
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Only these blitz regions
    #[arg(short, long = "region", value_name = "NAME", value_delimiter = ',')]
    regions: Vec<String>,
    /// Say what would be done and why, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// One round, instead of one every 5 seconds; nobody else may go rounds then
    #[arg(long)]
    once: bool,
    /// Act although much looks wrong at once: somebody has looked
    #[arg(long)]
    force: bool,
    /// Who has the machines
    #[arg(long, value_enum, default_value_t = ProviderWord::Ec2)]
    provider: ProviderWord,
    /// Where records of processes and namespaces are kept
    #[arg(long, value_name = "DIR", required_if_eq_any(LOCAL))]
    directory: Option<PathBuf>,
    /// A private prefix for namespaces; its first address is this host's in all of them, for --store or --join of engines
    #[arg(long, value_name = "PREFIX", default_value_t = Prefix::DEFAULT)]
    prefix: Prefix,
    /// The program of a process and its words; {id} and {region} in them are replaced: -- blitz engine --id {id} -r {region},
    /// or in a namespace as on EC2: -- blitz engine --imds -r {region}. It has this program's environment, also BLITZ_STORE
    #[arg(last = true, value_name = "COMMAND", required_if_eq_any(LOCAL))]
    command: Vec<String>,
}

/// What providers on this machine cannot do without.
const LOCAL: [(&str, &str); 2] = [("provider", "process"), ("provider", "netns")];

/// Providers of machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProviderWord {
    /// EC2
    Ec2,
    /// Processes of this machine
    Process,
    /// Processes in network namespaces of this machine, each with instance metadata of its own
    Netns,
}

impl RoundsArgs {
    /// Engines are known by their name alone: under another one they would look lost, and their machines without an engine.
    fn check(&self) -> Result<(), Failure> {
        let has = |text: &str| self.command.iter().any(|word| word.contains(text));
        match self.provider {
            ProviderWord::Process if !has("{id}") => Err(Failure::Usage(
                "the engine of a process must have the name of its machine: give its command --id {id}, as in -- blitz engine --id {id} -r {region}",
            )),
            ProviderWord::Netns if !has("--imds") && !has("{id}") => Err(Failure::Usage(
                "the engine in a namespace must have the name of its machine: give its command --imds, as in -- blitz engine --imds -r {region}",
            )),
            _ => Ok(()),
        }
    }

    /// Where the records of a region's machines are.
    fn records(&self, region: &FleetRegion) -> PathBuf {
        self.directory.clone().unwrap_or_default().join(&region.name)
    }
}

/// Goes rounds with these duties.
pub(crate) async fn run(
    access: &Access,
    args: RoundsArgs,
    (reconciles, scales): (bool, bool),
) -> Result<(), Failure> {
    args.check()?;
    let fleet = read_fleet(&args.fleet)?;
    let regions = chosen(&fleet, &args.regions)?;
    let store = store(args.store.clone())?;
    let rules = Rules { is_forced: args.force, ..Rules::default() };
    let duties = Duties { reconciles, scales, is_dry: args.dry_run, rules };
    let mut tasks = JoinSet::new();
    let (stop, stopped) = watch::channel(false);
    let mut signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    for region in regions {
        let (store, fleet, duties) = (store.clone(), fleet.name.clone(), duties.clone());
        let once = args.once || args.dry_run;
        let stopped = stopped.clone();
        match args.provider {
            ProviderWord::Ec2 => {
                let ec2 = Ec2::new(access, &fleet_of(&fleet, &region), &region.place).await?;
                tasks.spawn(go(ec2, store, fleet, region, duties, once, stopped));
            }
            ProviderWord::Process => {
                let processes =
                    Processes::new(args.records(&region), fleet.clone(), args.command.clone());
                tasks.spawn(go(processes, store, fleet, region, duties, once, stopped));
            }
            ProviderWord::Netns => {
                let config = netns::Config {
                    directory: args.records(&region),
                    fleet: fleet.clone(),
                    place: region.place.clone(),
                    prefix: args.prefix,
                    machine: vec![this_program()?, machine::NAME.to_owned()],
                    command: args.command.clone(),
                };
                let namespaces = Namespaces::new(config)?;
                tasks.spawn(go(namespaces, store, fleet, region, duties, once, stopped));
            }
        }
    }
    drop(stopped);
    let mut worst = Ok(());
    loop {
        let asked = async {
            match &mut signals {
                (Ok(interrupt), Ok(terminate)) => tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                },
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = tasks.join_next() => match ended {
                None => return worst,
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(failure))) => worst = Err(failure),
                Some(Err(panicked)) => std::panic::resume_unwind(panicked.into_panic()),
            },
            () = asked => {
                if stop.send_replace(true) {
                    // The duty lapses by itself, and the next process finds what was intended.
                    tasks.shutdown().await;
                    return worst;
                }
                say("ends after the round that it is in; once more ends it now. Machines and engines stay as they are");
            }
        }
    }
}

/// The path of this program, for what it starts.
fn this_program() -> Result<String, Failure> {
    let path = std::env::current_exe().map_err(Failure::Start)?;
    let text = path.into_os_string().into_string();
    text.map_err(|_| Failure::Usage("the path of this program is not UTF-8: install it elsewhere"))
}

/// A fleet with this region alone, for a provider that knows one place.
fn fleet_of(name: &str, region: &FleetRegion) -> Fleet {
    Fleet { name: name.to_owned(), regions: vec![region.clone()] }
}

async fn go<P: Provider>(
    provider: P,
    store: Client,
    fleet: String,
    region: FleetRegion,
    duties: Duties,
    once: bool,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let place = (fleet.as_str(), &region);
    if once {
        let report = round::go(&provider, &store, place, &duties, now_ms()).await?;
        print(&told(&region.name, &report, Telling::Whole { is_dry: duties.is_dry }))?;
        let failed = report.failed.len() + report.loud.len();
        return match (report.unseen, failed) {
            (Some(cause), _) => Err(Failure::Unseen { region: region.name, cause }),
            (None, 0) => Ok(()),
            (None, failed) => Err(Failure::Round { region: region.name, failed }),
        };
    }
    let worker = worker()?;
    say(&format!("{}: waits for its turn, as one process at a time goes the rounds", region.name));
    let leave = async move {
        // Without a sender nobody asks any more.
        drop(stopped.wait_for(|stopped| *stopped).await);
    };
    let tell = |told_of: Told| match told_of {
        Told::Duty(true) => say(&format!("{}: this process goes the rounds", region.name)),
        Told::Duty(false) => say(&format!("{}: this process goes no rounds any more", region.name)),
        Told::Failed(error) => say(&format!("{}: no round: {error}", region.name)),
        Told::Round(report) => say(&told(&region.name, &report, Telling::News)),
    };
    shift::keep(&provider, &store, place, &duties, &worker, leave, tell).await?;
    Ok(())
}

fn worker() -> Result<Worker, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Failure::Start(io::Error::other(error)))?;
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Ok(Worker {
        name: name.trim().to_owned(),
        incarnation: Incarnation::from_random(bytes),
        timing: Timing::default(),
        every: shift::EVERY,
    })
}

/// What of a round is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Telling {
    /// What was done, and nothing when nothing was.
    News,
    /// With the reasons of the number of engines, and also when nothing was done. A dry round did nothing.
    Whole { is_dry: bool },
}

/// What a round did, or would do.
fn told(region: &str, report: &Report, telling: Telling) -> String {
    let Report { done, held, failed, loud, decision, .. } = report;
    let all = telling != Telling::News;
    let would = if telling == (Telling::Whole { is_dry: true }) { "would " } else { "" };
    let reasons = decision.iter().filter(|_| all).flat_map(|decision| &decision.reasons);
    let mut lines: Vec<String> = reasons.cloned().collect();
    // Each begins with what is done.
    lines.extend(done.iter().map(|line| format!("{would}{line}")));
    lines.extend(held.iter().map(|line| format!("held: {line}")));
    lines.extend(failed.iter().map(|line| format!("failed: {line}")));
    lines.extend(loud.iter().map(|line| format!("needs you: {line}")));
    if all && lines.is_empty() {
        lines.push("nothing to do".to_owned());
    }
    lines.iter().map(|line| format!("{region}: {}\n", plain(line))).collect()
}

/// Says each line of it, and when, on standard error, which whoever supervises this reads. It may be closed: the rounds go on.
fn say(text: &str) {
    let at = utc(now_ms());
    for line in text.lines() {
        drop(writeln!(io::stderr().lock(), "{at} {line}"));
    }
}

fn store(given: Option<String>) -> Result<Client, Failure> {
    let url = given.or_else(|| std::env::var("BLITZ_STORE").ok()).ok_or(Failure::NoStore)?;
    Client::new(url).map_err(Failure::StoreAddress)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_round_says_what_it_would_do() {
        let report = Report {
            done: vec!["launch 1 (l-1)".to_owned(), "drain i-1: too many".to_owned()],
            held: vec!["x\u{1b}".to_owned()],
            ..Report::default()
        };
        let dry = told("japan", &report, Telling::Whole { is_dry: true });
        assert_eq!(
            dry,
            "japan: would launch 1 (l-1)\njapan: would drain i-1: too many\njapan: held: x?\n"
        );
        let done = told("japan", &report, Telling::Whole { is_dry: false });
        assert!(done.starts_with("japan: launch 1 (l-1)\n"), "{done}");
        assert_eq!(done, told("japan", &report, Telling::News));
        let nothing = Report::default();
        assert_eq!(told("japan", &nothing, Telling::News), "");
        assert_eq!(
            told("japan", &nothing, Telling::Whole { is_dry: true }),
            "japan: nothing to do\n"
        );
    }
}
