//! The words of `blitz` as clap types: the global flags, and the commands that are not plugins.
//!
//! What the user typed stays as typed here; [`crate::settings`] makes ready-to-use values of it. Which
//! words are ours and which the plugin's is decided before, in [`crate::words`].

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use blitz_gateway::config::ACCOUNTS_STALE_MIN;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::accounts::AccountCommand;
use crate::clusters::ClusterArgs;
use crate::color::ColorChoice;
use crate::environment::Hidden;
use crate::exit_code::FailOn;
use crate::joining::{IssuerArgs, JoinArgs};
use crate::loads::{LoadArgs, LoadTargetArgs};
use crate::log::LogArgs;
use crate::login::{LoginArgs, LogoutArgs};
use crate::suggest::nearest;
use crate::targets::TargetArgs;
use crate::trusting::TrustFlags;
use crate::words::GlobalFlag;

/// Run a command from any region, while staying in your own shell.
#[derive(Debug, Parser)]
#[command(
    name = "blitz",
    bin_name = "blitz",
    disable_help_subcommand = true,
    disable_version_flag = true,
    arg_required_else_help = true,
    subcommand_value_name = "COMMAND | PLUGIN",
    subcommand_help_heading = "Commands",
    after_help = AFTER_HELP
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    /// Print the version
    #[arg(long, action = clap::ArgAction::SetTrue)]
    version: (),
    #[command(subcommand)]
    pub(crate) command: Option<BuiltIn>,
}

const AFTER_HELP: &str = "\
A first word that is not a command is a plugin: blitz curl -r japan https://example.com
A load test: blitz rush -p 1-250:60 https://example.com ('blitz help rush'); its saved reports:
blitz rush diff BEFORE AFTER, blitz rush report FILE.
Global flags go before or behind the plugin's name. What stands behind '--' is the plugin's alone.

Exit codes: the command's own; or 1 failed on this machine, 2 usage, 120 no engine, 121 timed out,
122 refused or stopped by a limit, 123 engine lost or output incomplete, 124 aborted elsewhere,
125 gateway or store unreachable, 129 terminal closed, 130 after ^C. A closed pipe is 0.
Load tests whose jobs gave 0: 1 a --fail is not met, 3 the generator was the limit.";

/// Flags of every plugin's command line.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global flags")]
pub(crate) struct Globals {
    /// Where to run: names with commas (each of them), `a|b` (the first with an engine), any, all
    #[arg(short, long = "region", value_name = "LIST")]
    pub(crate) regions: Vec<String>,
    /// Distinct engines in each region
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=ENGINES_MAX))]
    pub(crate) engines: Option<u32>,
    /// One JSON document at the end, instead of the output
    #[arg(long, conflicts_with = "ndjson")]
    pub(crate) json: bool,
    /// Events as JSON lines, as they come
    #[arg(long)]
    pub(crate) ndjson: bool,
    /// A table with a row for each region, instead of the output; times in milliseconds
    #[arg(long, conflicts_with_all = ["json", "ndjson", "group", "buffer", "detach"])]
    pub(crate) table: bool,
    /// Each region's output as one section, when its job has ended
    #[arg(long, conflicts_with_all = ["json", "ndjson", "detach"])]
    pub(crate) group: bool,
    /// A column for each region, line beside line
    #[arg(long, conflicts_with_all = ["json", "ndjson", "table", "group", "buffer", "detach"])]
    pub(crate) side_by_side: bool,
    /// Time for the whole job: 30, 30s, 5m
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// Time until an engine must have taken the job
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) queue_timeout: Option<Duration>,
    /// Print the job's id and do not wait
    #[arg(long)]
    pub(crate) detach: bool,
    /// When several jobs make the command fail: any of them, all, never
    #[arg(long, value_name = "WHEN", value_enum, hide_possible_values = true)]
    pub(crate) fail_on: Option<FailOn>,
    /// No talk on stderr
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Leave control sequences in what a terminal shows
    #[arg(long)]
    pub(crate) raw: bool,
    /// Hold stdout back until the job has ended, so that a second attempt leaves no trace
    #[arg(long)]
    pub(crate) buffer: bool,
    /// The gateway; its token stands in BLITZ_TOKEN [env: BLITZ_HOST]
    #[arg(long, value_name = "URL")]
    pub(crate) host: Option<String>,
    /// Colours in what blitz itself says: auto, always, never
    #[arg(long, value_name = "WHEN", value_enum, hide_possible_values = true)]
    pub(crate) color: Option<ColorChoice>,
}

