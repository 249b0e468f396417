//! What EC2 does on its bad days, and what the provider makes of it: each fault has its kind of error, and none makes a
//! machine too many or a list that is not whole.

use std::time::Duration;

use blitz_boot::access::{ATTEMPTS_MAX, Access};
use blitz_boot::ec2::{Ec2, LAUNCH_COUNT_MAX, LIST_PAGES_MAX};
use blitz_boot_core::instance::InstanceId;
use blitz_boot_core::provider::{LaunchRequest, Provider as _};

use crate::faults::{Fault, Proxy};
use crate::fleets::{access, launch, provider, refused};
use crate::moto::{self, Moto};

const PLACE: &str = "eu-west-1";

/// As often as the SDK asks.
const ATTEMPTS: usize = ATTEMPTS_MAX as usize;

struct Bench {
    moto: &'static Moto,
    proxy: Proxy,
    ec2: Ec2,
    access: Access,
}

impl Bench {
    async fn new(fleet: &str) -> Option<Self> {
        let moto = moto::open()?;
        let proxy = Proxy::start(moto).await;
        let access = access(&proxy.url(), &moto.operator);
        let ec2 = provider(&access, fleet, PLACE).await;
        Some(Self { moto, proxy, ec2, access })
    }

    async fn ids(&self) -> Vec<InstanceId> {
        self.ec2.list().await.expect("a list").into_iter().map(|instance| instance.id).collect()
    }
}

#[tokio::test]
async fn a_launch_whose_answer_is_lost_makes_one_machine() {
    let Some(bench) = Bench::new("lost").await else { return };
    let Bench { proxy, ec2, .. } = &bench;
    // Once: the SDK asks again by itself.
    proxy.inject("RunInstances", [Fault::LostAnswer]).await;
    let ids = ec2.launch(&launch(PLACE, "lost-1", 1)).await.unwrap();
    proxy.all_met().await;
    assert_eq!(bench.ids().await, ids, "one machine, of two requests");

    // Always: nobody knows, and who asks again with the same token gets the machine that there is.
    proxy.inject("RunInstances", vec![Fault::LostAnswer; ATTEMPTS]).await;
    let request = launch(PLACE, "lost-2", 2);
    refused(ec2.launch(&request).await, "Unknown", &["ec2:RunInstances", "connection"]);
    proxy.all_met().await;
    let mut there = bench.ids().await;
    there.retain(|id| *id != ids[0]);
    assert_eq!(there.len(), 2, "the machines were launched");
    let mut again = ec2.launch(&request).await.unwrap();
    again.sort();
    assert_eq!(again, there, "the same machines");
    assert_eq!(bench.ids().await.len(), 3, "and no others");
}

