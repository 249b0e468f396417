//! Who may do what at AWS: the policies of `boot/iam/`, each the least that its role can work with.
//!
//! | policy | of whom | what it lets |
//! |---|---|---|
//! | `engine` | the role of the instances | read its channel, bundles and blobs from the bucket; nothing else |
//! | `scaler` | who runs `blitz-boot scale` and `reconcile` | launch from the fleet's launch template, with the fleet's tag; mark and end what has the tag |
//! | `web` | a web tier that launches engines | launch, as the scaler, and so run what it likes as an engine; it sees and ends nothing |
//! | `publisher` | who runs `blitz-boot publish` and `promote` | read and write what the bucket has, list it, and delete nothing |
//!
//! The files are policies of IAM with variables in them as `Fn::Sub` of CloudFormation has them, `${Bucket}`. A value that is
//! a variable and nothing else may be a list.
//!
//! *Who may launch decides what the machine runs.* `RunInstances` takes user data, a type and metadata options beside a launch
//! template and prefers them to the template's; IAM has no condition on user data. So the scaler and the web tier can run code of
//! their own with the engines' role, in their network. What IAM can hold to is held to: the template, image, subnet and security
//! group, the role, the fleet's tag, a tag with the region, and no tags but those that a launch of ours sets (so that nobody
//! launches what is kept from its end): who has others in a template of their own adds them to the policy. That the instance
//! metadata want a token (`ec2:MetadataHttpTokens`) is not asked for: EC2 is reported to fill that key from the request alone
//! and not from its template, and then no launch would be let.
//!
//! *Not here:* what the administrator of the account does once: bucket, roles and launch templates, which are
//! [`cloudformation`](crate::cloudformation)'s. Nobody of these may change a launch template.

use std::fmt;

use serde_json::{Value, json};

/// Characters of a managed policy without blanks, beyond which IAM refuses it.
pub const POLICY_CHARS_MAX: usize = 6_144;

/// One of the policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Of the instances.
    Engine,
    /// Of who scales and reconciles.
    Scaler,
    /// Of who only launches.
    Web,
    /// Of who publishes.
    Publisher,
}

impl Policy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Engine, Self::Scaler, Self::Web, Self::Publisher];

    /// Its name in commands and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Scaler => "scaler",
            Self::Web => "web",
            Self::Publisher => "publisher",
        }
    }

    /// The policy with its variables.
    pub(crate) fn template(self) -> Value {
        let text = match self {
            Self::Engine => include_str!("../../iam/engine.json"),
            Self::Scaler => include_str!("../../iam/scaler.json"),
            Self::Web => include_str!("../../iam/web.json"),
            Self::Publisher => include_str!("../../iam/publisher.json"),
        };
        serde_json::from_str(text).expect("the policies of this crate are JSON")
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What policies are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// `aws`, `aws-cn` or `aws-us-gov`.
    pub partition: String,
    /// The account, 12 digits.
    pub account: String,
    /// The bucket of the bundles.
    pub bucket: String,
    /// What keys in it begin with, without a slash at the end.
    pub prefix: String,
    /// The channel of the engines.
    pub channel: String,
    /// The fleet.
    pub fleet: String,
    /// The regions of AWS in which it has machines.
    pub regions: Vec<String>,
    /// The name of the instances' role.
    pub engine_role: String,
}

/// Why there is no policy for a scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadScope {
    /// A value that cannot stand in a policy.
    #[error("{what} {value:?} cannot stand in a policy: give {wanted}")]
    Value {
        /// Which.
        what: &'static str,
        /// As it was given.
        value: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// Longer than IAM takes.
    #[error(
        "the policy \"{policy}\" for {regions} regions has {chars} characters, and IAM takes {POLICY_CHARS_MAX}: name fewer \
         regions, and attach one policy for each part of them"
    )]
    TooLong {
        /// Which.
        policy: Policy,
        /// Without blanks, as IAM counts.
        chars: usize,
        /// Each of them stands in most statements.
        regions: usize,
    },
}

/// The policy for this scope, as IAM takes it.
///
/// # Errors
///
/// [`BadScope::Value`] for one that would say something else than a name: a `*` in it, a blank, nothing at all;
/// [`BadScope::TooLong`] for more regions than a policy can hold.
pub fn render(policy: Policy, scope: &Scope) -> Result<Value, BadScope> {
    scope.check()?;
    let rendered = replace(policy.template(), &|name| scope.value(name));
    // No value has a blank in it, so that this is what IAM counts.
    let chars = rendered.to_string().len();
    if chars > POLICY_CHARS_MAX {
        return Err(BadScope::TooLong { policy, chars, regions: scope.regions.len() });
    }
    Ok(rendered)
}

