//! What routers do not say, do not pass on, or count: rules of nftables.

use super::places::{DeadEnd, Family};

/// A router that says nothing about what it throws away. What a process on it says comes with the largest time to
/// live, and passes.
pub(super) fn silent() -> String {
    "table inet quiet { chain out { type filter hook output priority 0;\n\
     ip ttl 255 accept\n\
     icmp type { time-exceeded, destination-unreachable } drop\n\
     icmpv6 type { time-exceeded, destination-unreachable } drop\n}\n}\n"
        .to_owned()
}

/// A router that loses one of so many packets on their way to the right.
pub(super) fn loses_one_of(packets: u16) -> String {
    format!(
        "table inet loss {{ chain on {{ type filter hook forward priority 0;\n\
         iifname \"left\" numgen inc mod {packets} {} drop\n}}\n}}\n",
        packets - 1
    )
}

/// What the last router does not pass on.
pub(super) fn dead_ends() -> String {
    let mut rules = String::new();
    for family in Family::ALL {
        for end in DeadEnd::ALL {
            let verdict = end.rejection(family).map(|with| format!("reject with {with}"));
            let verdict = verdict.unwrap_or_else(|| "drop".to_owned());
            rules.push_str(&format!("{}{verdict}\n", to(&end.network(family))));
        }
    }
    format!("table inet ends {{ chain on {{ type filter hook forward priority 0;\n{rules}}}\n}}\n")
}

/// A router that passes nothing on, without a word.
pub(super) fn swallow() -> &'static str {
    "table inet hole { chain on { type filter hook forward priority 0; drop; }; }"
}

/// A counter of what leaves for these networks: `seen` in the table `seen`.
pub(super) fn count(networks: &[&str]) -> String {
    let rules: String =
        networks.iter().map(|network| format!("{}counter name seen\n", to(network))).collect();
    format!(
        "table inet seen {{ counter seen {{ }}\n\
         chain out {{ type filter hook output priority raw;\n{rules}}}\n}}\n"
    )
}

fn to(network: &str) -> String {
    let family = if network.contains(':') { "ip6" } else { "ip" };
    format!("{family} daddr {network} ")
}
