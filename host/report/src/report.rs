//! The result of a test, complete: from it everything else is made, and as JSON it is kept and compared later.

use blitz_contract::load::{First, Plan, Share, Verdict};
use serde::{Deserialize, Serialize};

use crate::judgement::{self, Judgement};
use crate::knee::{self, Knee};
use crate::latency::Latency;
use crate::measured::measured_s;
use crate::part::{OpenPart, PartEnd, keep_first};
use crate::run::Run;
use crate::second::Second;
use crate::sum::{Gauges, Sum};
use crate::tally::Tally;

/// Version of the form. A reader takes what it does not know as not said; a new number is for what an old reader would
/// misunderstand.
pub const FORMAT: u32 = 1;
/// What the field `kind` says.
const KIND: &str = "load-report";

/// What came of a load test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of the program that wrote it.
    pub blitz: String,
    /// `load-report`.
    pub kind: String,
    /// [`FORMAT`].
    pub format: u32,
    /// What was to be done; none when no engine began.
    pub plan: Option<Plan>,
    /// Where the requests went: origins with their addresses.
    pub targets: Vec<(String, Vec<String>)>,
    /// When the first engine started, by its clock, in milliseconds since 1970.
    pub started_at_ms: Option<u64>,
    /// From the first engine's start to the last one's, by the clocks of the engines.
    pub skew_ms: u64,
    /// Time that counts: without the warm-up, up to when nothing more was sent.
    pub measured_s: f64,
    /// Engines that were asked for and did not come to the start.
    pub missing: u32,
    /// Events that could not be read, and plans that differed.
    pub malformed: u64,
    /// Whether the figures are the target's, or the generator's own.
    pub judgement: Judgement,
    /// Everything together.
    pub total: Figures,
    /// By step, in the order of the plan.
    pub steps: Vec<StepTally>,
    /// By region.
    pub regions: Vec<RegionFigures>,
    /// By engine.
    pub parts: Vec<PartFigures>,
    /// The first error of each kind, the earliest first.
    pub firsts: Vec<First>,
    /// Where more load brought no more answers.
    pub knee: Option<Knee>,
    /// Every second, those of the warm-up and those of which nobody told included.
    pub seconds: Vec<Second>,
}

/// Figures of a part, a region, or all.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Figures {
    /// Requests that were due.
    pub asked: u64,
    /// Requests that were sent.
    pub sent: u64,
    /// The same by [`Report::measured_s`].
    pub sent_per_s: f64,
    /// What came back.
    pub tally: Tally,
    /// The generator's own: from when a request was due and could be sent to when it was sent.
    pub lag: Latency,
    /// To connect by TCP.
    pub connect: Latency,
    /// Handshakes of TLS.
    pub tls: Latency,
    /// The most at the end of a second.
    pub peaks: Peaks,
}

/// The most at the end of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Peaks {
    /// Users, or transactions that were not ended.
    pub users: u64,
    /// Open connections.
    pub connections: u64,
    /// Requests that were due and not sent.
    pub backlog: u64,
}

impl From<Gauges> for Peaks {
    fn from(gauges: Gauges) -> Self {
        let Gauges { users, connections, backlog } = gauges;
        Self { users, connections, backlog }
    }
}

impl Peaks {
    fn or(self, other: Self) -> Self {
        Self {
            users: self.users.max(other.users),
            connections: self.connections.max(other.connections),
            backlog: self.backlog.max(other.backlog),
        }
    }
}

/// One step of the transaction.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StepTally {
    /// Its place in the plan, from 0.
    pub step: u32,
    /// What came back.
    pub tally: Tally,
}

/// All engines of a region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegionFigures {
    /// Its name.
    pub region: String,
    /// Engines that told anything.
    pub engines: u32,
    /// Together.
    pub figures: Figures,
}

/// One engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartFigures {
    /// How it is named for people.
    pub label: String,
    /// Where it ran.
    pub region: String,
    /// What of the plan was its; none when it never began.
    pub share: Option<Share>,
    /// Processes that made the load.
    pub workers: u32,
    /// By its clock, in milliseconds since 1970.
    pub started_at_ms: Option<u64>,
    /// Whether its whole share was carried out, and told.
    pub is_whole: bool,
    /// In words, where it was not.
    pub fate: String,
    /// The last second that it told of.
    pub told: Option<u32>,
    /// Seconds in which a worker used more than 80 % of a core.
    pub busy_seconds: u32,
    /// Its own. The peaks are of single ticks.
    pub figures: Figures,
}

