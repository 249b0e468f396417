//! Rules of the operator: what they open and close, and what no rule opens. And `blitz up`, whose policy is
//! another one.

use std::sync::Arc;

use blitz_tests::net::dns::name_of;
use blitz_tests::net::{ENGINE_V4, ENGINE_V6, GATEWAY_PORT, Lab, STORE};

use super::addresses::ip;
use super::case::{Case, Want};
use super::channels::{redirect, refused};
use super::{assert_nothing_wrong, carrier, run, say, told};

/// A network and a port are open; more is tried, and may not be opened: metadata, the engine's own addresses,
/// its store.
const NETWORKS: &[&str] = &[
    "--allow-target=10.9.0.0/16:8080",
    "--allow-target=169.254.0.0/16",
    "--allow-target=168.63.129.16",
    "--allow-target=fd00::/8",
    "--allow-target=5.5.5.0/24",
    "--allow-target=2a05:5::/64",
    "--allow-target=127.0.0.0/8",
    "--allow-target=::1",
    "--deny-target=*:25",
    "--deny-target=10.9.66.0/24",
    "--deny-target=1.1.1.1",
    "--deny-target=blocked.4-08080404.lab",
];

/// Names are open, and one that leads to the metadata service.
const NAMES: &[&str] = &[
    "--allow-target=4-0a090102.lab:8080",
    "--allow-target=db.internal:8080",
    "--allow-target=hosted-metadata",
    "--allow-target=localhost",
];

/// The name under which these engines know their store.
const STORE_BY_NAME: &str = "4-05050509.lab:5984";

fn reached(address: &str) -> Want {
    Want::Reached(ip(address))
}

/// Refused for another reason than the class of the address.
fn denied(address: &str, why: &'static str) -> Want {
    Want::Refused { address: ip(address), class: why }
}

const RULE: &str = "by the rule";
const NEVER: &str = "never a target";
const OWN: &str = "the engine's own";

fn plain(url: &str, want: Want) -> Case {
    Case::new("rules", ["-L", url], want)
}

fn networks() -> Vec<Case> {
    let mut cases = Vec::new();
    let allowed = name_of(&[ip("10.9.1.2")]);
    for (url, want) in [
        ("http://10.9.1.2:8080/", reached("10.9.1.2")),
        ("http://[::ffff:10.9.1.2]:8080/", reached("10.9.1.2")),
        (&format!("http://{allowed}:8080/"), reached("10.9.1.2")),
        (&redirect("http://10.9.1.2:8080/"), reached("10.9.1.2")),
        ("http://10.9.1.2/", refused_as("10.9.1.2", "private")),
        ("http://10.9.1.2:8081/", refused_as("10.9.1.2", "private")),
        (&redirect("http://10.9.1.2/"), refused_as("10.9.1.2", "private")),
        ("http://10.8.255.255:8080/", refused_as("10.8.255.255", "private")),
        ("http://10.10.0.0:8080/", refused_as("10.10.0.0", "private")),
        ("http://[64:ff9b::a09:102]:8080/", refused_as("64:ff9b::a09:102", "private")),
        // What is denied stays so, whatever allows it.
        ("http://10.9.66.1:8080/", denied("10.9.66.1", RULE)),
        ("http://8.8.8.8:25/", denied("8.8.8.8", RULE)),
        ("http://[2606:4700::1111]:25/", denied("2606:4700::1111", RULE)),
        (&redirect("http://8.8.8.8:25/"), denied("8.8.8.8", RULE)),
        (&format!("http://{}:25/", name_of(&[ip("8.8.8.8")])), denied("8.8.8.8", RULE)),
        ("http://1.1.1.1/", denied("1.1.1.1", RULE)),
        ("http://[64:ff9b::101:101]/", denied("64:ff9b::101:101", RULE)),
        ("http://1.1.1.2/", reached("1.1.1.2")),
        ("http://8.8.8.8/", reached("8.8.8.8")),
        ("http://blocked.4-08080404.lab/", denied("8.8.4.4", RULE)),
        ("http://BLOCKED.4-08080404.LAB./", denied("8.8.4.4", RULE)),
        ("http://8.8.4.4/", reached("8.8.4.4")),
        // No rule opens these.
        ("http://169.254.169.254/", denied("169.254.169.254", NEVER)),
        ("http://[::ffff:169.254.169.254]/", denied("::ffff:169.254.169.254", NEVER)),
        ("http://168.63.129.16/", denied("168.63.129.16", NEVER)),
        ("http://[fd00:ec2::254]/", denied("fd00:ec2::254", NEVER)),
        (&format!("http://{ENGINE_V4}/"), denied(ENGINE_V4, OWN)),
        (&format!("http://[{ENGINE_V6}]/"), denied(ENGINE_V6, OWN)),
        ("http://127.0.0.1/", denied("127.0.0.1", OWN)),
        ("http://[::1]/", denied("::1", OWN)),
        (&format!("http://127.0.0.1:{GATEWAY_PORT}/"), denied("127.0.0.1", OWN)),
        (&format!("http://{STORE}/"), denied("5.5.5.9", NEVER)),
        (&format!("http://{STORE_BY_NAME}/"), denied("5.5.5.9", NEVER)),
        ("http://5.5.5.9/", denied("5.5.5.9", NEVER)),
        ("http://5.5.5.8/", reached("5.5.5.8")),
    ] {
        cases.push(plain(url, want));
    }
    let to = ["--connect-to", "::8.8.8.8:25", "http://8.8.4.4/"];
    cases.push(Case::new("rules", to, denied("8.8.8.8", RULE)));
    let pinned = ["--resolve", "x.example:8080:10.9.1.2", "http://x.example:8080/"];
    cases.push(Case::new("rules", pinned, reached("10.9.1.2")));
    cases
}