/// More engines of one region for one command need a plan, not a flag.
const ENGINES_MAX: i64 = 1000;

/// The commands that are not plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum BuiltIn {
    /// Run a plugin, also one whose name is a command's
    Run {
        /// The plugin, global flags, then its arguments
        #[arg(value_name = "PLUGIN", trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Show the main job: two regions, one hello server, all in this process
    Demo,
    /// Keep a store, a gateway and engines running on this machine
    Up(UpArgs),
    /// Run one engine against a store
    Engine(EngineArgs),
    /// Run one gateway against a store
    Gateway(GatewayArgs),
    /// Serve a CouchDB of your own: a store that speaks its protocol
    Couchdb(crate::couchdb::CouchdbArgs),
    /// Add and list clusters, which regions have their home in
    #[command(subcommand, arg_required_else_help = true)]
    Cluster(crate::cluster::ClusterAction),
    /// Make, change and move regions
    #[command(subcommand, arg_required_else_help = true)]
    Region(crate::region::RegionCommand),
    /// Look at machine, gateway, clusters and regions, and say what to do
    Doctor(crate::doctor::DoctorArgs),
    /// List the regions
    Regions(ListArgs),
    /// List the engines
    Engines(ListArgs),
    /// List the published plugins
    Plugins(ListArgs),
    /// Make, try, publish and trust plugins
    #[command(subcommand, arg_required_else_help = true)]
    Plugin(crate::plugin::PluginAction),
    /// List the last jobs
    Jobs {
        /// How many, newest first
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
        last: u32,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Follow a job from its start, or end it
    #[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
    Job(JobArgs),
    /// Keep the key that you show at a gateway
    Login(LoginArgs),
    /// Forget it
    Logout(LogoutArgs),
    /// About tenants and what is theirs.
    #[command(flatten)]
    Account(AccountCommand),
    /// Print a completion script: blitz completions bash > /etc/bash_completion.d/blitz
    Completions {
        /// bash, zsh, fish
        #[arg(value_parser = shells())]
        shell: clap_complete::Shell,
    },
    /// Explain a command or a plugin
    Help {
        /// A command or a plugin
        topic: Option<String>,
        /// The gateway that knows the plugin
        #[arg(long, value_name = "URL")]
        host: Option<String>,
    },
    /// Print the version
    Version,
}

/// The shells whose scripts were tried.
fn shells() -> impl TypedValueParser<Value = clap_complete::Shell> {
    PossibleValuesParser::new(["bash", "zsh", "fish"]).try_map(|name| name.parse())
}

/// Flags of the lists.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// The gateway's answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The gateway; its token stands in BLITZ_TOKEN [env: BLITZ_HOST]
    #[arg(long, value_name = "URL")]
    pub(crate) host: Option<String>,
}

/// `blitz job`.
#[derive(Debug, Args)]
pub(crate) struct JobArgs {
    #[command(subcommand)]
    pub(crate) action: Option<JobAction>,
    /// The job to follow
    pub(crate) id: Option<String>,
    /// Leave control sequences in what a terminal shows
    #[arg(long)]
    pub(crate) raw: bool,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

/// What to do with a job.
#[derive(Debug, Subcommand)]
pub(crate) enum JobAction {
    /// End a job
    Abort {
        /// The job
        id: String,
        /// The gateway; its token stands in BLITZ_TOKEN [env: BLITZ_HOST]
        #[arg(long, value_name = "URL")]
        host: Option<String>,
    },
}

/// `blitz up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// A region to run an engine of; repeat or use commas [default: local]
    #[arg(short, long = "region", value_name = "NAME", value_delimiter = ',')]
    pub(crate) regions: Vec<String>,
    /// The directory of the store [default: ~/.local/share/blitz]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The gateway's address; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8042")]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) trust: TrustFlags,
    /// Jobs that one engine runs at the same time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) slots: Option<u16>,
    #[command(flatten)]
    pub(crate) targets: TargetArgs,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// A database of networks in MaxMind's format, for plugins that tell whose an address is; repeat for others
    #[arg(long, value_name = "FILE")]
    pub(crate) networks: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// `blitz engine`.
#[derive(Args)]
#[command(after_help = ENGINE_AFTER_HELP)]
pub(crate) struct EngineArgs {
    /// The store: http://HOST:PORT; with NAME:PASSWORD@ better in BLITZ_STORE; repeat for others: the nearest is taken
    #[arg(long = "store", value_name = "URL")]
    pub(crate) stores: Vec<String>,
    #[command(flatten)]
    pub(crate) clusters: ClusterArgs,
    /// The region that it works for
    #[arg(short, long, value_name = "NAME")]
    pub(crate) region: String,
    /// Jobs that it runs at the same time; heavy plugins take several of its slots
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) slots: Option<u16>,
    /// Its name among the engines, which no other may have [default: the region and a random word; with --imds the
    /// instance's id]
    #[arg(long)]
    pub(crate) id: Option<String>,
    #[command(flatten)]
    pub(crate) join: JoinArgs,
    /// A file with the region's private keys, to open secrets with ('blitz region key') [default: those of 'blitz up', or of
    /// --join]
    #[arg(long, value_name = "FILE")]
    pub(crate) region_keys: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) trust: TrustFlags,
    #[command(flatten)]
    pub(crate) targets: TargetArgs,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// A database of networks in MaxMind's format, for plugins that tell whose an address is; repeat for others
    #[arg(long, value_name = "FILE")]
    pub(crate) networks: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

