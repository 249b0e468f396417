//! What `blitz region add` and `set` take: words that become a wish.

use blitz_jobs::accounts::is_name;
use blitz_jobs::region::{Failover, Place, Rotation};
use blitz_jobs::setup::regions::{LANES_MAX, Wish};
use blitz_runtime::Rule;
use clap::{Args, ValueEnum};

use crate::when::length;

/// The flags.
#[derive(Debug, Clone, Args)]
pub(crate) struct WishArgs {
    /// Clusters that have copies and take its jobs when the home does not answer; '' for none
    #[arg(long = "hub", value_name = "CLUSTER", value_delimiter = ',')]
    hubs: Option<Vec<String>>,
    /// Other words for it; '' for none
    #[arg(long = "alias", value_name = "WORD", value_delimiter = ',')]
    aliases: Option<Vec<String>>,
    /// Where it is, in degrees: 35.68,139.69
    #[arg(long, value_name = "LAT,LON", value_parser = place, allow_hyphen_values = true)]
    place: Option<Place>,
    /// What its engines do without their home: wait, or run at the first hub what may run twice
    #[arg(long, value_name = "WHEN")]
    failover: Option<FailoverArg>,
    /// How often it gets new databases: 7d, 12h; or never
    #[arg(long, value_name = "TIME", value_parser = rotate)]
    rotate: Option<Rotate>,
    /// How long the former databases are kept: 14d
    #[arg(long, value_name = "TIME", value_parser = seconds, requires = "rotate")]
    keep: Option<u64>,
    /// How many databases take new jobs at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(LANES_MAX)))]
    lanes: Option<u32>,
    /// Who may use it, by the names of tenants; '' for everybody
    #[arg(long, value_name = "TENANT", value_delimiter = ',', value_parser = tenant)]
    access: Option<Vec<String>>,
    /// Where its jobs may go: networks, addresses, hosts, with ports behind them; '' for wherever its engines let them
    #[arg(long, value_name = "RULE", value_delimiter = ',', value_parser = rule)]
    targets: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FailoverArg {
    Safe,
    Never,
}

#[derive(Debug, Clone, Copy)]
enum Rotate {
    Never,
    /// In seconds.
    Every(u64),
}

/// Databases are kept for so many periods when nobody says for how long.
const PERIODS_KEPT: u64 = 2;

impl WishArgs {
    /// What is wished for.
    pub(crate) fn wish(self) -> Wish {
        let words = |words: Vec<String>| {
            words
                .into_iter()
                .map(|word| word.trim().to_owned())
                .filter(|word| !word.is_empty())
                .collect()
        };
        let rotation = self.rotate.map(|rotate| match rotate {
            Rotate::Never => None,
            Rotate::Every(every_s) => {
                let keep_s = self.keep.unwrap_or_else(|| every_s.saturating_mul(PERIODS_KEPT));
                Some(Rotation { every_s, keep_s })
            }
        });
        Wish {
            hubs: self.hubs.map(words),
            aliases: self.aliases.map(words),
            place: self.place,
            access: self.access.map(words),
            targets: self.targets.map(words),
            failover: self.failover.map(|failover| match failover {
                FailoverArg::Safe => Failover::Safe,
                FailoverArg::Never => Failover::Never,
            }),
            rotation,
            lanes: self.lanes,
            forget: Vec::new(),
        }
    }
}

fn place(text: &str) -> Result<Place, String> {
    let wrong = || "two numbers of degrees, north and east: 35.68,139.69".to_owned();
    let (latitude, longitude) = text.split_once(',').ok_or_else(wrong)?;
    let number = |text: &str, most: f64| {
        let number: f64 = text.trim().parse().map_err(|_| wrong())?;
        match (-most..=most).contains(&number) {
            true => Ok(number),
            false => Err(format!("{number} is not between -{most} and {most}")),
        }
    };
    Ok(Place { latitude: number(latitude, 90.0)?, longitude: number(longitude, 180.0)? })
}

/// A name that no tenant can have would keep everybody out.
fn tenant(text: &str) -> Result<String, String> {
    let name = text.trim();
    if name.is_empty() || is_name(name) {
        return Ok(name.to_owned());
    }
    Err("a tenant's name has up to 32 of a-z, 0-9 and -, a letter first".to_owned())
}

/// One that engines cannot read would stop every job of the region.
fn rule(text: &str) -> Result<String, String> {
    let rule = text.trim();
    if rule.is_empty() {
        return Ok(String::new());
    }
    rule.parse::<Rule>().map(|rule| rule.to_string()).map_err(|error| error.to_string())
}

fn rotate(text: &str) -> Result<Rotate, String> {
    if text == "never" { Ok(Rotate::Never) } else { seconds(text).map(Rotate::Every) }
}

/// `14d`, or what other flags take as a time, in whole seconds.
fn seconds(text: &str) -> Result<u64, String> {
    let seconds = length(text).map(|length| length.as_secs()).ok();
    seconds.filter(|seconds| *seconds > 0).ok_or_else(|| "use 7d, 12h, 30m or 90s".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_days() {
        for (text, wanted) in [("7d", Some(604_800)), ("12h", Some(43_200)), ("90s", Some(90))] {
            assert_eq!(seconds(text).ok(), wanted, "{text}");
        }
        for text in ["0d", "d", "7 days", "99999999999999999999d", "10ms", "never"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lists_that_nobody_could_read_are_refused_here() {
        assert_eq!(rule(" 10.0.0.0/8 ").as_deref(), Ok("10.0.0.0/8"));
        assert_eq!(rule("*.acme.test:443").as_deref(), Ok("*.acme.test:443"));
        assert!(rule("").is_ok() && tenant("").is_ok(), "none at all");
        assert!(rule("http://x").is_err() && rule("10.0.0.1/8").is_err());
        assert!(tenant("acme").is_ok() && tenant("Acme").is_err() && tenant("a b").is_err());
    }

    #[test]
    fn places_are_degrees() {
        let tokyo = place("35.68, 139.69").unwrap();
        assert_eq!((tokyo.latitude, tokyo.longitude), (35.68, 139.69));
        assert!(place("-33.9,151.2").is_ok());
        for text in ["tokyo", "1", "91,0", "0,-181", "NaN,1", "1,2,3"] {
            assert!(place(text).is_err(), "{text}");
        }
    }
}
