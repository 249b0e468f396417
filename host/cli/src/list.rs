//! `blitz regions`, `engines`, `plugins`, `jobs`, `job`: what the gateway knows, as tables or JSON.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use blitz_jobs::clock::now_ms;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::{self, Gateway};
use crate::exit_code::ExitCode;
use crate::outage::time_of_day;
use crate::run::print;
use crate::strip::Strip;
use crate::text::{columns, quoted};
use crate::wire::{Engines, Job, Jobs, Plugin, Plugins, Regions};

/// A list of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    Regions,
    Engines,
    Plugins,
    /// So many of the newest.
    Jobs(u32),
}

/// Fetches a list and prints it.
pub(crate) async fn show(
    gateway: &Gateway,
    list: List,
    json: bool,
) -> Result<ExitCode, api::Error> {
    match list {
        List::Regions => fetch(gateway, "/v1/regions", json, regions).await,
        List::Engines => fetch(gateway, "/v1/engines", json, engines).await,
        List::Plugins => fetch(gateway, "/v1/plugins", json, plugins).await,
        List::Jobs(last) => {
            let table = |answer: &Jobs| {
                left_out(&answer.unreachable);
                jobs(answer, now_ms())
            };
            fetch(gateway, &format!("/v1/jobs?last={last}"), json, table).await
        }
    }
}

/// `blitz job ID --json`.
pub(crate) async fn show_job(gateway: &Gateway, id: &str) -> Result<ExitCode, api::Error> {
    Ok(print_json(&gateway.job(id).await?))
}

/// `blitz job abort ID`.
pub(crate) async fn abort(gateway: &Gateway, id: &str) -> Result<ExitCode, api::Error> {
    let answer = gateway.cancel(id).await?;
    Ok(print(&match answer.state.as_str() {
        "cancelling" | "cancelled" => "aborted\n".to_owned(),
        state => format!("not aborted: it was {state} already\n"),
    }))
}

async fn fetch<T: DeserializeOwned + Serialize>(
    gateway: &Gateway,
    path: &str,
    json: bool,
    table: impl Fn(&T) -> String,
) -> Result<ExitCode, api::Error> {
    let answer: T = gateway.list(path).await?;
    Ok(if json { print_json(&answer) } else { print_table(&table(&answer)) })
}

pub(crate) fn print_json(value: &impl Serialize) -> ExitCode {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    print(&text)
}

/// Says which regions' jobs are missing in a list.
fn left_out(regions: &[String]) {
    if !regions.is_empty() {
        let line = format!(
            "blitz jobs: those of {} are left out: no cluster of theirs answers\n",
            regions.join(", ")
        );
        eprint_stripped(&line);
    }
}

/// Talk goes to stderr; names of regions are other people's words.
fn eprint_stripped(line: &str) {
    let line = Strip::default().push(line.as_bytes());
    // Nobody reads it: then nobody misses it.
    drop(io::stderr().write_all(&line));
}

/// Names and arguments in a table are other people's words: no control sequence of theirs is shown.
pub(crate) fn print_table(table: &str) -> ExitCode {
    print(&String::from_utf8_lossy(&Strip::default().push(table.as_bytes())))
}

fn regions(answer: &Regions) -> String {
    let row = |r: &crate::wire::Region| {
        [r.name.clone(), list_or_dash(&r.aliases), r.engines.to_string(), r.slots.to_string()]
    };
    let rows: Vec<_> = answer.regions.iter().map(row).collect();
    let is_alone = |r: &crate::wire::Region| r.home.is_none() && r.unreachable_since_ms.is_none();
    if answer.regions.iter().all(is_alone) {
        return columns(["NAME", "ALIASES", "ENGINES", "SLOTS"], &rows);
    }
    let with_home = |([name, aliases, engines, slots], region): ([String; 4], _)| {
        [name, aliases, engines, slots, home(region)]
    };
    let rows: Vec<_> = rows.into_iter().zip(&answer.regions).map(with_home).collect();
    columns(["NAME", "ALIASES", "ENGINES", "SLOTS", "HOME"], &rows)
}

