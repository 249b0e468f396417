//! What the host's own check of a plan finds, in the user's words: it names places of the plan, and the user wrote options.

use blitz_plugin::Failure;
use blitz_plugin::load::PlanError;

use crate::EXIT_USAGE;
use crate::draft::Draft;
use crate::item::{all, last};

/// Tells the error at what the user wrote.
pub(crate) fn in_words(draft: &Draft, error: &PlanError) -> Failure {
    let wrong = format!("{}, not {}", error.rule, error.found);
    let text = match error.place.strip_prefix("steps[").and_then(|rest| rest.split_once(']')) {
        Some((number, field)) => {
            let step = number.parse::<usize>().ok().and_then(|number| draft.steps.get(number));
            step.map(|step| {
                let option = option_of(field.trim_start_matches('.'));
                let named = field.rsplit('.').next().unwrap_or_default();
                let variable = all(&step.items, "variable").find(|item| item.name == named);
                let text = variable.map(|item| item.text());
                text.or_else(|| last(&step.items, option)).unwrap_or(&step.url)
            })
        }
        None => {
            let options: &[&str] = match error.place.split(['.', '[']).next().unwrap_or_default() {
                "shape" => &["pattern", "rate", "duration", "requests"],
                "warm_up_ms and think_ms" => &["warm-up", "think"],
                _ => &[],
            };
            let given = options.iter().find_map(|option| last(&draft.globals, option));
            given.or_else(|| last(&draft.globals, &error.place))
        }
    };
    match text {
        Some(text) => text.refuse(wrong),
        None => Failure::new(EXIT_USAGE, format!("{}: {wrong}", error.place)),
    }
}

/// The option whose value a field of a step is.
fn option_of(field: &str) -> &str {
    match field {
        "method" => "request",
        "headers" => "header",
        "body" => "data",
        "timeout_ms" => "timeout",
        "extract" => "xtract",
        "variables" => "variable",
        field => field,
    }
}