/// What is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Not the JSON of one.
    #[error("read the report of a load test: {0}; `--json` of a load test writes one")]
    Json(#[from] serde_json::Error),
    /// JSON, but something else.
    #[error("this is {0:?} and not a {KIND:?}; `--json` of a load test writes one")]
    Kind(String),
    /// A number that no test can have.
    #[error("the report has the number {0}: it was not written by a load test")]
    Number(serde_json::Number),
    /// Of a version that is not known here.
    #[error(
        "the report has the format {0}, and this program reads {FORMAT}: a newer blitz reads it"
    )]
    Format(u32),
}

impl Report {
    /// Reads what [`Report::to_json`] wrote.
    ///
    /// # Errors
    ///
    /// [`ReportError`] says what it is instead.
    pub fn from_json(text: &str) -> Result<Self, ReportError> {
        #[derive(Deserialize)]
        struct Head {
            kind: String,
            format: u32,
        }
        let value: serde_json::Value = serde_json::from_str(text)?;
        let head = Head::deserialize(&value)?;
        if head.kind != KIND {
            return Err(ReportError::Kind(head.kind.chars().take(40).collect()));
        }
        if head.format != FORMAT {
            return Err(ReportError::Format(head.format));
        }
        if let Some(number) = impossible(&value) {
            return Err(ReportError::Number(number.clone()));
        }
        Ok(Self::deserialize(value)?)
    }

    /// One line of JSON.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "it cannot: a report is plain data")]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a report is plain data with keys of text and numbers")
    }

    /// Seconds that count: not of the warm-up, and told by somebody.
    pub fn counted(&self) -> impl DoubleEndedIterator<Item = &Second> {
        self.seconds.iter().filter(|second| !second.is_warm_up && second.parts > 0)
    }

    /// Seconds that count and are whole: none of them after the plan's end.
    pub(crate) fn steady(&self) -> impl DoubleEndedIterator<Item = &Second> {
        let end = self.plan.as_ref().map_or(u128::MAX, |plan| plan.shape.duration().as_millis());
        self.counted().filter(move |second| u128::from(second.second) * 1000 < end)
    }

    /// Whether arrivals do not wait for answers.
    #[must_use]
    pub fn is_open_model(&self) -> bool {
        use blitz_contract::load::Shape;
        self.plan.as_ref().is_some_and(|plan| matches!(plan.shape, Shape::Rate { .. }))
    }

    pub(crate) fn total(run: &Run) -> Figures {
        let measured_s = measured_s(run);
        let mut total = figures(run, std::iter::once(&run.total), measured_s);
        for row in run.rows.values().filter(|row| row.is_counted()) {
            total.peaks = total.peaks.or(row.all_gauges().into());
        }
        total
    }

    pub(crate) fn of(run: &Run) -> Self {
        let measured_s = measured_s(run);
        let regions = run.regions.iter().enumerate().map(|(number, region)| {
            let mut all = figures(run, run.sums(number), measured_s);
            for row in run.rows.values().filter(|row| row.is_counted()) {
                all.peaks = all.peaks.or(row.gauges(number).into());
            }
            let told = run.parts.iter().filter(|p| p.region == number && p.told.is_some()).count();
            let engines = u32::try_from(told).unwrap_or(u32::MAX);
            RegionFigures { region: region.clone(), engines, figures: all }
        });
        let mut firsts = Vec::new();
        for first in run.parts.iter().flat_map(|part| &part.firsts) {
            keep_first(&mut firsts, first.clone());
        }
        firsts.sort_by_key(|first| first.at_ms);
        let starts = || run.parts.iter().filter_map(|part| Some(part.opening?.started_at_ms));
        let first_start = starts().min();
        let malformed = run.parts.iter().map(|part| part.malformed).sum::<u64>();
        let mut report = Self {
            blitz: env!("CARGO_PKG_VERSION").to_owned(),
            kind: KIND.to_owned(),
            format: FORMAT,
            plan: run.plan.clone(),
            targets: run.targets.clone(),
            started_at_ms: first_start,
            skew_ms: starts().max().zip(first_start).map_or(0, |(last, first)| last - first),
            measured_s,
            missing: run.parts.iter().filter_map(|p| Some(p.opening?.missing)).max().unwrap_or(0),
            malformed: malformed + run.strange,
            judgement: Judgement::default(),
            total: Self::total(run),
            steps: run.total.steps(run.plan.as_ref()),
            regions: regions.collect(),
            parts: run.parts.iter().map(|part| part_figures(run, part, measured_s)).collect(),
            firsts,
            knee: None,
            seconds: (0..run.told_count()).map(|second| run.second(second)).collect(),
        };
        report.knee = knee::find(&report);
        report.judgement = judgement::judge(&report);
        report
    }
}

