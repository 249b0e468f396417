//! What an error of AWS means for who asked, and what to do about it: each code in one of the provider's few kinds of
//! errors, with the action, the place and the next step in the text.
//!
//! The kinds are decided on plain values ([`classify`]), so that codes which no test server gives are tested too.

use std::error::Error;
use std::fmt;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use blitz_boot_core::provider::ProviderError;

use crate::text::plain;

/// What was asked of AWS.
#[derive(Debug, Clone)]
pub(crate) struct Asked<'a> {
    /// The action as policies call it: `ec2:RunInstances`.
    pub(crate) action: &'static str,
    /// Of what: a launch template, an instance, an object.
    pub(crate) what: String,
    /// The same as a policy names it, where one can.
    pub(crate) resource: Option<String>,
    /// The AWS region.
    pub(crate) place: &'a str,
}

impl fmt::Display for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} in {}", self.action, self.what, self.place)
    }
}

/// An answer that is an error, as far as it says something.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Answer<'a> {
    pub(crate) code: &'a str,
    pub(crate) message: &'a str,
    pub(crate) status: u16,
}

/// Characters of AWS's own words in our text: its messages are sentences, but an encoded authorization failure has
/// thousands.
const MESSAGE_CHARS_MAX: usize = 400;

/// Makes the provider's error of one of AWS.
pub(crate) fn refusal<E>(error: &SdkError<E>, asked: &Asked<'_>) -> ProviderError
where
    E: Error + ProvideErrorMetadata + 'static,
{
    if let SdkError::ServiceError(answered) = error {
        let answer = Answer {
            code: error.code().unwrap_or_default(),
            message: error.message().unwrap_or_default(),
            status: answered.raw().status().as_u16(),
        };
        return classify(answer, asked);
    }
    let cause = cause(error);
    if let Some(missing) = credentials_error(error) {
        let cause = match missing {
            // The SDK's own is a list of all places without any, which does not say that a profile is not there at all.
            CredentialsError::CredentialsNotLoaded(_) => {
                "neither the environment, nor such a profile, nor the machine has any"
            }
            _ => &cause,
        };
        return ProviderError::Denied(format!(
            "{asked}: no credentials for AWS ({cause}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile with \
             --profile, or give this machine a role"
        ));
    }
    match error {
        SdkError::ConstructionFailure(_) => ProviderError::Invalid(format!("{asked}: {cause}")),
        SdkError::TimeoutError(_) => {
            ProviderError::Unknown(format!("{asked}: no answer in time ({cause})"))
        }
        SdkError::DispatchFailure(_) => ProviderError::Unknown(format!(
            "{asked}: no connection, or one that broke ({cause}): check the network, and the name of the region"
        )),
        _ => ProviderError::Unknown(format!("{asked}: an answer that cannot be read ({cause})")),
    }
}

/// Finds the kind of an error by its code, and by its status where the code is unknown.
pub(crate) fn classify(answer: Answer<'_>, asked: &Asked<'_>) -> ProviderError {
    let Answer { code, message, status } = answer;
    let said = said(answer);
    match code {
        _ if is_no_capacity(code) => ProviderError::NoCapacity(format!(
            "{asked}: no room there now ({said}): another type or zone of the launch template, or machines that are not \
             spot, may have some"
        )),
        // Only others than spot machines can be had until then: the same to who asks as no room.
        "AuthFailure.ServiceLinkedRoleCreationNotPermitted" => ProviderError::NoCapacity(format!(
            "{asked}: this account has no role for spot machines yet, and the caller may not make it ({said}): an \
             administrator makes it once, with 'aws iam create-service-linked-role --aws-service-name spot.amazonaws.com'"
        )),
        "RequestLimitExceeded"
        | "Throttling"
        | "ThrottlingException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "EC2ThrottledException"
        | "SlowDown"
        | "TooManyRequestsException"
        | "BandwidthLimitExceeded" => {
            ProviderError::Throttled(format!("{asked}: asked too often ({said})"))
        }
        "MaxSpotInstanceCountExceeded" => quota(asked, code, &said),
        _ if code.ends_with("LimitExceeded") => quota(asked, code, &said),
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => {
            denied(asked, message, &said)
        }
        "AuthFailure"
        | "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "UnrecognizedClientException" => ProviderError::Denied(format!(
            "{asked}: AWS does not accept these credentials ({said}): check the access key, its secret and the clock of this \
                 machine, or name another --profile"
        )),
        "SignatureDoesNotMatch" | "InvalidSignatureException" | "IncompleteSignature" => {
            ProviderError::Denied(format!(
                "{asked}: AWS refuses the signature ({said}): the secret key is not that of the access key, or the clock of \
                 this machine is wrong"
            ))
        }
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => ProviderError::Denied(
            format!("{asked}: the session has ended ({said}): log in to AWS again"),
        ),
        "RequestExpired" | "RequestTimeTooSkewed" => ProviderError::Denied(format!(
            "{asked}: AWS refuses the time of the request ({said}): set the clock of this machine"
        )),
        "OptInRequired" | "PendingVerification" | "Blocked" | "OperationNotPermitted" => {
            ProviderError::Denied(format!("{asked}: AWS does not allow it ({said})"))
        }
        "IdempotentParameterMismatch" => ProviderError::Invalid(format!(
            "{asked}: the same launch was asked for before, but otherwise ({said}): the launch template has changed since; \
             the next launch has a token of its own"
        )),
        "NoSuchBucket" => ProviderError::Invalid(format!(
            "{asked}: there is no such bucket ({said}): check its name, or create it first"
        )),
        "PermanentRedirect" | "AuthorizationHeaderMalformed" => ProviderError::Invalid(format!(
            "{asked}: the bucket is in another region ({said}): name that one"
        )),
        _ if status >= 500 => {
            ProviderError::Unknown(format!("{asked}: AWS failed ({said}): it may have been done"))
        }
        _ if status == 429 => {
            ProviderError::Throttled(format!("{asked}: asked too often ({said})"))
        }
        _ if status == 401 || status == 403 => denied(asked, message, &said),
        _ => ProviderError::Invalid(format!("{asked}: AWS refuses it ({said})")),
    }
}

