//! `blitz region list`: the documents of all regions.

use blitz_jobs::region::{Failover, Region, Rotation};
use clap::Args;
use serde::Serialize;

use crate::cluster::operate::{Error, OperatorArgs};
use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::list::{list_or_dash, print_json, print_table};
use crate::text::columns;

/// `blitz region list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// The documents as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    operator: OperatorArgs,
}

#[derive(Debug, Serialize)]
struct List {
    regions: Vec<Region>,
}

pub(super) async fn run(args: ListArgs, environment: &Environment) -> Result<ExitCode, Error> {
    let (_, known) = args.operator.read(environment).await?;
    let list = List { regions: known.regions() };
    Ok(if args.json { print_json(&list) } else { print_table(&table(&list.regions)) })
}

fn table(regions: &[Region]) -> String {
    let row = |one: &Region| {
        [
            one.name.clone(),
            one.home.clone().unwrap_or_else(|| "-".to_owned()),
            one.home_epoch.to_string(),
            list_or_dash(&one.hubs),
            failover(one.failover).to_owned(),
            open(one),
            one.rotation.map_or_else(|| "-".to_owned(), rotation),
            list_or_dash(&one.aliases),
        ]
    };
    let rows: Vec<_> = regions.iter().map(row).collect();
    columns(["NAME", "HOME", "EPOCH", "HUBS", "FAILOVER", "OPEN", "ROTATION", "ALIASES"], &rows)
}

pub(super) fn failover(failover: Failover) -> &'static str {
    match failover {
        Failover::Never => "never",
        Failover::Safe => "safe",
    }
}

/// The databases that may hold open jobs, those that take new ones marked: `3,4*,5*`.
pub(super) fn open(region: &Region) -> String {
    let takes = |number: &u32| region.taking().any(|taking| taking == *number);
    let shown = |number: &u32| format!("{number}{}", if takes(number) { "*" } else { "" });
    region.open.iter().map(shown).collect::<Vec<_>>().join(",")
}

/// `7d, kept 14d`.
pub(super) fn rotation(rotation: Rotation) -> String {
    let Rotation { every_s, keep_s } = rotation;
    format!("{}, kept {}", time(every_s), time(keep_s))
}

fn time(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let whole = units.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit) && seconds > 0);
    whole.map_or_else(|| format!("{seconds}s"), |(unit, name)| format!("{}{name}", seconds / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_a_table() {
        let japan = Region {
            home: Some("tokyo".to_owned()),
            home_epoch: 3,
            hubs: vec!["virginia".to_owned(), "oregon".to_owned()],
            failover: Failover::Safe,
            rotation: Some(Rotation { every_s: 604_800, keep_s: 1_209_600 }),
            lanes: 2,
            current: 5,
            open: vec![3, 4, 5],
            ..Region::new("japan").unwrap()
        };
        let local = Region::new("local").unwrap();
        insta::assert_snapshot!(table(&[japan, local]), @r"
        NAME   HOME   EPOCH  HUBS             FAILOVER  OPEN     ROTATION      ALIASES
        japan  tokyo  3      virginia,oregon  safe      3,4*,5*  7d, kept 14d  ap-northeast-1,jp,tokyo,nrt
        local  -      1      -                never     1*       -             -
        ");
        assert_eq!(
            (time(90), time(5400), time(0)),
            ("90s".to_owned(), "90m".to_owned(), "0s".to_owned())
        );
    }
}
