//! Instances of EC2 from their user data to a job: the real cloud-init, in the root file system of an image, with all that a machine
//! meets there around it. What is not as it was signed, or cannot be had, ends the machine.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use blitz_tests::machine::chroot::Machine;
use blitz_tests::machine::{INSTANCE, REGION, World, aws, given_or_skipped, stripped};
use blitz_tests::net::Namespace;
use blitz_tests::{imds, within};
use serde_json::json;

/// What must come comes within this time, or the story has failed. An engine on a new machine compiles its plugins first, which
/// takes a minute without optimisation on a busy one.
const LIMIT: Duration = Duration::from_secs(300);

const PROGRAM: &str = env!("CARGO_BIN_EXE_bench");

/// A world and a root file system; `None`, and a word about it, where there cannot be one.
async fn world(word: &str) -> Option<(World, PathBuf)> {
    let moto = given_or_skipped("BLITZ_TEST_MOTO", ".ci/moto")?;
    let rootfs = given_or_skipped("BLITZ_TEST_ROOTFS", ".ci/rootfs")?;
    let space = Namespace::or_skipped(word)?;
    Some((World::start(space, Path::new(PROGRAM), &moto).await, rootfs))
}

#[tokio::test]
async fn a_machine_boots_registers_under_its_instance_id_and_runs_a_job() {
    let Some((world, rootfs)) = world("boots").await else { return };
    let published = world.publish(stripped(Path::new(PROGRAM))).await;
    world.tell(aws::PREFIX);
    let machine = Machine::boot(&world, &rootfs);
    let registered = within(LIMIT, "an engine", async || world.site.engine(INSTANCE).await).await;
    let took = SystemTime::now().duration_since(machine.begun()).unwrap_or_default();

    assert_eq!(registered["region"], REGION);
    let machine_of = json!({"provider": "ec2", "instance_type": "m7g.large",
        "zone": format!("{}a", imds::REGION), "is_spot": true});
    assert_eq!(registered["machine"], machine_of, "{registered}");
    let url = world.url("/hello");
    within(LIMIT, "an engine with its plugins", async || {
        let engine = world.site.engine(INSTANCE).await?;
        engine["plugins"].to_string().contains("curl@").then_some(())
    })
    .await;
    let ran = world.site.operate(&["curl", "-s", "-r", REGION, &url]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "42"), "{ran:?}");
    assert_eq!(world.page.by_target().get("GET /hello"), Some(&1), "the engine was there itself");
    world.is_kept_out().await;

    let stages = machine.stages().await;
    println!("from the first stage of cloud-init to a registered engine: {took:.1?}; {stages:.1?}");
    let started = ["daemon-reload", "enable --now blitz-end.timer"];
    let started = [&started[..], &["enable --now blitz-engine.service"]].concat();
    assert_eq!(machine.told_of_blitz(), started);
    let said = machine.log("cloud-init-output.log");
    assert!(said.contains(&format!("bundle {} of channel stable", published.bundle)), "{said}");
    // Cloud-init asks when it has ended, and has then nothing more to do.
    let is_asked = async || {
        machine.log("cloud-init.log").contains("exited 1. condition not met.").then_some(())
    };
    within(LIMIT, "the question whether the machine ends", is_asked).await;
    assert_eq!(machine.told("shutdown"), [""; 0], "a machine with an engine stays");
    let asked = world.imds.asked();
    assert!(asked.iter().any(|asked| asked.ends_with("/user-data")), "{asked:?}");
}

#[tokio::test]
async fn a_machine_that_does_not_get_what_was_signed_ends_itself() {
    let Some((world, rootfs)) = world("ends").await else { return };
    let published = world.publish(stripped(Path::new(PROGRAM))).await;
    let blob = &published.blob;
    let mut tampered = blob.bytes.clone();
    *tampered.last_mut().expect("a program") ^= 1;
    world.aws.put(&blob.key, &tampered).await;
    let not_signed = format!(
        "blitz-boot: file blitz of bundle {} is not the one that was signed",
        published.bundle
    );
    let role = format!("/latest/meta-data/iam/security-credentials/{}", aws::ROLE);
    for (prefix, has_role, says) in [
        (aws::PREFIX, true, not_signed.as_str()),
        // Where its role does not let it read.
        ("others", true, "curl ended with 22 (S3 answers 403 also when it is not there"),
        (aws::PREFIX, false, "blitz-boot: the instance has no role"),
    ] {
        world.tell(prefix);
        if !has_role {
            world.imds.set(&role, None);
        }
        let machine = Machine::boot(&world, &rootfs);
        machine.stages().await;
        let off = within(LIMIT, says, async || machine.told("shutdown").pop()).await;
        assert_eq!(off, "-P now blitz did not start, this machine ends", "{says}");
        let said = machine.log("cloud-init-output.log");
        assert!(said.contains(says), "no {says:?} in {said}");
        assert_eq!(machine.told_of_blitz(), [""; 0], "nothing was started: {says}");
        assert_eq!(world.site.engine(INSTANCE).await, None, "{says}");
    }
}