const ENGINE_AFTER_HELP: &str = "\
^C and SIGTERM drain it: it takes no more jobs, lets those that run end for 30 s, and gives the rest to other
engines; what must not run twice ends as aborted. A second signal ends it at once: the others notice after 25 s. With --imds
it drains by itself when EC2 takes its machine back, 20 s before that, or recommends to leave it, then with its last job.";

/// `blitz gateway`.
#[derive(Args)]
pub(crate) struct GatewayArgs {
    /// The store: http://HOST:PORT; with NAME:PASSWORD@ better in BLITZ_STORE
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
    #[command(flatten)]
    pub(crate) clusters: ClusterArgs,
    /// The address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8042")]
    pub(crate) listen: SocketAddr,
    /// A region to make, if it is not there; repeat or use commas
    #[arg(short, long = "region", value_name = "NAME", value_delimiter = ',')]
    pub(crate) regions: Vec<String>,
    /// A name under which clients reach it, beside its address; repeat or use commas
    #[arg(long = "name", value_name = "HOST", value_delimiter = ',')]
    pub(crate) hosts: Vec<String>,
    /// A file with the token that clients must show [default: BLITZ_TOKEN, or a new one is printed]
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// A file with the key under which API keys are stored, the same for all gateways of one installation; made when it is
    /// missing. Without it no API keys are taken
    #[arg(long, value_name = "FILE")]
    pub(crate) accounts_key: Option<PathBuf>,
    /// After so long without a word of its near cluster it lets nobody in by an API key, which may have been revoked there: 1m, 1h
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_accounts_stale)]
    pub(crate) accounts_stale: Duration,
    #[command(flatten)]
    pub(crate) issuer: IssuerArgs,
    #[command(flatten)]
    pub(crate) load: LoadTargetArgs,
    /// Believe the X-Forwarded-For of whoever asks, for the audit: behind a proxy that alone reaches this address
    #[arg(long)]
    pub(crate) trust_proxy: bool,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

impl fmt::Debug for EngineArgs {
    /// Without the store, whose URL may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineArgs")
            .field("stores", &self.stores.iter().map(|_| Hidden).collect::<Vec<_>>())
            .field("clusters", &self.clusters)
            .field("region", &self.region)
            .field("slots", &self.slots)
            .field("id", &self.id)
            .field("join", &self.join)
            .field("region_keys", &self.region_keys)
            .field("trust", &self.trust)
            .field("targets", &self.targets)
            .field("load", &self.load)
            .finish()
    }
}

impl fmt::Debug for GatewayArgs {
    /// Without the store, whose URL may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayArgs")
            .field("store", &self.store.as_ref().map(|_| Hidden))
            .field("clusters", &self.clusters)
            .field("listen", &self.listen)
            .field("regions", &self.regions)
            .field("hosts", &self.hosts)
            .field("token_file", &self.token_file)
            .field("accounts_key", &self.accounts_key)
            .field("accounts_stale", &self.accounts_stale)
            .field("issuer", &self.issuer)
            .field("load", &self.load)
            .finish()
    }
}

