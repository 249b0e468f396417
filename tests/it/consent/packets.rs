//! The same with addresses of the public network, in namespaces with counters, so that "not one packet" is exact.

use std::path::Path;
use std::time::Instant;

use blitz_tests::net::Lab;
use blitz_tests::net::server::CERTIFIED;
use blitz_tests::{Outcome, until};
use serde_json::{Value, json};

use super::{STOPPED_MAX, well_known};

/// The address of all hosts of this story, and nobody's whom the engine must ask.
const ADDRESS: &str = "8.8.8.8";

async fn rush(lab: &Lab, key: &str, words: &[&str], host: &str) -> Outcome {
    let url = format!("http://{host}/");
    lab.run_as(key, &[&["rush", "-r", "local", "--json"], words, &[url.as_str()]].concat()).await
}

async fn short(lab: &Lab, key: &str, host: &str) -> Outcome {
    rush(lab, key, &["--rate", "20", "-n", "5"], host).await
}

async fn key_of(lab: &Lab, tenant: &str) -> String {
    let operator = lab.token();
    lab.ask(&operator, "POST", "/v1/tenants", &json!({"name": tenant})).await;
    let key = json!({"tenant": tenant, "user": "ann"});
    let answer = lab.ask(&operator, "POST", "/v1/keys", &key).await;
    answer["secret"].as_str().unwrap_or_else(|| panic!("no key: {answer}")).to_owned()
}

async fn verify(lab: &Lab, key: &str, host: &str) -> Value {
    lab.ask(key, "POST", &format!("/v1/targets/{host}/verify"), &json!({})).await
}

/// Where the world shows that a token is its owner's word.
fn signs(host: &str, token: &str, way: &str) -> String {
    match way {
        "well_known" => format!("show?{}", well_known(token)),
        "uuid" => {
            let path = blitz_contract::load::proof::uuid_path(token).expect("a token");
            format!("show?{path}")
        }
        _ => format!("text?_blitz.{host}=blitz={token}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_one_packet_leaves_without_proof_and_load_does_with_each_way() {
    let Some(lab) = Lab::start(Path::new(env!("CARGO_BIN_EXE_bench"))).await else { return };
    let roots = lab.certificates();
    let args = ["--targets", "public-only", "--region", "local", "--load-look-s", "1"];
    let _up = lab.up_with(&args, &[("SSL_CERT_FILE", &roots)]).await;
    let (acme, other) = (key_of(&lab, "acme").await, key_of(&lab, "other").await);
    lab.count_to(ADDRESS);

    let hosts = ["w.4-08080808.lab", "u.4-08080808.lab", CERTIFIED, ADDRESS];
    for host in hosts {
        let refused = short(&lab, &acme, host).await;
        assert_eq!(refused.code, Some(122), "{host}: {refused:?}");
    }
    let mut tokens = Vec::new();
    for host in hosts {
        let added = lab.ask(&acme, "POST", "/v1/targets", &json!({"host": host})).await;
        tokens.push(added["token"].as_str().unwrap_or_else(|| panic!("{added}")).to_owned());
        let refused = short(&lab, &acme, host).await;
        assert_eq!(refused.code, Some(122), "{host}: {refused:?}");
    }
    assert_eq!(lab.counted(), 0, "not one packet");

    let ways = ["well_known", "uuid", "record", "well_known"];
    for ((host, token), way) in hosts.into_iter().zip(&tokens).zip(ways) {
        let not = verify(&lab, &acme, host).await;
        assert_eq!(not["error"], "not_proved", "{host}: {not}");
        lab.world(&signs(host, token, way)).await;
        let proved = verify(&lab, &acme, host).await;
        assert_eq!((&proved["state"], &proved["way"]), (&json!("proved"), &json!(way)), "{proved}");
        let ran = short(&lab, &acme, host).await;
        assert!(matches!(ran.code, Some(0 | 3)), "{host} by {way}: {ran:?}");
        // What is proved is proved to be one tenant's.
        let before = lab.counted();
        let refused = short(&lab, &other, host).await;
        assert_eq!((refused.code, lab.counted()), (Some(122), before), "{host}: {refused:?}");
    }
    assert!(lab.counted() > 0, "the counter counts");

    // A zone of one's own that leads to a machine of somebody else is no proof.
    let stolen = "stolen.4-08080808.lab";
    let added = lab.ask(&acme, "POST", "/v1/targets", &json!({"host": stolen})).await;
    let token = added["token"].as_str().expect("a token");
    lab.world(&signs(stolen, token, "record")).await;
    let not = verify(&lab, &acme, stolen).await;
    let reason = not["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("certificate of the name"), "{not}");

    // A sign that goes away ends the load.
    let (host, path) = (hosts[0], well_known(&tokens[0]));
    let loads = |log: Vec<String>| log.iter().filter(|line| line.ends_with("8.8.8.8 80 /")).count();
    let before = loads(lab.log());
    let words = ["--rate", "20", "--duration", "50s"];
    let ((), stopped) = tokio::join!(
        async {
            until("load", || async { (loads(lab.log()) > before).then_some(()) }).await;
            lab.world(&format!("hide?{path}")).await;
        },
        async {
            let begun = Instant::now();
            let ended = rush(&lab, &acme, &words, host).await;
            assert!(begun.elapsed() < STOPPED_MAX);
            ended
        }
    );
    assert!(stopped.stdout.contains("does not show that its owner agrees"), "{stopped:?}");
    let last = loads(lab.log());
    let refused = short(&lab, &acme, host).await;
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert_eq!(loads(lab.log()), last, "nothing more is sent but looks");
}
