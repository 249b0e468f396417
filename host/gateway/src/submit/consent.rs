//! Whether a load test may go where its command says, as far as that can be seen before names are looked up: engines
//! ask the same of every address.

use blitz_contract::load::Consent;
use blitz_contract::{Arguments, Capability, Manifest};
use blitz_jobs::accounts::TargetHost;

use crate::failure::Failure;

/// Checks every URL and host that a command names, where its plugin may make load.
pub(super) fn check(
    consent: &Consent,
    manifest: &Manifest,
    arguments: &Arguments,
) -> Result<(), Failure> {
    if !manifest.capabilities.contains(&Capability::Load) {
        return Ok(());
    }
    for target in arguments.targets(manifest) {
        let (host, port) = host_and_port(target);
        consent
            .check_unresolved(host, port)
            .map_err(|error| Failure::refused(format!("{}: {error}", manifest.name)))?;
    }
    Ok(())
}

/// The hosts that a command names, each with its port: as far as they are hosts.
pub(super) fn hosts(manifest: &Manifest, arguments: &Arguments) -> Vec<(TargetHost, u16)> {
    // Readers of URLs pass these over wherever they stand.
    let texts = arguments.targets(manifest).map(|target| target.replace(['\t', '\n', '\r'], ""));
    let host = |text: String| {
        let (host, port) = host_and_port(text.trim());
        Some((TargetHost::of(host, port)?, port))
    };
    texts.filter_map(host).collect()
}

/// Where a value goes that is a URL, or what is left of one: a host with a port, or with a path. What is none of them
/// is no address, and the plugin says what is wrong with it.
pub(crate) fn host_and_port(target: &str) -> (&str, u16) {
    let slashes = ['/', '\\'];
    let is_web = |s: &str| s.eq_ignore_ascii_case("http") || s.eq_ignore_ascii_case("https");
    // Of these the host is behind however many slashes of either kind.
    let web = target.split_once(':').filter(|(s, rest)| is_web(s) && rest.starts_with(slashes));
    // A scheme stands before everything else: in `8.8.8.8/?u=http://x` there is none.
    let other =
        || target.split_once("://").filter(|(scheme, _)| !scheme.contains(['/', '?', '#', '\\']));
    let scheme = web.map(|(scheme, rest)| (scheme, rest.trim_start_matches(slashes)));
    let (scheme, rest) = scheme.or_else(other).unwrap_or(("http", target));
    let authority = &rest[..rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len())];
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let normal = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
    let bracketed = place.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = match bracketed {
        Some((host, port)) => (host, port.strip_prefix(':')),
        // An IPv6 address without brackets.
        None if place.matches(':').count() > 1 => (place, None),
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    (host, port.and_then(|port| port.parse().ok()).unwrap_or(normal))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(capabilities: &str) -> Manifest {
        Manifest::from_toml(&format!(
            r#"
            name = "rush"
            version = "0.1.0"
            summary = "for tests"
            contract = "0.1.0"
            {capabilities}
            [[arguments]]
            name = "proxy"
            kind = "host"
            [[arguments]]
            name = "header"
            [[arguments]]
            name = "url"
            kind = "url"
            positional = true
            repeated = true
            "#
        ))
        .unwrap()
    }

    #[test]
    fn addresses_of_the_public_network_are_refused_unless_they_are_listed() {
        let rush = manifest("capabilities = [\"load\"]");
        let consent = Consent { listed: vec!["9.9.9.9:8080".parse().unwrap()] };
        for (args, may) in [
            (&["http://127.0.0.1:8080/x", "http://10.0.0.1"][..], true),
            (&["http://example.com/"], true),
            (&["8.8.8.8"], false),
            (&["8.8.8.8:81/a"], false),
            (&["8.8.8.8/?u=http://127.0.0.1/"], false),
            (&["8.8.8.8?http://127.0.0.1/"], false),
            (&["http://127.0.0.1/", "HTTPS://8.8.8.8?q=http://127.0.0.1/"], false),
            (&["http://127.0.0.1@8.8.8.8/"], false),
            (&["http://8.8.8.8\\@127.0.0.1/"], false),
            (&["http://[2001:4860::8888]:80/"], false),
            (&["http://[::ffff:8.8.8.8]/"], false),
            (&["--proxy", "8.8.8.8", "http://127.0.0.1/"], false),
            (&["--proxy=2001:4860::8888", "http://127.0.0.1/"], false),
            (&["--header", "8.8.8.8", "http://[::1]/"], true),
            (&["http://9.9.9.9:8080/"], true),
            (&["http://9.9.9.9/"], false),
            (&["http:/8.8.8.8/"], false),
            (&["HTTP:///8.8.8.8/"], false),
            (&["https:\\/8.8.8.8"], false),
        ] {
            let arguments = Arguments::parse(&rush, args).unwrap();
            let checked = check(&consent, &rush, &arguments);
            assert_eq!(checked.is_ok(), may, "{args:?}: {checked:?}");
        }
        let other = manifest("");
        let arguments = Arguments::parse(&other, &["8.8.8.8"]).unwrap();
        assert_eq!(check(&consent, &other, &arguments), Ok(()), "it makes no load");
    }

    #[test]
    fn the_refusal_names_the_plugin_the_target_and_the_next_step() {
        let rush = manifest("capabilities = [\"load\"]");
        let arguments = Arguments::parse(&rush, &["http://8.8.8.8/"]).unwrap();
        let failure = check(&Consent::default(), &rush, &arguments).unwrap_err();
        let text = format!("{failure:?}");
        for part in
            ["403", "refused", "rush: 8.8.8.8 (8.8.8.8) may not be loaded", "--load-target 8.8.8.8"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
