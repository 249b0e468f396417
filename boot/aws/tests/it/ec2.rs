//! Instances of a fleet, on a server that checks signatures and policies.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_ec2::config::Credentials;
use blitz_boot::ec2::Ec2;
use blitz_boot_core::instance::{
    InstanceId, InstanceState, TAG_FLEET, TAG_LAUNCH, TAG_ORPHAN, TAG_REGION,
};
use blitz_boot_core::provider::{LaunchRequest, Provider as _};

use crate::fleets::{access, fleet, launch, provider, refused};
use crate::moto;

#[tokio::test]
async fn an_instance_is_launched_listed_tagged_and_ended() {
    let Some(moto) = moto::guarded() else { return };
    let access = access(&moto.url(), &moto.operator);
    for place in ["eu-west-1", "ap-northeast-1"] {
        let ec2 = provider(&access, "life", place).await;
        let other = provider(&access, "life-of-others", place).await;
        assert_eq!(ec2.list().await, Ok(Vec::new()), "a new fleet has no instances");

        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let ids = ec2.launch(&launch(place, "life-1", 1)).await.unwrap();
        let spot = LaunchRequest { is_spot: true, ..launch(place, "life-2", 1) };
        let spots = ec2.launch(&spot).await.unwrap();
        other.launch(&launch(place, "others-1", 1)).await.unwrap();

        let listed = ec2.list().await.unwrap();
        assert_eq!(listed.len(), 2, "ours and no others: {listed:?}");
        let of = |id| listed.iter().find(|instance| instance.id == id).unwrap();
        let (first, second) = (of(ids[0].clone()), of(spots[0].clone()));
        assert!(first.state.is_alive() && second.state.is_alive(), "{listed:?}");
        assert!(!first.is_spot && second.is_spot, "{listed:?}");
        let apart_ms = u128::from(first.launched_ms).abs_diff(now_ms);
        assert!(apart_ms < 60_000, "launched {apart_ms} ms from now: {first:?}");
        assert_eq!(first.tag(TAG_FLEET), Some("life"));
        assert_eq!(first.tag(TAG_REGION), Some(format!("at-{place}").as_str()));
        assert_eq!(first.tag(TAG_LAUNCH), Some("life-1"));

        ec2.tag(&first.id, TAG_ORPHAN, Some("1700000000000")).await.unwrap();
        ec2.tag(&first.id, TAG_ORPHAN, Some("1700000000001")).await.unwrap();
        ec2.tag(&second.id, TAG_ORPHAN, Some("1")).await.unwrap();
        ec2.tag(&second.id, TAG_ORPHAN, None).await.unwrap();
        let listed = ec2.list().await.unwrap();
        let orphan = |id: &InstanceId| {
            let instance = listed.iter().find(|instance| instance.id == *id).unwrap();
            instance.tag(TAG_ORPHAN).map(str::to_owned)
        };
        assert_eq!(orphan(&first.id).as_deref(), Some("1700000000001"));
        assert_eq!(orphan(&second.id), None, "the tag was taken off");

        ec2.terminate(&first.id).await.unwrap();
        ec2.terminate(&first.id).await.expect("who ends twice ends once");
        let listed = ec2.list().await.unwrap();
        let state = |id: &InstanceId| listed.iter().find(|i| i.id == *id).map(|i| i.state);
        assert_eq!(state(&first.id), Some(InstanceState::Gone));
        assert!(state(&second.id).is_some_and(InstanceState::is_alive), "{listed:?}");
        assert_eq!(other.list().await.unwrap().len(), 1, "that of others is still there");
    }
}

#[tokio::test]
async fn one_that_is_stopped_is_still_there_to_be_ended() {
    let Some(moto) = moto::open() else { return };
    let ec2 = provider(&access(&moto.url(), &moto.operator), "stopped", "eu-west-1").await;
    let id = ec2.launch(&launch("eu-west-1", "stopped-1", 1)).await.unwrap().remove(0);
    moto.ask("ec2", "eu-west-1", &[("Action", "StopInstances"), ("InstanceId.1", &id.0)]);
    let state = ec2.list().await.unwrap().remove(0).state;
    assert_eq!(state, InstanceState::Stopped);
    assert!(state.is_alive(), "{state:?}");
    ec2.terminate(&id).await.unwrap();
    assert_eq!(ec2.list().await.unwrap().remove(0).state, InstanceState::Gone);
}

