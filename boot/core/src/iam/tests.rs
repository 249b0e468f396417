//! What the policies let, and what they do not.

use std::collections::BTreeMap;
use std::process::Command;

use super::evaluator::{Request, is_allowed};
use super::*;

fn scope() -> Scope {
    let text = str::to_owned;
    Scope {
        partition: text("aws"),
        account: text("123456789012"),
        bucket: text("acme-blitz"),
        prefix: text("engines"),
        channel: text("stable"),
        fleet: text("main"),
        regions: vec![text("eu-west-1"), text("ap-northeast-1")],
        engine_role: text("blitz-engine"),
    }
}

/// Regions that each policy has room for, with names as long as any; the stack of the account says so.
const REGIONS_THAT_FIT: usize = 20;

type Context<'a> = &'a [(&'a str, &'a str)];

fn request(action: &'static str, resource: &str, context: Context<'_>) -> Request {
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (key, value) in context {
        keys.entry((*key).to_owned()).or_default().push((*value).to_owned());
    }
    Request { action, resource: resource.to_owned(), context: keys }
}

const TEMPLATE: &str = "arn:aws:ec2:eu-west-1:123456789012:launch-template/lt-0a";
const HERE: (&str, &str) = ("aws:RequestedRegion", "eu-west-1");
const ELSEWHERE: (&str, &str) = ("aws:RequestedRegion", "us-east-1");
const OURS: (&str, &str) = ("aws:ResourceTag/blitz:fleet", "main");
const THEIRS: (&str, &str) = ("aws:ResourceTag/blitz:fleet", "other");
const TAGGED: (&str, &str) = ("aws:RequestTag/blitz:fleet", "main");
const FLEET_KEY: (&str, &str) = ("aws:TagKeys", "blitz:fleet");
const REGION: (&str, &str) = ("aws:RequestTag/blitz:region", "japan");
const REGION_KEY: (&str, &str) = ("aws:TagKeys", "blitz:region");
const LAUNCH_KEY: (&str, &str) = ("aws:TagKeys", "blitz:launch");
const KEEP_KEY: (&str, &str) = ("aws:TagKeys", "blitz:keep");
const BY_TEMPLATE: (&str, &str) = ("ec2:LaunchTemplate", TEMPLATE);
const OF_TEMPLATE: (&str, &str) = ("ec2:IsLaunchTemplateResource", "true");
const NOT_OF_TEMPLATE: (&str, &str) = ("ec2:IsLaunchTemplateResource", "false");
const INSTANCE: &str = "arn:aws:ec2:eu-west-1:123456789012:instance/i-0a";
const VOLUME: &str = "arn:aws:ec2:eu-west-1:123456789012:volume/vol-0a";

/// A launch as EC2 asks for it: each resource of it must be let.
fn launch(image: Context<'_>, template: Context<'_>, instance: Context<'_>) -> Vec<Request> {
    let run = "ec2:RunInstances";
    let of = |kind: &str| format!("arn:aws:ec2:eu-west-1:123456789012:{kind}/x");
    vec![
        request(run, "arn:aws:ec2:eu-west-1::image/ami-1", image),
        request(run, &of("subnet"), image),
        request(run, &of("security-group"), image),
        request(run, &of("network-interface"), image),
        request(run, TEMPLATE, template),
        request(run, &of("instance"), instance),
        request(run, &of("volume"), instance),
    ]
}

