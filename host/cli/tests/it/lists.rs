//! Lists: tables for people, the gateway's own JSON for programs.

use crate::blitz::Blitz;
use crate::gateway::Gateway;

#[test]
fn regions_are_a_table_or_json() {
    let gateway = Gateway::new(&[]).answer(
        "GET /v1/regions",
        200,
        r#"{"regions":[{"name":"japan","aliases":["jp"],"engines":1,"slots":4}]}"#,
    );
    let blitz = Blitz::new();
    blitz.run(&gateway, "regions").check(
        0,
        "NAME   ALIASES  ENGINES  SLOTS\njapan  jp       1        4\n",
        "",
    );
    for line in ["regions --json", "--json regions"] {
        let shown: serde_json::Value =
            serde_json::from_str(&blitz.run(&gateway, line).stdout).unwrap();
        assert_eq!(shown["regions"][0]["name"], "japan", "blitz {line}");
    }
}

#[test]
fn other_peoples_words_do_not_reach_the_terminal_raw() {
    let gateway = Gateway::new(&[]).answer(
        "GET /v1/jobs?last=10",
        200,
        r#"{"jobs":[{"id":"a","region":"japan","plugin":"probe","args":["\u001b]0;x\u0007y"],"state":"queued"}]}"#,
    );
    let shown = Blitz::new().run(&gateway, "jobs").stdout;
    assert!(shown.ends_with("probe 'y'\n"), "{shown:?}");
}
