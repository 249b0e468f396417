//! What the administrator of an AWS account sets up once, as templates of CloudFormation: [`account`] has bucket, roles and
//! policies, and stands in one region; [`region`] has the launch template of a fleet, and stands in each region with machines.
//! An update of the latter makes a new version of the template, and the next launch is of it.
//!
//! The policies are those of [`iam`](crate::iam), whose variables are parameters here. The user data stands in the
//! launch template, so that who launches need not know it. It is no guard: who may launch may override it, see
//! [`iam`](crate::iam).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::iam::{Policy, for_cloudformation};
use crate::instance::TAG_FLEET;

/// Bytes of a template that may be given in the call itself, and not by a bucket.
pub const TEMPLATE_BYTES_MAX: usize = 51_200;

/// The oldest generation that has everywhere what engines want: two cores, 4 GiB, 10 Gbit/s at times.
const INSTANCE_TYPE: &str = "c6i.large";

/// The image of Amazon Linux 2023 that is the latest when the stack is made or updated.
const IMAGE: &str = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64";

/// The stack of the account.
#[must_use]
pub fn account() -> Value {
    let policy = |policy: Policy, what: &str| {
        json!({
            "Type": "AWS::IAM::ManagedPolicy",
            "Properties": {
                "ManagedPolicyName": {"Fn::Sub": format!("blitz-{policy}-${{Fleet}}")},
                "Description": what,
                "PolicyDocument": for_cloudformation(policy),
            },
        })
    };
    json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "blitz: the bucket of its engines, and who may do what",
        "Parameters": {
            "Bucket": text("The bucket of the bundles; it is made, private"),
            "Prefix": with_default("What keys in the bucket begin with", "engines"),
            "Channel": with_default("The channel that engines follow", "stable"),
            "Fleet": with_default("The name of the fleet, as fleet.toml has it", "main"),
            "Regions": {
                "Type": "CommaDelimitedList",
                "Description": "The regions of AWS in which the fleet may have machines, up to 20: policies have room for no more",
            },
            "EngineRole": with_default("The name of the role of the machines", "blitz-engine"),
        },
        "Resources": {
            "EngineBucket": {
                "Type": "AWS::S3::Bucket",
                // Machines that boot tomorrow need what is in it.
                "DeletionPolicy": "Retain",
                "UpdateReplacePolicy": "Retain",
                "Properties": {
                    "BucketName": {"Ref": "Bucket"},
                    "PublicAccessBlockConfiguration": {
                        "BlockPublicAcls": true,
                        "BlockPublicPolicy": true,
                        "IgnorePublicAcls": true,
                        "RestrictPublicBuckets": true,
                    },
                    "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
                    "VersioningConfiguration": {"Status": "Enabled"},
                    "BucketEncryption": {"ServerSideEncryptionConfiguration": [
                        {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}},
                    ]},
                },
            },
            "EngineBucketPolicy": {
                "Type": "AWS::S3::BucketPolicy",
                "Properties": {
                    "Bucket": {"Ref": "EngineBucket"},
                    "PolicyDocument": {
                        "Version": "2012-10-17",
                        "Statement": [{
                            "Sid": "OnlyOverTls",
                            "Effect": "Deny",
                            "Principal": "*",
                            "Action": "s3:*",
                            "Resource": [
                                {"Fn::Sub": "arn:${AWS::Partition}:s3:::${Bucket}"},
                                {"Fn::Sub": "arn:${AWS::Partition}:s3:::${Bucket}/*"},
                            ],
                            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                        }],
                    },
                },
            },
            "MachineRole": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "RoleName": {"Ref": "EngineRole"},
                    "AssumeRolePolicyDocument": {
                        "Version": "2012-10-17",
                        "Statement": [{
                            "Effect": "Allow",
                            "Principal": {"Service": "ec2.amazonaws.com"},
                            "Action": "sts:AssumeRole",
                        }],
                    },
                    "Policies": [{
                        "PolicyName": "blitz-engine",
                        "PolicyDocument": for_cloudformation(Policy::Engine),
                    }],
                },
            },
            "MachineProfile": {
                "Type": "AWS::IAM::InstanceProfile",
                "Properties": {
                    "InstanceProfileName": {"Ref": "EngineRole"},
                    "Roles": [{"Ref": "MachineRole"}],
                },
            },
            "ScalerPolicy": policy(Policy::Scaler, "For who runs blitz-boot scale and reconcile"),
            "WebPolicy": policy(Policy::Web, "For a web tier that launches engines and does nothing else"),
            "PublisherPolicy": policy(Policy::Publisher, "For who runs blitz-boot publish and promote"),
        },
    })
}