#[test]
fn launches_are_from_the_fleets_template_with_its_tag_in_its_regions() {
    let (image, template, instance): (Context<'_>, Context<'_>, Context<'_>) = (
        &[HERE, BY_TEMPLATE, OF_TEMPLATE],
        &[HERE, OURS],
        &[HERE, BY_TEMPLATE, TAGGED, REGION, FLEET_KEY, REGION_KEY, LAUNCH_KEY],
    );
    let cases = [
        ("as it should be", true, launch(image, template, instance)),
        (
            "an image of its own",
            false,
            launch(&[HERE, BY_TEMPLATE, NOT_OF_TEMPLATE], template, instance),
        ),
        (
            "without a template",
            false,
            launch(&[HERE, NOT_OF_TEMPLATE], template, &[HERE, TAGGED, REGION]),
        ),
        ("another fleet's template", false, launch(image, &[HERE, THEIRS], instance)),
        ("a template without a tag", false, launch(image, &[HERE], instance)),
        ("without the tag", false, launch(image, template, &[HERE, BY_TEMPLATE, REGION])),
        (
            "with the fewest tags",
            true,
            launch(image, template, &[HERE, BY_TEMPLATE, TAGGED, REGION]),
        ),
        ("for no region", false, launch(image, template, &[HERE, BY_TEMPLATE, TAGGED])),
        (
            "for a region without a name",
            false,
            launch(
                image,
                template,
                &[HERE, BY_TEMPLATE, TAGGED, ("aws:RequestTag/blitz:region", "")],
            ),
        ),
        (
            "one that nobody may end",
            false,
            launch(
                image,
                template,
                &[HERE, BY_TEMPLATE, TAGGED, REGION, FLEET_KEY, REGION_KEY, KEEP_KEY],
            ),
        ),
        (
            "another fleet's tag",
            false,
            launch(
                image,
                template,
                &[HERE, BY_TEMPLATE, REGION, ("aws:RequestTag/blitz:fleet", "other")],
            ),
        ),
        (
            "another region",
            false,
            launch(
                &[ELSEWHERE, BY_TEMPLATE, OF_TEMPLATE],
                &[ELSEWHERE, OURS],
                &[ELSEWHERE, BY_TEMPLATE, TAGGED, REGION],
            ),
        ),
    ];
    for policy in [Policy::Scaler, Policy::Web] {
        let rendered = render(policy, &scope()).unwrap();
        for (what, is, requests) in &cases {
            let lets = requests.iter().all(|request| is_allowed(&rendered, request));
            assert_eq!(lets, *is, "{policy} launches {what}");
        }
    }
    for policy in [Policy::Engine, Policy::Publisher] {
        let rendered = render(policy, &scope()).unwrap();
        let (_, _, requests) = &cases[0];
        assert!(
            !requests.iter().any(|request| is_allowed(&rendered, request)),
            "{policy} launches"
        );
    }
}

