//! Targets of packets that are no connection: with ports that are judged later, or without any.

use super::*;

/// What is said to a session with this address before a port is known, or where there is none.
fn opening(egress: &Egress, address: &str, has_ports: bool) -> Result<(), String> {
    let address: IpAddr = address.parse().unwrap();
    let resolved = literal(SocketAddr::new(address, 0));
    let shared = &*egress.shared;
    let checked = shared.policy.check_host(&shared.never, &resolved, address, has_ports);
    checked.map_err(|denied| denied.to_string())
}

#[tokio::test]
async fn a_rule_for_a_port_opens_a_session_whose_packets_have_ports() {
    let egress = egress(policy(TargetPolicy::public_only(), &["10.0.0.1:443"], &[]), Vec::new());
    assert_eq!(opening(&egress, "10.0.0.1", true), Ok(()));
    for (address, has_ports) in [("10.0.0.1", false), ("10.0.0.2", true)] {
        let said = Err(format!("{address} is private (policy public-only)"));
        assert_eq!(opening(&egress, address, has_ports), said);
    }
    // Each port is judged by itself.
    assert_eq!(verdict(&egress, "10.0.0.1".parse().unwrap(), 443).await, Ok(()));
    assert!(verdict(&egress, "10.0.0.1".parse().unwrap(), 80).await.is_err());
    assert!(verdict(&egress, "10.0.0.1".parse().unwrap(), 0).await.is_err());
}

#[test]
fn no_refusal_names_a_port_that_nobody_asked_for() {
    let store = Endpoint::new("the engine's store", "192.0.2.7", 5984);
    let base = TargetPolicy::public_only();
    let egress = egress(policy(base, &["192.0.2.0/24"], &["198.51.100.0/24"]), vec![store]);
    let metadata = "169.254.169.254";
    for (address, said) in [
        ("198.51.100.1", "198.51.100.1 is denied by the rule 198.51.100.0/24"),
        ("192.0.2.7", "192.0.2.7 is on the host of the engine's store, which is never a target"),
    ] {
        for has_ports in [false, true] {
            assert_eq!(opening(&egress, address, has_ports), Err(said.to_owned()));
        }
    }
    let any = super::egress(TargetPolicy::any(), Vec::new());
    let said = format!("{metadata} is instance metadata, which is never a target");
    assert_eq!(opening(&any, metadata, true), Err(said));
}
