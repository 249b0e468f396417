//! `blitz region`: makes regions, changes and moves them. It talks to the clusters directly, as an administrator; what
//! everybody may see of regions is `blitz regions`. The tokens of engines (`token`) are asked of a gateway.

mod key;
mod list;
mod show;
mod token;
mod wish;

use blitz_jobs::region::Region;
use blitz_jobs::setup::regions::{self, Outcome};
use clap::{Args, Subcommand};

use crate::cluster::operate::{Error, OperatorArgs, described, done, warn};
use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::list::list_or_dash;
use crate::list::print_table;

/// `blitz region`.
#[derive(Debug, Subcommand)]
pub(crate) enum RegionCommand {
    /// As an administrator of the clusters.
    #[command(flatten)]
    Operate(Box<RegionAction>),
    /// Make a one-time token with which an engine joins a region, by a gateway that issues tokens
    Token(token::TokenArgs),
    /// Take the right of an engine back, for good
    RevokeEngine(token::RevokeArgs),
}

/// What to do with regions.
#[derive(Debug, Subcommand)]
pub(crate) enum RegionAction {
    /// Make a region
    Add(AddArgs),
    /// Change a region; also: give back what its home or a hub has lost
    Set(SetArgs),
    /// Move a region's home to another cluster
    Move(MoveArgs),
    /// List the regions, and where they are
    List(list::ListArgs),
    /// Make a new key for the secrets of jobs in a region, or retire one; the private half goes into a file
    Key(key::KeyArgs),
    /// Show a region: its document, its databases, its replications and how late they are
    Show(show::ShowArgs),
}

/// `blitz region add`.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// What it is called in ids of jobs
    name: String,
    /// The cluster in which its jobs are claimed
    #[arg(long, value_name = "CLUSTER")]
    home: Option<String>,
    #[command(flatten)]
    wish: wish::WishArgs,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// `blitz region set`.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// Which region
    name: String,
    #[command(flatten)]
    wish: wish::WishArgs,
    /// A former home that will never answer again; commas for several
    #[arg(long, value_name = "CLUSTER", value_delimiter = ',')]
    forget: Vec<String>,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// `blitz region move`.
#[derive(Debug, Args)]
pub(crate) struct MoveArgs {
    /// Which region
    name: String,
    /// Its new home
    #[arg(long, value_name = "CLUSTER")]
    to: String,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// Does it.
pub(crate) async fn run(
    command: RegionCommand,
    environment: &Environment,
) -> Result<ExitCode, Failure> {
    match command {
        RegionCommand::Operate(action) => Ok(operate(*action, environment).await?),
        RegionCommand::Token(args) => Ok(token::token(args, environment).await?),
        RegionCommand::RevokeEngine(args) => Ok(token::revoke(args, environment).await?),
    }
}

async fn operate(action: RegionAction, environment: &Environment) -> Result<ExitCode, Error> {
    match action {
        RegionAction::Add(AddArgs { name, home, wish, operator }) => {
            let operators = operator.enter(environment).await?;
            let outcome = regions::add(&operators, &name, home.as_deref(), &wish.wish()).await?;
            Ok(tell(&outcome, "changed"))
        }
        RegionAction::Set(SetArgs { name, wish, forget, operator }) => {
            let operators = operator.enter(environment).await?;
            let wish = regions::Wish { forget, ..wish.wish() };
            Ok(tell(&regions::set(&operators, &name, &wish).await?, "changed"))
        }
        RegionAction::Move(MoveArgs { name, to, operator }) => {
            let operators = operator.enter(environment).await?;
            Ok(tell(&regions::move_to(&operators, &name, &to).await?, "moved"))
        }
        RegionAction::Key(args) => key::run(args, environment).await,
        RegionAction::List(args) => list::run(args, environment).await,
        RegionAction::Show(args) => show::run(args, environment).await,
    }
}

/// Says what came of it.
fn tell(outcome: &Outcome, changed: &str) -> ExitCode {
    let Outcome { region, is_new, notes, applied } = outcome;
    warn(applied);
    let what = match (*is_new, applied.steps.is_empty()) {
        (true, _) => "added",
        (false, false) => changed,
        (false, true) => "unchanged:",
    };
    let mut text = format!("{what} region {}\n", region.name);
    if !applied.steps.is_empty() {
        text.push_str(&described(&places(region)));
        text.push_str(&done(applied));
    }
    for note in notes {
        text.push_str(&format!("{note}\n"));
    }
    print_table(&text)
}

/// Where a region is.
fn places(region: &Region) -> Vec<(String, String)> {
    let home = region.home.as_deref().unwrap_or("-");
    let mut lines = vec![
        ("home".to_owned(), format!("{home}, epoch {}", region.home_epoch)),
        ("hubs".to_owned(), list_or_dash(&region.hubs)),
    ];
    if !region.former.is_empty() {
        lines.push(("former".to_owned(), list_or_dash(&region.former)));
    }
    let keys: Vec<String> = region.sealing_keys().map(|key| key.id.clone()).collect();
    if !keys.is_empty() {
        lines.push(("keys".to_owned(), list_or_dash(&keys)));
    }
    lines
}