#[test]
fn each_role_may_do_its_own_and_no_more() {
    const CHANNEL: &str = "arn:aws:s3:::acme-blitz/engines/channels/stable/x86_64.json";
    const CANARY: &str = "arn:aws:s3:::acme-blitz/engines/channels/canary/x86_64.json";
    const BLOB: &str = "arn:aws:s3:::acme-blitz/engines/blobs/sha256/00ff";
    const OTHER: &str = "arn:aws:s3:::acme-blitz/other/secret";
    const MINE: (&str, &str) = ("s3:ResourceAccount", "123456789012");
    const SOMEBODYS: (&str, &str) = ("s3:ResourceAccount", "999999999999");
    const ROLE: &str = "arn:aws:iam::123456789012:role/blitz-engine";
    const TO_EC2: (&str, &str) = ("iam:PassedToService", "ec2.amazonaws.com");
    const KEEP: (&str, &str) = ("aws:ResourceTag/blitz:keep", "true");
    const ORPHAN: (&str, &str) = ("aws:TagKeys", "blitz:orphan");
    const BY_RUN: (&str, &str) = ("ec2:CreateAction", "RunInstances");

    // Who may: e(ngine), s(caler), w(eb), p(ublisher).
    let table: &[(&str, &'static str, &str, Context<'_>)] = &[
        ("e p", "s3:GetObject", CHANNEL, &[MINE]),
        ("p", "s3:GetObject", CANARY, &[MINE]),
        ("e p", "s3:GetObject", BLOB, &[MINE]),
        ("", "s3:GetObject", BLOB, &[SOMEBODYS]),
        ("", "s3:GetObject", BLOB, &[]),
        ("", "s3:GetObject", OTHER, &[MINE]),
        ("p", "s3:PutObject", BLOB, &[MINE]),
        ("p", "s3:PutObject", CHANNEL, &[MINE]),
        ("", "s3:PutObject", OTHER, &[MINE]),
        ("", "s3:DeleteObject", BLOB, &[MINE]),
        ("p", "s3:ListBucket", "arn:aws:s3:::acme-blitz", &[MINE]),
        ("", "s3:ListBucket", "arn:aws:s3:::other", &[MINE]),
        ("s", "ec2:DescribeInstances", "*", &[HERE]),
        ("", "ec2:DescribeInstances", "*", &[ELSEWHERE]),
        ("s", "ec2:TerminateInstances", INSTANCE, &[HERE, OURS]),
        ("", "ec2:TerminateInstances", INSTANCE, &[HERE, OURS, KEEP]),
        ("", "ec2:TerminateInstances", INSTANCE, &[HERE, THEIRS]),
        ("", "ec2:TerminateInstances", INSTANCE, &[HERE]),
        ("", "ec2:TerminateInstances", INSTANCE, &[ELSEWHERE, OURS]),
        ("", "ec2:StopInstances", INSTANCE, &[HERE, OURS]),
        ("s", "ec2:CreateTags", INSTANCE, &[HERE, OURS, ORPHAN]),
        ("s", "ec2:DeleteTags", INSTANCE, &[HERE, OURS, ORPHAN]),
        ("", "ec2:CreateTags", INSTANCE, &[HERE, OURS, ORPHAN, FLEET_KEY]),
        ("", "ec2:CreateTags", INSTANCE, &[HERE, OURS]),
        ("", "ec2:DeleteTags", INSTANCE, &[HERE, OURS, FLEET_KEY]),
        ("", "ec2:CreateTags", INSTANCE, &[HERE, THEIRS, ORPHAN]),
        ("s w", "ec2:CreateTags", INSTANCE, &[HERE, TAGGED, REGION, BY_RUN, LAUNCH_KEY]),
        ("s w", "ec2:CreateTags", VOLUME, &[HERE, TAGGED, REGION, BY_RUN, LAUNCH_KEY]),
        ("", "ec2:CreateTags", INSTANCE, &[HERE, TAGGED, BY_RUN, LAUNCH_KEY]),
        ("", "ec2:CreateTags", INSTANCE, &[HERE, TAGGED, REGION, BY_RUN, LAUNCH_KEY, KEEP_KEY]),
        ("", "ec2:CreateTags", VOLUME, &[HERE, TAGGED, REGION, BY_RUN, KEEP_KEY]),
        // Nobody makes a machine of somebody else one of the fleet, to end it then.
        ("", "ec2:CreateTags", INSTANCE, &[HERE, TAGGED, REGION, FLEET_KEY]),
        ("s w", "iam:PassRole", ROLE, &[TO_EC2]),
        ("", "iam:PassRole", ROLE, &[("iam:PassedToService", "lambda.amazonaws.com")]),
        ("", "iam:PassRole", "arn:aws:iam::123456789012:role/admin", &[TO_EC2]),
        ("", "ec2:CreateLaunchTemplateVersion", TEMPLATE, &[HERE, OURS]),
        ("", "ec2:ModifyInstanceAttribute", INSTANCE, &[HERE, OURS]),
        ("", "iam:CreateRole", ROLE, &[]),
        ("", "sts:AssumeRole", ROLE, &[]),
    ];
    for policy in Policy::ALL {
        let rendered = render(policy, &scope()).unwrap();
        let letter = &policy.name()[..1];
        for (who, action, resource, context) in table {
            let lets = is_allowed(&rendered, &request(action, resource, context));
            let should = who.split(' ').any(|one| one == letter);
            assert_eq!(lets, should, "{policy}: {action} on {resource} with {context:?}");
        }
    }
}

#[test]
fn policies_are_whole_and_small_enough() {
    for policy in Policy::ALL {
        let text = render(policy, &scope()).unwrap().to_string();
        assert!(!text.contains("${"), "{policy} has a variable that is left: {text}");
        assert!(text.len() <= POLICY_CHARS_MAX, "{policy} has {} characters", text.len());
    }
}