#[tokio::test]
async fn a_launch_that_never_arrives_makes_no_machine() {
    let Some(bench) = Bench::new("cut").await else { return };
    bench.proxy.inject("RunInstances", vec![Fault::Cut; ATTEMPTS]).await;
    let request = launch(PLACE, "cut-1", 1);
    refused(bench.ec2.launch(&request).await, "Unknown", &["connection"]);
    bench.proxy.all_met().await;
    assert_eq!(bench.ids().await, Vec::new());
    assert_eq!(bench.ec2.launch(&request).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_stands_on_the_wire() {
    let Some(bench) = Bench::new("wire").await else { return };
    let Bench { proxy, ec2, .. } = &bench;
    let spot = LaunchRequest { is_spot: true, ..launch(PLACE, "wire-1", 3) };
    let ids = ec2.launch(&spot).await.unwrap();
    assert_eq!(ids.len(), 3);
    ec2.launch(&launch(PLACE, "wire-2", 1)).await.unwrap();
    let seen = proxy.seen("RunInstances").await;
    assert_eq!(seen.len(), 2);
    for (name, value) in [
        ("ClientToken", "wire-1"),
        ("MinCount", "1"),
        ("MaxCount", "3"),
        ("LaunchTemplate.LaunchTemplateName", "blitz-engine"),
        ("LaunchTemplate.Version", "$Latest"),
        ("InstanceMarketOptions.MarketType", "spot"),
        ("InstanceInitiatedShutdownBehavior", "terminate"),
        ("TagSpecification.1.ResourceType", "instance"),
        ("TagSpecification.2.ResourceType", "volume"),
        ("TagSpecification.1.Tag.1.Key", "blitz:fleet"),
        ("TagSpecification.1.Tag.1.Value", "wire"),
        ("TagSpecification.2.Tag.3.Key", "blitz:launch"),
        ("TagSpecification.2.Tag.3.Value", "wire-1"),
    ] {
        assert_eq!(seen[0].form.get(name).map(String::as_str), Some(value), "{:?}", seen[0].form);
    }
    let second = &seen[1].form;
    assert_eq!(second["ClientToken"], "wire-2");
    assert!(!second.contains_key("InstanceMarketOptions.MarketType"), "{second:?}");
    assert!(
        !second.contains_key("ImageId"),
        "the template alone says what is launched: {second:?}"
    );

    let many = launch(PLACE, "wire-3", LAUNCH_COUNT_MAX + 1);
    assert_eq!(ec2.launch(&many).await.unwrap().len(), 100, "as many as one call may");
}

#[tokio::test]
async fn a_token_is_for_one_launch() {
    let Some(bench) = Bench::new("token").await else { return };
    bench.ec2.launch(&launch(PLACE, "token-1", 1)).await.unwrap();
    let other = bench.ec2.launch(&launch(PLACE, "token-1", 2)).await;
    refused(other, "Invalid", &["IdempotentParameterMismatch", "a token of its own"]);
    assert_eq!(bench.ids().await.len(), 1);
}

#[tokio::test]
async fn as_many_as_there_is_room_for() {
    let Some(bench) = Bench::new("room").await else { return };
    let Bench { proxy, ec2, .. } = &bench;
    proxy.room(2).await;
    assert_eq!(ec2.launch(&launch(PLACE, "room-1", 5)).await.unwrap().len(), 2);
    let full = LaunchRequest { is_spot: true, ..launch(PLACE, "room-2", 5) };
    let words = ["launch template \"blitz-engine\"", "InsufficientInstanceCapacity", "not spot"];
    refused(ec2.launch(&full).await, "NoCapacity", &words);
    assert_eq!(bench.ids().await.len(), 2);
    let asked = proxy.seen("RunInstances").await.len();
    assert_eq!(asked, 2, "no room is an answer, which the SDK does not ask for again");
}

#[tokio::test]
async fn too_often_is_tried_again_and_then_told() {
    let Some(bench) = Bench::new("often").await else { return };
    let Bench { proxy, ec2, .. } = &bench;
    let throttled = Fault::Error(503, "RequestLimitExceeded", "Request limit exceeded.");
    proxy.inject("RunInstances", [throttled.clone()]).await;
    assert_eq!(ec2.launch(&launch(PLACE, "often-1", 1)).await.unwrap().len(), 1);

    proxy.inject("RunInstances", vec![throttled.clone(); ATTEMPTS]).await;
    let words = ["asked too often", "RequestLimitExceeded"];
    refused(ec2.launch(&launch(PLACE, "often-2", 1)).await, "Throttled", &words);
    proxy.inject("DescribeInstances", vec![throttled; ATTEMPTS]).await;
    refused(ec2.list().await, "Throttled", &["ec2:DescribeInstances of fleet \"often\""]);
    // Met exactly: not one request more than the attempts.
    proxy.all_met().await;
    assert_eq!(proxy.seen("RunInstances").await.len(), 2 + ATTEMPTS);
    assert_eq!(proxy.seen("DescribeInstances").await.len(), ATTEMPTS);
}

#[tokio::test]
async fn each_refusal_has_its_kind() {
    let Some(bench) = Bench::new("kinds").await else { return };
    let Bench { proxy, ec2, .. } = &bench;
    let of_bucket =
        "You have requested more vCPU capacity than your current vCPU limit of 32 allows.";
    let encoded = "You are not authorized to perform this operation. User: arn:aws:iam::1:user/a is not authorized to perform: \
                   iam:PassRole on resource: arn:aws:iam::1:role/e. Encoded authorization failure message: AAAA";
    for (status, code, message, kind, words) in [
        (400, "VcpuLimitExceeded", of_bucket, "Quota", ["limit of 32", "Running On-Demand"]),
        (
            400,
            "MaxSpotInstanceCountExceeded",
            "Max spot",
            "Quota",
            ["Max spot", "Spot Instance Requests"],
        ),
        (
            403,
            "UnauthorizedOperation",
            encoded,
            "Denied",
            ["\"iam:PassRole\"", "arn:aws:iam::1:role/e"],
        ),
        (400, "RequestExpired", "Request has expired.", "Denied", ["has expired", "set the clock"]),
        (400, "Unsupported", "Not in this zone.", "Invalid", ["Not in this zone", PLACE]),
    ] {
        proxy.inject("RunInstances", [Fault::Error(status, code, message)]).await;
        refused(ec2.launch(&launch(PLACE, "kinds-1", 1)).await, kind, &words);
        proxy.all_met().await;
    }
    let malformed = Fault::Error(400, "InvalidInstanceID.Malformed", "Invalid id: \"x\"");
    proxy.inject("TerminateInstances", [malformed]).await;
    let id = InstanceId("x".to_owned());
    refused(ec2.terminate(&id).await, "Invalid", &["ec2:TerminateInstances of x", "Malformed"]);
    assert_eq!(bench.ids().await, Vec::new());
}

#[tokio::test]
async fn no_answer_is_nobody_knows() {
    let Some(bench) = Bench::new("silence").await else { return };
    let Bench { proxy, ec2, moto, .. } = &bench;
    proxy.inject("RunInstances", vec![Fault::Status(503); ATTEMPTS]).await;
    refused(ec2.launch(&launch(PLACE, "s-1", 1)).await, "Unknown", &["503"]);
    proxy
        .inject("TerminateInstances", vec![Fault::Error(500, "InternalError", "x"); ATTEMPTS])
        .await;
    let id = InstanceId("i-0123456789abcdef0".to_owned());
    refused(ec2.terminate(&id).await, "Unknown", &["ec2:TerminateInstances", "InternalError"]);

    let access = Access { answer: Duration::from_millis(200), ..bench.access.clone() };
    let hasty = provider(&access, "silence", PLACE).await;
    proxy.inject("RunInstances", vec![Fault::Silence; ATTEMPTS]).await;
    refused(hasty.launch(&launch(PLACE, "s-2", 1)).await, "Unknown", &["no answer in time"]);
    proxy.all_met().await;

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nowhere = provider(&access_to(nobody, moto), "silence", PLACE).await;
    refused(nowhere.list().await, "Unknown", &["no connection", "the name of the region"]);
}

fn access_to(address: std::net::SocketAddr, moto: &Moto) -> Access {
    access(&format!("http://{address}"), &moto.operator)
}

#[tokio::test]
async fn a_reader_that_has_not_heard_of_a_launch() {
    let Some(bench) = Bench::new("stale").await else { return };
    let Bench { proxy, ec2, .. } = &bench;
    assert_eq!(bench.ids().await, Vec::new());
    let ids = ec2.launch(&launch(PLACE, "stale-1", 1)).await.unwrap();
    proxy.inject("DescribeInstances", [Fault::Stale, Fault::Stale]).await;
    assert_eq!(bench.ids().await, Vec::new(), "not yet");
    assert_eq!(bench.ids().await, Vec::new(), "not yet");
    assert_eq!(bench.ids().await, ids);
    let unknown = Fault::Error(400, "InvalidInstanceID.NotFound", "The instance ID does not exist");
    proxy.inject("CreateTags", [unknown.clone()]).await;
    refused(ec2.tag(&ids[0], "n", Some("v")).await, "Unknown", &["too new"]);
    ec2.tag(&ids[0], "n", Some("v")).await.unwrap();
    proxy.inject("TerminateInstances", [unknown]).await;
    ec2.terminate(&ids[0]).await.expect("the next round sees whether it is there");
    proxy.all_met().await;
}

#[tokio::test]
async fn a_list_is_whole_or_an_error() {
    let Some(bench) = Bench::new("whole").await else { return };
    let Bench { proxy, ec2, .. } = &bench;
    let mut ids = ec2.launch(&launch(PLACE, "whole-1", 3)).await.unwrap();
    ids.sort();
    proxy.inject("DescribeInstances", [Fault::EmptyPage]).await;
    assert_eq!(bench.ids().await, ids, "an empty page is not the end");

    proxy.inject("DescribeInstances", [Fault::SamePage, Fault::SamePage]).await;
    refused(ec2.list().await, "Unknown", &["names itself", "not whole"]);
    proxy.inject("DescribeInstances", [Fault::EmptyPage]).await;
    proxy.inject("DescribeInstances", vec![Fault::Status(500); ATTEMPTS]).await;
    refused(ec2.list().await, "Unknown", &["ec2:DescribeInstances"]);
    proxy.all_met().await;

    let other = provider(&bench.access, "whole-of-others", PLACE).await;
    other.launch(&launch(PLACE, "whole-2", 1)).await.unwrap();
    proxy.inject("DescribeInstances", [Fault::Unfiltered]).await;
    assert_eq!(bench.ids().await, ids, "others' machines are not ours, whatever EC2 gives");
    proxy.all_met().await;
}

#[tokio::test]
async fn a_long_list_has_a_call_for_each_thousand() {
    let Some(bench) = Bench::new("long").await else { return };
    let Bench { proxy, ec2, .. } = &bench;
    ec2.launch(&launch(PLACE, "long-1", 1)).await.unwrap();
    for (instances, calls) in [(1, 1), (1000, 1), (1001, 2), (10_000, 10)] {
        let before = proxy.seen("DescribeInstances").await.len();
        proxy.crowd(instances).await;
        assert_eq!(bench.ids().await.len(), instances);
        let asked = proxy.seen("DescribeInstances").await.len() - before;
        assert_eq!(asked, calls, "calls for {instances} instances");
    }
    proxy.inject("DescribeInstances", vec![Fault::EmptyPage; LIST_PAGES_MAX]).await;
    refused(ec2.list().await, "Unknown", &["more than 100 pages", "not whole"]);
}
