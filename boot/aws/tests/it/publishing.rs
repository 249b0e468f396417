//! From a program to what machines load, and what is printed for who sets an account up; with the program itself.

use serde_json::Value;

use crate::command::{Home, check};
use crate::moto::{self, BUCKET};

/// A program that every machine of these tests has, in the place of `blitz`; and another.
const PROGRAMS: [&str; 2] = ["/bin/true", "/bin/false"];

/// A publisher with a key, and a bundle of each program.
async fn publisher() -> (Home, String, [String; 2]) {
    let home = Home::new();
    let key = check(&home.run(None, &["key", "make", "key"]).await, 0, &[]);
    check(&home.run(None, &["key", "make", "key"]).await, 1, &["'key'", "exists"]);
    let again = check(&home.run(None, &["key", "show", "key"]).await, 0, &[]);
    assert_eq!(key, again);
    let mut ids = Vec::new();
    for program in PROGRAMS {
        // The images of these tests are newer than those of machines.
        let bundle = [
            "bundle",
            "--program",
            program,
            "--key",
            "key",
            "--out",
            "made",
            "--glibc-max",
            "2.99",
        ];
        let id = check(&home.run(None, &bundle).await, 0, &[]);
        assert_eq!(check(&home.run(None, &bundle).await, 0, &[]), id, "same files, same bundle");
        ids.push(id.trim().to_owned());
    }
    (home, key.trim().to_owned(), ids.try_into().expect("a bundle of each program"))
}

#[tokio::test]
async fn a_channel_goes_forward_and_back_in_a_directory() {
    let (home, key, [one, two]) = publisher().await;
    let publish = async |id: &str| {
        home.run(None, &["publish", id, "--from", "made", "--key", "key", "--dir", "site"]).await
    };
    let promote = async |id: &str| {
        home.run(None, &["promote", id, "--channel", "stable", "--key", "key", "--dir", "site"])
            .await
    };
    let rollback = async || {
        home.run(None, &["rollback", "--channel", "stable", "--key", "key", "--dir", "site"]).await
    };
    let history = async |key: &str| {
        home.run(None, &["history", "--channel", "stable", "--key", key, "--dir", "site"]).await
    };
    check(&rollback().await, 1, &["channel stable points at nothing"]);
    check(&history(&key).await, 1, &["channel stable points at nothing"]);
    let said = check(&publish(&one).await, 0, &[]);
    assert_eq!(said, format!("{one}: 3 objects written, 0 were there\n"));
    let said = check(&publish(&one).await, 0, &[]);
    assert_eq!(said, format!("{one}: 0 objects written, 3 were there\n"));
    check(&promote(&two).await, 1, &["there is no bundles/", "publish it before it is promoted"]);
    let first = check(&promote(&one).await, 0, &[]);
    assert!(
        first.contains(&format!("points at {one}")) && first.ends_with("by serial 1\n"),
        "{first}"
    );
    let again = check(&promote(&one).await, 0, &[]);
    assert!(again.ends_with("points at it already, by serial 1\n"), "{again}");
    check(&rollback().await, 1, &["pointed at no other bundle"]);
    check(&publish(&two).await, 0, &[]);
    let second = check(&promote(&two).await, 0, &[]);
    assert!(second.contains(&two) && second.ends_with("by serial 2\n"), "{second}");
    let back = check(&rollback().await, 0, &[]);
    assert!(back.contains(&one) && back.ends_with("by serial 3\n"), "{back}");

    let listed = check(&history(&key).await, 0, &[]);
    let rows: Vec<Vec<&str>> =
        listed.lines().map(|line| line.split_whitespace().collect()).collect();
    let version = env!("CARGO_PKG_VERSION");
    for (row, (serial, bundle, end)) in
        rows[1..].iter().zip([("3", &one, &["*"][..]), ("2", &two, &[]), ("1", &one, &[])])
    {
        assert_eq!((row[0], row[2], row[3], &row[4..]), (serial, bundle.as_str(), version, end));
        assert!(row[1].starts_with("20") && row[1].ends_with('Z'), "{listed}");
    }
    assert_eq!((rows[0][0], rows.len()), ("SERIAL", 4), "{listed}");

    // What was tampered with is not published, and not promoted.
    let blob =
        std::fs::read_dir(home.path("made/blobs/sha256")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&blob, "x").unwrap();
    let refused = [publish(&one).await, publish(&two).await];
    assert!(refused.iter().any(|output| output.status.code() == Some(1)), "{refused:?}");
    check(&home.run(None, &["key", "make", "other"]).await, 0, &[]);
    let other = ["promote", &two, "--channel", "stable", "--key", "other", "--dir", "site"];
    check(&home.run(None, &other).await, 1, &["signature"]);
    let other = check(&home.run(None, &["key", "show", "other"]).await, 0, &[]);
    check(&history(other.trim()).await, 1, &["signature"]);
}

