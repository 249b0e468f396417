//! What blitz itself says of a job, on stderr: `blitz curl: japan: TEXT`. Pure, and the same for every
//! format that people read.

use crate::render::{Action, Outcome, Scene, end_text};
use crate::strip::Strip;
use crate::wire::{End, Incomplete, Restart};

/// Says it.
pub(crate) struct Talk {
    plugin: String,
    /// Of each job; empty for a job that is alone.
    places: Vec<String>,
    quiet: bool,
    /// Reasons are foreign words, and a terminal reads them.
    strips: bool,
}

impl Talk {
    pub(crate) fn new(scene: &Scene) -> Self {
        let several = scene.jobs.len() > 1;
        let place = |label: &str| if several { format!("{label}: ") } else { String::new() };
        Self {
            plugin: scene.plugin.clone(),
            places: scene.jobs.iter().map(|job| place(&job.label)).collect(),
            quiet: scene.quiet,
            strips: scene.stderr_is_terminal && !scene.raw,
        }
    }

    /// Another engine starts the job anew.
    pub(crate) fn restart(&self, job: usize, restart: &Restart) -> Option<Action> {
        let notice = || self.say(job, &format!("{}; what came before is void", restart.reason));
        (!self.quiet).then(notice)
    }

    /// Output is missing.
    pub(crate) fn incomplete(&self, job: usize, incomplete: &Incomplete) -> Action {
        self.say(job, &format!("output is incomplete: {}", incomplete.reason))
    }

    /// An end that is not the command's own.
    pub(crate) fn end(&self, job: usize, end: &End) -> Option<Action> {
        end_text(end).map(|text| self.say(job, &text))
    }

    /// Following ended before the job did.
    pub(crate) fn failure(&self, job: usize, outcome: &Outcome) -> Option<Action> {
        outcome.failure.as_ref().map(|failure| self.say(job, failure))
    }

    fn say(&self, job: usize, text: &str) -> Action {
        let line = format!("blitz {}: {}{text}\n", self.plugin, self.places[job]).into_bytes();
        Action::Stderr(if self.strips { Strip::default().push(&line) } else { line })
    }
}