/// The stack of one region; machines get `user_data`, as `blitz-boot user-data` prints it.
#[must_use]
pub fn region(user_data: &str) -> Value {
    let fleet = json!([{"Key": TAG_FLEET, "Value": {"Ref": "Fleet"}}]);
    let tagged = |kind: &str| json!({"ResourceType": kind, "Tags": fleet});
    json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "blitz: the launch template of a fleet in one region",
        "Parameters": {
            "Fleet": with_default("The name of the fleet, as fleet.toml has it", "main"),
            "EngineRole": with_default("The name of the role of the machines", "blitz-engine"),
            "Vpc": {"Type": "AWS::EC2::VPC::Id", "Description": "The network of the machines"},
            "Subnet": {
                "Type": "AWS::EC2::Subnet::Id",
                "Description": "The part of the network; the machines must come out of it to the internet",
            },
            "InstanceType": with_default("What machines are like", INSTANCE_TYPE),
            "Image": {
                "Type": "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>",
                "Description": "The parameter with the image: Amazon Linux 2023 or Debian 12",
                "Default": IMAGE,
            },
        },
        "Resources": {
            "MachineGroup": {
                "Type": "AWS::EC2::SecurityGroup",
                "Properties": {
                    "GroupDescription": "blitz engines: nobody comes in",
                    "VpcId": {"Ref": "Vpc"},
                    "SecurityGroupEgress": [
                        {"IpProtocol": "-1", "CidrIp": "0.0.0.0/0", "Description": "Jobs go anywhere"},
                        {"IpProtocol": "-1", "CidrIpv6": "::/0", "Description": "Jobs go anywhere"},
                    ],
                    "Tags": fleet,
                },
            },
            "MachineTemplate": {
                "Type": "AWS::EC2::LaunchTemplate",
                "Properties": {
                    "LaunchTemplateName": {"Fn::Sub": "blitz-${Fleet}"},
                    // By this tag the scaler's policy knows it.
                    "TagSpecifications": [tagged("launch-template")],
                    "LaunchTemplateData": {
                        "ImageId": {"Ref": "Image"},
                        "InstanceType": {"Ref": "InstanceType"},
                        "IamInstanceProfile": {"Name": {"Ref": "EngineRole"}},
                        // The second version only, and no further than the machine itself.
                        "MetadataOptions": {
                            "HttpEndpoint": "enabled",
                            "HttpTokens": "required",
                            "HttpPutResponseHopLimit": 1,
                            "InstanceMetadataTags": "enabled",
                        },
                        // A machine that powers itself off is gone: it needs no right to end itself.
                        "InstanceInitiatedShutdownBehavior": "terminate",
                        "NetworkInterfaces": [{
                            "DeviceIndex": 0,
                            "AssociatePublicIpAddress": true,
                            "DeleteOnTermination": true,
                            "SubnetId": {"Ref": "Subnet"},
                            "Groups": [{"Ref": "MachineGroup"}],
                        }],
                        "TagSpecifications": [tagged("instance"), tagged("volume")],
                        "UserData": STANDARD.encode(user_data),
                    },
                },
            },
        },
        "Outputs": {
            "LaunchTemplate": {
                "Description": "The launch-template of this region in fleet.toml",
                "Value": {"Fn::Sub": "blitz-${Fleet}"},
            },
        },
    })
}

fn text(what: &str) -> Value {
    json!({"Type": "String", "Description": what})
}

fn with_default(what: &str, value: &str) -> Value {
    json!({"Type": "String", "Description": what, "Default": value})
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::process::Command;

    use super::*;

    /// As long as user data may be, with what would be a variable elsewhere.
    fn templates() -> [(&'static str, Value); 2] {
        let user_data = format!("#cloud-config\n# ${{Fleet}} {}", "x".repeat(16_000));
        [("account", account()), ("region", region(&user_data))]
    }

    fn names(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    match (key.as_str(), value) {
                        ("Ref", Value::String(name)) => {
                            found.insert(name.clone());
                        }
                        ("Fn::Sub", Value::String(text)) => {
                            let names =
                                text.split("${").skip(1).filter_map(|rest| rest.split('}').next());
                            found.extend(names.map(str::to_owned));
                        }
                        _ => names(value, found),
                    }
                }
            }
            Value::Array(list) => list.iter().for_each(|value| names(value, found)),
            _ => {}
        }
    }

    #[test]
    fn each_name_is_a_parameter_or_a_resource_and_each_parameter_is_used() {
        for (what, template) in templates() {
            let mut used = BTreeSet::new();
            names(&template, &mut used);
            used.retain(|name| !name.starts_with("AWS::"));
            let of = |part: &str| {
                template[part].as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>()
            };
            let (parameters, resources) = (of("Parameters"), of("Resources"));
            let known: BTreeSet<String> = parameters.union(&resources).cloned().collect();
            assert_eq!(
                used.difference(&known).collect::<Vec<_>>(),
                Vec::<&String>::new(),
                "{what}"
            );
            assert_eq!(
                parameters.difference(&used).collect::<Vec<_>>(),
                Vec::<&String>::new(),
                "{what}"
            );
        }
    }

    #[test]
    fn they_can_be_given_in_the_call() {
        for (what, template) in templates() {
            let bytes = serde_json::to_vec_pretty(&template).unwrap().len();
            assert!(bytes <= TEMPLATE_BYTES_MAX, "{what} has {bytes} bytes");
        }
    }

    /// AWS's own rules for templates. `BLITZ_TEST_CFN_LINT` names the program.
    #[test]
    fn cfn_lint_finds_nothing() {
        let Some(program) = std::env::var_os("BLITZ_TEST_CFN_LINT") else {
            eprintln!("skipped: BLITZ_TEST_CFN_LINT does not name the program 'cfn-lint'");
            return;
        };
        let directory = tempfile::tempdir().unwrap();
        let lint = |what: &str, template: &Value| {
            let path = directory.path().join(format!("{what}.json"));
            std::fs::write(&path, serde_json::to_vec_pretty(template).unwrap()).unwrap();
            let out = Command::new(&program).arg(&path).output().expect("cfn-lint runs");
            (out.status.success(), String::from_utf8_lossy(&out.stdout).into_owned())
        };
        for (what, mut template) in templates() {
            let (is_clean, said) = lint(what, &template);
            assert!(is_clean, "{what}: {said}");
            template["Resources"]["Wrong"] = json!({"Type": "AWS::EC2::Nothing"});
            assert!(!lint(what, &template).0, "it sees what is wrong");
        }
    }
}