fn figures<'a>(run: &Run, sums: impl Iterator<Item = &'a Sum>, measured_s: f64) -> Figures {
    let each: Vec<Figures> = sums.map(|sum| sum.figures(run.plan.as_ref())).collect();
    if let [one] = each.as_slice() {
        return Figures { sent_per_s: written(per_second(one.sent, measured_s)), ..one.clone() };
    }
    let mut all = Figures {
        asked: each.iter().fold(0, |sum, one| sum.saturating_add(one.asked)),
        sent: each.iter().fold(0, |sum, one| sum.saturating_add(one.sent)),
        sent_per_s: 0.0,
        tally: Tally::sum(&each.iter().map(|one| &one.tally).collect::<Vec<_>>()),
        lag: Latency::sum(each.iter().map(|one| &one.lag)),
        connect: Latency::sum(each.iter().map(|one| &one.connect)),
        tls: Latency::sum(each.iter().map(|one| &one.tls)),
        peaks: Peaks::default(),
    };
    all.sent_per_s = written(per_second(all.sent, measured_s));
    all
}

fn part_figures(run: &Run, part: &OpenPart, measured_s: f64) -> PartFigures {
    let mut all = figures(run, std::iter::once(&part.sum), measured_s);
    all.peaks = part.peaks.into();
    PartFigures {
        label: part.part.label.clone(),
        region: part.part.region.clone(),
        share: part.opening.map(|opening| opening.share),
        workers: part.opening.map_or(0, |opening| opening.workers),
        started_at_ms: part.opening.map(|opening| opening.started_at_ms),
        is_whole: part.is_whole(),
        fate: fate(part),
        told: part.told,
        busy_seconds: u32::try_from(part.busy.len()).unwrap_or(u32::MAX),
        figures: all,
    }
}

/// A number that no report has: sums of a million of them could pass 64 bits, and no program in JavaScript reads it.
fn impossible(value: &serde_json::Value) -> Option<&serde_json::Number> {
    const NUMBER_MAX: f64 = (1u64 << 53) as f64;
    use serde_json::Value;
    match value {
        Value::Number(number) => {
            number.as_f64().is_none_or(|n| n.abs() > NUMBER_MAX).then_some(number)
        }
        Value::Array(all) => all.iter().find_map(impossible),
        Value::Object(all) => all.values().find_map(impossible),
        _ => None,
    }
}

/// What became of a part that is not whole.
fn fate(part: &OpenPart) -> String {
    let told = match &part.closing {
        Some(closing) if closing.verdict == Verdict::Ended => return String::new(),
        Some(closing) => {
            let word = match closing.verdict {
                Verdict::Ended | Verdict::Stopped => "stopped",
                Verdict::Revoked => "the target may not be loaded any more",
                Verdict::Failed => "a worker failed",
            };
            if closing.text.is_empty() {
                word.to_owned()
            } else {
                format!("{word}: {}", closing.text)
            }
        }
        None => match &part.end {
            None => "not ended".to_owned(),
            Some(PartEnd::Done { status }) => {
                format!("ended with status {status} and without its last tick")
            }
            Some(PartEnd::Cancelled) => "stopped".to_owned(),
            Some(PartEnd::Lost { reason }) => format!("lost: {reason}"),
            Some(PartEnd::Refused { reason }) => format!("refused: {reason}"),
        },
    };
    told.chars().take(400).collect()
}

pub(crate) fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

/// To three places: as it stands in JSON, where it is read back as the same number.
pub(crate) fn written(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
