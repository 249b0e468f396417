//! The load generator beside its peers: CPU time of a request, truth about a server that stalls, memory of a connection.
//!
//!     cargo run --release -p blitz-tests --bin bench -- rush [cost|stall|memory|merging|own]
//!
//! Peers are wrk, h2load and oha, when they are installed, and a client that only sends and receives. All run in turn
//! against the same server, which has a core of its own where there are two. CPU time is that of the whole process
//! tree, from the kernel's own count; wall time says nothing on a shared machine.

mod bare;
mod cost;
mod cpu;
mod memory;
mod merging;
mod nginx;
mod own;
mod peers;
mod server;
mod site;
mod stall;

use std::process::ExitCode;

use tokio::runtime::Builder;

use crate::parts;

pub(crate) use bare::{WORD as BARE, run as bare};
pub(crate) use server::{WORD as SERVER, run as server};

/// Runs the parts that were asked for, all of them when none was.
pub(crate) fn run(asked: &[String]) -> ExitCode {
    let all = ["cost", "stall", "memory", "merging", "own"];
    if let Some(refused) = parts::unknown("rush", &all, asked) {
        return refused;
    }
    parts::block_on(&mut Builder::new_current_thread(), measure(asked))
}

async fn measure(asked: &[String]) {
    let wanted = |part: &str| parts::is_wanted(part, asked);
    if wanted("cost") {
        cost::measure().await;
    }
    if wanted("stall") {
        stall::measure().await;
    }
    if wanted("memory") {
        memory::measure().await;
    }
    if wanted("merging") {
        merging::measure();
    }
    if wanted("own") {
        own::measure().await;
    }
}
