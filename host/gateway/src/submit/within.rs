//! Whether a command may go where it says from a region that has a list of targets, as far as that can be seen before names
//! are looked up: engines ask it of every connection.

use std::net::IpAddr;

use blitz_contract::Arguments;
use blitz_contract::load::Pattern;
use blitz_jobs::plugin::PluginDocument;
use blitz_jobs::region::Region;

use super::consent::host_and_port;
use crate::failure::Failure;

/// Rules that a refusal shows.
const RULES_SHOWN_MAX: usize = 5;

/// Checks every URL and host that a command names.
pub(super) fn check(
    region: &Region,
    plugin: &PluginDocument,
    args: &[String],
) -> Result<(), Failure> {
    if region.targets.is_empty() {
        return Ok(());
    }
    // What does not fit the manifest was refused before.
    let Ok(arguments) = Arguments::parse(&plugin.manifest, args) else { return Ok(()) };
    for target in arguments.targets(&plugin.manifest) {
        let (host, port) = host_and_port(target);
        if is_outside(&region.targets, host, port) {
            let (plugin, name) = (&plugin.manifest.name, &region.name);
            let shown: Vec<&str> =
                region.targets.iter().take(RULES_SHOWN_MAX).map(String::as_str).collect();
            let (shown, more) = (
                shown.join(", "),
                if region.targets.len() > RULES_SHOWN_MAX { ", ..." } else { "" },
            );
            return Err(Failure::refused(format!(
                "{plugin}: {host} is not among the targets of region {name} ({shown}{more}); use another region, or its \
                 operator adds it with 'blitz region set {name} --targets'"
            )));
        }
    }
    Ok(())
}

/// Whether no rule can mean it. Of a name only names can be said to differ: behind it may be any address. Of an address all
/// that is written as one, and no name, for a name is not what was asked for.
fn is_outside(rules: &[String], host: &str, port: u16) -> bool {
    let is_address = host.parse::<IpAddr>().is_ok();
    let mut rules = rules.iter().map(|rule| rule.parse::<Pattern>());
    rules.all(|rule| match rule {
        Ok(rule) => !rule.covers(host, port) && (is_address || !rule.is_address()),
        // A network, a star, a range of ports: the engine's rules know more forms.
        Err(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_rule_can_mean_is_outside() {
        for (rules, host, port, outside) in [
            (&["acme.test"][..], "acme.test", 80, false),
            (&["acme.test"], "other.test", 80, true),
            (&["*.acme.test:443"], "www.acme.test", 443, false),
            (&["*.acme.test:443"], "www.acme.test", 80, true),
            (&["10.1.2.3"], "10.1.2.3", 80, false),
            (&["10.1.2.3"], "10.1.2.4", 80, true),
            (&["10.1.2.3"], "a-name.test", 80, false),
            (&["acme.test"], "10.1.2.3", 80, true),
            (&["10.0.0.0/8"], "11.0.0.1", 80, false),
            (&["*:443"], "acme.test", 80, false),
        ] {
            let rules: Vec<String> = rules.iter().map(|&rule| rule.to_owned()).collect();
            assert_eq!(is_outside(&rules, host, port), outside, "{rules:?} {host}:{port}");
        }
    }
}
