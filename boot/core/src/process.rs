//! Engines as processes of this machine: a provider whose machines are there at once, for tests and for one host.
//!
//! What it knows stands in a directory, so that it may be ended and started again: a record of each instance, and beside it
//! the line of `/proc/PID/stat` that the process wrote itself before it became the engine. No process runs that has not
//! said who it is, and a number that another process was given later is not taken for it.
//!
//! What an instance has besides its process, such as a namespace, is `Around` it: whoever has that is a provider of its own.

mod record;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use blitz_jobs::clock::now_ms;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use sha2::{Digest as _, Sha256};

use crate::instance::{Instance, InstanceId, InstanceState, TAG_FLEET, TAG_LAUNCH, TAG_REGION};
use crate::provider::{LaunchRequest, Provider, ProviderError};

pub(crate) use record::Record;

/// A process that has not said who it is after so long never will: it says so with its first breath.
const START: Duration = Duration::from_secs(30);

/// What was told to end and has not done so by itself after this time is killed. An engine drains for 30 s.
const STOP: Duration = Duration::from_secs(120);

/// What has ended is shown for so long, as EC2 does: the records of one day must not pile up.
const SHOWN: Duration = Duration::from_secs(3600);

/// Processes of one launch: a mistake in a number must not fill the machine.
pub const LAUNCH_MAX: u32 = 100;

/// What ids begin with.
const ID: &str = "process-";

/// Writes its own line of `/proc` to the file `$1`, and becomes what follows.
const INTRODUCE: &str = r#"read -r stat < /proc/$$/stat && printf '%s\n' "$stat" > "$1.new" && mv "$1.new" "$1" && shift && exec "$@""#;

/// The processes of one fleet for one region.
#[derive(Debug, Clone)]
pub struct Processes {
    /// What ids begin with: each provider's engines are its own.
    ids: &'static str,
    /// Where records are; it is made.
    pub directory: PathBuf,
    /// The fleet.
    pub fleet: String,
    /// The program and its arguments; `{id}` and `{region}` in them are replaced.
    pub command: Vec<String>,
}

/// What an instance has besides its process.
pub(crate) trait Around: Sync {
    /// Makes it. The record is written already, and the process is started after this.
    fn make(&self, id: &InstanceId) -> impl Future<Output = Result<(), ProviderError>> + Send;

    /// Takes it away, whole or made in part, also where nothing is left of it: it is asked of an instance that has ended as
    /// long as that is shown, and once more before its record is forgotten.
    fn clear(&self, id: &InstanceId) -> impl Future<Output = Result<(), ProviderError>> + Send;
}

/// A process has nothing besides itself.
struct Nothing;

impl Around for Nothing {
    async fn make(&self, _: &InstanceId) -> Result<(), ProviderError> {
        Ok(())
    }

    async fn clear(&self, _: &InstanceId) -> Result<(), ProviderError> {
        Ok(())
    }
}

/// A process that has said who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Alive {
    pid: Pid,
    /// In clock ticks since the machine started, which together with the number is nobody else's.
    started: u64,
}

impl Provider for Processes {
    async fn list(&self) -> Result<Vec<Instance>, ProviderError> {
        self.list_with(&Nothing).await
    }

    fn names(&self, engine: &str) -> bool {
        engine.starts_with(self.ids)
    }

    async fn launch(&self, request: &LaunchRequest) -> Result<Vec<InstanceId>, ProviderError> {
        self.launch_with(request, &Nothing).await
    }

    async fn tag(
        &self,
        id: &InstanceId,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), ProviderError> {
        let mut record = self.record(id)?.ok_or_else(|| absent(id))?;
        match value {
            Some(value) => record.tags.insert(name.to_owned(), value.to_owned()),
            None => record.tags.remove(name),
        };
        self.keep(id, &record)
    }

    async fn terminate(&self, id: &InstanceId) -> Result<(), ProviderError> {
        match self.record(id)? {
            Some(record) => self.end(id, record),
            None => Ok(()),
        }
    }
}

impl Processes {
    /// The processes of this fleet that are known in this directory, and what they run.
    #[must_use]
    pub fn new(directory: PathBuf, fleet: String, command: Vec<String>) -> Self {
        Self { ids: ID, directory, fleet, command }
    }

    /// The same under ids that begin otherwise.
    pub(crate) fn with_ids(self, ids: &'static str) -> Self {
        Self { ids, ..self }
    }

