//! A trace in words.

use std::fmt::Write as _;

use blitz_jobs::Run;

use super::config::Config;
use super::event::{Did, Event};
use super::moves::{Next, bits};
use super::state::{KEEPER, Phase, Request, Said, State};
use super::table::{Id, Table, holder};
use super::told::Put;

/// One line for each event, and one for what the copies and the actors have then. Copies are alike, and are listed
/// in no fixed order.
pub(super) fn trace(config: &Config, table: &Table, trace: &[Next]) -> String {
    let mut text = String::new();
    for (n, next) in (1..).zip(trace) {
        let event = event(next.event);
        // Writing to a text cannot fail.
        _ = writeln!(text, "{n:>4}. {event}\n      {}", state(config, table, &next.state));
    }
    text
}

fn event(event: Event) -> String {
    let who = actor(event.actor);
    let copy = |copy: usize| format!("copy {}", copy + 1);
    let mut text = match event.did {
        Did::Claims => format!("{who} sends a claim"),
        Did::ClaimsAgain => format!("{who} sends the claim again whose answer it never had"),
        Did::Judges { takes: true } => {
            format!("{who} finds the claim's engine dead and takes the job")
        }
        Did::Judges { takes: false } => format!("{who} finds the claim's engine dead"),
        Did::Expires => format!("{who} lets the job expire"),
        Did::Cancels => format!("{who} ends the job as cancelled"),
        Did::HearsAnswer(put) => format!("{who} is answered {}", answer(put)),
        Did::HearsNothing => format!("{who} is not answered"),
        Did::Finishes => format!("{who} has run the job to its end"),
        Did::FinishesCancelled => format!("{who} has stopped the job, which was cancelled"),
        Did::GivesBack => format!("{who} gives the job back"),
        Did::LeaseRunsOut => format!("the lease of {who} runs out"),
        Did::SendsLastWord => format!("{who} sends its last word"),
        Did::HearsOfAnother => format!("{who} hears that something else counts, and stops"),
        Did::HearsOldNews => format!("{who} hears an old state again, and stops"),
        Did::Crashes => format!("{who} crashes"),
        Did::StartsAgain => format!("{who} starts again"),
        Did::RemovesLosers => format!("{who} removes the leaves that lost"),
        Did::UserCancels => "the user cancels".to_owned(),
        Did::Arrives { copy: at } => format!("the request of {who} arrives at {}", copy(at)),
        Did::LateArrives { copy: at } => format!("a late write arrives at {}", copy(at)),
        Did::LateFenceArrives { copy: at } => format!("a late fence arrives at {}", copy(at)),
        Did::Syncs => "the copies tell each other what they have".to_owned(),
        Did::GoesAway { copy: at } => format!("{} goes away", copy(at)),
        Did::ComesBack { copy: at } => format!("{} comes back", copy(at)),
    };
    if event.read != 0 {
        let read: Vec<String> = bits(event.read).map(|at| (at + 1).to_string()).collect();
        _ = write!(text, " (reads {})", read.join("+"));
    }
    if event.is_blind {
        text.push_str(" (a read fails)");
    }
    text
}

fn actor(actor: usize) -> String {
    if actor == KEEPER { "the keeper".to_owned() } else { format!("engine {}", actor + 1) }
}

fn answer(put: Put) -> &'static str {
    match put {
        Put::Created => "201",
        Put::Accepted => "202",
        Put::Conflict => "409",
        Put::Unknown => "an error",
    }
}

fn state(config: &Config, table: &Table, state: &State) -> String {
    let mut text = String::new();
    for (n, copy) in (1..).zip(&state.copies[..config.copies]) {
        let leaves: Vec<String> = copy.leaves.iter().map(|leaf| revision(table, leaf)).collect();
        let down = if copy.is_down { " (away)" } else { "" };
        _ = write!(text, "[{n}{down}: {}", leaves.join(", "));
        for start in copy.starts.iter() {
            let fence = table.start(start);
            _ = write!(text, "; fence of {} attempt {}", fence.engine, fence.attempt);
        }
        let late: Vec<String> = copy.late.iter().map(|late| revision(table, late)).collect();
        if !late.is_empty() {
            _ = write!(text, "; late: {}", late.join(", "));
        }
        text.push_str("] ");
    }
    for (at, who) in state.actors.iter().enumerate() {
        let phase = match who.phase {
            Phase::Idle => continue,
            Phase::Claiming => "claims",
            Phase::Fencing => "fences",
            Phase::Running => "RUNS",
            Phase::Closing => "closes",
            Phase::Judging => "writes",
            Phase::Crashed => "is down",
        };
        _ = write!(text, "{}: {phase}", short(at));
        if let Request::Write { target, .. } = who.request {
            let said: String = state.copies[..config.copies]
                .iter()
                .map(|copy| match copy.replies[at] {
                    Said::Nothing => ' ',
                    Said::Pending => '.',
                    Said::Ok | Said::Other => '+',
                    Said::Conflict => 'x',
                    Said::Away => '-',
                })
                .collect();
            _ = write!(text, " {} {said}", revision(table, target));
        }
        text.push_str(if who.is_late { " (lease over); " } else { "; " });
    }
    text
}

fn short(actor: usize) -> String {
    if actor == KEEPER { "k".to_owned() } else { format!("e{}", actor + 1) }
}

/// A revision as what it holds: generation, beginning of the hash, state, attempt and engine.
fn revision(table: &Table, id: Id) -> String {
    let revision = table.revision(id);
    let hash = &revision.hash()[..2];
    let generation = revision.generation();
    let Some(run) = table.run_of(id) else { return format!("{generation}-{hash} deleted") };
    let claim = run.claim().map(|claim| {
        let start = holder(claim).1;
        let start = if start == 0 { String::new() } else { format!("'{start}") };
        format!("({} {}{start})", claim.attempt, claim.engine)
    });
    let never = if matches!(run, Run::Lost { begun: false, .. }) { " never began" } else { "" };
    format!("{generation}-{hash} {}{}{never}", run.state(), claim.unwrap_or_default())
}
