//! The whole plan, as the host takes it.

use std::time::Duration;

use blitz_plugin::Failure;
use blitz_plugin::load::{HttpVersion, Plan, STEPS_MAX, VARIABLES_MAX};

use crate::draft::{Draft, Read};
use crate::item::{Item, last};
use crate::model::{self, Model, time, whole};
use crate::template::Scope;
use crate::{refused, step};

/// A thought, or a warm-up, is shorter than the longest test.
const PAUSE_MAX: Duration = Duration::from_millis(24 * 3600 * 1000 - 1);
/// Requests at once on one connection, as the contract has it.
const STREAMS_MAX: u64 = 1000;

/// Understands a draft.
///
/// # Errors
///
/// For the first thing that is wrong, in the user's words.
pub(crate) fn of(draft: &Draft, read: Read<'_>) -> Result<Plan, Failure> {
    let Draft { globals, steps: asked } = draft;
    if let Some(one_more) = asked.get(STEPS_MAX) {
        return Err(one_more.url.refuse(format!("a transaction has at most {STEPS_MAX} steps")));
    }
    let (mut steps, mut scope) = (Vec::new(), Scope::default());
    for asked in asked {
        let before = steps.last().map(|step: &blitz_plugin::load::Step| step.url.clone());
        steps.push(step::of(asked, before.as_deref(), &mut scope, read)?);
    }
    let variables: usize = steps.iter().map(|step| step.variables.len()).sum();
    if let (true, Some(url)) = (variables > VARIABLES_MAX, asked.last().map(|asked| &asked.url)) {
        return Err(
            url.refuse(format!("a plan has at most {VARIABLES_MAX} variables, not {variables}"))
        );
    }
    let Model { shape, requests, transactions } = model::of(globals, &steps)?;
    let has = |key: &str| globals.iter().any(|item| item.key == key);
    let plan = Plan {
        steps,
        shape,
        requests,
        transactions,
        think_ms: pause_ms(globals, "think")?,
        warm_up_ms: pause_ms(globals, "warm-up")?,
        connections: connections(globals)?,
        keep_alive: !has("no-keepalive"),
        version: if has("http2") { HttpVersion::Http2 } else { HttpVersion::Http1 },
        streams: streams(globals, has("http2"))?,
        verify: !has("insecure"),
        resume: !has("no-resume"),
        seed: last(globals, "seed").map_or(Ok(0), |text| whole(text, 0, u64::MAX))?,
    };
    if let Some(text) = last(globals, "warm-up").filter(|_| is_all_warm_up(&plan)) {
        let length = plan.shape.duration();
        return Err(text.refuse(format!("nothing is left to measure: the test is {length:?} long")));
    }
    match plan.check() {
        Ok(()) => Ok(plan),
        Err(error) => Err(refused::in_words(draft, &error)),
    }
}

fn is_all_warm_up(plan: &Plan) -> bool {
    Duration::from_millis(plan.warm_up_ms) >= plan.shape.duration()
}

fn pause_ms(globals: &[Item], key: &str) -> Result<u64, Failure> {
    last(globals, key).map_or(Ok(0), |text| time(text, Duration::ZERO, PAUSE_MAX))
}

fn connections(globals: &[Item]) -> Result<Option<u32>, Failure> {
    let Some(text) = last(globals, "connections") else { return Ok(None) };
    Ok(u32::try_from(whole(text, 1, u64::from(u32::MAX))?).ok())
}

fn streams(globals: &[Item], is_http2: bool) -> Result<u32, Failure> {
    let Some(text) = last(globals, "streams") else { return Ok(1) };
    match u32::try_from(whole(text, 1, STREAMS_MAX)?) {
        Ok(streams) if streams == 1 || is_http2 => Ok(streams),
        _ => Err(text.refuse("only with --http2: HTTP/1.1 has one request at a time")),
    }
}
