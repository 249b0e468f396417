//! What is asked for, from the command line and from a plan's file together.

use blitz_plugin::{Arguments, Failure};

use crate::EXIT_USAGE;
use crate::file::Plan;
use crate::item::{Item, last};
use crate::line::{Asked, Line};

/// Where `--pattern` or `--rate` of a command line puts another model in the place of a plan's, these go with it.
const OF_THE_MODEL: [&str; 6] = ["pattern", "rate", "duration", "think", "connections", "poisson"];

/// How the content of a file of the user's machine is had.
pub(crate) type Read<'a> = &'a mut dyn FnMut(&str) -> Result<Vec<u8>, Failure>;

/// A whole plan, not yet understood.
#[derive(Debug)]
pub(crate) struct Draft {
    /// Of the plan's file first, so that those of the command line are the last of their kind.
    pub(crate) globals: Vec<Item>,
    /// At least one.
    pub(crate) steps: Vec<Asked>,
}

impl Draft {
    /// Reads the command line, and the plan that it names.
    ///
    /// # Errors
    ///
    /// For options at the wrong place, a file that is no plan, and steps from nowhere or from both.
    pub(crate) fn read(arguments: &Arguments, read: Read<'_>) -> Result<Self, Failure> {
        let line = Line::read(arguments)?;
        let plan = match &line.plan {
            None => Plan::default(),
            Some(name) => {
                let shown = if name == "-" { "stdin" } else { name };
                Plan::read(shown, read(name)?)?
            }
        };
        if let (Some(asked), false) = (line.steps.first(), plan.steps.is_empty()) {
            let wrong = "the plan has steps; they come from one of the two";
            return Err(asked.url.refuse(wrong));
        }
        let steps = if plan.steps.is_empty() { line.steps } else { plan.steps };
        if steps.is_empty() {
            let text = match &line.plan {
                None => "no URL specified".to_owned(),
                Some(name) => format!("no URL specified, and no [[steps]] in the plan {name}"),
            };
            return Err(Failure::new(EXIT_USAGE, text));
        }
        let mut globals = plan.globals;
        let is_another = ["pattern", "rate"].iter().any(|key| last(&line.globals, key).is_some());
        globals.retain(|item| !is_another || !OF_THE_MODEL.contains(&item.key));
        globals.extend(line.globals);
        Ok(Self { globals, steps })
    }
}
