//! What a terminal shows while a load test runs: figures and words of one moment, ready to be drawn at any size. Pure.

use std::sync::Arc;

use blitz_contract::load::{Plan, Shape};
use blitz_report::{Figures, Run, Second, words};

use super::parts::PartState;
use super::row::{Count, Heads, Row, is_told};
use crate::cells::line;

/// Rows of the table that are kept for tall screens.
const ROWS_MAX: usize = 200;
/// Points of the chart: more than a screen has columns.
const POINTS_MAX: usize = 2000;
/// Seconds behind the newest one to which a late part may still add.
const LATE_SECONDS: u32 = 3;

/// One moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct View {
    /// What is loaded, and how.
    pub(super) title: String,
    /// How far it is.
    pub(super) stage: String,
    /// It is being cancelled.
    pub(crate) is_ending: bool,
    /// ^C ends the test, and not the view alone.
    pub(super) owns_jobs: bool,
    pub(super) rows: Arc<Vec<Row>>,
    pub(super) heads: Heads,
    pub(super) points: Arc<Vec<Point>>,
    /// What the points stand over.
    pub(super) axis: Axis,
    /// A line for each region, where there are several parts.
    pub(super) parts: Vec<PartLine>,
    /// All answers so far.
    pub(super) total: String,
    /// Errors so far by kind; empty when there are none.
    pub(super) errors: String,
    /// The generator itself.
    pub(super) generator: String,
    /// The last words of the plugin or of the command itself.
    pub(super) said: Vec<String>,
    pub(super) color: bool,
}

/// One part as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct PartLine {
    pub(super) label: String,
    pub(super) stage: String,
    pub(super) figures: String,
    pub(super) is_lost: bool,
}

/// What the chart has on its lower edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Axis {
    #[default]
    Users,
    Rate,
    /// The load does not change: over it all points would be one.
    Time,
}

/// A second in the chart, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Point {
    pub(super) at: f64,
    pub(super) p50_ms: f64,
    pub(super) p95_ms: f64,
    pub(super) p99_ms: f64,
}

/// Makes views of a run, second by second.
#[derive(Debug, Default)]
pub(super) struct Views {
    /// Seconds that no part adds to any more.
    settled: u32,
    count: Count,
    rows: Vec<Row>,
    points: Vec<Point>,
}

impl Views {
    /// The view of this moment.
    pub(super) fn view(&mut self, run: &Run, parts: &[PartState], what: &str) -> View {
        let axis = run.plan().map_or(Axis::Users, axis);
        let told = run.second_count();
        while self.settled + LATE_SECONDS < told {
            let second = run.second(self.settled);
            self.count.add(&second);
            if is_told(&second, run.plan()) {
                self.rows.push(Row::of(&second, self.count));
            }
            self.points.extend(point(&second, axis));
            self.settled += 1;
        }
        // The oldest ones go, some at a time.
        if self.rows.len() > ROWS_MAX * 2 {
            self.rows.drain(..ROWS_MAX);
        }
        if self.points.len() > POINTS_MAX * 2 {
            // Every other one: the chart keeps its whole width.
            let mut keep = false;
            self.points.retain(|_| {
                keep = !keep;
                keep
            });
        }
        let (mut rows, mut points, mut count) =
            (self.rows.clone(), self.points.clone(), self.count);
        let mut newest = None;
        for number in self.settled..told {
            let second = run.second(number);
            count.add(&second);
            if is_told(&second, run.plan()) {
                rows.push(Row::of(&second, count));
            }
            points.extend(point(&second, axis));
            newest = Some(second);
        }
        let furthest = parts.iter().map(PartState::told).max().unwrap_or_default();
        let so_far = run.so_far();
        View {
            title: title(what, run.plan()),
            stage: stage(parts, furthest),
            is_ending: false,
            owns_jobs: true,
            rows: Arc::new(rows),
            heads: Heads::of(run.plan()),
            points: Arc::new(points),
            axis,
            parts: if parts.len() > 1 { part_lines(parts, furthest) } else { Vec::new() },
            total: total(&so_far),
            errors: errors(&so_far),
            generator: generator(&so_far, newest.as_ref()),
            said: Vec::new(),
            color: false,
        }
    }
}

/// `rush http://host/  users 1 to 250 in 1:00`
fn title(what: &str, plan: Option<&Plan>) -> String {
    let Some(plan) = plan else { return line(what) };
    let url = plan.steps.first().map_or("", |step| step.url.as_str());
    let more = match plan.steps.len() {
        0 | 1 => String::new(),
        steps => format!(" and {} more", steps - 1),
    };
    line(&format!("{what} {url}{more}  {}", shape(&plan.shape)))
}

