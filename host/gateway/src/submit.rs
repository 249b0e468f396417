//! A request becomes a job's documents: checked against the plugin's manifest, given a region (`places`), asked whether it may go
//! where it says (`consent`, `within`), its secrets sealed (`secrets`), made once (`papers`) and written where it is safe (`accept`).

mod accept;
mod consent;
mod papers;
mod places;
mod secrets;
mod told;
mod within;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blitz_contract::Capability;
use blitz_contract::load::Consent;
use blitz_jobs::accounts::TargetHost;
use blitz_jobs::clock::now_ms;
use blitz_jobs::plugin::PluginDocument;
use blitz_jobs::region::Region;
use blitz_jobs::spec::{INPUTS_BYTES_MAX, Proof, SpecKind, Terms};
use blitz_jobs::timing::{
    JOB_TIMEOUT, JOB_TIMEOUT_MAX, LOAD_TIMEOUT, QUEUE_TIMEOUT, QUEUE_TIMEOUT_PREPARING,
};
use blitz_jobs::{JobId, Spec};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use crate::caller::Caller;
use crate::failure::Failure;
use crate::hub::{Hub, Owner};
use crate::queue::Queue;
use crate::quota::Quota;
use crate::stores::Stores;
use crate::targets::{Paces, Proving};
use accept::accept;
use papers::{Content, Papers};
use places::{Place, places};

pub(crate) use accept::{Copies, cancel};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use consent::host_and_port;
pub(crate) use places::regions_of;
pub(crate) use told::Submission;

/// Tasks of one run: a command line that asks for more than all regions of the world is a mistake.
const TASKS_MAX: usize = 100;

/// All arguments of one job, in bytes: as much as one argument of a process may have on Linux.
const ARGS_BYTES_MAX: usize = 128 << 10;

/// What a caller sends to `POST /v1/jobs`.
///
/// It has secrets: nothing but a test prints it.
#[derive(Deserialize)]
#[cfg_attr(any(test, feature = "fuzzing"), derive(Debug))]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    plugin: String,
    version: Option<String>,
    /// The file that it must be, by sha256 in hexadecimal.
    sha256: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    regions: Vec<String>,
    engines: Option<usize>,
    #[serde(default)]
    inputs: Vec<RequestInput>,
    timeout_ms: Option<u64>,
    queue_timeout_ms: Option<u64>,
    /// The caller does not stay to follow; told for later use, it changes nothing yet.
    #[serde(default, rename = "detached")]
    _detached: bool,
}

#[derive(Deserialize)]
#[cfg_attr(any(test, feature = "fuzzing"), derive(Debug))]
#[serde(deny_unknown_fields)]
struct RequestInput {
    name: String,
    base64: String,
}

/// What the caller gets: one job for each region and engine.
#[derive(Debug, Serialize)]
pub(crate) struct Accepted {
    run: String,
    plugin: String,
    version: String,
    sha256: String,
    jobs: Vec<AcceptedJob>,
    /// What of the request was read otherwise than it may have been meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct AcceptedJob {
    id: JobId,
    region: String,
    /// The caller's own word for the region.
    asked: String,
    /// What runs there: without a version asked for, regions may have different ones.
    version: String,
    sha256: String,
}

/// What a submission needs.
pub(crate) struct Desk<'a> {
    pub(crate) stores: &'a Stores,
    pub(crate) copies: &'a Copies,
    pub(crate) hub: &'a Hub,
    pub(crate) queue: &'a Queue,
    pub(crate) quota: &'a Quota,
    pub(crate) consent: &'a Consent,
    pub(crate) paces: &'a Paces,
    /// Jobs of members to one host in a minute.
    pub(crate) target_jobs_per_minute: u32,
    pub(crate) caller: &'a Caller,
    /// The id of the request.
    pub(crate) request: Option<&'a str>,
}

/// Whether a load test comes with files, which may name hosts, too.
struct HasFiles(bool);

impl Desk<'_> {
    /// What engines are to look for at the hosts of a load test: of a member each public one needs a proof.
    async fn proofs(
        &self,
        proving: &Proving<'_>,
        hosts: &[(TargetHost, u16)],
        load: Option<HasFiles>,
    ) -> Result<Vec<Proof>, Failure> {
        let (Some(tenant), Some(HasFiles(has_files))) = (self.caller.tenant(), load) else {
            return Ok(Vec::new());
        };
        let mut proofs = proving.proofs(tenant, hosts).await?;
        let more = if has_files { proving.all(tenant).await? } else { Vec::new() };
        proofs.extend(
            more.into_iter()
                .filter(|proof| !hosts.iter().any(|(host, _)| host.as_str() == proof.host)),
        );
        Ok(proofs)
    }

    /// Takes the jobs from what all members together may send to each public host in a minute: the last thing that is asked,
    /// so that what is refused uses nothing up that is others' too.
    fn take_pace(&self, hosts: &[(TargetHost, u16)], jobs: usize) -> Result<(), Failure> {
        if self.caller.tenant().is_none() {
            return Ok(());
        }
        let public = hosts.iter().map(|(host, _)| host).filter(|host| host.may_be_public());
        self.paces.take(public, jobs, self.target_jobs_per_minute)
    }

    /// Checks a request and writes its jobs. Answers only when every spec is stored.
    pub(crate) async fn submit(&self, request: Request) -> Result<Accepted, Failure> {
        Box::pin(submit(self, request)).await
    }
}

