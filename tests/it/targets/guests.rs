//! The matrix once more by the sockets and the HTTP of WASI: what is refused for `web` is refused for them, with the
//! same words, and what is reached is reached.

use std::net::IpAddr;

use blitz_tests::Outcome;
use blitz_tests::net::dns::name_of;
use blitz_tests::net::guests::Plan;
use blitz_tests::net::{ENGINE_V4, Lab, NAME_SERVER_V4, NAME_SERVER_V6, STORE};

use super::addresses::{KEY, PUBLIC, SPECIAL_V4, SPECIAL_V6, SPELLED, class, ip, spellings};
use super::case::names;
use super::{PROBES, carrier, say, told};

/// What a server on the port of the web answers to.
const ASKS: &str = "GET / HTTP/1.0\\r\\n\\r\\n";

/// One run of the plugin `fixture`.
struct Case {
    args: Vec<String>,
    want: Want,
    /// A name that is asked for once, of one family.
    asked_once: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Want {
    /// Fails, with the host's reason for the user: this address is that.
    Refused { address: IpAddr, class: &'static str },
    /// Fails, whoever says why.
    Nothing,
    /// Has the answer of this address.
    Reached(IpAddr),
    /// Prints this in the end.
    Prints(&'static str),
}

fn refused(address: &str) -> Want {
    Want::Refused { address: ip(address), class: class(address) }
}

impl Case {
    fn new(args: &[&str], want: Want) -> Self {
        let args = args.iter().map(|word| (*word).to_owned()).collect();
        Self { args, want, asked_once: None }
    }

    fn judge(&self, outcome: Option<&Outcome>) -> Option<String> {
        let Some(outcome) = outcome else { return Some(format!("{:?}: no outcome", self.args)) };
        let failed = outcome.code == Some(1) && !outcome.stdout.contains("reached");
        let right = match &self.want {
            Want::Refused { address, class } => failed && names(&outcome.stderr, *address, class),
            Want::Nothing => failed && !outcome.stderr.contains("Connection refused"),
            Want::Reached(address) => {
                let reached = format!("reached {} ", address.to_canonical());
                outcome.code == Some(0) && outcome.stdout.contains(&reached)
            }
            Want::Prints(text) => outcome.code == Some(0) && outcome.stdout.ends_with(text),
        };
        (!right).then(|| format!("{:?}\n    want {:?}\n    got  {outcome:?}", self.args, self.want))
    }
}

/// By all channels: one connection, a request, and datagrams of both kinds where nobody may get them.
fn by_all(host: &str, port: &str, want: &Want) -> Vec<Case> {
    let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let mut cases = vec![
        Case::new(&["tcp", host, port, ASKS], want.clone()),
        Case::new(&["fetch", &format!("http://{bracketed}:{port}/")], want.clone()),
    ];
    if !matches!(want, Want::Reached(_)) {
        cases.push(Case::new(&["udp", host, port, "x"], want.clone()));
        cases.push(Case::new(&["udp-connected", host, port, "x"], want.clone()));
    }
    cases
}

/// A question for the address of `lab`, which is a text.
const QUESTION: &str = "ab\u{1}\0\0\u{1}\0\0\0\0\0\0\u{3}lab\0\0\u{1}\0\u{1}";

/// Name servers are what answers datagrams.
fn datagrams(cases: &mut Vec<Case>) {
    for command in ["udp", "udp-connected"] {
        for (server, answered) in
            [(NAME_SERVER_V4, " from 9.9.9.9:53\n"), (NAME_SERVER_V6, " from [2620:fe::fe]:53\n")]
        {
            cases.push(Case::new(&[command, server, "53", QUESTION], Want::Prints(answered)));
        }
    }
}

fn literals(cases: &mut Vec<Case>) {
    for (address, _) in SPECIAL_V4.iter().chain(SPECIAL_V6) {
        cases.extend(by_all(address, "80", &refused(address)));
    }
    for address in PUBLIC {
        cases.push(Case::new(&["tcp", address, "80", ASKS], Want::Reached(ip(address))));
    }
    for address in ["8.8.8.8", "2606:4700::1111"] {
        cases.extend(by_all(address, "80", &Want::Reached(ip(address))));
    }
    for address in KEY {
        let IpAddr::V4(v4) = ip(address) else { continue };
        for (spelling, must) in spellings(v4) {
            let want = if must { refused(address) } else { Want::Nothing };
            // What libc reads as a name may be an address for a URL, and the reverse; nothing is reached by either.
            cases.push(Case::new(&["tcp", &spelling, "80", ASKS], want));
            cases.push(Case::new(&["fetch", &format!("http://{spelling}/")], Want::Nothing));
        }
    }
    for (spelling, _) in SPELLED {
        cases.push(Case::new(&["fetch", &format!("http://{spelling}/")], Want::Nothing));
        let bare = spelling.trim_matches(['[', ']']);
        cases.push(Case::new(&["tcp", bare, "80", ASKS], Want::Nothing));
    }
}

fn by_name(cases: &mut Vec<Case>) {
    let special = SPECIAL_V4.iter().chain(SPECIAL_V6).map(|(a, _)| *a);
    for address in special {
        // A lookup gives the IPv4 address that is mapped into IPv6, and `web` the mapped one.
        let canonical = ip(address).to_canonical().to_string();
        let want = Want::Refused { address: ip(&canonical), class: class(address) };
        let name = name_of(&[ip(address)]);
        cases.push(Case::new(&["tcp", &name, "80", ASKS], want.clone()));
        cases.push(Case::new(&["udp", &format!("c2.{name}"), "80", "x"], want));
        let url = format!("http://{name}/");
        cases.push(Case::new(&["fetch", &url], refused(address)));
    }
    for address in ["8.8.8.8", "2606:4700::1111"] {
        cases.extend(by_all(&name_of(&[ip(address)]), "80", &Want::Reached(ip(address))));
    }
    let mixed = name_of(&[ip("10.0.0.1"), ip("8.8.8.8")]);
    cases.push(Case::new(&["tcp", &mixed, "80", ASKS], Want::Reached(ip("8.8.8.8"))));
    cases.push(Case::new(&["tcp", "hosted-metadata", "80", ASKS], refused("169.254.169.254")));
    cases.push(Case::new(&["tcp", "localhost", "80", ASKS], Want::Nothing));
    // A lookup is no connection: it gives what the name has.
    cases.push(Case::new(&["resolve", "hosted-private"], Want::Prints("10.0.0.1\n")));
    cases.push(Case::new(&["resolve", &name_of(&[ip("8.8.8.8")])], Want::Prints("8.8.8.8\n")));
    for (n, special) in ["127.0.0.1", "10.0.0.1", "169.254.169.254", ENGINE_V4].iter().enumerate() {
        let name = |word: &str, first: &str, then: &str| {
            format!("r.guest{word}{n}.{}", name_of(&[ip(first), ip(then)]))
        };
        let good = name("good", "8.8.8.8", special);
        let bad = name("bad", special, "8.8.8.8");
        for (name, want) in [(good, Want::Reached(ip("8.8.8.8"))), (bad, refused(special))] {
            let asked_once = Some(name.clone());
            cases.push(Case { asked_once, ..Case::new(&["tcp", &name, "80", ASKS], want) });
        }
    }
}

fn store(cases: &mut Vec<Case>) {
    let (address, port) = STORE.split_once(':').expect("an address with a port");
    let never = Want::Refused { address: ip(address), class: "never a target" };
    cases.extend(by_all(address, port, &never));
    cases.extend(by_all(&name_of(&[ip(address)]), port, &never));
}

/// Runs all cases in the engine's namespace; gives what is wrong.
async fn wrong(lab: &Lab, plan: Plan, cases: &[Case]) -> Vec<String> {
    let runs = cases.iter().map(|case| case.args.clone()).collect();
    let outcomes = lab.guests(carrier(), &Plan { runs, ..plan }).await;
    let judged = cases.iter().zip(&outcomes).filter_map(|(case, o)| case.judge(o.as_ref()));
    judged.collect()
}

fn assert_none(wrong: &[String]) {
    let told: Vec<_> = wrong.iter().take(super::TOLD_MAX).map(String::as_str).collect();
    assert!(wrong.is_empty(), "{} wrong, among them:\n{}", wrong.len(), told.join("\n"));
}

fn protected() -> Plan {
    let (host, port) = STORE.split_once(':').expect("an address with a port");
    Plan { store: Some((host.to_owned(), port.parse().expect("a port"))), ..Plan::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leaves_by_the_sockets_and_requests_of_guests() {
    let Some(lab) = Lab::start(carrier()).await else { return };
    let mut cases = Vec::new();
    literals(&mut cases);
    datagrams(&mut cases);
    by_name(&mut cases);
    store(&mut cases);
    let mut wrong = wrong(&lab, protected(), &cases).await;
    let (packets, destinations) = lab.packets();
    // What the servers saw comes in order: when this probe is there, everything before it is.
    lab.probe(carrier(), PROBES).await;
    let log = lab.log();
    for name in cases.iter().filter_map(|case| case.asked_once.as_ref()) {
        let asked = log.iter().filter(|line| line.ends_with(&format!(" 1 {name}"))).count();
        if asked != 1 {
            wrong.push(format!("rebinding: {name} was asked for {asked} times"));
        }
    }
    say(&format!(
        "guests' sockets and requests: {} cases, {} wrong; {}",
        cases.len(),
        wrong.len(),
        told(&packets)
    ));
    assert_none(&wrong);
    assert!(packets.is_empty(), "{} went to {destinations:?}", told(&packets));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_hold_for_the_sockets_and_requests_of_guests() {
    let Some(lab) = Lab::start(carrier()).await else { return };
    let denied = |address: &str, class| Want::Refused { address: ip(address), class };
    let reached = |address: &str| Want::Reached(ip(address));
    let text = |rules: &[&str]| rules.iter().map(|rule| (*rule).to_owned()).collect();
    let named = "4-0a090102.lab";
    let plan = Plan {
        allow: text(&["4-0a090102.lab:8080", "db.internal:8080", "169.254.0.0/16", "127.0.0.0/8"]),
        deny: text(&["*:25", "1.1.1.1", "blocked.4-08080404.lab"]),
        ..protected()
    };
    let mut cases = Vec::new();
    for (host, port, want) in [
        (named, "8080", reached("10.9.1.2")),
        ("db.internal", "8080", reached("10.9.1.3")),
        // The name is open, and not its address, nor another port.
        ("10.9.1.2", "8080", denied("10.9.1.2", "private")),
        (named, "80", denied("10.9.1.2", "private")),
        ("c1.4-0a090102.lab", "8080", denied("10.9.1.2", "private")),
        ("blocked.4-08080404.lab", "80", denied("8.8.4.4", "by the rule")),
        ("8.8.4.4", "80", reached("8.8.4.4")),
        ("8.8.8.8", "25", denied("8.8.8.8", "by the rule")),
        ("1.1.1.1", "80", denied("1.1.1.1", "by the rule")),
        ("169.254.169.254", "80", denied("169.254.169.254", "never a target")),
        ("127.0.0.1", "80", denied("127.0.0.1", "the engine's own")),
    ] {
        cases.extend(by_all(host, port, &want));
    }
    let wrong = wrong(&lab, plan, &cases).await;
    let (mut packets, destinations) = lab.packets();
    // What a rule opened is counted apart.
    packets.retain(|count| count.kind != "allowed");
    say(&format!(
        "guests' rules: {} cases, {} wrong; {}",
        cases.len(),
        wrong.len(),
        told(&packets)
    ));
    assert_none(&wrong);
    assert!(packets.is_empty(), "{} went to {destinations:?}", told(&packets));
}
