//! A tick that is too long for one document, as several that add up to it.

use std::collections::BTreeMap;

use blitz_contract::load::{ClassTick, Distribution, StepTick, Tick};
use serde_json::{Value, json};

/// JSON of one part is shorter than this: a record of a job's output has 64 KiB at most, and what is around the tick
/// needs some of it.
pub(crate) const PART_BYTES_MAX: usize = 60 << 10;

/// What a part has beside what is counted here: names of fields, numbers, closing.
const FRAME_BYTES: usize = 2 << 10;

/// Names of the fields and numbers of a step.
const STEP_BYTES: usize = 320;

/// Names of the fields and numbers of a class.
const CLASS_BYTES: usize = 160;

/// The parts, of which each is a tick of the same second: everything adds up, and the states at the end of the second stand in
/// the first alone, the closing in the last.
pub(crate) fn split(mut tick: Tick) -> Vec<Tick> {
    let closing = tick.closing.take();
    let steps = std::mem::take(&mut tick.steps);
    let whole = [&mut tick.lag_us, &mut tick.connect_us, &mut tick.tls_us].map(std::mem::take);
    let fixed = FRAME_BYTES + json_bytes(&json!(tick.firsts)) + json_bytes(&json!(closing));
    let (second, is_warm_up) = (tick.second, tick.is_warm_up);
    let mut parts = Parts {
        room: PART_BYTES_MAX.saturating_sub(fixed),
        full: PART_BYTES_MAX.saturating_sub(FRAME_BYTES + json_bytes(&json!(closing))),
        blank: Tick { second, is_warm_up, ..Tick::default() },
        done: Vec::new(),
        last: tick,
    };
    let places: [fn(&mut Tick) -> &mut Distribution; 3] =
        [|part| &mut part.lag_us, |part| &mut part.connect_us, |part| &mut part.tls_us];
    for (distribution, place) in whole.iter().zip(places) {
        parts.pour(distribution, 0, place);
    }
    for step in steps {
        parts.step(step);
    }
    parts.last.closing = closing;
    parts.done.push(parts.last);
    parts.done
}

/// Parts that are full, and the one that is filled.
struct Parts {
    /// Bytes that the last one can still take.
    room: usize,
    /// Bytes that a blank one can take.
    full: usize,
    blank: Tick,
    done: Vec<Tick>,
    last: Tick,
}

impl Parts {
    fn next(&mut self) {
        self.done.push(std::mem::replace(&mut self.last, self.blank.clone()));
        self.room = self.full;
    }

    /// Takes room in the last part, or in a new one.
    fn take(&mut self, bytes: usize) {
        if self.room < bytes {
            self.next();
        }
        self.room = self.room.saturating_sub(bytes);
    }

    /// Puts a distribution at its place, in as many parts as it needs; `opening` is what the place itself costs in each.
    fn pour(
        &mut self,
        from: &Distribution,
        opening: usize,
        place: impl Fn(&mut Tick) -> &mut Distribution,
    ) {
        let mut run: Vec<(u64, u64)> = Vec::new();
        for (value, count) in from.counts() {
            // `[value,count],`
            let bytes = digits(value) + digits(count) + 4;
            if self.room < bytes {
                place(&mut self.last).add(&Distribution::of(run.drain(..)));
                self.next();
                self.room = self.room.saturating_sub(opening);
            }
            self.room = self.room.saturating_sub(bytes);
            run.push((value, count));
        }
        if !run.is_empty() {
            place(&mut self.last).add(&Distribution::of(run));
        }
    }

    fn step(&mut self, step: StepTick) {
        self.take(STEP_BYTES + json_bytes(&json!(step.errors)));
        let StepTick { step: number, classes, errors, repeated, sent_bytes, received_bytes } = step;
        let counts = StepTick {
            step: number,
            errors,
            repeated,
            sent_bytes,
            received_bytes,
            classes: Vec::new(),
        };
        self.last.steps.push(counts);
        for class in classes {
            let opening = STEP_BYTES + CLASS_BYTES;
            self.take(opening + json_bytes(&json!(class.statuses)));
            let digit = class.class;
            place_of(&mut self.last, number, digit).statuses = class.statuses;
            self.pour(&class.service_us, opening, |part| {
                &mut place_of(part, number, digit).service_us
            });
            self.pour(&class.response_us, opening, |part| {
                &mut place_of(part, number, digit).response_us
            });
        }
    }
}

/// Where a class of a step stands in a part, made when it does not.
fn place_of(part: &mut Tick, step: u32, class: u8) -> &mut ClassTick {
    let at = part.steps.iter().position(|own| own.step == step).unwrap_or_else(|| {
        part.steps.push(StepTick { step, ..StepTick::default() });
        part.steps.len() - 1
    });
    let classes = &mut part.steps[at].classes;
    let at = classes.iter().position(|own| own.class == class).unwrap_or_else(|| {
        classes.push(ClassTick { class, statuses: BTreeMap::new(), ..ClassTick::default() });
        classes.len() - 1
    });
    &mut classes[at]
}

fn digits(number: u64) -> usize {
    usize::try_from(number.max(1).ilog10()).unwrap_or(20) + 1
}

fn json_bytes(value: &Value) -> usize {
    value.to_string().len()
}
