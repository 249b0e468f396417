//! Names: of jobs, of their documents, of positions in their output.
//!
//! A job's id names its database, `<region>-<n>-<ulid>`, so that everything of the job is found from the id
//! alone. Ids of one job's documents sort together: `<job>:` up to `<job>;` is the whole job.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// The id of one job: its region, the number of the region's database, and a ULID in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId {
    text: String,
    /// Where the ULID begins, and where the database number begins.
    ulid_at: usize,
    number_at: usize,
}

/// A text that is no name of the expected form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {wanted}")]
pub struct BadName {
    /// What was given, cut to 80 characters.
    pub text: String,
    /// The expected form.
    pub wanted: &'static str,
}

impl BadName {
    pub(crate) fn new(text: &str, wanted: &'static str) -> Self {
        Self { text: text.chars().take(80).collect(), wanted }
    }
}

impl JobId {
    /// A new id in the region's database `number`; later ids sort after earlier ones of other milliseconds.
    #[must_use]
    pub fn new(region: &str, number: u32) -> Self {
        let ulid = Ulid::generate().to_string().to_ascii_lowercase();
        let number_at = region.len() + 1;
        let text = format!("{region}-{number}-{ulid}");
        Self { ulid_at: text.len() - ulid.len(), number_at, text }
    }

    /// The same id in another of the region's databases.
    #[must_use]
    pub fn in_database(&self, number: u32) -> Self {
        let (region, ulid) = (self.region(), &self.text[self.ulid_at..]);
        let text = format!("{region}-{number}-{ulid}");
        Self { ulid_at: text.len() - ulid.len(), number_at: self.number_at, text }
    }

    /// Less than every id of the database `<region>-<n>`, and than every other id when that is empty: where a range
    /// of ids begins.
    pub(crate) fn least_of(place: &str) -> Self {
        Self { text: format!("{place}-"), ulid_at: 0, number_at: 0 }
    }

    /// Of a map by jobs those of one database: their ids stand together.
    pub(crate) fn of_database<'a, 'b, T>(
        jobs: &'a BTreeMap<Self, T>,
        database: &'b str,
    ) -> impl Iterator<Item = &'a Self> + use<'a, 'b, T> {
        let place = database.strip_prefix("blitz-jobs-").unwrap_or_default();
        let from = jobs.range(Self::least_of(place)..).map(|(job, _)| job);
        from.take_while(move |job| job.jobs_database() == database)
    }

    /// The region that the job runs in.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.text[..self.number_at - 1]
    }

    /// The database that holds spec, run and cancel: the only one that engines follow.
    #[must_use]
    pub fn jobs_database(&self) -> String {
        format!("blitz-jobs-{}", self.place())
    }

    /// The database that holds the output.
    #[must_use]
    pub fn output_database(&self) -> String {
        format!("blitz-out-{}", self.place())
    }

    /// `<region>-<n>`.
    fn place(&self) -> &str {
        &self.text[..self.ulid_at - 1]
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What no other job has, whatever its region: 80 of its bits are random.
    #[must_use]
    pub fn ulid(&self) -> u128 {
        Ulid::from_string(&self.text[self.ulid_at..]).map_or(0, |ulid| ulid.0)
    }

    /// The first and the last possible id of this job's documents, for a range.
    #[must_use]
    pub fn range(&self) -> (String, String) {
        (format!("{}:", self.text), format!("{};", self.text))
    }
}

impl FromStr for JobId {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = || BadName::new(text, "a job id (REGION-NUMBER-ULID)");
        let (place, ulid) = text.rsplit_once('-').ok_or_else(bad)?;
        let (region, number) = place.rsplit_once('-').ok_or_else(bad)?;
        let number_is_plain = number.parse::<u32>().is_ok_and(|n| n.to_string() == number);
        let ulid_is_plain = ulid.len() == 26
            && ulid.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
            && Ulid::from_string(ulid).is_ok();
        if !crate::region::is_name(region) || !number_is_plain || !ulid_is_plain {
            return Err(bad());
        }
        Ok(Self { number_at: region.len() + 1, ulid_at: place.len() + 1, text: text.to_owned() })
    }
}

impl TryFrom<String> for JobId {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.text
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One start of one engine process: 128 random bits in hexadecimal. In a claim's body it makes two claims
/// of equal engines differ, and so their revisions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Incarnation(String);

impl Incarnation {
    /// From 16 random bytes.
    #[must_use]
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(bytes.iter().map(|b| format!("{b:02x}")).collect())
    }

    /// As many digits as people compare.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..8]
    }

    /// The 32 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Incarnation {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        if text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text))
        } else {
            Err(BadName::new(&text, "an incarnation (32 hexadecimal digits)"))
        }
    }
}

