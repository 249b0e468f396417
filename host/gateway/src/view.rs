//! Jobs as the API shows them: what the store has, without secrets.

use blitz_contract::arguments::{all_masked, masked};
use serde_json::{Value, json};

use crate::catalog::Catalog;
use crate::history::Job;

/// One job, as the store has it.
pub(crate) fn job_view(catalog: &Catalog, job: &Job) -> Value {
    let (spec, run) = (&job.spec, job.run.as_ref());
    let state = match run {
        None if job.cancelled => "cancelling",
        None => "queued",
        Some(run) if job.cancelled && !run.is_final() => "cancelling",
        Some(run) => run.state(),
    };
    let end = run.and_then(|run| run.end());
    json!({
        "id": spec.job,
        "run": spec.run,
        "region": spec.job.region(),
        "plugin": spec.plugin,
        "version": spec.version,
        "args": args_view(catalog, &spec.plugin, &spec.version, &spec.args),
        "state": state,
        "reason": run.and_then(|run| run.reason()),
        "exit": end.map(|end| &end.exit),
        "engine": run.and_then(|run| run.claim()).map(|claim| &claim.engine),
        "created_at_ms": spec.created_at_ms,
        "duration_ms": end.map(|end| end.duration_ms),
    })
}

/// A command line without its secrets. The manifest says which words they are: of a plugin that is not known
/// only the number of words is shown.
fn args_view(catalog: &Catalog, plugin: &str, version: &str, args: &[String]) -> Vec<String> {
    match catalog.version(plugin, version) {
        Some(plugin) => masked(&plugin.manifest, args),
        None => all_masked(args),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn command_lines_are_shown_without_secrets() {
        let catalog = Catalog::new(Duration::from_secs(1));
        let manifest = json!({
            "name": "demo", "version": "0.1.0", "summary": "for tests", "contract": "0.1.0",
            "arguments": [{"name": "user", "short": "u", "kind": "secret"}, {"name": "URL", "positional": true}],
        });
        let manifest = serde_json::from_value(manifest).unwrap();
        let demo = blitz_jobs::plugin::PluginDocument::new(manifest, b"component");
        catalog.hear_control(&demo.document_id(), json!(demo));
        let args = ["-u", "me:pw", "http://x"].map(str::to_owned);
        for (plugin, version, shown) in [
            ("demo", "0.1.0", ["-u", "***", "http://x"]),
            ("demo", "0.2.0", ["***", "***", "***"]),
            ("other", "0.1.0", ["***", "***", "***"]),
        ] {
            assert_eq!(args_view(&catalog, plugin, version, &args), shown, "{plugin}@{version}");
        }
    }
}