    /// Lists them, and clears up around those that have ended.
    pub(crate) async fn list_with(
        &self,
        around: &impl Around,
    ) -> Result<Vec<Instance>, ProviderError> {
        let mut instances = Vec::new();
        for id in self.ids()? {
            let Some(record) = self.record(&id)? else { continue };
            let now = now_ms();
            let state = self.state(&id, &record, now);
            if state == InstanceState::Gone {
                around.clear(&id).await?;
                if age(now, record.launched_ms) > SHOWN {
                    self.forget(&id);
                    continue;
                }
            } else if record.stopping_ms.is_some_and(|since| age(now, since) > STOP) {
                self.signal(&id, Signal::KILL)?;
            } else if record.stopping_ms.is_none()
                && record.interruption_ms.is_some_and(|at| at <= now)
            {
                self.end(&id, record.clone())?;
            }
            let Record { launched_ms, is_spot, tags, .. } = record;
            instances.push(Instance { id, state, launched_ms, is_spot, tags });
        }
        Ok(instances)
    }

    /// Launches them, each with what is to be around it; fewer than asked for where that cannot be had for all.
    pub(crate) async fn launch_with(
        &self,
        request: &LaunchRequest,
        around: &impl Around,
    ) -> Result<Vec<InstanceId>, ProviderError> {
        if request.count > LAUNCH_MAX {
            return Err(ProviderError::Invalid(format!(
                "launch {} processes at once: {LAUNCH_MAX} are the most",
                request.count
            )));
        }
        fs::create_dir_all(&self.directory)
            .map_err(|error| self.failed("make", &self.directory, &error))?;
        let mut ids = Vec::new();
        for place in 0..request.count {
            let id = id_of(self.ids, &request.token, place);
            if self.record(&id)?.is_none()
                && let Err(error) = self.start(&id, request, around).await
            {
                if ids.is_empty() {
                    return Err(error);
                }
                break;
            }
            ids.push(id);
        }
        Ok(ids)
    }

    /// Gives an instance notice that it ends at this time, in milliseconds since 1970: the first listing after it ends it.
    pub(crate) fn interrupt(&self, id: &InstanceId, at_ms: u64) -> Result<(), ProviderError> {
        let record = self.record(id)?.ok_or_else(|| absent(id))?;
        if !record.is_spot {
            return Err(ProviderError::Invalid(format!(
                "take instance {id} back: it is not spot; end it"
            )));
        }
        self.keep(id, &Record { interruption_ms: Some(at_ms), ..record })
    }

    fn end(&self, id: &InstanceId, mut record: Record) -> Result<(), ProviderError> {
        if record.stopping_ms.is_none() {
            record.stopping_ms = Some(now_ms());
            self.keep(id, &record)?;
        }
        self.signal(id, Signal::TERM)
    }

    async fn start(
        &self,
        id: &InstanceId,
        request: &LaunchRequest,
        around: &impl Around,
    ) -> Result<(), ProviderError> {
        let mut tags = BTreeMap::new();
        tags.insert(TAG_FLEET.to_owned(), self.fleet.clone());
        tags.insert(TAG_REGION.to_owned(), request.region.clone());
        tags.insert(TAG_LAUNCH.to_owned(), request.token.clone());
        let is_spot = request.is_spot;
        let (launched_ms, interruption_ms, stopping_ms) = (now_ms(), None, None);
        let record = Record { launched_ms, is_spot, tags, interruption_ms, stopping_ms };
        // From here on whoever lists it finds what is around it.
        self.keep(id, &record)?;
        let started = match around.make(id).await {
            Ok(()) => self.spawn(id, request),
            Err(error) => Err(error),
        };
        let Err(error) = started else { return Ok(()) };
        // What cannot be cleared now is cleared by the listing that finds the record: it stays then.
        if around.clear(id).await.is_ok() {
            self.forget(id);
        }
        Err(error)
    }

    fn spawn(&self, id: &InstanceId, request: &LaunchRequest) -> Result<(), ProviderError> {
        let log = self.file(id, "log");
        let output = fs::File::create(&log).map_err(|error| self.failed("write", &log, &error))?;
        let errors = output.try_clone().map_err(|error| self.failed("write", &log, &error))?;
        let words = self
            .command
            .iter()
            .map(|word| word.replace("{id}", &id.0).replace("{region}", &request.region));
        let mut command = tokio::process::Command::new("/bin/sh");
        command
            .args(["-c", INTRODUCE, "introduce"])
            .arg(self.file(id, "stat"))
            .args(words)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            // ^C at this terminal is not theirs.
            .process_group(0);
        // The runtime reaps the child where it ends before us; where we end first, the system does.
        command.spawn().map(drop).map_err(|error| {
            ProviderError::NoCapacity(format!("start a process on this machine: {error}"))
        })
    }

