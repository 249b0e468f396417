//! Who may be loaded, by policy, consent and proof.

use serde_json::json;

use super::*;
use crate::egress::TargetPolicy;
use crate::proof::tests::Signs;

fn plan(urls: &[&str]) -> Plan {
    let steps: Vec<_> =
        urls.iter().map(|url| json!({"method": "GET", "url": url, "timeout_ms": 1000})).collect();
    let plan = json!({"steps": steps, "shape": {"users": {"segments": [{"from": 1.0, "to": 1.0, "duration_ms": 1}]}}});
    Plan::from_json(&plan.to_string()).unwrap()
}

fn http(policy: TargetPolicy) -> Client {
    Client::new(Egress::new(policy, Vec::new()))
}

fn listed(pattern: &str) -> Consent {
    Consent { listed: vec![pattern.parse().unwrap()] }
}

#[tokio::test]
async fn both_must_agree_to_every_address() {
    let none = Consent::default();
    for (policy, consent, urls, refusal) in [
        (TargetPolicy::any(), &none, &["http://127.0.0.1:1/"][..], None),
        (TargetPolicy::any(), &none, &["http://10.1.2.3/", "http://[fd00::1]/"], None),
        (TargetPolicy::any(), &none, &["http://192.0.2.1/"], Some("--load-target 192.0.2.1")),
        (
            TargetPolicy::any(),
            &none,
            &["http://127.0.0.1/", "http://192.0.2.1/"],
            Some("192.0.2.1"),
        ),
        (TargetPolicy::any(), &listed("192.0.2.1"), &["http://192.0.2.1/"], None),
        (TargetPolicy::any(), &listed("192.0.2.1:81"), &["http://192.0.2.1/"], Some("192.0.2.1")),
        // The policy refuses what the consent allows, and the reverse.
        (TargetPolicy::public_only(), &none, &["http://127.0.0.1:1/"], Some("public-only")),
        (TargetPolicy::public_only(), &none, &["http://8.8.8.8/"], Some("8.8.8.8")),
        (TargetPolicy::public_only(), &listed("8.8.8.8"), &["http://8.8.8.8/"], None),
        // Another form of an address is that address.
        (TargetPolicy::any(), &none, &["http://3221225985/"], Some("192.0.2.1")),
        (TargetPolicy::any(), &none, &["http://[::ffff:192.0.2.1]/"], Some("192.0.2.1")),
        (TargetPolicy::any(), &listed("8.8.8.8"), &["http://169.254.169.254/"], Some("metadata")),
    ] {
        let found = Targets::find(&http(policy.clone()), consent, &plan(urls), &[]).await;
        match (found, refusal) {
            (Ok(targets), None) => assert_eq!(targets.all.len(), urls.len(), "{urls:?}"),
            (Err(Refused::Denied(text)), Some(part)) => {
                assert!(text.contains(part), "{policy} {urls:?}: {text}");
            }
            (found, _) => panic!("{policy} {urls:?}: {found:?}"),
        }
    }
}

#[tokio::test]
async fn nobody_else_is_named_behind_an_address_of_many_owners() {
    let http = http(TargetPolicy::any());
    let consent = |list: &[&str]| Consent {
        listed: list.iter().map(|pattern| pattern.parse().unwrap()).collect(),
    };
    let two = &["localhost", "victim.example"];
    for (list, url, host, may) in [
        (&[][..], "http://127.0.0.1/", "victim.example", true),
        (two, "http://localhost/", "victim.example", true),
        (&["192.0.2.1"], "http://192.0.2.1/", "a.example", true),
    ] {
        let mut plan = plan(&["http://127.0.0.1:1/", url]);
        plan.steps[1].headers.push(("HOST".to_owned(), host.to_owned()));
        let found = Targets::find(&http, &consent(list), &plan, &[]).await;
        assert_eq!(found.is_ok(), may, "{list:?} {url} {host}: {found:?}");
    }
    let mut plan = plan(&["http://localhost:1/"]);
    plan.steps[0].headers.push(("Host".to_owned(), "victim.example".to_owned()));
    let mut targets = Targets::find(&http, &consent(two), &plan, &[]).await.unwrap();
    // As if the name led to a machine of the public network.
    targets.all[0].resolved.addresses = vec!["192.0.2.1:1".parse().unwrap()];
    assert_eq!(targets.look_again(&http, &consent(two)).await, Ok(false));
    let text = targets.look_again(&http, &consent(&["localhost"])).await.unwrap_err();
    assert!(text.contains("not as \"victim.example\""), "{text}");
}

#[tokio::test]
async fn what_is_agreed_to_no_more_is_found() {
    let http = http(TargetPolicy::any());
    let agreed = Agreed::new(listed("192.0.2.1"));
    let mut targets =
        Targets::find(&http, &agreed.now(), &plan(&["http://192.0.2.1/"]), &[]).await.unwrap();
    assert_eq!(targets.look_again(&http, &agreed.now()).await, Ok(false));
    agreed.replace(Consent::default());
    let text = targets.look_again(&http, &agreed.now()).await.unwrap_err();
    assert!(text.starts_with("192.0.2.1 (192.0.2.1) may not be loaded"), "{text}");
}