async fn submit(desk: &Desk<'_>, request: Request) -> Result<Accepted, Failure> {
    let Desk { stores, copies, hub, queue, quota, consent, caller, .. } = *desk;
    let engines = request.engines.unwrap_or(1).max(1);
    let too_many =
        |asked| Failure::bad_request(format!("{asked} tasks asked, a run may have {TASKS_MAX}"));
    if request.regions.len() > TASKS_MAX {
        return Err(too_many(request.regions.len()));
    }
    let (places, mut notes) = places(stores, &request, caller)?;
    for Place { plugin, region, .. } in &places {
        caller.may_run(&plugin.manifest.name, &region.name)?;
    }
    let asked = places.len().saturating_mul(engines);
    if asked > TASKS_MAX {
        return Err(too_many(asked));
    }
    let first = places.first().map(|place| Arc::clone(&place.plugin));
    let first = first.ok_or_else(|| Failure::bad_request("no region was named"))?;
    let makes_load = first.manifest.capabilities.contains(&Capability::Load);
    let timeout = limit(request.timeout_ms, if makes_load { LOAD_TIMEOUT } else { JOB_TIMEOUT });
    // Of a member more is asked below.
    let of_operator = caller.tenant().is_none().then_some(consent);
    let (mut inputs, mut hosts) = inputs(&first, &request, of_operator)?;
    // Another version may take other arguments.
    for place in places.iter().filter(|place| place.plugin.sha256 != first.sha256) {
        let (others, also) = self::inputs(&place.plugin, &request, of_operator)?;
        inputs = others;
        hosts.extend(also);
    }
    for Place { region, plugin, .. } in &places {
        granted(caller, plugin)?;
        within::check(region, plugin, &request.args)?;
    }
    let places: Vec<Place> =
        places.into_iter().flat_map(|place| std::iter::repeat_n(place, engines)).collect();

    let jobs: Vec<AcceptedJob> = places
        .iter()
        .map(|place| AcceptedJob {
            id: new_job(&place.region),
            region: place.region.name.clone(),
            asked: place.asked.clone(),
            version: place.plugin.manifest.version.clone(),
            sha256: place.plugin.sha256.clone(),
        })
        .collect();
    let load = makes_load.then_some(HasFiles(!request.inputs.is_empty()));
    let proving = Proving { stores, consent, plugin: &first.manifest.name };
    let proofs = desk.proofs(&proving, &hosts, load).await?;
    let run = run_id(&jobs);
    let tasks: Vec<JobId> = jobs.iter().map(|job| job.id.clone()).collect();
    let words = tasks.iter().zip(&places).map(|(job, Place { plugin, region, .. })| {
        secrets::seal(&stores.catalog, region, plugin, job, &request.args)
    });
    let words = words.collect::<Result<Vec<_>, _>>()?;
    for note in words.iter().filter_map(|words| words.note.as_ref()) {
        if !notes.contains(note) {
            notes.push(note.clone());
        }
    }
    let plugins = places.iter().map(|place| &*place.plugin);
    let admitted = Box::pin(quota.enter(caller, &tasks, plugins, timeout)).await?;
    if let Err(full) = queue.enter(&tasks) {
        quota.leave(&tasks);
        return Err(Failure::queue_full(&full));
    }
    // A load test has proofs and terms of its own.
    if !makes_load && let Err(refused) = desk.take_pace(&hosts, tasks.len()) {
        queue.leave(&tasks);
        quota.leave(&tasks);
        return Err(refused);
    }
    let patience =
        |plugin: &PluginDocument, region: &str| match stores.catalog.is_preparing(region, plugin) {
            true => QUEUE_TIMEOUT_PREPARING,
            false => QUEUE_TIMEOUT,
        };
    let tasks_places = tasks.iter().zip(&places).zip(words);
    let writes = tasks_places.map(|((job, Place { plugin, region, .. }), words)| {
        let spec = Spec {
            kind: SpecKind::Spec,
            blitz: blitz_jobs::BUILD.to_owned(),
            job: job.clone(),
            run: run.clone(),
            tasks: tasks.clone(),
            plugin: plugin.manifest.name.clone(),
            version: plugin.manifest.version.clone(),
            sha256: plugin.sha256.clone(),
            args: words.args,
            retry: plugin.manifest.retry,
            limits: plugin.manifest.limits,
            timeout_ms: timeout,
            queue_timeout_ms: limit(request.queue_timeout_ms, patience(plugin, &region.name)),
            tenant: caller.tenant().map(str::to_owned),
            terms: Terms {
                request: desk.request.map(str::to_owned),
                proofs: proofs.clone(),
                ..admitted.terms(caller.terms())
            },
            sealed: words.sealed,
            inputs: Vec::new(),
            home_epoch: region.home_epoch,
            created_at_ms: now_ms(),
        };
        hub.expect(job, Owner::of(&spec));
        let (papers, database) = (Papers::new(spec, &inputs), job.jobs_database());
        async move { accept(&stores.reach, copies, region, &database, &papers).await }
    });
    let written = join_all(writes).await;
    let mut failed = written.into_iter().find_map(Result::err);
    if let Some(tenant) = caller.tenant().filter(|_| failed.is_none() && !proofs.is_empty()) {
        failed = proving.still(tenant, &proofs).await.err();
    }
    if let Some(failed) = failed {
        queue.leave(&tasks);
        quota.leave(&tasks);
        // The others must not run either: the caller was told that nothing was accepted.
        for job in &tasks {
            if let Err(error) = cancel(stores, job).await {
                tracing::warn!(%job, %error, "a job of a failed submission is not cancelled");
            }
        }
        return Err(failed);
    }
    Ok(Accepted {
        run,
        plugin: first.manifest.name.clone(),
        version: first.manifest.version.clone(),
        sha256: first.sha256.clone(),
        jobs,
        notes,
    })
}

