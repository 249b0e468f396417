//! One region: its document, its databases in each of its clusters, the replications between them, its engines.

use std::collections::{BTreeMap, BTreeSet};

use blitz_couchdb::{Client, Database, ReplicationState};
use blitz_jobs::engine::EngineDocument;
use blitz_jobs::region::{CONTROL, DatabaseKind, Region};
use blitz_jobs::topology::{Plan, PlannedDatabase};
use blitz_jobs::{design, read, roles, topology};
use blitz_runtime::Rule;
use serde_json::Value;

use super::finding::{Level, Part};

/// Changes that wait to be carried above which somebody should look: seconds of a busy region.
const PENDING_MAX: u64 = 1_000;

/// Engines that are named for one lack; the others are counted.
const NAMED_MAX: usize = 3;

/// A region of several clusters.
pub(super) async fn look(
    region: &Region,
    regions: &[Region],
    plan: &Plan,
    reached: &BTreeMap<&str, &Client>,
    operators: &BTreeSet<String>,
) -> Part {
    let home = region.home.as_deref().unwrap_or("-");
    let mut part =
        Part::new(&format!("region {}, home {home}, epoch {}", region.name, region.home_epoch));
    words(region, regions, &mut part);
    house(region, &mut part);
    let plan = plan.of_region(&region.name);
    if plan.databases.is_empty() {
        part.bad(
            &format!("its home '{home}' is no cluster that is known"),
            &format!("add it: blitz cluster add {home} --url URL; or move the region: blitz region move {}", region.name),
        );
        return part;
    }
    for (cluster, databases) in plan.databases.iter().filter(|(_, all)| !all.is_empty()) {
        let Some(client) = reached.get(cluster.as_str()) else {
            let what = if cluster == home { "home" } else { "hub" };
            part.warning(
                &format!("its {what} {cluster} was not looked at"),
                "see that cluster above",
            );
            continue;
        };
        conflicts(region, cluster, client, &mut part).await;
        stands(&region.name, cluster, client, databases, true, &mut part).await;
    }
    for former in &region.former {
        let next = format!(
            "'blitz region set {}' makes it a hub, and what it has comes over",
            region.name
        );
        match reached.contains_key(former.as_str()) {
            true => part.warning(
                &format!("its former home {former} is back, and has jobs that are only there"),
                &next,
            ),
            false => part.note(
                &format!("its former home {former} did not answer when it moved, and does not yet"),
                &format!("when it does: {next}"),
            ),
        }
    }
    replications(region, &plan, reached, operators, &mut part).await;
    if let Some(client) = reached.get(home) {
        engines(region, client, &mut part).await;
    }
    part
}

/// A region of the one store that there is.
pub(super) async fn look_alone(region: &Region, store: &Client) -> Part {
    let mut part = Part::new(&format!("region {}", region.name));
    house(region, &mut part);
    let databases = topology::databases(region);
    stands(&region.name, "the store", store, &databases, false, &mut part).await;
    engines(region, store, &mut part).await;
    part
}

/// Who may use it and where its jobs may go, where that is not everybody and everything.
fn house(region: &Region, part: &mut Part) {
    if !region.access.is_empty() {
        part.ok(&format!("for these tenants alone: {}", region.access.join(", ")));
    }
    if !region.targets.is_empty() {
        part.ok(&format!("its jobs go to these targets alone: {}", region.targets.join(", ")));
    }
    for rule in region.targets.iter().filter(|rule| rule.parse::<Rule>().is_err()) {
        part.bad(
            &format!("its target {rule:?} cannot be read, and its engines run nothing"),
            &format!("write all of them again: blitz region set {} --targets ...", region.name),
        );
    }
}

/// Words that mean two regions.
fn words(region: &Region, regions: &[Region], part: &mut Part) {
    for other in regions.iter().filter(|other| other.name != region.name) {
        let own = std::iter::once(&region.name).chain(&region.aliases);
        for word in own.filter(|word| other.is_called(word)) {
            part.warning(
                &format!("the word '{word}' is also one of region {}", other.name),
                &format!("take it from one of them: blitz region set {} --alias ...", region.name),
            );
        }
    }
}

/// The region's document, edited on two sides.
async fn conflicts(region: &Region, cluster: &str, client: &Client, part: &mut Part) {
    match client.database(CONTROL).leaves::<Value>(&region.document_id(), None).await {
        Ok(leaves) if leaves.len() > 1 => part.warning(
            &format!("its document has {} versions in {cluster}: it was edited on two sides", leaves.len()),
            &format!("all of blitz reads them as one; 'blitz region show {0}' shows it, 'blitz region set {0}' writes it", region.name),
        ),
        Ok(_) => {}
        Err(error) => part.bad(&format!("its document in {cluster}: {error}"), ""),
    }
}

