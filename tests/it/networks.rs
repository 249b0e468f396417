//! Whose an address is: from the operator's file to what a plugin prints.

use std::path::Path;

use blitz_tests::{Home, mmdb};
use serde_json::json;

#[tokio::test]
async fn an_engine_tells_plugins_what_its_operators_files_say() {
    let home = Home::new(Path::new(env!("CARGO_BIN_EXE_bench")));
    let of = |record| mmdb::database("test", &[("127.0.0.0/8", record)]);
    let asn = json!({"autonomous_system_number": 64500, "autonomous_system_organization": "Loop"});
    for (name, bytes) in
        [("asn.mmdb", of(asn)), ("country.mmdb", of(json!({"country_code": "GB"})))]
    {
        std::fs::write(home.path().join(name), bytes).expect("a file");
    }
    let up = home.up(&["--networks", "asn.mmdb", "--networks", "country.mmdb"]).await;
    // By UDP, which needs no right.
    let traced = ["mtr", "--report", "--aslookup", "--udp", "--report-cycles=1", "127.0.0.1"];
    let ran = home.run(&traced).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("AS64500 "), "{ran:?}");
    up.kill().await;

    let up = home.up(&[]).await;
    let ran = home.run(&traced).await;
    assert!(!ran.stdout.contains("AS64500") && ran.stderr.contains("--networks FILE"), "{ran:?}");
    up.kill().await;
}
