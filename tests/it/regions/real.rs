//! Real processes at three places, and ways between them that are cut.

use std::process::Stdio;
use std::time::Duration;

use blitz_tests::net::Wan;
use tokio::process::Command;

/// Three cuts of up to 20 s, the jobs that they meet, and the start of 15 processes on a busy machine.
const LIMIT: Duration = Duration::from_secs(400);

#[tokio::test]
async fn three_cuts_lose_nothing_and_double_nothing() {
    // Whether this machine can have namespaces.
    let Some(wan) = Wan::or_skipped(&["here"]) else { return };
    drop(wan);
    let mut command = Command::new(env!("CARGO_BIN_EXE_chaos"));
    command.args(["--cuts", "3"]).stdin(Stdio::null()).kill_on_drop(true);
    let run = tokio::time::timeout(LIMIT, command.output()).await;
    let run = run.expect("it has an end").expect("the program starts");
    let said = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    // How soon all is whole again hangs on the machine; that nothing is lost or doubled does not.
    let of_harm = ["apart 0,", "broken 0,", "double 0,", "lost 0"];
    let mut totals = said.lines().filter(|line| line.starts_with("violations"));
    let is_late_at_most = totals.any(|line| of_harm.iter().all(|kind| line.contains(kind)));
    assert!(run.status.success() || is_late_at_most, "{said}");
}