impl From<Incarnation> for String {
    fn from(incarnation: Incarnation) -> Self {
        incarnation.0
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a chunk stands in a job's output. Never an update sequence: those are opaque and may repeat.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Which attempt of the job, from 1.
    pub attempt: u32,
    /// Which engine process ran it.
    pub incarnation: Incarnation,
    /// From 0, without gaps.
    pub seq: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.attempt, self.incarnation, self.seq)
    }
}

impl FromStr for Position {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = || BadName::new(text, "a position (ATTEMPT.INCARNATION.SEQ)");
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().ok_or_else(bad);
        Ok(Self {
            attempt: part()?.parse().map_err(|_| bad())?,
            incarnation: part()?.to_owned().try_into()?,
            seq: part()?.parse().map_err(|_| bad())?,
        })
    }
}

/// The id of one document of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentId {
    /// What was asked.
    Spec(JobId),
    /// Who runs it and how it ended.
    Run(JobId),
    /// Which attempt of a job that must not run twice has begun.
    Start(JobId),
    /// Its engine has all that it needs, and waits for the other tasks of the run.
    Ready(JobId),
    /// Which tasks of the run begin.
    Go(JobId),
    /// Somebody wants it to stop.
    Cancel(JobId),
    /// A piece of stdin or of an input file.
    Input(JobId, u32),
    /// A piece of output.
    Output(JobId, Position),
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spec(job) => write!(f, "{job}:spec"),
            Self::Run(job) => write!(f, "{job}:run"),
            Self::Start(job) => write!(f, "{job}:start"),
            Self::Ready(job) => write!(f, "{job}:ready"),
            Self::Go(job) => write!(f, "{job}:go"),
            Self::Cancel(job) => write!(f, "{job}:cancel"),
            Self::Input(job, seq) => write!(f, "{job}:in.{seq:06}"),
            // Numbers are padded, so that documents sort in the order of the stream.
            Self::Output(job, Position { attempt, incarnation, seq }) => {
                write!(f, "{job}:out.{attempt:04}.{incarnation}.{seq:010}")
            }
        }
    }
}

impl FromStr for DocumentId {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = || BadName::new(text, "the id of a job's document");
        let (job, rest) = text.split_once(':').ok_or_else(bad)?;
        let job: JobId = job.parse()?;
        let id = match rest.split_once('.') {
            None if rest == "spec" => Self::Spec(job),
            None if rest == "run" => Self::Run(job),
            None if rest == "start" => Self::Start(job),
            None if rest == "ready" => Self::Ready(job),
            None if rest == "go" => Self::Go(job),
            None if rest == "cancel" => Self::Cancel(job),
            Some(("in", seq)) => Self::Input(job, seq.parse().map_err(|_| bad())?),
            Some(("out", position)) => Self::Output(job, position.parse()?),
            _ => return Err(bad()),
        };
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_id_names_its_databases() {
        let id = JobId::new("lab-1", 12);
        let read: JobId = id.as_str().parse().unwrap();
        assert_eq!(read, id);
        assert_eq!(read.region(), "lab-1");
        assert_eq!(read.jobs_database(), "blitz-jobs-lab-1-12");
        assert_eq!(read.output_database(), "blitz-out-lab-1-12");
    }

    #[test]
    fn what_is_no_job_id_is_refused() {
        for text in [
            "",
            "x",
            "japan-1",
            "japan-01-01arz3ndektsv4rrffq69g5fav",
            "Japan-1-01arz3ndektsv4rrffq69g5fav",
            "japan-1-01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "-1-01arz3ndektsv4rrffq69g5fav",
            "japan-1-é1arz3ndektsv4rrffq69g5fa",
        ] {
            assert!(text.parse::<JobId>().is_err(), "{text}");
        }
    }

    #[test]
    fn document_ids_survive_their_text_and_sort_as_the_stream() {
        let job = JobId::new("japan", 1);
        let incarnation = Incarnation::from_random([7; 16]);
        let output = |attempt, seq| {
            let position = Position { attempt, incarnation: incarnation.clone(), seq };
            DocumentId::Output(job.clone(), position)
        };
        for id in [
            DocumentId::Spec(job.clone()),
            DocumentId::Run(job.clone()),
            DocumentId::Ready(job.clone()),
            DocumentId::Go(job.clone()),
            DocumentId::Cancel(job.clone()),
            DocumentId::Input(job.clone(), 3),
            output(2, 11),
        ] {
            assert_eq!(id.to_string().parse::<DocumentId>(), Ok(id));
        }
        assert!(output(1, 9).to_string() < output(1, 10).to_string());
        let (start, end) = job.range();
        assert!(start < output(1, 0).to_string() && output(9, 0).to_string() < end);
    }
}
