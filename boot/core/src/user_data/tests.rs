//! User data as they are printed, and what holds for all of them.

use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::bundle::SigningKey;

/// A key that is the same in each run, as its text is in snapshots. Of the secret one nobody knows.
const KEY: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

fn boot(provider: Provider) -> Boot {
    Boot {
        region: "japan".parse().unwrap(),
        joins: vec![
            "https://gw1.example.com".parse().unwrap(),
            "http://10.0.0.9:8042".parse().unwrap(),
        ],
        provider,
        channel: Channel::Stable,
        serial_min: 12,
        key: KEY.parse().unwrap(),
        slots: Some(8),
        trusted: vec![KEY.parse().unwrap()],
        trusted_native: Vec::new(),
        flags: EngineFlags::default(),
        life: Life::DEFAULT,
    }
}

fn ec2() -> Provider {
    Provider::Ec2 {
        bucket: "blitz-bundles".parse().unwrap(),
        prefix: Some("engines/v1".parse().unwrap()),
        bucket_region: "eu-west-1".parse().unwrap(),
        endpoint: None,
        imds: None,
    }
}

fn generic() -> Provider {
    Provider::Generic { base: "https://dl.example.com/blitz".parse().unwrap(), engine: None }
}

fn none() -> Provider {
    let engine = Some("lyon-1".parse().unwrap());
    Provider::None { base: "https://dl.example.com/blitz".parse().unwrap(), engine }
}

#[test]
fn user_data_of_ec2() {
    insta::assert_snapshot!(render(&boot(ec2())).unwrap());
}

#[test]
fn user_data_of_another_cloud() {
    insta::assert_snapshot!(render(&boot(generic())).unwrap());
}

#[test]
fn the_installer_of_a_machine_that_stays() {
    insta::assert_snapshot!(installer(&boot(none())).unwrap());
    assert_eq!(render(&boot(none())), Err(BadBoot::NoCloud));
}

/// Top-level keys of cloud-init that we use: its own schema passes over one that it does not know.
const KEYS: [&str; 3] = ["power_state", "runcmd", "write_files"];

fn unknown_keys(document: &str) -> Vec<String> {
    let value: Value = serde_saphyr::from_str(document).unwrap();
    let keys = value.as_object().expect("a map").keys();
    keys.filter(|key| !KEYS.contains(&key.as_str())).cloned().collect()
}

#[test]
fn the_document_has_the_keys_that_cloud_init_knows_and_the_script_to_the_byte() {
    for provider in [ec2(), generic()] {
        let boot = boot(provider);
        let text = render(&boot).unwrap();
        assert!(text.starts_with("#cloud-config\n"));
        assert_eq!(unknown_keys(&text), Vec::<String>::new());
        assert_eq!(unknown_keys(&text.replace("\nruncmd:", "\nruncmmd:")), ["runcmmd"]);
        let value: Value = serde_saphyr::from_str(&text).unwrap();
        let file = &value["write_files"][0];
        assert_eq!(file["content"], without_comments(&installer(&boot).unwrap()));
        assert_eq!(file["permissions"], "0700");
        assert_eq!(value["runcmd"][0][5], file["path"]);
        assert_eq!(value["power_state"]["condition"], "test ! -e /run/blitz-boot/ok");
    }
}

#[test]
fn there_is_room_in_user_data_and_its_end_is_told() {
    for provider in [ec2(), generic()] {
        let text = render(&boot(provider)).unwrap();
        assert!(
            text.len() * 5 <= USER_DATA_BYTES_MAX * 4,
            "a fifth is left for gateways: {}",
            text.len()
        );
    }
    let many = Boot { trusted: vec![KEY.parse().unwrap(); 200], ..boot(ec2()) };
    let error = render(&many).unwrap_err();
    assert!(matches!(error, BadBoot::TooLarge { max: USER_DATA_BYTES_MAX, .. }), "{error}");
    assert!(error.to_string().contains("(now 200)"), "{error}");
    for count in [0, JOINS_MAX + 1] {
        let joins = vec!["https://h".parse().unwrap(); count];
        let error = render(&Boot { joins, ..boot(ec2()) }).unwrap_err();
        assert_eq!(error, BadBoot::Joins { count, max: JOINS_MAX });
    }
}

#[test]
fn a_publisher_of_native_plugins_is_trusted_for_them_by_name() {
    let key: PublicKey = KEY.parse().unwrap();
    let native = Boot { trusted: Vec::new(), trusted_native: vec![key.clone()], ..boot(ec2()) };
    let (native, plain) = (render(&native).unwrap(), render(&boot(ec2())).unwrap());
    assert!(native.contains(&format!(" --trust-native-key {key}")), "{native}");
    assert!(plain.contains(&format!(" --trust-key {key}")), "{plain}");
    assert!(!plain.contains("--trust-native-key"), "{plain}");
}