/// Whether the databases of one cluster are there, with their design documents and those who may enter.
async fn stands(
    region: &str,
    cluster: &str,
    client: &Client,
    databases: &[PlannedDatabase],
    has_security: bool,
    part: &mut Part,
) {
    let mend = format!("'blitz region set {region}' makes what is missing");
    let mut copies = BTreeSet::new();
    let mut whole = 0;
    for database in databases {
        let handle = client.database(&database.name);
        let info = match handle.info().await {
            Ok(info) => info,
            Err(error @ blitz_couchdb::Error::NotFound { .. }) => {
                tracing::debug!(%error, "missing");
                part.bad(&format!("{cluster} has no database {}", database.name), &mend);
                continue;
            }
            Err(error) => {
                part.bad(&format!("{} of {cluster}: {error}", database.name), "");
                continue;
            }
        };
        if database.kind == DatabaseKind::Jobs {
            copies.insert(info.cluster.n);
        }
        let mut lacking = designs(&handle, database, has_security).await;
        if has_security {
            let wanted = roles::security(database.kind, database.region.as_deref());
            match handle.security().await {
                Ok(found) if found == wanted => {}
                Ok(_) => lacking.push("the _security that lets in its own roles alone".to_owned()),
                Err(error) => lacking.push(format!("a _security that can be read ({error})")),
            }
        }
        match lacking.is_empty() {
            true => whole += 1,
            false => part.bad(
                &format!("{} of {cluster} lacks {}", database.name, lacking.join(", ")),
                &mend,
            ),
        }
    }
    if copies.len() > 1 {
        part.bad(
            &format!(
                "its jobs databases in {cluster} keep different numbers of copies (n): {copies:?}"
            ),
            "claims count copies; make the cluster whole, and let the databases rotate",
        );
    }
    if whole == databases.len() {
        part.ok(&format!("{cluster} has its {whole} databases, whole"));
    }
}

/// The design documents that a database lacks: its views, and what keeps the rights in it.
async fn designs(handle: &Database, database: &PlannedDatabase, has_rights: bool) -> Vec<String> {
    let ids = match design::installed(handle).await {
        Ok(ids) => ids,
        Err(error) => return vec![format!("design documents that can be read ({error})")],
    };
    let wanted = design::of(database.kind).map(|(id, _)| id.to_owned());
    let mut lacks: Vec<String> = wanted.into_iter().filter(|id| !ids.contains(id)).collect();
    if has_rights && !roles::is_validated(&ids) {
        lacks.push(roles::validation(database.kind).0);
    }
    lacks
}

/// Whether everything that must be carried is.
async fn replications(
    region: &Region,
    plan: &Plan,
    reached: &BTreeMap<&str, &Client>,
    operators: &BTreeSet<String>,
    part: &mut Part,
) {
    let on: BTreeSet<&str> = plan.replications.iter().map(|one| one.runs_on.as_str()).collect();
    for cluster in on {
        let Some(client) = reached.get(cluster) else { continue };
        if !operators.contains(cluster) {
            part.note(
                &format!("its replications at {cluster} are an administrator's to see"),
                &format!("write operator = true under [{cluster}] of the clusters file, with an administrator's credentials"),
            );
            continue;
        }
        let states = match client.replications().await {
            Ok(states) => states,
            Err(error) => {
                part.bad(&format!("the replications of {cluster}: {error}"), "");
                continue;
            }
        };
        let states: BTreeMap<&str, &ReplicationState> =
            states.iter().map(|state| (state.doc_id.as_str(), state)).collect();
        let (mut fine, mut pending) = (0, 0);
        for one in plan.replications_of(cluster) {
            let Some(state) = states.get(one.id.as_str()) else {
                part.bad(
                    &format!(
                        "{cluster} does not carry {} from {} to {}",
                        one.database, one.from, one.to
                    ),
                    &format!("'blitz region set {}' writes the replication", region.name),
                );
                continue;
            };
            let info = state.info.clone().unwrap_or_default();
            let way = format!("{} from {} to {}", one.database, one.from, one.to);
            match state.state.as_deref() {
                Some("running" | "pending" | "initializing" | "completed") | None => fine += 1,
                Some(word) => part.bad(
                    &format!("the replication of {way} is {word}: {}", cause(&info.error)),
                    "mend the way between the two; it goes on by itself as soon as both answer",
                ),
            }
            if info.doc_write_failures > 0 {
                part.warning(
                    &format!("{} refused {} documents of {way}", one.to, info.doc_write_failures),
                    "its log says which: a role lacks a right, or somebody writes what is not his",
                );
            }
            pending += info.changes_pending.unwrap_or(0);
        }
        let text = format!("{cluster} runs {fine} replications of it, {pending} changes behind");
        match (fine, pending > PENDING_MAX) {
            (0, _) => {}
            (_, false) => part.ok(&text),
            (_, true) => part.warning(
                &text,
                "it catches up after a cut; if it does not, the way or the cluster is too slow",
            ),
        }
    }
}

fn cause(error: &Option<Value>) -> String {
    match error {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "no reason is given".to_owned(),
    }
}

/// What engines say of themselves.
async fn engines(region: &Region, client: &Client, part: &mut Part) {
    let database = client.database(&region.engines_database());
    let all = read::range("engine:", "engine;");
    let documents = match read::list::<EngineDocument>(&database, all).await {
        Ok(documents) => documents,
        Err(error) => return part.bad(&format!("its engines cannot be listed: {error}"), ""),
    };
    let there: Vec<EngineDocument> =
        documents.into_iter().map(|(_, _, engine)| engine).filter(|engine| !engine.gone).collect();
    if there.is_empty() {
        return part.warning(
            "no engine has come: its jobs wait",
            &format!("start one: blitz engine --region {}", region.name),
        );
    }
    part.ok(&format!("{} engines have said that they are there", there.len()));
    let mut lacks: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for engine in &there {
        for lack in &engine.lacks {
            lacks.entry((&lack.power, &lack.reason)).or_default().push(&engine.engine);
        }
    }
    for ((power, reason), engines) in lacks {
        let named: Vec<&str> = engines.iter().take(NAMED_MAX).copied().collect();
        let more = match engines.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        part.said(Level::Warning, &format!("{power}, on {}{more}: {reason}", named.join(", ")));
    }
}