#[tokio::test]
async fn a_name_that_is_not_found_keeps_nobody_from_being_asked() {
    let http = http(TargetPolicy::any());
    let plan = plan(&["http://localhost:1/", "http://192.0.2.1/"]);
    let mut targets = Targets::find(&http, &listed("192.0.2.1"), &plan, &[]).await.unwrap();
    let _held = http.egress().hold_lookups();
    let none = Consent::default();
    let looking = targets.look_again(&http, &none);
    let text = tokio::time::timeout(LOOKUP_TIME / 2, looking).await.unwrap().unwrap_err();
    assert!(text.starts_with("192.0.2.1 (192.0.2.1) may not be loaded"), "{text}");
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_found() {
    let http = http(TargetPolicy::any());
    let consent = listed("localhost");
    let mut targets =
        Targets::find(&http, &consent, &plan(&["http://localhost:1/"]), &[]).await.unwrap();
    assert_eq!(targets.look_up_again(http.egress(), &consent).await, Ok(()));
    // As if the name had led to a machine of the public network when the test began.
    targets.all[0].resolved.addresses = vec!["192.0.2.1:1".parse().unwrap()];
    targets.all[0].gone = vec![0];
    for _ in 1..GONE_LOOKS {
        assert_eq!(targets.look_up_again(http.egress(), &consent).await, Ok(()));
    }
    let text = targets.look_up_again(http.egress(), &consent).await.unwrap_err();
    assert_eq!(text, "localhost does not lead to 192.0.2.1 any more");
}

/// A host that is no machine of one's own to the consent: it leads here all the same.
const PUBLIC: &str = "0.0.0.0";

#[tokio::test]
async fn a_proof_opens_its_own_host_and_port_alone() {
    let (signs, http, none) =
        (Signs::start(PUBLIC).await, http(TargetPolicy::any()), Consent::default());
    signs.show(&signs.well_known(), 200, "42\n");
    let (url, host) = (signs.url("/"), signs.host());
    let proof = |host: &str, token: Option<&str>| Proof {
        host: host.to_owned(),
        token: token.map(str::to_owned),
    };
    let token = Some(signs.token());
    for (proofs, urls, refusal) in [
        (vec![proof(&host, token)], vec![url.as_str()], None),
        (vec![proof(&host, None)], vec![&url], None),
        (
            vec![proof(&host, Some("0123456789abcdef0123456789abcdef"))],
            vec![&url],
            Some("answers 404"),
        ),
        (vec![proof(&host, Some("../../secret"))], vec![&url], Some("no token")),
        (vec![proof(PUBLIC, token)], vec![&url], Some("may not be loaded")),
        (vec![proof("192.0.2.1", None)], vec![&url], Some("may not be loaded")),
        (vec![proof(&host, token)], vec![&url, "http://192.0.2.1/"], Some("192.0.2.1")),
        (vec![], vec![&url], Some("may not be loaded")),
    ] {
        let before = signs.requests();
        let found = Targets::find(&http, &none, &plan(&urls), &proofs).await;
        match (found, refusal) {
            (Ok(targets), None) => assert_eq!(targets.all.len(), urls.len(), "{proofs:?}"),
            (Err(Refused::Denied(text)), Some(part)) => {
                assert!(text.contains(part), "{proofs:?}: {text}");
                let is_asked = part == "answers 404";
                assert_eq!(signs.requests() > before, is_asked, "{proofs:?}: nothing is sent");
            }
            (found, _) => panic!("{proofs:?} {urls:?}: {found:?}"),
        }
    }
    // A name of somebody else behind the address is not what was proved.
    let mut named = plan(&[url.as_str()]);
    named.steps[0].headers.push(("host".to_owned(), "victim.example".to_owned()));
    let found = Targets::find(&http, &none, &named, &[proof(&host, token)]).await;
    assert!(matches!(found, Err(Refused::Denied(text)) if text.contains("victim.example")));
}

#[tokio::test]
async fn what_was_proved_is_looked_for_while_it_is_loaded() {
    let (signs, http, none) =
        (Signs::start(PUBLIC).await, http(TargetPolicy::any()), Consent::default());
    let proofs = [Proof { host: signs.host(), token: Some(signs.token().to_owned()) }];
    let path = signs.well_known();
    for (status, body, unclear, says) in [
        (404, "", false, "answers 404"),
        (200, "43", false, "another body"),
        (302, "42", false, "redirects are not followed"),
        (503, "42", true, "answers 503"),
        (429, "", true, "answers 429"),
    ] {
        signs.show(&path, 200, " 42\r\n");
        let plan = plan(&[signs.url("/").as_str()]);
        let mut targets = Targets::find(&http, &none, &plan, &proofs).await.unwrap();
        assert_eq!(targets.look_again(&http, &none).await, Ok(false));
        signs.show(&path, status, body);
        if unclear {
            assert_eq!(targets.look_again(&http, &none).await, Ok(true), "{status}");
            signs.show(&path, 200, "42");
            assert_eq!(targets.look_again(&http, &none).await, Ok(false), "{status}");
            signs.show(&path, status, body);
            assert_eq!(targets.look_again(&http, &none).await, Ok(true), "{status}");
        }
        let text = targets.look_again(&http, &none).await.unwrap_err();
        assert!(text.contains(says) && text.contains(&path), "{status}: {text}");
    }
}

#[tokio::test]
async fn what_the_operator_agrees_to_no_more_may_be_proved() {
    let (signs, http) = (Signs::start(PUBLIC).await, http(TargetPolicy::any()));
    let proofs = [Proof { host: signs.host(), token: Some(signs.token().to_owned()) }];
    let plan = plan(&[signs.url("/").as_str()]);
    let mut targets = Targets::find(&http, &listed(PUBLIC), &plan, &proofs).await.unwrap();
    assert_eq!(targets.look_again(&http, &listed(PUBLIC)).await, Ok(false));
    assert_eq!(signs.requests(), 0, "the operator's word is enough");
    assert!(targets.look_again(&http, &Consent::default()).await.is_err());
    signs.show(&signs.well_known(), 200, "42");
    assert_eq!(targets.look_again(&http, &Consent::default()).await, Ok(false));
}