impl Cli {
    /// Parses words that [`crate::words::split`] gave; `blitz` itself is not among them.
    pub(crate) fn read(words: &[String]) -> Result<Self, clap::Error> {
        Self::try_parse_from(std::iter::once("blitz").chain(words.iter().map(String::as_str)))
            .map_err(without_far_suggestion)
    }
}

/// clap takes `cobol` for a slip of `c`.
fn without_far_suggestion(mut error: clap::Error) -> clap::Error {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let word = text(ContextKind::InvalidValue);
    if let (Some(word), Some(suggested)) = (word, text(ContextKind::SuggestedValue))
        && nearest(word, [suggested]).is_none()
    {
        error.remove(ContextKind::SuggestedValue);
    }
    error
}

/// The global flags, for the split.
pub(crate) fn global_flags() -> Vec<GlobalFlag> {
    let command = Cli::command();
    let flags = command.get_arguments().filter_map(|argument| {
        Some(GlobalFlag {
            long: argument.get_long()?.to_owned(),
            short: argument.get_short(),
            takes_value: argument.get_action().takes_values(),
        })
    });
    flags.collect()
}

/// The names of the commands, for the split and for suggestions.
pub(crate) fn built_in_names() -> Vec<String> {
    Cli::command().get_subcommands().map(|c| c.get_name().to_owned()).collect()
}

pub(crate) fn parse_duration(text: &str) -> Result<Duration, &'static str> {
    blitz_contract::arguments::duration(text)
        .filter(|d| !d.is_zero())
        .ok_or("use 30, 500ms, 30s, 5m or 1h")
}

fn parse_accounts_stale(text: &str) -> Result<Duration, String> {
    let stale = parse_duration(text)?;
    if stale < ACCOUNTS_STALE_MIN {
        return Err(format!(
            "use {}s or more: that a cluster says nothing is noticed after that",
            ACCOUNTS_STALE_MIN.as_secs()
        ));
    }
    Ok(stale)
}

/// The help of one of our commands, by its words.
pub(crate) fn help_of(words: &[&str]) -> String {
    let mut cli = Cli::command();
    cli.build();
    let mut command = &mut cli;
    for word in words {
        match command.find_subcommand_mut(word) {
            Some(found) => command = found,
            None => return String::new(),
        }
    }
    command.render_help().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_is_suggested() {
        for (language, suggested) in [("cobol", None), ("pyton", Some("'python'"))] {
            let words = ["plugin", "new", "x", "--lang", language].map(str::to_owned);
            let text = Cli::read(&words).unwrap_err().to_string();
            assert!(text.contains("possible values: rust, c, python"), "{text}");
            assert_eq!(text.contains("a similar value exists"), suggested.is_some(), "{text}");
            assert!(text.contains(suggested.unwrap_or_default()), "{text}");
        }
    }

    #[test]
    fn clap_accepts_the_definitions() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_only_short_global_is_r() {
        let shorts: Vec<char> = global_flags().iter().filter_map(|f| f.short).collect();
        assert_eq!(shorts, ['r'], "every other letter belongs to the plugins");
    }

    #[test]
    fn a_gateway_is_told_how_long_it_believes_keys() {
        let read = |words: &str| {
            let words = ["gateway"].into_iter().chain(words.split_whitespace());
            match Cli::read(&words.map(str::to_owned).collect::<Vec<_>>()) {
                Ok(Cli { command: Some(BuiltIn::Gateway(args)), .. }) => Ok(args.accounts_stale),
                Ok(cli) => panic!("{cli:?}"),
                Err(error) => Err(error.to_string()),
            }
        };
        assert_eq!(read(""), Ok(blitz_gateway::config::ACCOUNTS_STALE));
        assert_eq!(read("--accounts-stale 90"), Ok(Duration::from_secs(90)));
        assert_eq!(read("--accounts-stale 30s"), Ok(ACCOUNTS_STALE_MIN));
        for (words, says) in [("29s", "use 30s or more"), ("0", "use 30, 500ms"), ("x", "use 30,")]
        {
            let text = read(&format!("--accounts-stale {words}")).unwrap_err();
            assert!(text.contains(says), "{text}");
        }
    }

    #[test]
    fn secrets_stay_out_of_logs() {
        let line = |words: &str| {
            let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
            format!("{:?}", Cli::read(&words).unwrap())
        };
        for words in ["engine --region japan", "gateway --region japan"] {
            let text = line(&format!("{words} --store http://me:hidden@h:1"));
            assert!(text.contains("***") && !text.contains("hidden"), "{text}");
        }
    }
}