#[tokio::test]
async fn a_bucket_has_what_the_directory_had() {
    let Some(moto) = moto::guarded() else { return };
    let (home, _, [one, two]) = publisher().await;
    let url = moto.url();
    let to = [
        "--bucket",
        BUCKET,
        "--prefix",
        "publishing",
        "--bucket-place",
        "us-east-1",
        "--endpoint-url",
        &url,
    ];
    let run =
        async |words: &[&str]| home.run(Some(&moto.operator), &[words, &to[..]].concat()).await;
    let publish = ["publish", &one, "--from", "made", "--key", "key"];
    let said = check(&run(&publish).await, 0, &[]);
    assert_eq!(said, format!("{one}: 3 objects written, 0 were there\n"));
    assert_eq!(
        check(&run(&publish).await, 0, &[]),
        format!("{one}: 0 objects written, 3 were there\n")
    );
    check(&run(&["publish", &two, "--from", "made", "--key", "key"]).await, 0, &[]);
    for (words, serial) in
        [(vec!["promote", &one], 1), (vec!["promote", &two], 2), (vec!["rollback"], 3)]
    {
        let channel = ["--channel", "canary", "--key", "key"];
        let said = check(&run(&[&words[..], &channel[..]].concat()).await, 0, &[]);
        assert!(said.ends_with(&format!("by serial {serial}\n")), "{said}");
    }
    for (flag, value) in [("--owner", "123"), ("--bucket", "Acme"), ("--prefix", "a//b")] {
        let mut words = vec!["publish", &one, "--from", "made", "--key", "key", flag, value];
        if flag != "--bucket" {
            words.extend(["--bucket", BUCKET]);
        }
        check(&home.run(None, &words).await, 2, &[flag, value]);
    }
    // Who may only read moves nothing.
    let words = [&["promote", &two, "--channel", "canary", "--key", "key"][..], &to[..]].concat();
    check(&home.run(Some(&moto.reader), &words).await, 122, &["s3:PutObject"]);
}