/// Whether a code says that there is no room for a machine. EC2 gives them status 500, as to what may be tried again at
/// once; to ask for the same again in a second gives the same.
pub(crate) fn is_no_capacity(code: &str) -> bool {
    matches!(
        code,
        "InsufficientInstanceCapacity"
            | "InsufficientCapacity"
            | "InsufficientHostCapacity"
            | "InsufficientReservedInstanceCapacity"
            | "InsufficientVolumeCapacity"
            | "InsufficientAddressCapacity"
            | "InsufficientFreeAddressesInSubnet"
            | "SpotMaxPriceTooLow"
    )
}

/// The names of quotas in the Service Quotas console, of the codes that stand for one. Which of a row it is depends on the
/// family of the machine's type.
const QUOTAS: &[(&str, &str)] = &[
    ("VcpuLimitExceeded", "Running On-Demand instances of the type's family, in vCPUs"),
    ("MaxSpotInstanceCountExceeded", "Spot Instance Requests of the type's family, in vCPUs"),
    ("InstanceLimitExceeded", "Running On-Demand instances of the type's family, in vCPUs"),
    ("VolumeLimitExceeded", "Storage for volumes, in TiB"),
    ("AddressLimitExceeded", "EC2-VPC Elastic IPs"),
    ("NetworkInterfaceLimitExceeded", "Network interfaces per Region"),
];

fn quota(asked: &Asked<'_>, code: &str, said: &str) -> ProviderError {
    let name = QUOTAS.iter().find(|(of, _)| *of == code).map_or_else(
        || format!("quota {code}"),
        |(_, name)| format!("quota {code}, in Service Quotas \"{name}\","),
    );
    ProviderError::Quota(format!(
        "{asked}: the {name} of this account is used up ({said}): ask AWS for more, or lower the region's max"
    ))
}

/// AWS names the action that is missing, which need not be the one that was called: `RunInstances` needs `iam:PassRole`,
/// `ec2:CreateTags` and others.
fn denied(asked: &Asked<'_>, message: &str, said: &str) -> ProviderError {
    let action = word_after(message, "perform: ").unwrap_or(asked.action);
    let resource = word_after(message, "on resource: ")
        .or(asked.resource.as_deref())
        .filter(|resource| *resource != "*");
    // What is launched, and what is tagged with it, is let on conditions: an `Allow` of one line would take the guard away.
    let is_launch = asked.action == "ec2:RunInstances" && action.starts_with("ec2:");
    let step = if message.contains("explicit deny") {
        format!(
            "a policy denies {action} explicitly, which no other policy opens again: take that statement away"
        )
    } else if let Some(resource) = resource.filter(|_| !is_launch) {
        format!(
            "the caller's policy needs {{\"Effect\": \"Allow\", \"Action\": \"{action}\", \"Resource\": \"{resource}\"}}"
        )
    } else {
        let on = resource.map(|resource| format!(" on {resource}")).unwrap_or_default();
        format!(
            "the caller needs {action}{on}, on the conditions of the policy that 'blitz-boot iam scaler' prints: give it that \
             policy, and check its fleet, regions and role"
        )
    };
    ProviderError::Denied(format!("{asked}: not allowed ({said}): {step}"))
}