/// The plan's shape in a few words.
pub(super) fn shape(shape: &Shape) -> String {
    let what = match shape {
        Shape::Users { .. } => "users",
        Shape::Rate { .. } => "per second",
    };
    let heights: Vec<String> = match shape.segments() {
        [] => Vec::new(),
        [first, rest @ ..] => {
            let mut heights = vec![first.from, first.to];
            heights.extend(rest.iter().flat_map(|segment| [segment.from, segment.to]));
            heights.dedup();
            heights.iter().map(ToString::to_string).collect()
        }
    };
    // A plan may have a segment a minute.
    let heights = match &heights[..] {
        [first, _, .., last] if heights.len() > 4 => format!("{first} .. {last}"),
        few => few.join(" to "),
    };
    let length = words::clock(shape.duration().as_secs());
    format!("{heights} {what}, {length}")
}

fn axis(plan: &Plan) -> Axis {
    let mut heights = plan.shape.segments().iter().flat_map(|segment| [segment.from, segment.to]);
    let first = heights.next();
    let is_flat = heights.all(|height| Some(height) == first);
    match &plan.shape {
        _ if is_flat => Axis::Time,
        Shape::Users { .. } => Axis::Users,
        Shape::Rate { .. } => Axis::Rate,
    }
}

fn point(second: &Second, axis: Axis) -> Option<Point> {
    let response = &second.tally.response;
    let ms = |us: u64| us as f64 / 1000.0;
    let at = match axis {
        Axis::Users => second.users as f64,
        Axis::Rate => second.asked as f64,
        Axis::Time => f64::from(second.second.saturating_add(1)),
    };
    // Answers behind the end of the plan stand over no load.
    (!response.is_empty() && at > 0.0).then(|| Point {
        at,
        p50_ms: ms(response.p50_us()),
        p95_ms: ms(response.p95_us()),
        p99_ms: ms(response.p99_us()),
    })
}

/// Of one part its own words; of several how many are where.
fn stage(parts: &[PartState], furthest: u32) -> String {
    match parts {
        [only] => only.stage_text(furthest),
        _ => {
            let lost = parts.iter().filter(|part| part.is_lost()).count();
            let started = parts.iter().filter(|part| part.told() > 0).count();
            let mut text = match started {
                0 => format!("{} parts, none has begun", parts.len()),
                _ => format!("{} at {}", parts.len(), words::clock(furthest.into())),
            };
            if started > 0 {
                text = text.replacen(" at ", " parts at ", 1);
            }
            if lost > 0 {
                text.push_str(&format!(", {lost} lost"));
            }
            text
        }
    }
}

fn part_lines(parts: &[PartState], furthest: u32) -> Vec<PartLine> {
    let of = |part: &PartState| PartLine {
        label: part.label.clone(),
        stage: part.stage_text(furthest),
        figures: part.figures().map_or_else(String::new, |f| {
            let now = f.now.map_or_else(String::new, |(users, hits_per_s)| {
                format!("{users} users  {} hits/s  ", words::count(hits_per_s))
            });
            format!(
                "{now}{} hits  {} errors  p50 {}  p99 {}",
                words::count(f.hits),
                words::count(f.errors),
                words::micros(f.p50_us),
                words::micros(f.p99_us),
            )
        }),
        is_lost: part.is_lost(),
    };
    parts.iter().map(of).collect()
}

fn total(so_far: &Figures) -> String {
    let tally = &so_far.tally;
    if tally.response.is_empty() {
        return "no answer yet".to_owned();
    }
    format!(
        "{} hits  {} in  response p50 {}  p95 {}  p99 {}  max {}",
        words::count(tally.hits),
        words::bytes(tally.received_bytes),
        words::micros(tally.response.p50_us()),
        words::micros(tally.response.p95_us()),
        words::micros(tally.response.p99_us()),
        words::micros(tally.response.max_us()),
    )
}

fn errors(so_far: &Figures) -> String {
    let kinds = so_far.tally.errors.kinds.iter();
    let kinds = kinds.map(|(kind, count)| format!("{} {}", line(kind), words::count(*count)));
    kinds.collect::<Vec<_>>().join(", ")
}

/// Whether it keeps up: its own lag, what was sent of what was due, and its CPU.
fn generator(so_far: &Figures, newest: Option<&Second>) -> String {
    if so_far.asked == 0 {
        return String::new();
    }
    let lag = match so_far.lag.is_empty() {
        true => String::new(),
        false => format!("lag p99 {}  ", words::micros(so_far.lag.p99_us())),
    };
    let mut text =
        format!("{lag}sent {} of {}", words::count(so_far.sent), words::count(so_far.asked),);
    if let Some(newest) = newest {
        text.push_str(&format!("  backlog {}", words::count(newest.backlog)));
        text.push_str(&format!("  {} connections", words::count(newest.connections)));
        text.push_str(&format!("  CPU {} %", newest.cpu_us.div_ceil(10_000)));
        if newest.starved_us >= 10_000 {
            text.push_str(&format!("  starved {} %", newest.starved_us / 10_000));
        }
    }
    text
}