/// The cluster in which a region's jobs are claimed, and since when it does not answer.
fn home(region: &crate::wire::Region) -> String {
    let cluster = region.home.as_deref().unwrap_or("-");
    match region.unreachable_since_ms {
        Some(since_ms) => format!("{cluster}, unreachable since {}", time_of_day(since_ms)),
        None => cluster.to_owned(),
    }
}

fn engines(answer: &Engines) -> String {
    let row = |e: &crate::wire::Engine| {
        [
            e.id.clone(),
            e.region.clone(),
            e.build.clone(),
            e.slots.to_string(),
            list_or_dash(&e.plugins),
            e.seen_ms_ago.map_or_else(|| "-".to_owned(), ago),
        ]
    };
    let rows: Vec<_> = answer.engines.iter().map(row).collect();
    if answer.engines.iter().all(|e| e.machine.is_none()) {
        return columns(["ID", "REGION", "BUILD", "SLOTS", "PLUGINS", "SEEN"], &rows);
    }
    let with_machine = |([id, region, build, slots, plugins, seen], e): ([String; 6], _)| {
        [id, region, machine(e), build, slots, plugins, seen]
    };
    let rows: Vec<_> = rows.into_iter().zip(&answer.engines).map(with_machine).collect();
    columns(["ID", "REGION", "MACHINE", "BUILD", "SLOTS", "PLUGINS", "SEEN"], &rows)
}

/// `m7g.large eu-central-1a spot`, of a machine whose provider tells of it.
fn machine(engine: &crate::wire::Engine) -> String {
    let Some(machine) = &engine.machine else { return "-".to_owned() };
    let spot = if machine.is_spot { "spot" } else { "" };
    let words = [machine.instance_type.as_str(), machine.zone.as_str(), spot];
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    if words.is_empty() { machine.provider.clone() } else { words.join(" ") }
}

fn plugins(answer: &Plugins) -> String {
    let row = |p: &Plugin| {
        [
            p.name.clone(),
            p.version.clone(),
            size(p.size_bytes),
            list_or_dash(&p.capabilities),
            p.summary.clone(),
        ]
    };
    let rows: Vec<_> = newest(&answer.plugins).into_iter().map(row).collect();
    columns(["NAME", "VERSION", "SIZE", "CAPABILITIES", "SUMMARY"], &rows)
}

/// The newest version of each name that was not taken back; of those who have none, the newest.
fn newest(plugins: &[Plugin]) -> Vec<&Plugin> {
    let mut newest: BTreeMap<&str, &Plugin> = BTreeMap::new();
    for plugin in plugins {
        let rank = |p: &Plugin| (p.yanked.is_none(), version_key(p));
        let best = newest.entry(&plugin.name).or_insert(plugin);
        if rank(plugin) > rank(best) {
            *best = plugin;
        }
    }
    newest.into_values().collect()
}

/// What orders versions.
pub(crate) fn version_key(plugin: &Plugin) -> Option<[u32; 3]> {
    blitz_jobs::plugin::version_order(&plugin.version)
}

fn jobs(answer: &Jobs, now_ms: u64) -> String {
    let row = |j: &Job| {
        [
            j.id.clone(),
            j.created_at_ms.map_or_else(|| "-".to_owned(), |then| ago(now_ms.saturating_sub(then))),
            j.region.clone(),
            state(j),
            j.duration_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms")),
            std::iter::once(&j.plugin)
                .chain(&j.args)
                .map(|word| quoted(word))
                .collect::<Vec<_>>()
                .join(" "),
        ]
    };
    let rows: Vec<_> = answer.jobs.iter().map(row).collect();
    columns(["ID", "WHEN", "REGION", "STATE", "TOOK", "COMMAND"], &rows)
}

/// `done 0`, `failed 22`, `queued`.
fn state(job: &Job) -> String {
    match &job.exit {
        Some(blitz_contract::Exit::Status(status)) => format!("{} {status}", job.state),
        _ => job.state.clone(),
    }
}