#[tokio::test]
async fn what_is_printed_for_machines_and_accounts() {
    let (home, key, _) = publisher().await;
    let document =
        ["user-data", "-r", "japan", "--join", "https://gateway.example:8042", "--key", &key];
    let ec2 = ["--bucket", "acme", "--bucket-place", "ap-northeast-1"];
    let text = check(&home.run(None, &[&document[..], &ec2[..]].concat()).await, 0, &[]);
    assert!(text.starts_with("#cloud-config\n") && text.len() <= 16_384, "{text}");
    std::fs::write(home.path("user-data"), &text).unwrap();
    let bare = home.run(None, &document).await;
    check(&bare, 2, &["--bucket"]);
    assert!(!String::from_utf8_lossy(&bare.stderr).contains("--base"), "{bare:?}");
    for (words, says) in [
        (["--slots", "0"], "--slots"),
        (["--slots", "1001"], "--slots"),
        (["--serial-min", "0"], "--serial-min"),
        (["--id", "lyon-1"], "--id is not for --provider ec2"),
        (["--base", "https://get.example"], "--base is not for --provider ec2"),
        (["--life-hours", "9999"], "10 minutes to 30 days"),
        (["--", "--slots=9"], "the user data say that themselves"),
        (["--", "it's"], "a word for the engine"),
    ] {
        check(&home.run(None, &[&document[..], &ec2[..], &words[..]].concat()).await, 2, &[says]);
    }
    let script =
        [&document[..], &["--provider", "none", "--base", "https://get.example/blitz"][..]]
            .concat();
    let text = check(&home.run(None, &script).await, 0, &[]);
    assert!(text.starts_with("#!/bin/sh\n"), "{text}");
    for words in [&["--life-hours", "3"][..], &["--imds-url", "http://10.0.0.1"], &ec2] {
        let says = format!("{} is not for --provider none", words[0]);
        check(&home.run(None, &[&script[..], words].concat()).await, 2, &[&says]);
    }
    std::fs::write(home.path("script"), &text).unwrap();
    let nasty = ["user-data", "-r", "ja'pan", "--join", "https://g.example", "--key", &key];
    check(&home.run(None, &[&nasty[..], &ec2[..]].concat()).await, 2, &["ja'pan"]);

    let json = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    let region = ["cloudformation", "region", "--user-data", "user-data"];
    let stack = json(check(&home.run(None, &region).await, 0, &[]));
    assert!(stack["Resources"]["MachineTemplate"].is_object(), "{stack}");
    for (file, says) in [("key", "no user data of EC2"), ("script", "'#cloud-config'")] {
        let region = ["cloudformation", "region", "--user-data", file];
        let said = home.run(None, &region).await;
        check(&said, 2, &[says, "'blitz-boot user-data --provider ec2'"]);
        assert!(said.stdout.is_empty(), "nothing of it is shown: {said:?}");
    }
    let stack = json(check(&home.run(None, &["cloudformation", "account"]).await, 0, &[]));
    assert!(stack["Resources"]["EngineBucket"].is_object(), "{stack}");
    let iam = ["iam", "scaler", "--bucket", "acme", "--place", "eu-west-1", "--account"];
    let policy =
        json(check(&home.run(None, &[&iam[..], &["123456789012"]].concat()).await, 0, &[]));
    assert_eq!(policy["Version"], "2012-10-17");
    check(
        &home.run(None, &[&iam[..], &["12"]].concat()).await,
        2,
        &["an account of AWS", "\"12\"", "12 digits"],
    );
    let places = (0..30).map(|n| format!("ap-southeast-{n}")).collect::<Vec<_>>().join(",");
    let many = [&iam[..], &["123456789012", "--place", &places]].concat();
    check(&home.run(None, &many).await, 2, &["for 31 regions", "6144", "name fewer regions"]);
    for words in [
        ["--partition", "aws-gov"],
        ["--channel", "nightly"],
        ["--place", "everywhere"],
        ["--bucket", "Acme"],
        ["--prefix", "a/"],
    ] {
        let mut given = vec!["iam", "scaler", "--account", "123456789012"];
        for (flag, value) in [("--bucket", "acme"), ("--place", "eu-west-1")] {
            given.extend(if flag == words[0] { [flag, words[1]] } else { [flag, value] });
        }
        if !given.contains(&words[0]) {
            given.extend(words);
        }
        check(&home.run(None, &given).await, 2, &[words[0]]);
    }
}

#[tokio::test]
async fn rounds_name_what_they_lack() {
    let home = Home::new();
    let run = ["run", "--fleet-file", "fleet.toml", "--once", "--provider", "process"];
    check(&home.run(None, &run).await, 2, &["--directory"]);
    let nameless = [&run[..], &["--directory", "d", "--", "true"]].concat();
    check(&home.run(None, &nameless).await, 2, &["name of its machine", "--id {id}"]);
    let words = [&run[..], &["--directory", "d", "--", "true", "{id}"]].concat();
    check(&home.run(None, &words).await, 2, &["which store?", "BLITZ_STORE"]);
    let store =
        [&run[..], &["--store", "http://127.0.0.1:9", "--directory", "d", "--", "true", "{id}"]]
            .concat();
    check(&home.run(None, &store).await, 125, &["127.0.0.1:9"]);
    let netns = ["run", "--fleet-file", "fleet.toml", "--once", "--provider", "netns"];
    check(&home.run(None, &netns).await, 2, &["--directory"]);
    let words =
        [&netns[..], &["--prefix", "8.8.8.0/24", "--directory", "d", "--", "true"]].concat();
    check(&home.run(None, &words).await, 2, &["8.8.8.0/24", "is not private", "10.213.0.0/24"]);
    let nameless = [&netns[..], &["--directory", "d", "--", "true"]].concat();
    check(&home.run(None, &nameless).await, 2, &["name of its machine", "--imds"]);
    let other = [
        &run[..],
        &["-r", "mars", "--store", "http://127.0.0.1:9", "--directory", "d", "--", "true", "{id}"],
    ]
    .concat();
    check(&home.run(None, &other).await, 2, &["has no region \"mars\""]);
}