#[test]
fn more_regions_than_a_policy_holds_are_refused() {
    let of = |count: usize| Scope {
        // Names as long as any.
        fleet: "f".repeat(crate::fleet::NAME_CHARS_MAX),
        engine_role: "r".repeat(64),
        regions: (0..count).map(|n| format!("ap-southeast-{n:02}")).collect(),
        ..scope()
    };
    for policy in [Policy::Scaler, Policy::Web] {
        render(policy, &of(REGIONS_THAT_FIT)).unwrap();
    }
    let said = render(Policy::Scaler, &of(30)).unwrap_err().to_string();
    let (start, rest) = said.split_once(" characters").unwrap();
    let chars: usize = start.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(chars > POLICY_CHARS_MAX, "{said}");
    assert!(start.starts_with("the policy \"scaler\" for 30 regions has "), "{said}");
    assert_eq!(
        rest,
        ", and IAM takes 6144: name fewer regions, and attach one policy for each part of them"
    );
    // Those that name no region are as long as before.
    render(Policy::Engine, &of(30)).unwrap();
    render(Policy::Publisher, &of(30)).unwrap();
}

#[test]
fn what_is_no_name_is_refused() {
    let text = str::to_owned;
    let cases = [
        ("partition \"*\"", "aws, aws-cn or aws-us-gov", Scope { partition: text("*"), ..scope() }),
        ("account \"12\"", "its 12 digits", Scope { account: text("12"), ..scope() }),
        ("bucket \"a*\"", "the name of a bucket", Scope { bucket: text("a*"), ..scope() }),
        (
            "prefix \"\"",
            "letters, digits, '-', '_', '.' and '/'",
            Scope { prefix: text(""), ..scope() },
        ),
        ("channel \"?\"", "stable or canary", Scope { channel: text("?"), ..scope() }),
        ("fleet \"${a}\"", "the name of a fleet", Scope { fleet: text("${a}"), ..scope() }),
        ("region \"\"", "at least one region of AWS", Scope { regions: Vec::new(), ..scope() }),
        ("engine role \"*\"", "the name of a role", Scope { engine_role: text("*"), ..scope() }),
    ];
    for (value, wanted, scope) in cases {
        let said = render(Policy::Scaler, &scope).unwrap_err().to_string();
        assert_eq!(said, format!("{value} cannot stand in a policy: give {wanted}"));
    }
}

/// Somebody else's eye on actions, resources and conditions that AWS does not have. `BLITZ_TEST_PARLIAMENT` names its program.
#[test]
fn parliament_finds_nothing_but_what_is_meant() {
    let Some(program) = std::env::var_os("BLITZ_TEST_PARLIAMENT") else {
        eprintln!("skipped: BLITZ_TEST_PARLIAMENT does not name the program 'parliament'");
        return;
    };
    for policy in Policy::ALL {
        let text = render(policy, &scope()).unwrap().to_string();
        let look = |text: &str| {
            let out =
                Command::new(&program).args(["--string", text]).output().expect("parliament runs");
            format!(
                "{}{}",
                String::from_utf8_lossy(&out.stdout),
                String::from_utf8_lossy(&out.stderr)
            )
        };
        // The resources of a launch stand in several statements, and it looks at each alone.
        let said = look(&text);
        let is_meant = |line: &str| {
            line.contains("No resources match for the given action")
                && line.contains("'action': 'ec2:RunInstances'")
        };
        let found: Vec<&str> = said.lines().filter(|line| !is_meant(line)).collect();
        assert!(found.is_empty(), "{policy}: {found:#?}");
        let misspelt = look(
            &text
                .replace("s3:GetObject", "s3:GetObjekt")
                .replace("ec2:RunInstances", "ec2:RunInstanzes"),
        );
        assert!(misspelt.contains("Unknown action"), "{policy}: it sees what is wrong: {misspelt}");
    }
}
