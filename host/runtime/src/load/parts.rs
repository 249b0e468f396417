//! A second in records: one tick where it fits, else several that add up to it.

use blitz_contract::load::{ClassTick, Closing, Distribution, Opening, StepTick, Tick};
use blitz_contract::secret::{MASK, is_secret_header, masked_url};

use crate::limits::EVENT_MAX_BYTES;

/// Letters of a text in a tick, so that no text fills a record.
const TEXT_CHARS_MAX: usize = 500;
/// What a closing takes of a record, at most: its text in JSON, where each letter may take six bytes.
const CLOSING_BYTES_MAX: usize = TEXT_CHARS_MAX * 6 + 200;

/// The JSON of one second. The last one has the closing.
pub(super) fn of_tick(mut tick: Tick) -> Vec<String> {
    let closing =
        tick.closing.take().map(|closing| Closing { text: short(&closing.text), ..closing });
    for first in &mut tick.firsts {
        first.text = short(&first.text);
    }
    let mut parts = Vec::new();
    split(tick, &mut parts);
    if let Some((last, closing)) = parts.last_mut().zip(closing) {
        last.closing = Some(closing);
    }
    parts.iter().filter_map(|part| serde_json::to_string(part).ok()).collect()
}

/// The JSON of an opening. Values of headers that log somebody in, and the userinfo of URLs, are hidden. A plan that is too large for a record is told without its bodies, the lists of its variables and
/// its headers: the report needs its shape and its URLs.
///
/// # Errors
///
/// The text of a limit.
pub(super) fn of_opening(mut opening: Opening) -> Result<String, String> {
    let json = |opening: &Opening| serde_json::to_string(opening).map_err(|e| e.to_string());
    for (name, value) in opening.plan.steps.iter_mut().flat_map(|step| &mut step.headers) {
        if is_secret_header(name) {
            MASK.clone_into(value);
        }
    }
    for step in &mut opening.plan.steps {
        step.url = masked_url(&step.url);
    }
    let mut text = json(&opening)?;
    if text.len() > EVENT_MAX_BYTES {
        for step in &mut opening.plan.steps {
            step.body = None;
            step.variables.clear();
            step.headers.clear();
        }
        text = json(&opening)?;
    }
    if text.len() > EVENT_MAX_BYTES {
        return Err(format!(
            "the plan takes {} bytes without its bodies and headers, a record of it has at most {EVENT_MAX_BYTES}; give it fewer \
             segments, or shorter URLs",
            text.len()
        ));
    }
    Ok(text)
}

fn split(mut tick: Tick, parts: &mut Vec<Tick>) {
    let fits = serde_json::to_string(&tick)
        .is_ok_and(|text| text.len() <= EVENT_MAX_BYTES - CLOSING_BYTES_MAX);
    if fits {
        return parts.push(tick);
    }
    match cut(&mut tick) {
        Some(rest) => {
            split(tick, parts);
            split(rest, parts);
        }
        // Nothing is left that could grow so large.
        None => parts.push(tick),
    }
}

/// Takes about half of what is largest out, as a tick of its own.
fn cut(tick: &mut Tick) -> Option<Tick> {
    let mut rest = Tick { second: tick.second, is_warm_up: tick.is_warm_up, ..Tick::default() };
    if tick.steps.len() > 1 {
        rest.steps = tick.steps.split_off(tick.steps.len() / 2);
        return Some(rest);
    }
    if let Some(step) = tick.steps.first_mut() {
        if step.classes.len() > 1 {
            let classes = step.classes.split_off(step.classes.len() / 2);
            rest.steps = vec![StepTick { step: step.step, classes, ..StepTick::default() }];
            return Some(rest);
        }
        if let Some(class) = step.classes.first_mut()
            && let Some((service_us, response_us)) =
                halves(&mut class.service_us, &mut class.response_us)
        {
            let statuses = Default::default();
            let class = ClassTick { class: class.class, statuses, service_us, response_us };
            rest.steps =
                vec![StepTick { step: step.step, classes: vec![class], ..StepTick::default() }];
            return Some(rest);
        }
    }
    let (lag_us, connect_us) = halves(&mut tick.lag_us, &mut tick.connect_us).unwrap_or_default();
    let (tls_us, _) = halves(&mut tick.tls_us, &mut Distribution::default()).unwrap_or_default();
    if lag_us.is_empty() && connect_us.is_empty() && tls_us.is_empty() {
        return None;
    }
    Some(Tick { lag_us, connect_us, tls_us, ..rest })
}