/// The policy as a part of a template of CloudFormation, where its variables are parameters.
pub(crate) fn for_cloudformation(policy: Policy) -> Value {
    substitute(policy.template())
}

impl Scope {
    fn check(&self) -> Result<(), BadScope> {
        let is_word = |value: &str, others: &str| {
            let may = |byte: u8| byte.is_ascii_alphanumeric() || others.as_bytes().contains(&byte);
            !value.is_empty() && value.bytes().all(may)
        };
        let is_account =
            self.account.len() == 12 && self.account.bytes().all(|b| b.is_ascii_digit());
        let checks = [
            (
                "partition",
                &self.partition,
                is_word(&self.partition, "-"),
                "aws, aws-cn or aws-us-gov",
            ),
            ("account", &self.account, is_account, "its 12 digits"),
            ("bucket", &self.bucket, is_word(&self.bucket, ".-"), "the name of a bucket"),
            (
                "prefix",
                &self.prefix,
                is_word(&self.prefix, "-_./"),
                "letters, digits, '-', '_', '.' and '/'",
            ),
            ("channel", &self.channel, is_word(&self.channel, "-"), "stable or canary"),
            ("fleet", &self.fleet, is_word(&self.fleet, "-"), "the name of a fleet"),
            (
                "engine role",
                &self.engine_role,
                is_word(&self.engine_role, "+=,.@_-"),
                "the name of a role",
            ),
        ];
        let bad =
            |what, value: &str, wanted| BadScope::Value { what, value: value.to_owned(), wanted };
        for (what, value, is_good, wanted) in checks {
            if !is_good {
                return Err(bad(what, value, wanted));
            }
        }
        match self.regions.iter().find(|region| !is_word(region, "-")) {
            Some(region) => Err(bad("region", region, "the name of a region of AWS, as eu-west-1")),
            // A condition on no region at all would let nothing.
            None if self.regions.is_empty() => Err(bad("region", "", "at least one region of AWS")),
            None => Ok(()),
        }
    }

    fn value(&self, name: &str) -> Value {
        match name {
            "AWS::Partition" => json!(self.partition),
            "AWS::AccountId" => json!(self.account),
            "Bucket" => json!(self.bucket),
            "Prefix" => json!(self.prefix),
            "Channel" => json!(self.channel),
            "Fleet" => json!(self.fleet),
            "Regions" => json!(self.regions),
            "EngineRole" => json!(self.engine_role),
            // A test asks for each variable of each policy.
            other => unreachable!("the policies have no variable {other:?}"),
        }
    }
}

/// Replaces the variables in all texts of a value.
fn replace(value: Value, of: &impl Fn(&str) -> Value) -> Value {
    each_text(value, &|text| {
        if let Some(name) = only_variable(&text) {
            return of(name);
        }
        let mut rest = text.as_str();
        let mut replaced = String::new();
        while let Some((before, name, after)) = next_variable(rest) {
            replaced.push_str(before);
            replaced.push_str(of(name).as_str().unwrap_or_default());
            rest = after;
        }
        replaced.push_str(rest);
        Value::String(replaced)
    })
}

/// Makes texts with variables what CloudFormation replaces.
fn substitute(value: Value) -> Value {
    each_text(value, &|text| match (only_variable(&text), next_variable(&text)) {
        (Some(name), _) => json!({"Ref": name}),
        (None, Some(_)) => json!({"Fn::Sub": text}),
        (None, None) => Value::String(text),
    })
}

fn each_text(value: Value, change: &impl Fn(String) -> Value) -> Value {
    match value {
        Value::String(text) => change(text),
        Value::Array(list) => {
            Value::Array(list.into_iter().map(|one| each_text(one, change)).collect())
        }
        Value::Object(map) => Value::Object(
            map.into_iter().map(|(name, one)| (name, each_text(one, change))).collect(),
        ),
        other => other,
    }
}

/// The variable that a text is, if it is nothing else.
fn only_variable(text: &str) -> Option<&str> {
    match next_variable(text)? {
        ("", name, "") => Some(name),
        _ => None,
    }
}

/// What stands before the next variable of a text, its name, and the rest.
fn next_variable(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("${")?;
    let (name, after) = rest.split_once('}')?;
    Some((before, name, after))
}

#[cfg(test)]
mod evaluator;
#[cfg(test)]
mod tests;