/// Whether a tenant may have run what a tenant has published: by its plan as it is now, whatever it was when that was.
pub(crate) fn granted(caller: &Caller, plugin: &PluginDocument) -> Result<(), Failure> {
    let Some(right) = caller.not_granted(plugin) else { return Ok(()) };
    let (label, words) = (plugin.label(), right.in_words());
    Err(Failure::refused(format!(
        "{label} asks for the right {:?} ({words}), which your plan does not grant; your operator grants it with the plan",
        right.name()
    )))
}

/// A job's id, in one of the databases that take new ones: which, its random bits say, so that they are filled alike.
fn new_job(region: &Region) -> JobId {
    let lanes: Vec<u32> = region.taking().collect();
    let job = JobId::new(&region.name, region.current);
    let lane = u128::try_from(lanes.len()).ok().and_then(|count| job.ulid().checked_rem(count));
    match lane.and_then(|lane| lanes.get(usize::try_from(lane).ok()?)) {
        Some(lane) => job.in_database(*lane),
        None => job,
    }
}

/// The contents that came with a request, and the hosts with their ports that its arguments name.
type Sent = (Vec<Content>, Vec<(TargetHost, u16)>);

/// What is sent along, and the hosts that the arguments name. They are checked here again: a client of another version may know
/// other ones.
fn inputs(
    plugin: &PluginDocument,
    request: &Request,
    consent: Option<&Consent>,
) -> Result<Sent, Failure> {
    // With its end, as a program would be given it: empty words are not free.
    let args_bytes: usize = request.args.iter().map(|word| word.len() + 1).sum();
    if args_bytes > ARGS_BYTES_MAX {
        return Err(Failure::input_too_large(format!(
            "the arguments have {args_bytes} bytes, a job may have {ARGS_BYTES_MAX}"
        )));
    }
    let arguments = secrets::parse(&plugin.manifest, &request.args)?;
    if let Some(consent) = consent {
        consent::check(consent, &plugin.manifest, &arguments)?;
    }
    // What no word names is read by nobody, and would be carried by every task of the run.
    let named = arguments.inputs();
    let mut given = BTreeSet::new();
    for name in request.inputs.iter().map(|input| &input.name) {
        if !(name == "-" || named.contains(name.as_str())) {
            let text = format!("input {name:.100?} was sent along and no argument names it");
            return Err(Failure::usage(text));
        }
        if !given.insert(name.as_str()) {
            return Err(Failure::usage(format!("input {name:.100?} was sent along twice")));
        }
    }
    let mut inputs = Vec::new();
    let mut total = 0;
    for input in &request.inputs {
        let bytes = STANDARD.decode(&input.base64).map_err(|_| {
            Failure::bad_request(format!("the content of input {:?} is not base64", input.name))
        })?;
        total += bytes.len();
        inputs.push(Content { name: input.name.clone(), bytes });
    }
    if total > INPUTS_BYTES_MAX {
        return Err(Failure::input_too_large(format!(
            "the inputs have {total} bytes, a job may have {INPUTS_BYTES_MAX}"
        )));
    }
    match named.difference(&given).find(|name| **name != "-") {
        Some(missing) => {
            Err(Failure::usage(format!("the content of '{missing}' was not sent along")))
        }
        None => Ok((inputs, consent::hosts(&plugin.manifest, &arguments))),
    }
}

fn limit(asked_ms: Option<u64>, normal: Duration) -> u64 {
    let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    asked_ms.unwrap_or(millis(normal)).clamp(1, millis(JOB_TIMEOUT_MAX))
}

/// The ULID of the first task: a run's id begins with the time, as a job's does.
fn run_id(jobs: &[AcceptedJob]) -> String {
    let id = jobs.first().map(|job| job.id.as_str()).unwrap_or_default();
    id.rsplit('-').next().unwrap_or(id).to_owned()
}
