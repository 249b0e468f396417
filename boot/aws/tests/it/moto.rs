//! The server that answers as AWS, one process for all stories: `BLITZ_TEST_MOTO` is its program. One believes everybody,
//! and one checks signatures and policies.
#![expect(
    clippy::print_stdout,
    reason = "why a story is skipped is for who reads the tests' output"
)]

use std::env;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use aws_sdk_ec2::config::Credentials;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// A Python that has not answered until then will not; it takes two seconds on an idle machine.
const START: Duration = Duration::from_secs(120);

/// Places with a launch template [`TEMPLATE`].
pub(crate) const PLACES: [&str; 3] = ["eu-west-1", "us-east-1", "ap-northeast-1"];

/// The launch template of all fleets.
pub(crate) const TEMPLATE: &str = "blitz-engine";

/// The bucket of all stories; each has keys of its own.
pub(crate) const BUCKET: &str = "blitz-bundles";

/// The account that moto answers as.
pub(crate) const ACCOUNT: &str = "123456789012";

/// A running server.
#[derive(Debug)]
pub(crate) struct Moto {
    pub(crate) address: SocketAddr,
    /// Who may do everything.
    pub(crate) operator: Credentials,
    /// Who may list instances and read objects, and nothing else.
    pub(crate) reader: Credentials,
    /// Its death is the server's, see [`start`].
    _process: Child,
}

/// The server that believes everybody. `None` where there is none: then the story is skipped.
pub(crate) fn open() -> Option<&'static Moto> {
    static OPEN: OnceLock<Option<Moto>> = OnceLock::new();
    OPEN.get_or_init(|| start(false)).as_ref()
}

/// The server that checks signatures and policies.
pub(crate) fn guarded() -> Option<&'static Moto> {
    static GUARDED: OnceLock<Option<Moto>> = OnceLock::new();
    GUARDED.get_or_init(|| start(true)).as_ref()
}

impl Moto {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asks a service that is spoken to by forms, without a signature.
    pub(crate) fn ask(&self, service: &str, place: &str, form: &[(&str, &str)]) -> String {
        let mut body = String::new();
        for (name, value) in form {
            let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
            let _ = write!(body, "{}{name}={value}", if body.is_empty() { "" } else { "&" });
        }
        let form = "application/x-www-form-urlencoded";
        self.send("POST", "/", service, place, form, &body)
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        service: &str,
        place: &str,
        kind: &str,
        body: &str,
    ) -> String {
        let credential = format!("AKIASETUPSETUPSETUP0/20260101/{place}/{service}/aws4_request");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let mut connection = TcpStream::connect(self.address).expect("moto listens");
        connection.write_all(request.as_bytes()).expect("moto reads");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("moto answers");
        assert!(answer.starts_with("HTTP/1.1 20"), "{method} {path} {body}: {answer}");
        answer
    }

    fn user(&self, name: &str, policy: &str) -> Credentials {
        let iam = |form: &[(&str, &str)]| self.ask("iam", "us-east-1", form);
        iam(&[("Action", "CreateUser"), ("UserName", name)]);
        let policy = [("PolicyName", "p"), ("PolicyDocument", policy)];
        iam(&[&[("Action", "PutUserPolicy"), ("UserName", name)], &policy[..]].concat());
        let key = iam(&[("Action", "CreateAccessKey"), ("UserName", name)]);
        let key_of = |element| text_in(&key, element).to_owned();
        Credentials::new(key_of("AccessKeyId"), key_of("SecretAccessKey"), None, None, "test")
    }
}

/// The text of the first such element.
pub(crate) fn text_in<'a>(xml: &'a str, element: &str) -> &'a str {
    let (_, rest) =
        xml.split_once(&format!("<{element}>")).unwrap_or_else(|| panic!("{element}: {xml}"));
    rest.split_once('<').expect("a closing tag").0
}

/// Starts a server that ends with this process, however that ends: its shell reads from us until there is nobody to read
/// from.
fn start(is_guarded: bool) -> Option<Moto> {
    let Some(program) = env::var_os("BLITZ_TEST_MOTO") else {
        println!("skipped: it needs a server that answers as AWS: eval \"$(.ci/moto)\"");
        return None;
    };
    let mut process = Command::new("sh")
        // The shell lets go of the log, so that its end is the server's.
        .args([
            "-c",
            "\"$0\" \"$@\" & server=$!; exec 2>/dev/null; cat >/dev/null; kill $server; wait",
        ])
        .arg(&program)
        .args(["-H", "127.0.0.1", "-p", "0"])
        // Until the users are there; then it is set to none.
        .envs(is_guarded.then_some(("INITIAL_NO_AUTH_ACTION_COUNT", "1000000")))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sh is there");
    let lines = BufReader::new(process.stderr.take().expect("it is piped")).lines();
    let (found, port) = mpsc::channel();
    thread::spawn(move || {
        let mut said = String::new();
        // To the end, since a server that cannot write its log stands still.
        for line in lines.map_while(Result::ok) {
            match line.split_once("Running on http://") {
                Some((_, address)) => drop(found.send(Ok(address.trim().to_owned()))),
                None if said.len() < 10_000 => said += &format!("{line}\n"),
                None => {}
            }
        }
        drop(found.send(Err(said)));
    });
    let address = match port.recv_timeout(START) {
        Ok(Ok(address)) => address.parse().expect("an address and a port"),
        Ok(Err(said)) => panic!("BLITZ_TEST_MOTO={} does not run: {said}", program.display()),
        Err(_) => panic!("BLITZ_TEST_MOTO={} did not start within {START:?}", program.display()),
    };
    let nobody = Credentials::new("AKIANOBODYNOBODY0000", "none", None, None, "test");
    let mut moto = Moto { address, operator: nobody.clone(), reader: nobody, _process: process };
    furnish(&mut moto);
    if is_guarded {
        moto.send("POST", "/moto-api/reset-auth", "iam", "us-east-1", "text/plain", "0");
    }
    Some(moto)
}

/// What an operator has before the first engine: users, launch templates, a bucket.
fn furnish(moto: &mut Moto) {
    moto.operator = moto.user(
        "operator",
        r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["ec2:*", "s3:*"], "Resource": "*"}]}"#,
    );
    moto.reader = moto.user(
        "reader",
        r#"{"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "ec2:DescribeInstances", "Resource": "*"},
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::blitz-bundles/*"}]}"#,
    );
    for place in PLACES {
        let data = [
            ("LaunchTemplateName", TEMPLATE),
            ("LaunchTemplateData.ImageId", "ami-12c6146b"),
            ("LaunchTemplateData.InstanceType", "t3.micro"),
        ];
        moto.ask("ec2", place, &[&[("Action", "CreateLaunchTemplate")], &data[..]].concat());
    }
    moto.send("PUT", &format!("/{BUCKET}"), "s3", "us-east-1", "application/xml", "");
}