    /// How far it is.
    fn state(&self, id: &InstanceId, record: &Record, now: u64) -> InstanceState {
        let said = fs::read_to_string(self.file(id, "stat"));
        match said {
            Err(_) if age(now, record.launched_ms) < START => InstanceState::Pending,
            Err(_) => InstanceState::Gone,
            Ok(said) => match alive(&said) {
                None => InstanceState::Gone,
                Some(_) if record.stopping_ms.is_some() => InstanceState::Stopping,
                Some(_) => InstanceState::Running,
            },
        }
    }

    fn signal(&self, id: &InstanceId, signal: Signal) -> Result<(), ProviderError> {
        let Ok(said) = fs::read_to_string(self.file(id, "stat")) else { return Ok(()) };
        let Some(process) = written(&said).map(|(process, _)| process) else { return Ok(()) };
        // Whoever the descriptor is of, it stays; that it is the engine is asked after it was opened.
        let Ok(descriptor) = pidfd_open(process.pid, PidfdFlags::empty()) else { return Ok(()) };
        if alive(&said).is_none() {
            return Ok(());
        }
        match pidfd_send_signal(descriptor, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(ProviderError::Denied(format!(
                "end process {} of instance {id}: {error}",
                process.pid.as_raw_nonzero()
            ))),
        }
    }

    fn ids(&self) -> Result<Vec<InstanceId>, ProviderError> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            // Nothing was ever launched.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.failed("read", &self.directory, &error)),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name =
                entry.map_err(|error| self.failed("read", &self.directory, &error))?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".json"));
            ids.extend(id.map(|id| InstanceId(id.to_owned())));
        }
        ids.sort();
        Ok(ids)
    }

    fn record(&self, id: &InstanceId) -> Result<Option<Record>, ProviderError> {
        let path = self.file(id, "json");
        Record::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                ProviderError::Invalid(format!("read the record '{}': {error}", path.display()))
            }
            _ => self.failed("read", &path, &error),
        })
    }

    fn keep(&self, id: &InstanceId, record: &Record) -> Result<(), ProviderError> {
        let path = self.file(id, "json");
        record.write(&path).map_err(|error| self.failed("write", &path, &error))
    }

    fn forget(&self, id: &InstanceId) {
        for ending in ["json", "stat", "log"] {
            // What stays is tried again with the next listing.
            fs::remove_file(self.file(id, ending)).ok();
        }
    }

    /// A file of an instance: `json` its record, `stat` what its process said of itself, `log` what it says.
    pub(crate) fn file(&self, id: &InstanceId, ending: &str) -> PathBuf {
        self.directory.join(format!("{id}.{ending}"))
    }

    fn failed(&self, what: &str, path: &Path, error: &io::Error) -> ProviderError {
        ProviderError::Denied(format!("{what} '{}': {error}", path.display()))
    }
}

/// The same for each repetition of a launch.
fn id_of(ids: &str, token: &str, place: u32) -> InstanceId {
    let hash = Sha256::digest(format!("{place}:{token}"));
    let digits: String = hash.iter().take(9).map(|byte| format!("{byte:02x}")).collect();
    InstanceId(format!("{ids}{digits}"))
}

/// The process that wrote this line, if it still runs.
fn alive(said: &str) -> Option<Alive> {
    let (process, _) = written(said)?;
    let now = fs::read_to_string(format!("/proc/{}/stat", process.pid.as_raw_nonzero())).ok()?;
    let (found, state) = written(&now)?;
    // One that waits for its parent's look has ended.
    (found == process && !matches!(state, 'Z' | 'X')).then_some(found)
}

/// A process and its state in a line of `/proc/PID/stat` (proc(5)): the second field, the name, may have blanks and brackets.
fn written(line: &str) -> Option<(Alive, char)> {
    let (front, rest) = line.rsplit_once(") ")?;
    let pid = front.split(' ').next()?.parse().ok().and_then(Pid::from_raw)?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let state = fields.first()?.chars().next()?;
    // The 22nd field, and `rest` begins with the third.
    let started = fields.get(19)?.parse().ok()?;
    Some((Alive { pid, started }, state))
}

fn absent(id: &InstanceId) -> ProviderError {
    ProviderError::Invalid(format!("there is no instance {id}"))
}

fn age(now_ms: u64, since_ms: u64) -> Duration {
    Duration::from_millis(now_ms.saturating_sub(since_ms))
}

#[cfg(test)]
mod tests;