#[tokio::test]
async fn places_know_nothing_of_each_other() {
    let Some(moto) = moto::guarded() else { return };
    let access = access(&moto.url(), &moto.operator);
    let here = provider(&access, "two-places", "us-east-1").await;
    let there = provider(&access, "two-places", "eu-west-1").await;
    here.launch(&launch("us-east-1", "two-places-1", 1)).await.unwrap();
    assert_eq!(here.list().await.unwrap().len(), 1);
    assert_eq!(there.list().await.unwrap().len(), 0);
}

#[tokio::test]
async fn an_instance_that_is_not_known() {
    let Some(moto) = moto::guarded() else { return };
    let access = access(&moto.url(), &moto.operator);
    let ec2 = provider(&access, "unknown", "eu-west-1").await;
    let id = InstanceId("i-0123456789abcdef0".to_owned());
    ec2.terminate(&id).await.expect("what is not there has ended");
}

#[tokio::test]
async fn what_a_policy_does_not_allow_is_named() {
    let Some(moto) = moto::guarded() else { return };
    let place = "eu-west-1";
    let operator = provider(&access(&moto.url(), &moto.operator), "policy", place).await;
    let id = operator.launch(&launch(place, "policy-1", 1)).await.unwrap().remove(0);

    let reader = provider(&access(&moto.url(), &moto.reader), "policy", place).await;
    assert_eq!(reader.list().await.unwrap().len(), 1, "this one is allowed");
    let line = |action: &str| format!("{{\"Effect\": \"Allow\", \"Action\": \"{action}\"");
    let words = [
        "launch template \"blitz-engine\" in eu-west-1",
        "ec2:RunInstances",
        "blitz-boot iam scaler",
    ];
    refused(reader.launch(&launch(place, "policy-2", 1)).await, "Denied", &words);
    let words = [id.0.as_str(), &line("ec2:TerminateInstances")];
    refused(reader.terminate(&id).await, "Denied", &words);
    refused(reader.tag(&id, "n", Some("v")).await, "Denied", &[&line("ec2:CreateTags")]);
    refused(reader.tag(&id, "n", None).await, "Denied", &[&line("ec2:DeleteTags")]);
    assert!(operator.list().await.unwrap()[0].state.is_alive(), "nothing was done");
}

#[tokio::test]
async fn credentials_that_are_not_right() {
    let Some(moto) = moto::guarded() else { return };
    let key = moto.operator.access_key_id();
    let wrong_secret = Credentials::new(key, "wrong", None, None, "test");
    let ec2 = provider(&access(&moto.url(), &wrong_secret), "wrong", "eu-west-1").await;
    refused(
        ec2.list().await,
        "Denied",
        &["ec2:DescribeInstances of fleet \"wrong\"", "does not accept", "its secret"],
    );

    let unknown = Credentials::new("AKIAUNKNOWNUNKNOWN00", "x", None, None, "test");
    let ec2 = provider(&access(&moto.url(), &unknown), "wrong", "eu-west-1").await;
    refused(
        ec2.launch(&launch("eu-west-1", "w-1", 1)).await,
        "Denied",
        &["does not accept these credentials", "--profile"],
    );
}

#[tokio::test]
async fn mistakes_in_the_fleet_file() {
    let Some(moto) = moto::guarded() else { return };
    let access = access(&moto.url(), &moto.operator);
    let place = "eu-west-1";
    let mut fleet = fleet("mistakes", &[place]);
    let elsewhere = Ec2::new(&access, &fleet, "us-east-1").await;
    refused(elsewhere, "Invalid", &["\"mistakes\" has no region with the place us-east-1"]);

    fleet.regions[0].launch_template = Some("no-such".to_owned());
    let ec2 = Ec2::new(&access, &fleet, place).await.unwrap();
    let words = ["\"no-such\"", "InvalidLaunchTemplateName"];
    refused(ec2.launch(&launch(place, "m-1", 1)).await, "Invalid", &words);

    fleet.regions[0].launch_template = None;
    let ec2 = Ec2::new(&access, &fleet, place).await.unwrap();
    let words = ["\"at-eu-west-1\"", "set launch-template"];
    refused(ec2.launch(&launch(place, "m-1", 1)).await, "Invalid", &words);
    let words = ["\"at-nowhere\"", "no such region in eu-west-1"];
    refused(ec2.launch(&launch("nowhere", "m-1", 1)).await, "Invalid", &words);
    for token in ["", "é", &"x".repeat(65)] {
        refused(ec2.launch(&launch(place, token, 1)).await, "Invalid", &["64 characters"]);
    }
    assert_eq!(ec2.launch(&launch(place, "m-1", 0)).await, Ok(Vec::new()), "none is none");
    assert_eq!(ec2.list().await, Ok(Vec::new()), "nothing was launched");
}