#[test]
fn the_engine_is_told_more_in_words_that_mean_nothing_to_a_shell() {
    let flags = |words: &[&str]| {
        EngineFlags::new(words.iter().map(|word| word.parse()).collect::<Result<_, _>>()?)
    };
    let words = ["--allow-target", "[fd00::/8]:8000-9000", "--deny-target=*:25", "--load-contact"];
    let told = flags(&[&words[..], &["ops@example.com"]].concat()).unwrap();
    let text = installer(&Boot { flags: told, ..boot(none()) }).unwrap();
    let line = text.lines().find(|line| line.starts_with("ENGINE_FLAGS=")).unwrap();
    let end =
        " --allow-target [fd00::/8]:8000-9000 --deny-target=*:25 --load-contact ops@example.com'";
    assert!(line.ends_with(end), "{line}");
    for (words, says) in [
        (&["--load-contact", "our ops"][..], "a word for the engine cannot be \"our ops\""),
        (&["--log-format", "$HOME"], "\"$HOME\""),
        (&["--log-format", "it's"], "letters, digits"),
        (&["--allow-target", ""], "1 to 255"),
        (&["10.0.0.0/8"], "begins with '--'"),
        (
            &["--allow-target", "10.0.0.0/8", "--slots=9"],
            "\"--slots=9\": the user data say that themselves",
        ),
        (&["--allow-target", "*", "-rmars"], "\"-rmars\": it begins with '--'"),
        (&["--allow-target", "*", "--"], "\"--\""),
    ] {
        let error = flags(words).unwrap_err().to_string();
        assert!(error.contains(says), "{words:?}: {error}");
    }
}

#[test]
fn only_user_data_of_ec2_are_for_a_launch_template() {
    let ours = render(&boot(ec2())).unwrap();
    let secret = "-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----\n";
    for (text, says) in [
        (ours.clone(), Ok(())),
        (format!("{ours}packages: [htop]\n"), Ok(())),
        (render(&boot(generic())).unwrap(), Err(NotOfEc2::Elsewhere)),
        (installer(&boot(ec2())).unwrap(), Err(NotOfEc2::Other)),
        (secret.to_owned(), Err(NotOfEc2::Other)),
        (format!("#cloud-config\n{secret}"), Err(NotOfEc2::Other)),
        (String::new(), Err(NotOfEc2::Other)),
        (format!("{ours}{}", "#".repeat(USER_DATA_BYTES_MAX)), Err(NotOfEc2::TooLarge)),
    ] {
        assert_eq!(check_of_ec2(&text), says, "{text:.200}");
    }
}

#[test]
fn there_is_no_secret_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let key = SigningKey::make(&path).unwrap();
    let secret = std::fs::read_to_string(&path).unwrap();
    for provider in [ec2(), generic(), none()] {
        let text = installer(&Boot { key: key.public(), ..boot(provider) }).unwrap();
        assert!(text.contains("-----BEGIN PUBLIC KEY-----"));
        for canary in [secret.trim(), "PRIVATE KEY", "AKIA", "ASIA", "blitz-join-", "@gw1"] {
            assert!(!text.contains(canary), "{canary:?}");
        }
    }
}

#[test]
fn buckets_are_found_where_they_are() {
    let at = |bucket: &str, prefix: Option<&str>, region: &str, endpoint: Option<&str>| {
        let provider = Provider::Ec2 {
            bucket: bucket.parse().unwrap(),
            prefix: prefix.map(|prefix| prefix.parse().unwrap()),
            bucket_region: region.parse().unwrap(),
            endpoint: endpoint.map(|endpoint| endpoint.parse().unwrap()),
            imds: None,
        };
        let script = installer(&boot(provider)).unwrap();
        let line = script.lines().find(|line| line.starts_with("BASE=")).unwrap().to_owned();
        line.trim_start_matches("BASE=").trim_matches('\'').to_owned()
    };
    for (bucket, prefix, region, endpoint, base) in [
        ("b-1", Some("e/x"), "eu-west-1", None, "https://b-1.s3.eu-west-1.amazonaws.com/e/x"),
        ("b.1", None, "eu-west-1", None, "https://s3.eu-west-1.amazonaws.com/b.1"),
        ("b-1", None, "cn-north-1", None, "https://b-1.s3.cn-north-1.amazonaws.com.cn"),
        ("b-1", Some("e"), "us-east-1", Some("http://10.0.2.2:5555"), "http://10.0.2.2:5555/b-1/e"),
    ] {
        assert_eq!(at(bucket, prefix, region, endpoint), base);
    }
}

#[test]
fn a_life_is_the_longest() {
    let life = Life::new(Duration::from_secs(36_000)).unwrap();
    let script = installer(&Boot { life, ..boot(ec2()) }).unwrap();
    assert!(script.contains("LIFE_S='32400'\nLIFE_SPREAD_S='3600'\n"));
    assert!(!installer(&boot(none())).unwrap().contains("LIFE_S"));
}

/// What the engine does with its children, and what of it a unit must not take away.
#[test]
fn the_unit_lets_the_engine_do_its_work() {
    for line in [
        "KillMode=mixed",
        "OOMPolicy=continue",
        "NoNewPrivileges=yes",
        "AmbientCapabilities=CAP_NET_RAW",
        "CapabilityBoundingSet=CAP_NET_RAW",
        "SystemCallFilter=landlock_add_rule landlock_create_ruleset landlock_restrict_self pidfd_getfd seccomp",
    ] {
        assert!(ENGINE_UNIT.lines().any(|it| it == line), "{line}");
    }
    for word in
        ["MemoryDenyWriteExecute=", "PrivateUsers=", "ProcSubset=", "FailureAction=", "LimitNPROC="]
    {
        assert!(!ENGINE_UNIT.lines().any(|line| line.starts_with(word)), "{word}");
    }
}