fn word_after<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(words)?;
    let word = rest.split_whitespace().next()?.trim_matches(|c: char| "\"'.,;".contains(c));
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_:/*+=.@,".contains(c);
    (!word.is_empty() && word.chars().all(is_plain)).then_some(word)
}

/// The code and AWS's own words, short and in one line.
fn said(answer: Answer<'_>) -> String {
    let Answer { code, message, status } = answer;
    // The encoded part is for an administrator's `aws sts decode-authorization-message`, and fills a screen.
    let message = message.split("Encoded authorization failure message").next().unwrap_or_default();
    let message = message.trim().trim_end_matches('.');
    match (code, one_line(message).as_str()) {
        ("", "") => format!("status {status}"),
        ("", line) => format!("status {status}: {line}"),
        (code, "") => code.to_owned(),
        (code, line) => format!("{code}: {line}"),
    }
}

/// Words of others for one line of ours: not longer than [`MESSAGE_CHARS_MAX`], and nothing that a terminal obeys.
fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut = if line.chars().nth(MESSAGE_CHARS_MAX).is_some() { "..." } else { "" };
    plain(&line).chars().take(MESSAGE_CHARS_MAX).collect::<String>() + cut
}

/// The innermost causes say what happened; the outer ones only that something did.
fn cause(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(inner) = next {
        let text = inner.to_string();
        // The SDK's word for a cause of no kind of its own.
        if text != "other" && texts.last() != Some(&text) {
            texts.push(text);
        }
        next = inner.source();
    }
    if texts.is_empty() {
        return error.to_string();
    }
    let text = texts.join(": ");
    // Of an end point that is none, the SDK shows the whole request.
    one_line(text.split(" to request `Request").next().unwrap_or_default())
}

fn credentials_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CredentialsError> {
    let mut next = error.source();
    while let Some(inner) = next {
        if let Some(found) = inner.downcast_ref() {
            return Some(found);
        }
        next = inner.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Asked<'static> {
        Asked {
            action: "ec2:RunInstances",
            what: "launch template \"blitz\"".to_owned(),
            resource: None,
            place: "eu-west-1",
        }
    }

    fn kind(error: &ProviderError) -> &'static str {
        match error {
            ProviderError::NoCapacity(_) => "capacity",
            ProviderError::Quota(_) => "quota",
            ProviderError::Throttled(_) => "throttled",
            ProviderError::Denied(_) => "denied",
            ProviderError::Unknown(_) => "unknown",
            ProviderError::Invalid(_) => "invalid",
        }
    }

    #[test]
    fn each_code_has_its_kind_and_next_step() {
        for (code, status, expected, step) in [
            ("InsufficientInstanceCapacity", 500, "capacity", "not spot"),
            ("InsufficientFreeAddressesInSubnet", 400, "capacity", "another type or zone"),
            ("SpotMaxPriceTooLow", 400, "capacity", "not spot"),
            (
                "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
                403,
                "capacity",
                "aws iam create-service-linked-role --aws-service-name spot.amazonaws.com",
            ),
            ("VcpuLimitExceeded", 400, "quota", "Running On-Demand instances"),
            ("MaxSpotInstanceCountExceeded", 400, "quota", "Spot Instance Requests"),
            ("InstanceLimitExceeded", 400, "quota", "lower the region's max"),
            ("SomethingNewLimitExceeded", 400, "quota", "quota SomethingNewLimitExceeded"),
            ("RequestLimitExceeded", 503, "throttled", "too often"),
            ("Throttling", 400, "throttled", "too often"),
            ("SlowDown", 503, "throttled", "too often"),
            ("", 429, "throttled", "too often"),
            ("UnauthorizedOperation", 403, "denied", "needs ec2:RunInstances, on the conditions"),
            ("AccessDenied", 403, "denied", "'blitz-boot iam scaler'"),
            ("", 403, "denied", "'blitz-boot iam scaler'"),
            ("AuthFailure", 401, "denied", "check the access key"),
            ("InvalidClientTokenId", 403, "denied", "check the access key"),
            ("SignatureDoesNotMatch", 403, "denied", "clock"),
            ("RequestExpired", 400, "denied", "set the clock"),
            ("RequestTimeTooSkewed", 403, "denied", "set the clock"),
            ("ExpiredToken", 400, "denied", "log in to AWS again"),
            ("OperationNotPermitted", 400, "denied", "does not allow"),
            ("IdempotentParameterMismatch", 400, "invalid", "a token of its own"),
            ("InvalidLaunchTemplateName.NotFoundException", 400, "invalid", "refuses it"),
            ("NoSuchBucket", 404, "invalid", "create it"),
            ("PermanentRedirect", 301, "invalid", "another region"),
            ("Unsupported", 400, "invalid", "refuses it"),
            ("InternalError", 500, "unknown", "may have been done"),
            ("Unavailable", 503, "unknown", "may have been done"),
            ("", 502, "unknown", "status 502"),
        ] {
            let error = classify(Answer { code, message: "", status }, &asked());
            assert_eq!(kind(&error), expected, "{code} {status}: {error}");
            let text = error.to_string();
            assert!(text.contains(step), "{code} {status} has no \"{step}\": {text}");
            let asked = "ec2:RunInstances of launch template \"blitz\" in eu-west-1: ";
            assert!(text.starts_with(asked), "{text}");
        }
    }

    #[test]
    fn a_denial_names_the_action_that_is_missing() {
        let message = "You are not authorized to perform this operation. User: arn:aws:iam::1:user/a is not authorized to \
                       perform: iam:PassRole on resource: arn:aws:iam::1:role/blitz-engine because no identity-based policy \
                       allows the iam:PassRole action. Encoded authorization failure message: AbCdEf";
        let answer = Answer { code: "UnauthorizedOperation", message, status: 403 };
        let text = classify(answer, &asked()).to_string();
        let line = r#"{"Effect": "Allow", "Action": "iam:PassRole", "Resource": "arn:aws:iam::1:role/blitz-engine"}"#;
        assert!(text.contains(line), "{text}");
        assert!(!text.contains("AbCdEf"), "{text}");

        let message = "User: a is not authorized to perform: s3:PutObject on resource: \"arn:aws:s3:::b/k\" with an explicit \
                       deny in a resource-based policy";
        let answer = Answer { code: "AccessDenied", message, status: 403 };
        let text = classify(answer, &asked()).to_string();
        assert!(text.contains("denies s3:PutObject explicitly"), "{text}");
    }

    #[test]
    fn no_denial_of_a_launch_offers_a_policy_without_conditions() {
        let tag = "not authorized to perform: ec2:CreateTags on resource: arn:aws:ec2:eu-west-1:1:instance/*";
        let all = "not authorized to perform: ec2:DescribeInstances on resource: *";
        let launch = asked();
        let list = Asked { action: "ec2:DescribeInstances", ..asked() };
        for (asked, message, needed) in [
            (&launch, "", "needs ec2:RunInstances, on the conditions"),
            (&launch, tag, "needs ec2:CreateTags on arn:aws:ec2:eu-west-1:1:instance/*, on the"),
            (&list, "", "needs ec2:DescribeInstances, on the conditions"),
            (&list, all, "needs ec2:DescribeInstances, on the conditions"),
        ] {
            let answer = Answer { code: "UnauthorizedOperation", message, status: 403 };
            let text = classify(answer, asked).to_string();
            assert!(text.contains(needed) && text.contains("blitz-boot iam scaler"), "{text}");
            assert!(!text.contains("Allow"), "{text}");
        }
    }

    #[test]
    fn words_of_others_are_one_short_line() {
        let message =
            format!("{}\n\u{1b}[2Jperform: {{\"evil\"}} on resource: \u{7}", "x".repeat(1000));
        let answer = Answer { code: "AccessDenied", message: &message, status: 403 };
        let text = classify(answer, &asked()).to_string();
        assert!(text.chars().count() < 900, "{} characters", text.chars().count());
        assert!(!text.chars().any(char::is_control), "{text:?}");
        assert!(text.contains("needs ec2:RunInstances, on the conditions"), "{text}");
    }
}
