//! An instance of EC2 at its first boot, between instance metadata and a bucket that are doubles.

use std::fs;
use std::sync::{Arc, Mutex};

use blitz_boot_core::user_data::{Provider, installer};

use crate::machine::Machine;
use crate::server::{Answer, Request, Server};
use crate::shop::{Shop, get};
use crate::store::Store;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const SESSION: &str = "IQoJb3JpZ2luX2VjEXAMPLE//////////wEaCXVzLWVhc3QtMSJ=";

/// Instance metadata and a bucket at one address; `imds` may answer in the place of the metadata.
fn cloud(store: Arc<Mutex<Store>>, imds: fn(&Request) -> Option<Answer>) -> Server {
    Server::start(move |request| {
        let text = |text: &str| (200, text.as_bytes().to_vec());
        let metadata = "/latest/meta-data/iam/security-credentials/";
        match (request.method.as_str(), request.path.as_str()) {
            (_, path) if path.starts_with("/latest/") && imds(request).is_some() => {
                imds(request).unwrap()
            }
            ("PUT", "/latest/api/token") => {
                assert_eq!(request.header("x-aws-ec2-metadata-token-ttl-seconds"), "300");
                text("AQAEAL==")
            }
            (_, path)
                if path.starts_with("/latest/")
                    && request.header("x-aws-ec2-metadata-token") != "AQAEAL==" =>
            {
                (401, Vec::new())
            }
            ("GET", path) if path == metadata => text("engine-role"),
            ("GET", path) if path.strip_prefix(metadata) == Some("engine-role") => text(&format!(
                "{{\n  \"Code\" : \"Success\",\n  \"AccessKeyId\" : \"ASIAEXAMPLE\",\n  \"SecretAccessKey\" : \"{SECRET}\",\n  \
                 \"Token\" : \"{SESSION}\",\n  \"Expiration\" : \"2030-01-01T00:00:00Z\"\n}}"
            )),
            ("GET", _) => {
                let signed =
                    "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,";
                let authorization = request.header("authorization");
                let is_signed = authorization
                    .starts_with("AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE/")
                    && authorization.contains("/eu-west-1/s3/aws4_request")
                    && authorization.contains(signed)
                    && request.header("x-amz-content-sha256") == "UNSIGNED-PAYLOAD"
                    && request.header("x-amz-security-token") == SESSION;
                match is_signed {
                    true => get(&store, request, "/blitz-bundles/engines/"),
                    false => (403, Vec::new()),
                }
            }
            _ => (405, Vec::new()),
        }
    })
}

fn ec2(cloud: &Server) -> Provider {
    Provider::Ec2 {
        bucket: "blitz-bundles".parse().unwrap(),
        prefix: Some("engines".parse().unwrap()),
        bucket_region: "eu-west-1".parse().unwrap(),
        endpoint: Some(cloud.url().parse().unwrap()),
        imds: Some(cloud.url().parse().unwrap()),
    }
}

#[test]
fn an_instance_reads_its_bucket_with_its_role_and_tells_nobody_the_secret() {
    let (shop, bundle) = Shop::open();
    let cloud = cloud(Arc::clone(&shop.store), |_| None);
    let script = installer(&shop.boot(ec2(&cloud))).unwrap();
    let machine = Machine::new();
    let ended = machine.run(&script, &[]);
    assert!(ended.is_good, "{}", ended.said);
    let current = fs::read_link(machine.root("opt/blitz/current")).unwrap();
    assert_eq!(current.to_str(), Some(bundle.to_string().as_str()));
    let env = machine.read("etc/blitz/engine.env");
    assert!(env.contains(&format!(" --imds {}\nENGINE_ID_FLAGS=\n", cloud.url())), "{env}");
    assert!(machine.root("run/blitz-boot/ok").is_file());
    let words = machine.told("curl").join("\n");
    for secret in [SECRET, SESSION, "ASIAEXAMPLE", "AQAEAL=="] {
        assert!(!words.contains(secret), "{secret} is on a command line: {words}");
        assert!(!env.contains(secret) && !ended.said.contains(secret), "{secret}");
    }
    let tokens = cloud.asked().iter().filter(|request| request.method == "PUT").count();
    assert_eq!(tokens, 1, "one session is enough");
}

#[test]
fn an_instance_whose_cloud_is_not_right_says_what_to_do() {
    type Wrong = fn(&Request) -> Option<Answer>;
    let wrongs: [(&str, Wrong, &str); 4] = [
        (
            "version 1 only",
            |request| (request.method == "PUT").then(|| (405, Vec::new())),
            "IMDSv2 must be enabled",
        ),
        (
            "no role",
            |request| request.path.contains("/iam/").then(|| (404, Vec::new())),
            "the instance has no role",
        ),
        (
            "no credentials",
            |request| request.path.ends_with("engine-role").then(|| (200, b"{}".to_vec())),
            "have no AccessKeyId",
        ),
        (
            "another role",
            |request| {
                let other = "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\",\"Token\":\"T\"}";
                request.path.ends_with("engine-role").then(|| (200, other.into()))
            },
            "S3 answers 403 also when it is not there, or when this machine's clock is wrong",
        ),
    ];
    for (what, wrong, wants) in wrongs {
        let (shop, _) = Shop::open();
        let cloud = cloud(Arc::clone(&shop.store), wrong);
        let script = installer(&shop.boot(ec2(&cloud))).unwrap();
        let machine = Machine::new();
        let ended = machine.run(&script, &[]);
        assert!(!ended.is_good && ended.said.contains(wants), "{what}: {}", ended.said);
        machine.has_nothing(what);
    }
}
