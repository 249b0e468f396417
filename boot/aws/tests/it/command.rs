//! The program itself: what it prints, and how it ends.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use aws_sdk_ec2::config::Credentials;
use blitz_boot_core::provider::Provider as _;

use crate::faults::{Fault, Proxy};
use crate::fleets::{access, launch, provider};
use crate::moto;

const FLEET: &str = r#"
name = "command"

[[region]]
name = "at-eu-west-1"
place = "eu-west-1"
max = 3
launch-template = "blitz-engine"

[[region]]
name = "at-us-east-1"
place = "us-east-1"
max = 3
launch-template = "blitz-engine"
"#;

pub(crate) struct Home {
    directory: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("fleet.toml"), FLEET).expect("a file");
        Self { directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs the program where no other AWS is known than what is said here.
    pub(crate) async fn run(&self, credentials: Option<&Credentials>, words: &[&str]) -> Output {
        let mut command = tokio_command(self.directory.path());
        if let Some(credentials) = credentials {
            command
                .env("AWS_ACCESS_KEY_ID", credentials.access_key_id())
                .env("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key());
        }
        command.args(words);
        // The proxy goes on meanwhile.
        tokio::task::spawn_blocking(move || command.output().expect("the program runs"))
            .await
            .expect("no panic")
    }
}

fn tokio_command(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blitz-boot"));
    command.env_clear().env("HOME", home).env("AWS_EC2_METADATA_DISABLED", "true");
    command.current_dir(home);
    command
}

#[track_caller]
pub(crate) fn check(output: &Output, code: i32, stderr: &[&str]) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for words in stderr {
        assert!(said.contains(words), "no \"{words}\" in: {said}");
    }
    assert!(code != 0 || said.is_empty(), "{said}");
    String::from_utf8(output.stdout.clone()).expect("text")
}

#[tokio::test]
async fn instances_of_all_places() {
    let Some(moto) = moto::open() else { return };
    let proxy = Proxy::start(moto).await;
    let access = access(&proxy.url(), &moto.operator);
    let mut ids = Vec::new();
    for (place, token) in [("eu-west-1", "c-1"), ("us-east-1", "c-2")] {
        let ec2 = provider(&access, "command", place).await;
        ids.extend(ec2.launch(&launch(place, token, 1)).await.unwrap());
    }
    let home = Home::new();
    let url = proxy.url();
    let list = ["instances", "--fleet-file", "fleet.toml", "--endpoint-url", &url];
    let operator = Some(&moto.operator);
    let table = check(&home.run(operator, &list).await, 0, &[]);
    let rows: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), 3, "{table}");
    assert_eq!(rows[0], ["PLACE", "REGION", "INSTANCE", "STATE", "LAUNCHED", "LAUNCH", "TAGS"]);
    for (row, (place, id, token)) in
        rows[1..].iter().zip([("eu-west-1", &ids[0], "c-1"), ("us-east-1", &ids[1], "c-2")])
    {
        assert_eq!(row[..3], [place, &format!("at-{place}"), id.0.as_str()], "{table}");
        assert!(row[3] == "running" || row[3] == "pending", "{table}");
        assert_eq!(row[5..], [token], "{table}");
    }
    let one = [&list[..], &["--region", "at-us-east-1"]].concat();
    let table = check(&home.run(operator, &one).await, 0, &[]);
    assert!(!table.contains(&ids[0].0) && table.contains(&ids[1].0), "{table}");

    // One place is not heard of: the other is shown, and the command fails.
    proxy.inject_at("eu-west-1", "DescribeInstances", vec![Fault::Status(500); 3]).await;
    let words = ["ec2:DescribeInstances of fleet \"command\" in eu-west-1", "1 of 2 places"];
    let json = [&list[..], &["--json"]].concat();
    let json = check(&home.run(operator, &json).await, 125, &words);
    proxy.all_met().await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["place"], "eu-west-1", "{json}");
    assert!(json[0]["error"].is_string() && json[0].get("instances").is_none(), "{json}");
    assert_eq!(json[1]["instances"][0]["id"], ids[1].0.as_str(), "{json}");
    assert_eq!(json[1]["instances"][0]["tags"]["blitz:launch"], "c-2", "{json}");
}

#[tokio::test]
async fn what_is_refused_has_its_exit_code() {
    let Some(moto) = moto::guarded() else { return };
    let home = Home::new();
    let url = moto.url();
    let list = [
        "instances",
        "--fleet-file",
        "fleet.toml",
        "--region",
        "at-eu-west-1",
        "--endpoint-url",
        &url,
    ];
    check(&home.run(Some(&moto.reader), &list).await, 0, &[]);
    let wrong = Credentials::new(moto.reader.access_key_id(), "wrong", None, None, "test");
    check(&home.run(Some(&wrong), &list).await, 122, &["in eu-west-1", "its secret"]);
    check(&home.run(None, &list).await, 122, &["no credentials for AWS", "AWS_ACCESS_KEY_ID"]);

    let profile = "[engines]\naws_access_key_id = KEY\naws_secret_access_key = SECRET\n"
        .replace("KEY", moto.reader.access_key_id())
        .replace("SECRET", moto.reader.secret_access_key());
    std::fs::create_dir(home.path(".aws")).unwrap();
    std::fs::write(home.path(".aws/credentials"), profile).unwrap();
    check(&home.run(None, &[&list[..], &["--profile", "engines"]].concat()).await, 0, &[]);
    check(
        &home.run(None, &[&list[..], &["--profile", "others"]].concat()).await,
        122,
        &["nor such a profile"],
    );
}

#[tokio::test]
async fn usage() {
    let home = Home::new();
    let nobody = Credentials::new("AKIANOBODYNOBODY0000", "none", None, None, "test");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    let run = async |words: &[&str]| {
        let words = [words, &["--endpoint-url", url.as_str()]].concat();
        home.run(Some(&nobody), &words).await
    };
    let of_fleet = |file| ["instances", "--fleet-file", file];
    check(&run(&of_fleet("fleet.toml")).await, 125, &["no connection", "2 of 2 places"]);
    check(&run(&of_fleet("gone.toml")).await, 2, &["read the fleet file gone.toml"]);
    std::fs::write(home.path("bad.toml"), "name = 7").unwrap();
    check(&run(&of_fleet("bad.toml")).await, 2, &["read the fleet file bad.toml", "string"]);
    let words = [&of_fleet("fleet.toml")[..], &["--region", "mars"]].concat();
    check(&run(&words).await, 2, &["no region \"mars\"", "at-eu-west-1, at-us-east-1"]);
    let words = [&of_fleet("fleet.toml")[..], &["--endpoint-url", "nonsense"]].concat();
    check(&home.run(Some(&nobody), &words).await, 2, &["end point \"nonsense\"", "http://"]);
    check(&run(&["instances"]).await, 2, &["--fleet-file"]);
    check(&run(&["nonsense"]).await, 2, &["nonsense"]);
    let help = home.run(None, &["--help"]).await;
    assert!(check(&help, 0, &[]).contains("Exit codes"), "the table is in the help");
}
