//! `blitz-boot instances`: the fleet's machines as EC2 tells of them, place by place.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io::{self, Write as _};

use blitz_boot_core::instance::{Instance, InstanceState, TAG_FLEET, TAG_LAUNCH, TAG_REGION};
use blitz_boot_core::provider::{Provider as _, ProviderError};
use clap::Args;
use tokio::task::JoinSet;

use crate::access::Access;
use crate::ec2::Ec2;
use crate::failure::Failure;
use crate::fleet_file::{FleetArgs, chosen, read_fleet};
use crate::stdout::print;
use crate::text::{plain, table, utc};

/// The flags of `instances`.
#[derive(Debug, Args)]
pub(crate) struct InstancesArgs {
    #[command(flatten)]
    fleet: FleetArgs,
    /// Only these blitz regions
    #[arg(short, long = "region", value_name = "NAME", value_delimiter = ',')]
    regions: Vec<String>,
    /// One JSON document, instead of the table
    #[arg(long)]
    json: bool,
}

type Listed = Result<Vec<Instance>, ProviderError>;

/// Lists all places at once. One that fails leaves the others as they are, and makes the command fail.
pub(crate) async fn run(access: &Access, args: &InstancesArgs) -> Result<(), Failure> {
    let fleet = read_fleet(&args.fleet)?;
    let regions = chosen(&fleet, &args.regions)?;
    let places: BTreeSet<String> = regions.into_iter().map(|region| region.place).collect();
    let mut asked = JoinSet::new();
    for place in places {
        let (access, fleet) = (access.clone(), fleet.clone());
        asked.spawn(async move {
            let listed = match Ec2::new(&access, &fleet, &place).await {
                Ok(ec2) => ec2.list().await,
                Err(error) => Err(error),
            };
            (place, listed)
        });
    }
    let mut listed: BTreeMap<String, Listed> = asked.join_all().await.into_iter().collect();
    if !args.regions.is_empty() {
        for instances in listed.values_mut().flatten() {
            instances.retain(|instance| {
                instance
                    .tag(TAG_REGION)
                    .is_some_and(|of| args.regions.iter().any(|name| name == of))
            });
        }
    }
    if args.json {
        print(&json(&listed))?;
    } else if listed.values().any(Result::is_ok) {
        print(&table(HEAD, rows(&listed)))?;
    }
    let places = listed.len();
    let mut errors: Vec<ProviderError> = listed.into_values().filter_map(Result::err).collect();
    match errors.len() {
        0 => Ok(()),
        1 if places == 1 => Err(errors.remove(0).into()),
        failed => {
            let mut stderr = io::stderr().lock();
            for error in &errors {
                // Whoever reads no stderr has the exit code.
                drop(writeln!(stderr, "blitz-boot: {error}"));
            }
            Err(Failure::Part { failed, places, worst: errors.remove(0) })
        }
    }
}

fn json(listed: &BTreeMap<String, Listed>) -> String {
    let places = listed.iter().map(|(place, listed)| match listed {
        Ok(instances) => serde_json::json!({ "place": place, "instances": instances }),
        Err(error) => serde_json::json!({ "place": place, "error": error.to_string() }),
    });
    format!("{}\n", serde_json::Value::from_iter(places))
}

const HEAD: [&str; 7] = ["PLACE", "REGION", "INSTANCE", "STATE", "LAUNCHED", "LAUNCH", "TAGS"];

fn rows(listed: &BTreeMap<String, Listed>) -> Vec<[String; HEAD.len()]> {
    let seen = listed.iter().flat_map(|(place, listed)| {
        listed.iter().flatten().map(move |instance| row(place, instance))
    });
    seen.collect()
}

fn row(place: &str, instance: &Instance) -> [String; HEAD.len()] {
    let tag = |name| plain(instance.tag(name).unwrap_or("-"));
    let others = instance
        .tags
        .iter()
        // Those of AWS itself say what the launch template says.
        .filter(|(name, _)| !name.starts_with("aws:"))
        .filter(|(name, _)| ![TAG_FLEET, TAG_REGION, TAG_LAUNCH].contains(&name.as_str()));
    let others: Vec<_> = others.map(|(name, value)| plain(&format!("{name}={value}"))).collect();
    let spot = if instance.is_spot { " (spot)" } else { "" };
    [
        plain(place),
        tag(TAG_REGION),
        plain(&instance.id.0),
        format!("{}{spot}", word(instance.state)),
        utc(instance.launched_ms),
        tag(TAG_LAUNCH),
        others.join(" "),
    ]
}

fn word(state: InstanceState) -> &'static str {
    match state {
        InstanceState::Pending => "pending",
        InstanceState::Running => "running",
        InstanceState::Stopped => "stopped",
        InstanceState::Stopping => "stopping",
        InstanceState::Gone => "gone",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blitz_boot_core::instance::InstanceId;

    fn instance(id: &str, state: InstanceState, is_spot: bool, tags: &[(&str, &str)]) -> Instance {
        Instance {
            id: InstanceId(id.to_owned()),
            state,
            launched_ms: 1_700_000_000_999,
            is_spot,
            tags: tags
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn a_table_has_a_row_for_each_instance() {
        let ours =
            [(TAG_FLEET, "f"), (TAG_REGION, "japan"), (TAG_LAUNCH, "l-1"), ("Name", "a\u{1b}[2J")];
        let listed = BTreeMap::from([
            (
                "ap-northeast-1".to_owned(),
                Ok(vec![
                    instance("i-0123456789abcdef0", InstanceState::Running, true, &ours),
                    instance("i-1", InstanceState::Gone, false, &[(TAG_FLEET, "f")]),
                ]),
            ),
            ("eu-west-1".to_owned(), Err(ProviderError::Unknown("no answer".to_owned()))),
        ]);
        let expected = "\
PLACE           REGION  INSTANCE             STATE           LAUNCHED              LAUNCH  TAGS
ap-northeast-1  japan   i-0123456789abcdef0  running (spot)  2023-11-14T22:13:20Z  l-1     Name=a?[2J
ap-northeast-1  -       i-1                  gone            2023-11-14T22:13:20Z  -
";
        assert_eq!(table(HEAD, rows(&listed)), expected);
        let json: serde_json::Value = serde_json::from_str(&json(&listed)).unwrap();
        assert_eq!(json[0]["instances"][0]["state"], "running", "{json}");
        assert_eq!(json[1]["error"], "no answer", "{json}");
    }
}
