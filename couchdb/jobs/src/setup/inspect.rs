//! Whether a server is the cluster that it should be, and fit for it.

use std::time::{Duration, SystemTime};

use blitz_couchdb::{Client, Greeting};

use super::error::SetupError;
use crate::cluster::Cluster;

/// The oldest version that does.
const NEEDED: (u32, u32) = (3, 3);

/// The oldest version that blitz is tested with.
const TESTED: (u32, u32) = (3, 5);

/// How far a server's clock may be off before it is told: the `Date` header counts seconds, and a slow way takes some.
const CLOCK_OFF_MAX: Duration = Duration::from_secs(60);

/// What is known of a server that does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// Its identity, where it has one.
    pub uuid: Option<String>,
    /// Its version.
    pub version: String,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

/// Asks a server who it is, and refuses one that cannot be used, or that is another than its document says.
///
/// # Errors
///
/// [`SetupError::Silent`], [`SetupError::Version`], [`SetupError::Identity`].
pub async fn inspect(
    name: &str,
    client: &Client,
    document: Option<&Cluster>,
) -> Result<Inspected, SetupError> {
    let greeting = client.greeting().await.map_err(|source| SetupError::of(name, source))?;
    let inspected = judge(name, &greeting, SystemTime::now())?;
    let wanted = document.and_then(|document| document.uuid.as_ref());
    match (wanted, &inspected.uuid) {
        (Some(wanted), Some(found)) if wanted != found => Err(SetupError::Identity {
            cluster: name.to_owned(),
            url: client.address().to_owned(),
            wanted: wanted.clone(),
            found: found.clone(),
        }),
        _ => Ok(inspected),
    }
}

fn judge(name: &str, greeting: &Greeting, now: SystemTime) -> Result<Inspected, SetupError> {
    let version = greeting.info.version.clone();
    let mut warnings = Vec::new();
    match number(&version) {
        Some(number) if number < NEEDED => {
            return Err(SetupError::Version { cluster: name.to_owned(), version });
        }
        Some(number) if number < TESTED => warnings.push(format!(
            "cluster '{name}' is CouchDB {version}; blitz is tested with 3.5, which runs design documents faster and gets the \
             security fixes: upgrade it"
        )),
        Some(_) => {}
        None => warnings.push(format!("cluster '{name}' has a version that says nothing: '{version}'; 3.3 or later is needed")),
    }
    let off = greeting.clock.map(|clock| {
        let ahead = clock.duration_since(now).map(|by| (by, "ahead of"));
        ahead.unwrap_or_else(|behind| (behind.duration(), "behind"))
    });
    if let Some((by, direction)) = off.filter(|(by, _)| *by > CLOCK_OFF_MAX) {
        warnings.push(format!(
            "the clock of cluster '{name}' is {} s {direction} this machine's: no decision hangs on it, but times in lists and \
             logs do, and tokens may be refused; set both by NTP",
            by.as_secs()
        ));
    }
    Ok(Inspected { uuid: greeting.info.uuid.clone(), version, warnings })
}

/// The first two parts of a version.
fn number(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split(['.', '-', '+']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(version: &str, ahead_s: i64) -> String {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let by = Duration::from_secs(ahead_s.unsigned_abs());
        let clock = Some(if ahead_s < 0 { now - by } else { now + by });
        let info = serde_json::json!({"couchdb": "Welcome", "version": version, "uuid": "u"});
        let greeting = Greeting { info: serde_json::from_value(info).unwrap(), clock };
        match judge("tokyo", &greeting, now) {
            Ok(inspected) => inspected.warnings.join("; "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn old_versions_are_refused_or_told() {
        for version in ["3.5.0", "3.5.2-RC1", "4.0", "3.10.1"] {
            assert_eq!(told(version, 0), "", "{version}");
        }
        for version in ["3.2.3", "2.3.1", "1.7.2"] {
            assert!(told(version, 0).contains("needs 3.3 or later"), "{version}");
        }
        assert!(told("3.4.2", 0).contains("tested with 3.5"));
        assert!(told("mine", 0).contains("says nothing: 'mine'"));
    }

    #[test]
    fn a_clock_that_is_far_off_is_told() {
        assert_eq!(told("3.5.0", 59), "");
        assert_eq!(told("3.5.0", -60), "");
        assert!(told("3.5.0", 7200).contains("is 7200 s ahead of this machine's"));
        assert!(told("3.5.0", -61).contains("is 61 s behind this machine's"));
    }
}