pub(crate) fn list_or_dash(words: &[String]) -> String {
    if words.is_empty() { "-".to_owned() } else { words.join(",") }
}

pub(crate) fn ago(ms: u64) -> String {
    match ms / 1000 {
        seconds @ 0..120 => format!("{seconds} s ago"),
        seconds @ 120..7200 => format!("{} min ago", seconds / 60),
        seconds => format!("{} h ago", seconds / 3600),
    }
}

pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        _ => format!("{} MiB", bytes / 1_048_576),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_tables() {
        let plugins_answer: Plugins = serde_json::from_str(
            r#"{"plugins":[{"name":"curl","version":"0.1.0","size_bytes":200000,"summary":"HTTP","capabilities":["web"]},
                {"name":"noop","version":"1.20.0"},{"name":"noop","version":"1.9.0"},
                {"name":"noop","version":"1.21.0","yanked":""}]}"#,
        )
        .unwrap();
        let jobs_answer: Jobs = serde_json::from_str(
            r#"{"jobs":[{"id":"japan-1-01","region":"japan","plugin":"curl","args":["-d","a b","http://x"],
                "state":"done","exit":{"status":0},"created_at_ms":1000000,"duration_ms":12},
                {"id":"japan-1-02","region":"japan","plugin":"curl","state":"queued","exit":null}]}"#,
        )
        .unwrap();
        let engines_answer: Engines = serde_json::from_str(
            r#"{"engines":[{"id":"e1","region":"japan","build":"0.1.0","slots":4,"plugins":["curl@0.1.0"],"seen_ms_ago":1500}]}"#,
        )
        .unwrap();
        let regions_answer: Regions = serde_json::from_str(
            r#"{"regions":[{"name":"japan","aliases":["jp","tokyo"],"engines":1,"slots":4},{"name":"local"}]}"#,
        )
        .unwrap();
        let machines: Engines = serde_json::from_str(
            r#"{"engines":[{"id":"i-1","region":"japan","machine":{"provider":"ec2","instance_type":"m7g.large",
                "zone":"ap-northeast-1a","is_spot":true}},{"id":"e2","region":"japan","machine":null},
                {"id":"e3","region":"japan","machine":{"provider":"other"}}]}"#,
        )
        .unwrap();
        let homes: Regions = serde_json::from_str(
            r#"{"regions":[{"name":"japan","engines":1,"slots":4,"home":"tokyo","hubs":["oslo"]},{"name":"local"}]}"#,
        )
        .unwrap();
        let text = [
            regions(&regions_answer),
            regions(&homes),
            engines(&engines_answer),
            engines(&machines),
            plugins(&plugins_answer),
            jobs(&jobs_answer, 1_090_000),
        ];
        insta::assert_snapshot!(text.join("\n"), @r#"
        NAME   ALIASES   ENGINES  SLOTS
        japan  jp,tokyo  1        4
        local  -         0        0

        NAME   ALIASES  ENGINES  SLOTS  HOME
        japan  -        1        4      tokyo
        local  -        0        0      -

        ID  REGION  BUILD  SLOTS  PLUGINS     SEEN
        e1  japan   0.1.0  4      curl@0.1.0  1 s ago

        ID   REGION  MACHINE                         BUILD  SLOTS  PLUGINS  SEEN
        i-1  japan   m7g.large ap-northeast-1a spot         0      -        -
        e2   japan   -                                      0      -        -
        e3   japan   other                                  0      -        -

        NAME  VERSION  SIZE     CAPABILITIES  SUMMARY
        curl  0.1.0    195 KiB  web           HTTP
        noop  1.20.0   0 B      -

        ID          WHEN      REGION  STATE   TOOK   COMMAND
        japan-1-01  90 s ago  japan   done 0  12 ms  curl -d 'a b' http://x
        japan-1-02  -         japan   queued  -      curl
        "#);
    }
}
