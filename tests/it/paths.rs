//! Stories of traceroute, ping, mtr and dig on real paths: routers in network namespaces, with what is in the way on
//! the internet. Each path is known, and Debian's tools look at it in the same run.
//!
//! Without the right to make namespaces the tests say so and pass, unless `BLITZ_TEST_NETNS` is 1.

mod bad;
mod crowd;
mod debian;
mod dig;
mod ends;
mod hops;
mod ping;
mod policy;
mod rights;
mod rounds;
mod strangers;

use std::cell::Cell;
use std::path::Path as File;
use std::time::Duration;

use blitz_tests::Outcome;
use blitz_tests::net::path::output::Hop;
use blitz_tests::net::path::{Builder, Engine, Family, Path, hop};

/// The program and what runs in the namespaces.
fn carrier() -> &'static File {
    File::new(env!("CARGO_BIN_EXE_bench"))
}

/// What looks at the same paths, and takes rights away.
const TOOLS: [&str; 5] = ["traceroute", "mtr", "ping", "dig", "setpriv"];

/// An engine has compiled all plugins within this time.
const READY_LIMIT: Duration = Duration::from_secs(25);

/// A path with an engine on its source that runs all of the tools. `None` when this machine cannot.
async fn path_with_engine(path: Builder, args: &[&str]) -> Option<(Path, Engine)> {
    path_with_engine_of(Rights::Raw, path, args).await
}

/// What an engine may: probes go by other sockets, and answers come by other ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rights {
    /// Raw sockets.
    Raw,
    /// Nothing, but the ping sockets that most systems let everybody have.
    None,
}

impl Rights {
    const ALL: [Self; 2] = [Self::Raw, Self::None];
}

/// As [`path_with_engine`], with these rights.
async fn path_with_engine_of(
    rights: Rights,
    path: Builder,
    args: &[&str],
) -> Option<(Path, Engine)> {
    let path = path.needs(&TOOLS).build(carrier()).await?;
    let args = [&["--region", "local"], args].concat();
    let engine = match rights {
        Rights::Raw => path.engine(&args).await,
        Rights::None => path.engine_as_nobody(&args).await,
    };
    let first = hop(1, Family::V4);
    // Echoes: of those no router limits the number.
    for words in [
        &["traceroute", "-r", "local", "-n", "-I", &first][..],
        &["ping", "-r", "local", "-c", "1", &first],
        &["mtr", "-r", "local", "--report", "-n", "-c", "1", &first],
    ] {
        let latest = Cell::new(String::new());
        let ready = blitz_tests::until("an engine that runs all of the tools", || async {
            let outcome = path.blitz(words).await;
            latest.set(format!("{words:?}: {}", said(&outcome)));
            (outcome.code == Some(0)).then_some(())
        });
        // What it said is better to know than that it took too long.
        if tokio::time::timeout(READY_LIMIT, ready).await.is_err() {
            panic!("no engine in {READY_LIMIT:?}: {}", latest.take());
        }
    }
    Some((path, engine))
}

/// Runs a tool by way of the engine on the source.
async fn ours(path: &Path, tool: &str, args: &[&str]) -> Outcome {
    path.blitz(&[&[tool, "-r", "local"], args].concat()).await
}

/// Who answered, hop by hop; `None` where nobody did.
fn from(hops: &[Hop]) -> Vec<Option<String>> {
    hops.iter().map(|hop| hop.only().map(str::to_owned)).collect()
}

/// Everything that a tool wrote.
fn said(outcome: &Outcome) -> String {
    format!("exit {:?}\n{}{}", outcome.code, outcome.stdout, outcome.stderr)
}
