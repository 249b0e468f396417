//! S3 with the bundles, and IAM that says who may read them: moto, whose signatures and policies are checked once users and
//! roles are there.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use blitz_boot_core::iam::{Policy, Scope, render};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use super::{HOST, INSTANCE, LIMIT, command, run};
use crate::imds::{ACCOUNT, REGION};
use crate::net::Namespace;

/// Where it listens, in the namespace.
pub(super) const PORT: u16 = 5555;

/// Where bundles are.
pub const BUCKET: &str = "acme-blitz";

/// Where that is: as often, in another region of AWS than the machine.
pub(super) const BUCKET_REGION: &str = "us-east-1";

/// Below which keys they are; the role of the machine may read nothing else.
pub const PREFIX: &str = "engines";

/// The role of the machine.
pub const ROLE: &str = "blitz-engine";

/// So many requests without a signature it takes before it is told to take none any more.
const SETUP_REQUESTS: &str = "1000000";

/// The server that answers as AWS.
#[derive(Debug)]
pub struct Aws {
    /// What the metadata say of the machine's role: credentials of its session.
    pub role_credentials: String,
    /// `ID:SECRET` of who publishes.
    publisher: String,
    space: Arc<Namespace>,
    _process: Child,
}

impl Aws {
    pub(super) async fn start(space: &Arc<Namespace>, moto: &Path) -> Self {
        let program = moto.to_str().expect("a path in UTF-8");
        let mut server = command(space, program, &["-H", "0.0.0.0", "-p", &PORT.to_string()]);
        server.env("INITIAL_NO_AUTH_ACTION_COUNT", SETUP_REQUESTS).stdout(Stdio::null());
        let mut process = server.spawn().expect("it starts");
        let mut lines = BufReader::new(process.stderr.take().expect("a pipe")).lines();
        let ready = async {
            let mut said = Vec::new();
            while let Some(line) = lines.next_line().await.expect("text") {
                if line.contains("Running on") {
                    return;
                }
                said.push(line);
            }
            panic!("{program} ended before it was ready: {said:#?}");
        };
        tokio::time::timeout(LIMIT, ready).await.expect("it gets ready");
        // Who cannot write its log stands still.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let setup = Setup { space };
        let publisher = setup.publisher().await;
        let role_credentials = setup.role().await;
        setup.bucket().await;
        setup.check_from_now_on().await;
        Self { role_credentials, publisher, space: Arc::clone(space), _process: process }
    }

    /// Puts an object there, as who publishes.
    ///
    /// # Panics
    ///
    /// When it is not taken.
    pub async fn put(&self, key: &str, bytes: &[u8]) {
        let url = format!("{}/{BUCKET}/{PREFIX}/{key}", base());
        let signs = format!("aws:amz:{BUCKET_REGION}:s3");
        // The header that curl's signature lacks for S3.
        let header = "x-amz-content-sha256: UNSIGNED-PAYLOAD";
        let who = ["--user", &self.publisher, "--aws-sigv4", &signs, "--header", header];
        let what = ["-q", "--fail-with-body", "--silent", "--show-error", "--upload-file", "-"];
        run(&self.space, "curl", &[&what[..], &who, &[&url]].concat(), bytes).await;
    }
}

fn base() -> String {
    format!("http://{HOST}:{PORT}")
}

/// What an administrator does once, while nobody is asked for a signature.
struct Setup<'a> {
    space: &'a Namespace,
}

impl Setup<'_> {
    /// Asks a service that is spoken to by forms.
    async fn ask(&self, service: &str, form: &[(&str, &str)]) -> String {
        let form: Vec<String> =
            form.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let form = form.iter().flat_map(|word| ["--data-urlencode", word]);
        self.send(service, &Vec::from_iter(form.chain(["/"]))).await
    }

    /// A request with these words of curl, the path the last of them. It names a service as signed ones do.
    async fn send(&self, service: &str, words: &[&str]) -> String {
        let (path, words) = words.split_last().expect("a path");
        let proof = format!(
            "Authorization: AWS4-HMAC-SHA256 Credential=AKIASETUPSETUPSETUP0/20260101/{BUCKET_REGION}/{service}/aws4_request, \
             SignedHeaders=host, Signature=0"
        );
        let url = format!("{}{path}", base());
        let all = ["-q", "--fail-with-body", "--silent", "--show-error", "--header", &proof, &url];
        run(self.space, "curl", &[&all[..], words].concat(), b"").await
    }

    /// `ID:SECRET` of a user who may do what publishers may.
    async fn publisher(&self) -> String {
        let user = ("UserName", "publisher");
        self.ask("iam", &[("Action", "CreateUser"), user]).await;
        let policy = policy(Policy::Publisher);
        let put = [("Action", "PutUserPolicy"), user, ("PolicyName", "p")];
        self.ask("iam", &[&put[..], &[("PolicyDocument", &policy)]].concat()).await;
        let key = self.ask("iam", &[("Action", "CreateAccessKey"), user]).await;
        format!("{}:{}", text_in(&key, "AccessKeyId"), text_in(&key, "SecretAccessKey"))
    }

    /// The role of the machine with its own policy and no other right, and credentials of a session of it as the metadata
    /// have them.
    async fn role(&self) -> String {
        let trust = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
            "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]});
        let role = ("RoleName", ROLE);
        let create = [("Action", "CreateRole"), role];
        let trust = trust.to_string();
        self.ask("iam", &[&create[..], &[("AssumeRolePolicyDocument", &trust)]].concat()).await;
        let policy = policy(Policy::Engine);
        let put = [("Action", "PutRolePolicy"), role, ("PolicyName", "p")];
        self.ask("iam", &[&put[..], &[("PolicyDocument", &policy)]].concat()).await;
        let arn = format!("arn:aws:iam::{ACCOUNT}:role/{ROLE}");
        let assume = [("Action", "AssumeRole"), ("Version", "2011-06-15")];
        let session = [("RoleArn", arn.as_str()), ("RoleSessionName", INSTANCE)];
        let session = self.ask("sts", &[assume, session].concat()).await;
        let credentials: Value = json!({
            "Code": "Success",
            "Type": "AWS-HMAC",
            "AccessKeyId": text_in(&session, "AccessKeyId"),
            "SecretAccessKey": text_in(&session, "SecretAccessKey"),
            "Token": text_in(&session, "SessionToken"),
            "Expiration": text_in(&session, "Expiration"),
        });
        format!("{credentials:#}")
    }

    async fn bucket(&self) {
        let path = format!("/{BUCKET}");
        self.send("s3", &["--request", "PUT", &path]).await;
    }

    async fn check_from_now_on(&self) {
        let body = ["--header", "Content-Type: text/plain", "--data", "0"];
        self.send("iam", &[&body[..], &["/moto-api/reset-auth"]].concat()).await;
    }
}

fn policy(policy: Policy) -> String {
    let scope = Scope {
        partition: "aws".to_owned(),
        account: ACCOUNT.to_owned(),
        bucket: BUCKET.to_owned(),
        prefix: PREFIX.to_owned(),
        channel: "stable".to_owned(),
        fleet: "main".to_owned(),
        regions: vec![REGION.to_owned()],
        engine_role: ROLE.to_owned(),
    };
    render(policy, &scope).expect("a policy").to_string()
}

/// The text of the first such element.
fn text_in<'a>(xml: &'a str, element: &str) -> &'a str {
    let found = xml.split_once(&format!("<{element}>")).and_then(|(_, rest)| rest.split_once('<'));
    found.unwrap_or_else(|| panic!("no {element}: {xml}")).0
}
