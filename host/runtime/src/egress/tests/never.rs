//! What no policy and no rule opens.

use super::*;

/// Opens whatever can be opened.
fn wide_open() -> Vec<TargetPolicy> {
    let everything = ["*", "0.0.0.0/0", "::/0"];
    vec![
        TargetPolicy::any(),
        policy(TargetPolicy::any(), &everything, &[]),
        policy(TargetPolicy::public_only(), &everything, &[]),
    ]
}

#[tokio::test]
async fn metadata_is_never_a_target() {
    for policy in wide_open() {
        for address in [
            "169.254.169.254",
            "fd00:ec2::254",
            "169.254.170.2",
            "169.254.170.23",
            "fd00:ec2::23",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "fd20:ce::254",
            "fe80::a9fe:a9fe",
            "fd00:c1::a9fe:a9fe",
            "169.254.42.42",
            "fd00:42::42",
            "169.254.0.23",
            "fd00:a9fe:a9fe::1",
        ] {
            let found =
                verdict(&egress(policy.clone(), Vec::new()), address.parse().unwrap(), 80).await;
            let wanted = format!("{address} port 80 is instance metadata, which is never a target");
            assert_eq!(found, Err(wanted), "{policy}");
        }
    }
    // Its class is public: only this list refuses it.
    let public = egress(TargetPolicy::public_only(), Vec::new());
    let found = verdict(&public, "168.63.129.16".parse().unwrap(), 32526).await;
    assert!(found.is_err_and(|words| words.contains("instance metadata")));
}

#[tokio::test]
async fn metadata_is_never_a_target_in_any_disguise() {
    for policy in wide_open() {
        for address in [
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "::ffff:0:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::169.254.169.254",
            "64:ff9b:1:a9fe:a9:fe00::",
            "64:ff9b:1:a9:fe:a9fe::",
            "64:ff9b:1::a9:fea9:fe00:0",
            "2002:a9fe:a9fe::1",
            "2001:0:a9fe:a9fe::f7f7:f7f7",
            "2001:0:808:808::5601:5601",
            "2a00::5efe:169.254.169.254",
            "2a00::200:5efe:169.254.169.254",
        ] {
            let found =
                verdict(&egress(policy.clone(), Vec::new()), address.parse().unwrap(), 80).await;
            let words = found.expect_err(address);
            let end = "of 169.254.169.254, which is instance metadata and never a target";
            assert!(words.ends_with(end), "{address} under {policy}: {words}");
        }
    }
}

#[tokio::test]
async fn the_store_is_never_a_target() {
    let store = || vec![Endpoint::new("the engine's store", "10.0.0.5", 5984)];
    for policy in wide_open() {
        let egress = egress(policy.clone(), store());
        for address in ["10.0.0.5", "::ffff:10.0.0.5", "64:ff9b::a00:5", "2002:a00:5::"] {
            let found = verdict(&egress, address.parse().unwrap(), 5984).await;
            let words = found.expect_err(address);
            assert!(words.contains("the engine's store"), "{address} under {policy}: {words}");
        }
        // Other ports: under `any` they may be a user's own.
        let other = verdict(&egress, "10.0.0.5".parse().unwrap(), 22).await;
        let is_any = policy.to_string().starts_with("any");
        match is_any {
            true => assert_eq!(other, Ok(()), "{policy}"),
            false => assert_eq!(
                other.expect_err("the host of the store"),
                "10.0.0.5 port 22 is on the host of the engine's store, which is never a target"
            ),
        }
        assert_eq!(verdict(&egress, "10.0.0.6".parse().unwrap(), 5984).await, Ok(()), "{policy}");
    }
}

#[tokio::test]
async fn a_store_on_this_machine_is_one_port_under_every_address_of_it() {
    for host in ["127.0.0.1", "[::1]", "localhost", OWN, "0.0.0.0"] {
        let store = vec![Endpoint::new("the engine's store", host, 5984)];
        let egress = egress(TargetPolicy::any(), store);
        for address in ["127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1", OWN] {
            let ip = address.parse().unwrap();
            assert!(verdict(&egress, ip, 5984).await.is_err(), "{host}: {address}");
            assert_eq!(verdict(&egress, ip, 3000).await, Ok(()), "{host}: {address}");
        }
    }
}

#[tokio::test]
async fn the_engine_itself_is_a_target_only_under_any() {
    let open = egress(policy(TargetPolicy::public_only(), &["*"], &[]), Vec::new());
    for address in [OWN, "127.0.0.1", "127.8.8.8", "::1", "0.0.0.0", "::", "64:ff9b::cb00:714d"] {
        let found = verdict(&open, address.parse().unwrap(), 80).await;
        let end = "is the engine's own, which only the policy any lets through";
        assert_eq!(found, Err(format!("{address} {end}")));
    }
    assert_eq!(verdict(&open, "203.0.113.78".parse().unwrap(), 80).await, Ok(()));
    // A peer with our own address is ourselves, on whichever interface.
    let peer: SocketAddr = "198.51.100.1:80".parse().unwrap();
    let same = open.check_peer(&literal(peer), peer, peer.ip());
    assert!(same.is_err_and(|error| error.to_string().contains("the engine's own")));
    open.check_peer(&literal(peer), peer, "198.51.100.2".parse().unwrap()).unwrap();
}

#[tokio::test]
async fn a_networks_own_nat64_can_be_opened() {
    let rules = policy(TargetPolicy::public_only(), &["64:ff9b:1::/96"], &[]);
    let open = egress(rules, Vec::new());
    assert_eq!(verdict(&open, "64:ff9b:1::808:808".parse().unwrap(), 80).await, Ok(()));
    assert!(verdict(&open, "64:ff9b:1::7f00:1".parse().unwrap(), 80).await.is_err());
}
