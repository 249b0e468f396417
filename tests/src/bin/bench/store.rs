//! The embedded store, measured from the outside: a process of its own, raw sockets, a directory on disk.
//!
//!     cargo run --release -p blitz-tests --bin bench -- store [writes|users|feeds|race|start]
//!
//! With `BLITZ_TEST_COUCHDB` the same is asked of that CouchDB, fewer times, and the ratios are printed. CPU time
//! is that of the server's process; the client's own is told beside it.

mod feeds;
mod figure;
mod race;
pub(crate) mod server;
mod start;
mod users;
pub(crate) mod wire;
mod writes;

use std::process::ExitCode;

use figure::{Figures, print};
use server::Target;

use tokio::runtime::Builder;

use crate::parts;
use crate::sample::say;

/// Runs the parts that were asked for, all of them when none was.
pub(crate) fn run(asked: &[String]) -> ExitCode {
    let all = ["writes", "users", "feeds", "race", "start"];
    if let Some(refused) = parts::unknown("store", &all, asked) {
        return refused;
    }
    // One thread: the client takes as little as it can from the machine that it shares with the server.
    parts::block_on(&mut Builder::new_current_thread(), measure(asked))
}

async fn measure(asked: &[String]) {
    let wanted = |part: &str| parts::is_wanted(part, asked);
    let peer = Target::couchdb();
    if peer.is_none() {
        say(
            "Set BLITZ_TEST_COUCHDB to an address with name and password for ratios to Apache CouchDB.",
        );
    }
    for part in ["writes", "feeds", "race"].into_iter().filter(|part| wanted(part)) {
        let ours = one(part, &Target::embedded().await).await;
        let theirs = match &peer {
            Some(peer) => Some(one(part, peer).await),
            None => None,
        };
        print(part, &ours, theirs.as_ref());
    }
    if wanted("users") {
        let (open, mut closed) = (Target::embedded().await, Target::closed().await);
        open.reset().await;
        closed.reset().await;
        print("users", &users::measure(&open, &mut closed).await, None);
    }
    if wanted("start") {
        print("start", &start::measure().await, None);
    }
}

async fn one(part: &str, target: &Target) -> Figures {
    target.reset().await;
    let figures = match part {
        "writes" => writes::measure(target).await,
        "feeds" => feeds::measure(target).await,
        _ => race::measure(target).await,
    };
    target.remove().await;
    figures
}
