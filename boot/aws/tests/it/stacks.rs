//! The stacks of CloudFormation, made on the server that answers as AWS: what they make is there, and engines are launched
//! from it.

use blitz_boot::ec2::Ec2;
use blitz_boot_core::cloudformation;
use blitz_boot_core::fleet::Fleet;
use blitz_boot_core::provider::{LaunchRequest, Provider as _};
use serde_json::Value;

use crate::fleets::access;
use crate::moto::{self, Moto, text_in};

const PLACE: &str = "eu-central-1";

/// Makes a stack, and says what became of it.
fn create(moto: &Moto, name: &str, template: &Value, parameters: &[(&str, &str)]) -> String {
    let body = template.to_string();
    let mut form = vec![
        ("Action".to_owned(), "CreateStack".to_owned()),
        ("StackName".to_owned(), name.to_owned()),
        ("TemplateBody".to_owned(), body),
        ("Capabilities.member.1".to_owned(), "CAPABILITY_NAMED_IAM".to_owned()),
    ];
    for (number, (key, value)) in (1..).zip(parameters) {
        form.push((format!("Parameters.member.{number}.ParameterKey"), (*key).to_owned()));
        form.push((format!("Parameters.member.{number}.ParameterValue"), (*value).to_owned()));
    }
    let form: Vec<(&str, &str)> =
        form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    moto.ask("cloudformation", PLACE, &form);
    let stacks =
        moto.ask("cloudformation", PLACE, &[("Action", "DescribeStacks"), ("StackName", name)]);
    text_in(&stacks, "StackStatus").to_owned()
}

#[tokio::test]
async fn an_account_and_a_region_are_set_up_and_engines_launched_from_them() {
    let Some(moto) = moto::open() else { return };
    let names =
        [("Bucket", "stack-bundles"), ("Regions", "eu-central-1,us-east-1"), ("Fleet", "stack")];
    assert_eq!(create(moto, "account", &cloudformation::account(), &names), "CREATE_COMPLETE");
    let role = moto.ask(
        "iam",
        PLACE,
        &[("Action", "GetInstanceProfile"), ("InstanceProfileName", "blitz-engine")],
    );
    assert_eq!(text_in(&role, "RoleName"), "blitz-engine");
    let policy =
        [("Action", "GetRolePolicy"), ("RoleName", "blitz-engine"), ("PolicyName", "blitz-engine")];
    let policy = moto.ask("iam", PLACE, &policy);
    assert!(policy.contains("stack-bundles") && policy.contains("GetObject"), "{policy}");
    let all = moto.ask("iam", PLACE, &[("Action", "ListPolicies"), ("Scope", "Local")]);
    for name in ["blitz-scaler-stack", "blitz-web-stack", "blitz-publisher-stack"] {
        assert!(all.contains(name), "{name}: {all}");
    }

    let ec2 = |action: &str| moto.ask("ec2", PLACE, &[("Action", action)]);
    let (vpcs, subnets) = (ec2("DescribeVpcs"), ec2("DescribeSubnets"));
    let (vpc, subnet) = (text_in(&vpcs, "vpcId"), text_in(&subnets, "subnetId"));
    let user_data = "#cloud-config\nruncmd: [[\"true\", \"${not} a variable\"]]\n";
    let names = [("Vpc", vpc), ("Subnet", subnet), ("Fleet", "stack")];
    assert_eq!(
        create(moto, "region", &cloudformation::region(user_data), &names),
        "CREATE_COMPLETE"
    );

    let toml = format!(
        "name = \"stack\"\n[[region]]\nname = \"frankfurt\"\nplace = \"{PLACE}\"\nmax = 2\nlaunch-template = \"blitz-stack\""
    );
    let fleet = Fleet::parse(&toml).unwrap();
    let provider = Ec2::new(&access(&moto.url(), &moto.operator), &fleet, PLACE).await.unwrap();
    let request = LaunchRequest {
        token: "stack-1".to_owned(),
        region: "frankfurt".to_owned(),
        count: 1,
        is_spot: false,
    };
    let ids = provider.launch(&request).await.unwrap();
    let listed = provider.list().await.unwrap();
    assert_eq!(
        listed.iter().map(|one| &one.id).collect::<Vec<_>>(),
        ids.iter().collect::<Vec<_>>()
    );
    let asked =
        [("Action", "DescribeLaunchTemplateVersions"), ("LaunchTemplateName", "blitz-stack")];
    let version = moto.ask("ec2", PLACE, &asked);
    let kept = text_in(&version, "userData");
    assert_eq!(
        base64::Engine::decode(&base64::prelude::BASE64_STANDARD, kept).unwrap(),
        user_data.as_bytes()
    );
    assert_eq!(text_in(&version, "httpTokens"), "required");
    assert_eq!(text_in(&version, "instanceInitiatedShutdownBehavior"), "terminate");

    // As CloudFormation does on an update: a new version, and the default stays.
    let update = [
        ("Action", "CreateLaunchTemplateVersion"),
        ("LaunchTemplateName", "blitz-stack"),
        ("LaunchTemplateData.ImageId", "ami-12c6146b"),
        ("LaunchTemplateData.InstanceType", "c7i.xlarge"),
    ];
    moto.ask("ec2", PLACE, &update);
    let named = [("Action", "DescribeLaunchTemplates"), ("LaunchTemplateName.1", "blitz-stack")];
    let template = moto.ask("ec2", PLACE, &named);
    assert_eq!(text_in(&template, "defaultVersionNumber"), "1");
    assert_eq!(text_in(&template, "latestVersionNumber"), "2");
    let request = LaunchRequest { token: "stack-2".to_owned(), ..request };
    let updated = provider.launch(&request).await.unwrap();
    for (id, kind) in [(&ids[0], "c6i.large"), (&updated[0], "c7i.xlarge")] {
        let asked = [("Action", "DescribeInstances"), ("InstanceId.1", id.0.as_str())];
        assert_eq!(text_in(&moto.ask("ec2", PLACE, &asked), "instanceType"), kind, "{id}");
    }
}
