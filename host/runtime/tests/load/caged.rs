//! What a worker cannot do, whatever a target has made of it.

use std::net::{IpAddr, Ipv4Addr};

use blitz_contract::Exit;
use serde_json::json;

use crate::support::{Server, World, config, plan};
use crate::worker::connects;

const OK: i32 = 0;

#[tokio::test]
async fn a_worker_reaches_its_target_and_nothing_else() {
    let (server, other) = (Server::start().await, Server::start().await);
    let (perm, access) = (libc::EPERM, libc::EACCES);
    for (sources, bind, port, source) in
        [(vec![], perm, perm, perm), (vec![IpAddr::V4(Ipv4Addr::LOCALHOST)], access, access, OK)]
    {
        let mut config = config();
        config.load.sources = sources;
        let mut plan = plan(&server.url(), 1, 1000, "escape");
        let headers = plan["steps"][0]["headers"].as_array_mut().unwrap();
        headers.push(json!(["x-other", other.address.to_string()]));
        let seen = World::new(config).await.run(&plan.to_string(), |_| {}).await;
        assert_eq!(seen.exit, Exit::Status(0), "{}", seen.error());
        let records = seen.records();
        let first = records[0].firsts.first().unwrap_or_else(|| panic!("{records:?}"));
        let found: Vec<&str> = first.text.split(' ').collect();
        let wanted = [
            ("process", OK),
            ("thread", OK),
            ("target", libc::EINPROGRESS),
            ("elsewhere", access),
            ("unspecified", access),
            ("blocking", libc::EINVAL),
            ("read", access),
            ("memory", access),
            ("write", perm),
            ("udp", perm),
            ("raw", perm),
            ("unix", perm),
            ("sendto", perm),
            ("sendmsg", perm),
            ("bind", bind),
            ("port", port),
            ("source", source),
            ("listen", perm),
            ("fork", perm),
            ("another", perm),
            ("execve", perm),
            ("signal", perm),
        ];
        assert_eq!(found, wanted.map(|(name, errno)| format!("{name}={errno}")));
    }
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn a_machine_without_memory_takes_it_from_workers() {
    let server = Server::start().await;
    let world = World::new(config()).await;
    let mut found = false;
    let plan = plan(&server.url(), 1, 2000, "send").to_string();
    let seen = world.watched(&plan, |_| {}, |_| found |= has_child_that_goes_first()).await;
    assert_eq!(seen.exit, Exit::Status(0), "{}", seen.error());
    assert!(found, "no worker is the first to go");
}

fn has_child_that_goes_first() -> bool {
    let own = format!("PPid:\t{}", std::process::id());
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default();
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let at = |name: &str| read(&entry.path().join(name));
        at("status").lines().any(|line| line == own)
            && at("cmdline").contains("\0load\0")
            && at("oom_score_adj").trim() == "1000"
    })
}

/// Says what it costs that the engine makes the connections; nothing depends on it.
#[tokio::test]
async fn connects_through_the_engine_have_a_price() {
    let server = Server::start().await;
    let world = World::new(config()).await;
    let seen = world.run(&plan(&server.url(), 1, 1000, "connects").to_string(), |_| {}).await;
    let watched: u64 = seen.records()[0].firsts[0].text.parse().unwrap();
    let address = server.address;
    let alone = tokio::task::spawn_blocking(move || connects(address, 1000)).await.unwrap();
    eprintln!("a connect takes {} ns alone, {watched} ns through the engine", alone.as_nanos());
}