fn names() -> Vec<Case> {
    let mut cases = Vec::new();
    for (url, want) in [
        ("http://4-0a090102.lab:8080/", reached("10.9.1.2")),
        ("http://4-0A090102.LAB.:8080/", reached("10.9.1.2")),
        ("http://db.internal:8080/", reached("10.9.1.3")),
        (&redirect("http://db.internal:8080/"), reached("10.9.1.3")),
        ("http://db.internal/", refused_as("10.9.1.3", "private")),
        // The name is open, and not its address.
        ("http://10.9.1.2:8080/", refused_as("10.9.1.2", "private")),
        ("http://c1.4-0a090102.lab:8080/", refused_as("10.9.1.2", "private")),
        ("http://x.4-0a090102.lab:8080/", refused_as("10.9.1.2", "private")),
        ("http://hosted-metadata/", denied("169.254.169.254", NEVER)),
        (&format!("http://localhost:{GATEWAY_PORT}/"), Want::Harmless { public: Vec::new() }),
        ("http://localhost/", Want::Harmless { public: Vec::new() }),
    ] {
        cases.push(plain(url, want));
    }
    // The operator trusts the name as the system resolves it, and not what a user says of it.
    for (option, value) in [
        ("--resolve", "db.internal:8080:10.9.7.7"),
        ("--resolve", "db.internal:8080:169.254.169.254"),
        ("--resolve", "db.internal:8080:127.0.0.1"),
        ("--connect-to", "db.internal:8080:10.9.7.7:8080"),
        ("--connect-to", "db.internal:8080:4-0a090707.lab:8080"),
    ] {
        let address = match value {
            value if value.ends_with("254") => "169.254.169.254",
            value if value.ends_with("127.0.0.1") => "127.0.0.1",
            _ => "10.9.7.7",
        };
        let args = [option, value, "http://db.internal:8080/"];
        cases.push(Case::new("rules", args, denied(address, "")));
    }
    let args = ["--resolver", "9.9.9.9", "http://4-0a090102.lab:8080/"];
    cases.push(Case::new("rules", args, refused_as("10.9.1.2", "private")));
    cases
}

