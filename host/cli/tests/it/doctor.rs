//! `blitz doctor` over two clusters: what is missing, what mends it, and that one cluster's trouble hides no other.

use std::time::{Duration, Instant};

use blitz_couchdb::{Client, Config, Credentials};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::operate::Site;

/// Replications come up, and go on, within seconds.
const LIMIT: Duration = Duration::from_secs(60);

/// All findings, and the exit code.
fn findings(site: &Site) -> (Option<i32>, Vec<Value>) {
    let ran = site.run("doctor --json");
    let report: Value =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}", ran.stderr));
    let parts = report["parts"].as_array().unwrap().iter();
    let findings = parts.flat_map(|part| part["findings"].as_array().unwrap().clone());
    (ran.code, findings.collect())
}

/// The findings, once nothing is bad.
fn well(site: &Site) -> Vec<Value> {
    let since = Instant::now();
    loop {
        let (code, findings) = findings(site);
        if code == Some(0) {
            return findings;
        }
        let bad: Vec<&Value> = findings.iter().filter(|one| one["level"] == "bad").collect();
        assert!(since.elapsed() < LIMIT, "{bad:#?}");
    }
}

fn has(findings: &[Value], level: &str, text: &str, next: &str) -> bool {
    let within = |finding: &Value, field: &str, part: &str| {
        finding[field].as_str().unwrap_or_default().contains(part)
    };
    let fits = |one: &&Value| one["level"] == level && within(one, "text", text);
    findings.iter().filter(fits).any(|one| within(one, "next", next))
}

#[test]
fn the_doctor_says_what_is_missing_and_what_mends_it() {
    let site = Site::new();
    for line in [
        "cluster add tokyo",
        "cluster add virginia",
        "region add japan --home tokyo --hub virginia",
    ] {
        site.done(line);
    }
    let found = well(&site);
    assert!(has(&found, "ok", "tokyo has its 4 databases, whole", ""), "{found:#?}");
    assert!(has(&found, "ok", "tokyo runs", ""), "{found:#?}");
    assert!(
        has(&found, "warning", "no engine has come", "blitz engine --region japan"),
        "{found:#?}"
    );

    let credentials = Credentials { name: "a".to_owned(), password: "hidden".to_owned() };
    let config = Config { credentials: Some(credentials), ..Config::new(&site.urls[1]) };
    let virginia = Client::with(config).unwrap();
    let drops = async { virginia.database("blitz-out-japan-1").drop().await };
    Runtime::new().unwrap().block_on(drops).unwrap();
    let (code, found) = findings(&site);
    let missing = "virginia has no database blitz-out-japan-1";
    assert!(has(&found, "bad", missing, "'blitz region set japan'"), "{found:#?}");
    assert_eq!(code, Some(1));
    site.done("region set japan");
    well(&site);
}

#[test]
fn a_cluster_that_does_not_let_us_in_hides_no_other() {
    let site = Site::new();
    site.done("cluster add tokyo");
    site.done("cluster add virginia");
    let text = std::fs::read_to_string(&site.file).unwrap();
    let (first, second) = text.split_once("[virginia]").unwrap();
    site.write(&format!("{first}[virginia]{}", second.replace("hidden", "wrong")), 0o600);
    let (code, found) = findings(&site);
    assert_eq!(code, Some(1));
    assert!(has(&found, "bad", "it does not let us in", "clusters file"), "{found:#?}");
    assert!(has(&found, "ok", "entered as 'a', an administrator", ""), "{found:#?}");
}
