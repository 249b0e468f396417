//! `blitz plugin list`: every published version, with its publisher and the engines that have it.

use blitz_jobs::clock::now_ms;

use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::list::{ago, list_or_dash, print_json, print_table, size, version_key};
use crate::plugin::Error;
use crate::plugin::label::gateway;
use crate::text::columns;
use crate::wire::{Plugin, Plugins};

/// `blitz plugin list`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// The versions of this plugin alone
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// The gateway's answer as JSON
    #[arg(long)]
    json: bool,
    /// The gateway; its token stands in BLITZ_TOKEN [env: BLITZ_HOST]
    #[arg(long, value_name = "URL")]
    host: Option<String>,
}

/// Characters of a key in the table: enough to tell publishers apart; `--json` has all of it.
const KEY_CHARS: usize = 12;

pub(crate) async fn run(args: ListArgs, environment: &Environment) -> Result<ExitCode, Error> {
    let gateway = gateway("blitz plugin list", args.host.as_deref(), environment)?;
    let mut answer: Plugins = gateway.list("/v1/plugins").await?;
    if let Some(name) = &args.name {
        answer.plugins.retain(|plugin| plugin.name == *name);
        if answer.plugins.is_empty() {
            return Err(Error::Failed(format!("no plugin '{name}'; 'blitz plugins' lists them")));
        }
    }
    answer.plugins.sort_by_key(|p| (p.name.clone(), std::cmp::Reverse(version_key(p))));
    Ok(if args.json { print_json(&answer) } else { print_table(&table(&answer, now_ms())) })
}

fn table(answer: &Plugins, now_ms: u64) -> String {
    let row = |plugin: &Plugin| {
        let ready = plugin.regions.iter().map(|region| {
            let (name, ready, engines) = (&region.name, region.ready, region.engines);
            format!("{name} {ready}/{engines}")
        });
        let published = plugin.published_at_ms.map(|then| ago(now_ms.saturating_sub(then)));
        [
            plugin.name.clone(),
            plugin.version.clone(),
            size(plugin.size_bytes),
            published.unwrap_or_else(|| "-".to_owned()),
            publisher(plugin),
            match &plugin.yanked {
                Some(reason) if reason.is_empty() => "yanked".to_owned(),
                Some(reason) => format!("yanked: {reason}"),
                None => list_or_dash(&ready.collect::<Vec<_>>()),
            },
        ]
    };
    let rows: Vec<_> = answer.plugins.iter().map(row).collect();
    columns(["NAME", "VERSION", "SIZE", "PUBLISHED", "KEY", "READY"], &rows)
}

/// Whose it is, and whether that key must be trusted for native plugins.
fn publisher(plugin: &Plugin) -> String {
    let Some(key) = &plugin.key else { return "built in".to_owned() };
    let native = if plugin.carrier == "native" { " native" } else { "" };
    key.chars().take(KEY_CHARS).chain(native.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_a_table() {
        let answer = serde_json::from_str(
            r#"{"plugins":[{"name":"curl","version":"0.1.0","size_bytes":200000,
                "regions":[{"name":"japan","engines":2,"ready":2},{"name":"virginia","engines":1,"ready":0}]},
                {"name":"hops","version":"0.2.0","size_bytes":10,"key":"AAAABBBBCCCCDDDD","published_at_ms":1000,"carrier":"native",
                 "only":["japan"],"regions":[{"name":"japan","engines":2,"ready":1}]},
                {"name":"hops","version":"0.1.0","key":"AAAABBBBCCCCDDDD","yanked":"leaks"}]}"#,
        )
        .unwrap();
        insta::assert_snapshot!(table(&answer, 61_000), @"
        NAME  VERSION  SIZE     PUBLISHED  KEY                  READY
        curl  0.1.0    195 KiB  -          built in             japan 2/2,virginia 0/1
        hops  0.2.0    10 B     60 s ago   AAAABBBBCCCC native  japan 1/2
        hops  0.1.0    0 B      -          AAAABBBBCCCC         yanked: leaks
        ");
    }
}