/// The second halves of both; `None` when there is nothing to halve.
fn halves(one: &mut Distribution, two: &mut Distribution) -> Option<(Distribution, Distribution)> {
    let half = |whole: &mut Distribution| {
        let counts: Vec<(u64, u64)> = whole.counts().collect();
        let (first, second) = counts.split_at(counts.len().div_ceil(2));
        *whole = Distribution::of(first.iter().copied());
        Distribution::of(second.iter().copied())
    };
    let cut = (half(one), half(two));
    (!cut.0.is_empty() || !cut.1.is_empty()).then_some(cut)
}

fn short(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use blitz_contract::load::{ErrorKind, First, Share, Verdict};

    use super::*;

    fn wide(from: u64) -> Distribution {
        Distribution::of((from..from + 4000).map(|n| (n * n / 7, n)))
    }

    #[test]
    fn an_opening_tells_no_secret() {
        let headers = [
            ("Authorization", "Basic aGVsbG8="),
            ("cookie", "id=hello"),
            ("X-Api-Key", "hello"),
            ("accept", "text/html"),
        ];
        let plan = serde_json::json!({
            "steps": [{"method": "GET", "url": "http://127.0.0.1/", "timeout_ms": 1, "headers": headers}],
            "shape": {"users": {"segments": [{"from": 1.0, "to": 1.0, "duration_ms": 1}]}},
        });
        let opening = Opening {
            plan: blitz_contract::load::Plan::from_json(&plan.to_string()).unwrap(),
            share: Share::WHOLE,
            workers: 1,
            started_at_ms: 0,
            missing: 0,
            targets: Vec::new(),
        };
        let told: Opening = serde_json::from_str(&of_opening(opening).unwrap()).unwrap();
        let values: Vec<_> = told.plan.steps[0].headers.iter().map(|(_, value)| value).collect();
        assert_eq!(values, ["***", "***", "***", "text/html"]);
        assert_eq!(told.plan.check(), Ok(()));
    }

    #[test]
    fn parts_are_small_and_add_up() {
        let class = |class: u8| ClassTick {
            class,
            statuses: BTreeMap::from([(u16::from(class) * 100, 7)]),
            service_us: wide(1),
            response_us: wide(5),
        };
        let steps = (0..3).map(|step| StepTick {
            step,
            classes: (2..6).map(class).collect(),
            errors: BTreeMap::from([(ErrorKind::Timeout, 3)]),
            sent_bytes: 9,
            received_bytes: 10,
            ..StepTick::default()
        });
        let closing = Closing {
            share: Share::WHOLE,
            verdict: Verdict::Failed,
            text: "\u{1}".repeat(9999),
            at_us: Some(3_500_000),
        };
        let first =
            First { kind: ErrorKind::Timeout, at_ms: 4, users: 5, text: "\u{1}".repeat(9999) };
        let whole = Tick {
            second: 3,
            users: 5,
            connections: 6,
            asked: 7,
            sent: 8,
            backlog: 9,
            steps: steps.collect(),
            lag_us: wide(3),
            connect_us: wide(2),
            tls_us: wide(9),
            cpu_us: 11,
            starved_us: 12,
            is_warm_up: true,
            firsts: vec![first],
            closing: Some(closing),
        };
        let parts = of_tick(whole.clone());
        assert!(parts.len() > 10, "{}", parts.len());
        let mut sum = Tick::default();
        for (number, part) in parts.iter().enumerate() {
            assert!(part.len() <= EVENT_MAX_BYTES, "{}", part.len());
            let part: Tick = serde_json::from_str(part).unwrap();
            assert_eq!((part.second, part.is_warm_up), (3, true));
            assert_eq!(part.closing.is_some(), number + 1 == parts.len());
            sum.add(&part);
        }
        sum.second = 3;
        assert_eq!(sum.firsts[0].text.chars().count(), TEXT_CHARS_MAX);
        assert_eq!(sum.closing.as_ref().unwrap().text.chars().count(), TEXT_CHARS_MAX);
        sum.firsts.clone_from(&whole.firsts);
        sum.closing.clone_from(&whole.closing);
        assert_eq!(sum, whole);
        assert_eq!(of_tick(Tick::default()).len(), 1);
    }
}