fn refused_as(address: &str, class: &'static str) -> Want {
    Want::Refused { address: ip(address), class }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_opens_and_closes_what_it_names_and_no_more() {
    let Some(lab) = Lab::start(carrier()).await else { return };
    let lab = Arc::new(lab);
    let _gateway = lab.gateway(&["networks", "names"]).await;
    let _networks = lab.engine("networks", STORE_BY_NAME, NETWORKS, &[]).await;
    let _names = lab.engine("names", STORE_BY_NAME, NAMES, &[]).await;
    let (networks, names) = (networks(), names());
    let ends = [run(&lab, "networks", &networks).await, run(&lab, "names", &names).await];
    let (mut packets, destinations) = lab.packets();
    // What a rule opened is counted apart.
    let opened = packets.iter().any(|count| count.kind == "allowed");
    packets.retain(|count| count.kind != "allowed");
    let cases = networks.len() + names.len();
    let [refused, answered] =
        [ends.iter().map(|e| e.refused).sum::<usize>(), ends.iter().map(|e| e.answered).sum()];
    say(&format!(
        "rules: {cases} cases: {refused} refused, {answered} answered; {}",
        told(&packets)
    ));
    ends.iter().for_each(assert_nothing_wrong);
    assert!(packets.is_empty(), "{} went to {destinations:?}", told(&packets));
    assert!(opened, "what a rule opens was reached");
    let mut hits: Vec<_> = lab.log().into_iter().filter(|line| line.contains(" hit 10.")).collect();
    hits.sort();
    hits.dedup();
    assert_eq!(hits, ["world hit 10.9.1.2 8080 /", "world hit 10.9.1.3 8080 /"]);
}

/// `blitz up` reaches what its user reaches, but for metadata and the store; with `--targets public-only` it is
/// an engine like others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_reaches_what_its_user_reaches() {
    let Some(lab) = Lab::start(carrier()).await else { return };
    let lab = Arc::new(lab);
    let up = lab.up(&[]).await;
    let store = up.store.trim_start_matches("http://127.0.0.1").to_owned();
    let own_store = format!("http://{ENGINE_V4}{store}/");
    let any: Vec<Case> = [
        ("http://10.0.0.1/", reached("10.0.0.1")),
        ("http://192.168.0.1/", reached("192.168.0.1")),
        ("http://127.0.0.1/", reached("127.0.0.1")),
        ("http://[::1]/", reached("::1")),
        (&format!("http://{ENGINE_V4}/"), reached(ENGINE_V4)),
        ("http://8.8.8.8/", reached("8.8.8.8")),
        ("http://169.254.169.254/", denied("169.254.169.254", NEVER)),
        ("http://2852039166/", denied("169.254.169.254", NEVER)),
        ("http://hosted-metadata/", denied("169.254.169.254", NEVER)),
        (&redirect("http://169.254.169.254/"), denied("169.254.169.254", NEVER)),
        ("http://[fd00:ec2::254]/", denied("fd00:ec2::254", NEVER)),
        ("http://[64:ff9b::a9fe:a9fe]/", denied("64:ff9b::a9fe:a9fe", NEVER)),
        ("http://168.63.129.16/", denied("168.63.129.16", NEVER)),
        ("http://169.254.170.2/", denied("169.254.170.2", NEVER)),
        ("http://100.100.100.200/", denied("100.100.100.200", NEVER)),
        ("http://192.0.0.192/", denied("192.0.0.192", NEVER)),
        ("http://[::ffff:169.254.169.254]/", denied("::ffff:169.254.169.254", NEVER)),
        ("http://[fd20:ce::254]/", denied("fd20:ce::254", NEVER)),
        (&format!("http://127.0.0.1{store}/"), denied("127.0.0.1", NEVER)),
        (&format!("http://[::ffff:127.0.0.1]{store}/"), denied("::ffff:127.0.0.1", NEVER)),
        (&format!("http://0{store}/"), denied("0.0.0.0", NEVER)),
        (&own_store, denied(ENGINE_V4, NEVER)),
    ]
    .into_iter()
    .map(|(url, want)| plain(url, want))
    .collect();
    assert_nothing_wrong(&run(&lab, "local", &any).await);
    let metadata = lab.packets().0.into_iter().filter(|count| count.kind == "metadata");
    assert_eq!(metadata.count(), 0);
    up.stop().await;

    let up = lab.up(&["--targets", "public-only"]).await;
    let store = up.store.trim_start_matches("http://").to_owned();
    let public: Vec<Case> = [
        ("http://10.0.0.1/", refused("10.0.0.1")),
        ("http://127.0.0.1/", refused("127.0.0.1")),
        ("http://169.254.169.254/", refused("169.254.169.254")),
        (&format!("http://{store}/"), refused("127.0.0.1")),
        // The store is on this machine: the refusal may name it.
        (&format!("http://{ENGINE_V4}/"), denied(ENGINE_V4, "")),
        ("http://8.8.8.8/", reached("8.8.8.8")),
    ]
    .into_iter()
    .map(|(url, want)| plain(url, want))
    .collect();
    assert_nothing_wrong(&run(&lab, "local", &public).await);

    // An address that is newer than what the engine knows of its machine.
    lab.add_engine_address("5.5.5.77");
    let new = plain("http://5.5.5.77/", denied("5.5.5.77", OWN));
    assert_nothing_wrong(&run(&lab, "local", &[new]).await);
}
