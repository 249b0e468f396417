//! What engines write of themselves: a document that says that they are there, and beats while they hold jobs.

use serde::{Deserialize, Serialize};

use crate::id::{Incarnation, JobId};

/// `engine:<id>` in the region's engines database, rewritten each [`crate::timing::Timing::presence`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineDocument {
    /// Always `engine`.
    pub kind: EngineKind,
    /// The version of blitz that runs.
    pub blitz: String,
    /// The instance id.
    pub engine: String,
    /// Which start of it.
    pub incarnation: Incarnation,
    /// Where it takes jobs.
    pub region: String,
    /// How many jobs it runs at once.
    pub slots: usize,
    /// The plugins that it can run, as `name@version`.
    pub plugins: Vec<String>,
    /// The plugins that it does not run, with the reason; at most [`REFUSED_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
    /// The ids of the region's keys with which it opens secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// What its machine does not let it do, with the reason; at most [`REFUSED_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<Lack>,
    /// The machine that it is on, where a provider tells of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
    /// Rises with each rewriting, so that a reader can tell a living engine from an old document.
    pub counter: u64,
    /// It takes no more jobs, and goes when those that it has are over.
    #[serde(default, skip_serializing_if = "is_not")]
    pub leaving: bool,
    /// True in the last rewriting before it goes.
    #[serde(default)]
    pub gone: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_not(said: &bool) -> bool {
    !said
}

/// The most refusals in an engine's document, and the longest reason in characters: publishers read them, and
/// the document is rewritten each minute.
pub const REFUSED_MAX: usize = 100;
/// See [`REFUSED_MAX`].
pub const REFUSED_REASON_CHARS_MAX: usize = 300;

/// A plugin that an engine does not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// `name@version`.
    pub plugin: String,
    /// Why, with the next step.
    pub reason: String,
}

/// Something that an engine cannot do on its machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lack {
    /// In one or two words.
    pub power: String,
    /// Why not, what it is for, and what helps.
    pub reason: String,
}

/// The longest word of a [`Machine`], in characters: EC2's are at most half as long.
pub const MACHINE_CHARS_MAX: usize = 64;

/// A machine as its provider tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Who has it: `ec2`.
    pub provider: String,
    /// What kind it is, in the provider's word: `m7g.large`.
    #[serde(default)]
    pub instance_type: String,
    /// Where it is, in the provider's word: `eu-central-1a`.
    #[serde(default)]
    pub zone: String,
    /// Whether the provider may take it back.
    #[serde(default)]
    pub is_spot: bool,
}

impl Machine {
    /// The same with words of at most [`MACHINE_CHARS_MAX`], which is how it is written.
    #[must_use]
    pub fn cut(self) -> Self {
        let cut = |word: String| word.chars().take(MACHINE_CHARS_MAX).collect();
        Self {
            provider: cut(self.provider),
            instance_type: cut(self.instance_type),
            zone: cut(self.zone),
            is_spot: self.is_spot,
        }
    }
}

/// The `kind` of an engine's document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    /// The only one.
    Engine,
}

impl EngineDocument {
    /// The document of this version before its first writing: of an engine that can run nothing yet.
    #[must_use]
    pub fn new(engine: &str, incarnation: Incarnation, region: &str, slots: usize) -> Self {
        Self {
            kind: EngineKind::Engine,
            blitz: crate::BUILD.to_owned(),
            engine: engine.to_owned(),
            incarnation,
            region: region.to_owned(),
            slots,
            plugins: Vec::new(),
            refused: Vec::new(),
            keys: Vec::new(),
            lacks: Vec::new(),
            machine: None,
            counter: 0,
            leaving: false,
            gone: false,
        }
    }

    /// The id of an engine's document.
    #[must_use]
    pub fn document_id(engine: &str) -> String {
        format!("engine:{engine}")
    }
}

/// `beat:<id>` in the region's beats database: polled, never followed, never replicated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// Always `beat`.
    pub kind: BeatKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// The instance id.
    pub engine: String,
    /// Which start of it.
    pub incarnation: Incarnation,
    /// Rises with each beat; watchers compare it and no clock.
    pub counter: u64,
    /// The jobs that it holds: a beat of an engine says nothing of a job that is not named here. After them, those of
    /// earlier starts that it read of.
    pub held: Vec<Held>,
}

/// The `kind` of a beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BeatKind {
    /// The only one.
    Beat,
}

/// One job that an engine holds, or that an earlier start of it held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Which.
    pub job: JobId,
    /// Which attempt of it.
    pub attempt: u32,
    /// The earlier start that had it: it is not held, and that start is dead, for of one engine there is one at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub died_with: Option<Incarnation>,
}

impl Held {
    /// A job that is held.
    #[must_use]
    pub fn new(job: JobId, attempt: u32) -> Self {
        Self { job, attempt, died_with: None }
    }
}

impl Beat {
    /// The id of an engine's beat.
    #[must_use]
    pub fn document_id(engine: &str) -> String {
        format!("beat:{engine}")
    }

    /// Whether it speaks for this attempt of this job.
    #[must_use]
    pub fn holds(&self, job: &JobId, attempt: u32) -> bool {
        let holds = |held: &Held| held.job == *job && held.attempt == attempt;
        self.held.iter().any(|held| held.died_with.is_none() && holds(held))
    }

    /// Whether a later start of the engine says that this one is dead.
    #[must_use]
    pub fn buries(&self, start: &Incarnation) -> bool {
        self.held.iter().any(|held| held.died_with.as_ref() == Some(start))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_machine_is_optional_and_its_words_are_bounded() {
        let stored = json!({"kind": "engine", "blitz": "0.1.0", "engine": "e1",
            "incarnation": "0123456789abcdef0123456789abcdef", "region": "japan", "slots": 1,
            "plugins": [], "counter": 1, "gone": false});
        let document: EngineDocument = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(document.machine, None);
        assert_eq!(serde_json::to_value(&document).unwrap(), stored, "nothing is said of none");
        let long = "x".repeat(MACHINE_CHARS_MAX + 1);
        let machine = Machine {
            provider: "ec2".to_owned(),
            instance_type: long.clone(),
            zone: long,
            is_spot: true,
        };
        let machine = machine.cut();
        assert_eq!((machine.zone.len(), machine.instance_type.len()), (64, 64));
        let with = EngineDocument { machine: Some(machine), ..document };
        let read = serde_json::from_value(serde_json::to_value(&with).unwrap()).unwrap();
        assert_eq!(with, read);
    }
}
