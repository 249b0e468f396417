//! dig: the answers of Debian's dig, from a server at the end of a path.

use std::net::IpAddr;

use blitz_tests::net::dns::name_of;
use blitz_tests::net::path::{Delay, Family, Path};

use super::{ours, path_with_engine, said};

#[tokio::test]
async fn dig_gives_the_answers_that_debians_gives() {
    let path = Path::builder(3).slow(2, Delay::ms(5));
    let Some((path, _engine)) = path_with_engine(path, &[]).await else { return };
    let _server = path.name_server_at(path.destination_node()).await;
    let addresses = ["5.1.2.3", "5.1.2.4", "2a05:1::7"].map(|a| a.parse::<IpAddr>().expect("one"));
    let name = name_of(&addresses);
    for family in Family::ALL {
        let server = format!("@{}", path.destination(family));
        for more in [
            &["A", "+short"][..],
            &["AAAA", "+short"],
            &["A", "+short", "+tcp"],
            &["MX", "+short"],
            &["A", "+noall", "+answer"],
        ] {
            let name = if more.contains(&"+tcp") { format!("t.{name}") } else { name.clone() };
            let args = [&[server.as_str(), &name], more].concat();
            let outcome = ours(&path, "dig", &args).await;
            let debian = path.run(&[&["dig"], &args[..]].concat()).await;
            let words = |text: &str| -> Vec<Vec<String>> {
                let lines = text.lines().filter(|line| !line.starts_with(';'));
                lines.map(|l| l.split_whitespace().map(str::to_owned).collect()).collect()
            };
            assert_eq!(
                words(&outcome.stdout),
                words(&debian.stdout),
                "{args:?}: {}",
                said(&outcome)
            );
            assert_eq!(outcome.code, Some(0), "{args:?}: {}", said(&outcome));
        }
        let outcome = ours(&path, "dig", &[&server, "nothing.example", "A"]).await;
        assert!(outcome.stdout.contains("NXDOMAIN"), "{}", said(&outcome));
        assert!(outcome.stdout.contains("Query time:"), "{}", said(&outcome));
    }
}
