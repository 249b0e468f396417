//! What a clusters file may say, and what is said of one that may not be read.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;

fn parse(text: &str) -> Result<ClustersFile, (usize, String)> {
    ClustersFile::parse(Path::new("/etc/blitz/clusters.toml"), text)
}

#[test]
fn a_file_is_read() {
    let file = parse(
        "own = \"tokyo\"\n[tokyo]\nurl = \"https://couch.tokyo.example:6984/\"\nuser = \"gate\"\npassword = \"hidden\"\n\
         operator = true\n[virginia]\npassword_file = \"virginia.password\"\nuser = \"gate\"\n[oregon]\n\
         url = \"http://me:hid%3Aden@oregon:5984\"\n",
    )
    .unwrap();
    assert_eq!(file.own(None, false).unwrap(), "tokyo");
    assert_eq!(file.own(Some("virginia"), false).unwrap(), "virginia");
    let tokyo = &file.sections["tokyo"];
    assert_eq!(tokyo.url.as_deref(), Some("https://couch.tokyo.example:6984"));
    assert!(tokyo.operator && !file.sections["virginia"].operator);
    let beside = Path::new("/etc/blitz/virginia.password");
    assert_eq!(file.sections["virginia"].password_file.as_deref(), Some(beside));
    let oregon = &file.sections["oregon"];
    assert_eq!(oregon.url.as_deref(), Some("http://oregon:5984"));
    let who = oregon.credentials().unwrap().unwrap();
    assert_eq!((&*who.name, &*who.password), ("me", "hid:den"));
    assert!(!format!("{file:?}").contains("hid"), "{file:?}");
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let cases = [
        "onw = \"tokyo\"",
        "own = 7",
        "[Tokyo]",
        "[all]",
        "[tokyo]\nurl = \"http://t\"\npasword = \"hidden\"",
        "[tokyo]\nurl = \"couch:5984\"",
        "[tokyo]\nurl = \"ftp://u:hidden@h\"",
        "[tokyo]\nurl = \"http://h/?x\"",
        "[tokyo]\nuser = \"a\"\nurl = \"http://u:hidden@h\"",
        "[tokyo]\nuser = \"a\"\npassword = \"hidden\"\npassword_file = \"x\"",
        "[tokyo]\npassword = \"hidden\"",
        "[tokyo]\nuser = \"a\"",
        "[tokyo]\nuser = 5",
        "[tokyo]\noperator = \"yes\"",
        "[tokyo]\nurl = \"http://t\"\n\n[tokyo]\n",
        "[tokyo]\npassword = hidden",
    ];
    let told: Vec<String> = cases
        .iter()
        .map(|text| {
            let (line, problem) = parse(text).expect_err(text);
            assert!(!problem.contains("hidden"), "{text}: {problem}");
            format!("{line}: {problem}")
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    1: unknown key 'onw'; at the top stands own = "NAME", and each cluster below its [NAME]
    1: own is the name of a cluster, in quotes
    1: 'Tokyo' is no cluster's name: a-z, 0-9 and -, a letter first, up to 32; not 'all' or 'any'
    1: 'all' is no cluster's name: a-z, 0-9 and -, a letter first, up to 32; not 'all' or 'any'
    3: unknown key 'pasword'; a cluster has url, user, password, password_file, roots, operator
    2: an address is http://HOST:PORT or https://HOST:PORT
    2: an address is http://HOST:PORT or https://HOST:PORT
    2: an address is http://HOST:PORT or https://HOST:PORT, without ? and #
    3: name and password stand in url and beside it: give them once
    3: password and password_file: give one of them
    2: a password without a user
    2: a user without password or password_file
    2: user is a text, in quotes
    2: operator is true or false
    4: duplicate key
    2: string values must be quoted, expected literal string
    "#);
}

#[test]
fn the_near_cluster_is_named_or_the_only_one() {
    let one = parse("[tokyo]\nurl = \"http://t\"").unwrap();
    assert_eq!(one.own(None, false).unwrap(), "tokyo");
    let two = parse("[tokyo]\nurl = \"http://t\"\n[virginia]\nurl = \"http://v\"").unwrap();
    let told: Vec<String> = [
        two.own(None, false),
        two.own(None, true),
        two.own(Some("oregon"), false),
        one.own(None, true),
        one.own(Some("T"), true),
        parse("").unwrap().own(Some("oregon"), false),
    ]
    .into_iter()
    .map(|own| own.unwrap_err().to_string())
    .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    the clusters file '/etc/blitz/clusters.toml' has tokyo, virginia: which is the near one? give --cluster NAME, or write own = "NAME" at its top
    the clusters file '/etc/blitz/clusters.toml' has tokyo, virginia: which is the near one? give --cluster NAME, or write own = "NAME" at its top
    cluster 'oregon' is not in the clusters file '/etc/blitz/clusters.toml'; it has tokyo, virginia
    the clusters file '/etc/blitz/clusters.toml' has tokyo: which is the near one? give --cluster NAME, or write own = "NAME" at its top
    "T" is not a cluster's name (a-z, 0-9 and -, a letter first, up to 32; not 'all' or 'any')
    cluster 'oregon' is not in the clusters file '/etc/blitz/clusters.toml'; it has none
    "#);
    // A store that was named by its address may be one that the file does not have.
    assert_eq!(two.own(Some("oregon"), true).unwrap(), "oregon");
}

#[tokio::test]
async fn a_file_that_others_can_read_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("clusters.toml");
    let text = "[tokyo]\nurl = \"http://127.0.0.1:1\"\nuser = \"a\"\npassword_file = \"p\"\noperator = true\n";
    std::fs::write(&path, text).unwrap();
    let password = directory.path().join("p");
    std::fs::write(&password, "secret\n").unwrap();
    let args = ClusterArgs { clusters: Some(path.clone()), cluster: None };
    let environment = Environment::default();
    for (mode, secret, is_refused) in [
        (0o640, 0o600, true),
        (0o604, 0o600, true),
        (0o600, 0o644, true),
        (0o600, 0o600, false),
        (0o400, 0o400, false),
    ] {
        for (path, mode) in [(&path, mode), (&password, secret)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let found = Entered::find(&args, None, &environment).await;
        match found {
            Err(error @ Error::OpenToOthers { .. }) if is_refused => {
                assert!(error.to_string().contains("chmod 600"), "{error}");
            }
            Ok(Some(entered)) if !is_refused => {
                assert_eq!(entered.clusters.own(), Some("tokyo"));
                assert_eq!(entered.operators, BTreeSet::from(["tokyo".to_owned()]));
            }
            other => panic!("{mode:o} gave {other:?}"),
        }
    }
    let none = Entered::find(&ClusterArgs::default(), None, &environment).await;
    assert!(none.unwrap().is_none());
}
