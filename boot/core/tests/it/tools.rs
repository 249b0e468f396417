//! What other programs say of what we print: cloud-init's own schema, shellcheck, the shells, and systemd.
//!
//! Where one is not there, the story says so and passes, unless the variable that is named says that it has to be.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use blitz_boot_core::bundle::Channel;
use blitz_boot_core::user_data::value::{EngineFlags, Life};
use blitz_boot_core::user_data::{Boot, ENGINE_UNIT, Provider, installer, render};

/// Whether a program answers; `variable` makes a missing one a failure.
pub(crate) fn has(program: &str, arguments: &[&str], variable: &str) -> bool {
    let answers = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if answers.is_ok_and(|status| status.success()) {
        return true;
    }
    assert!(std::env::var_os(variable).is_none(), "{variable} is set, and there is no {program}");
    let told = writeln!(std::io::stderr(), "skipped: there is no {program} on this machine");
    told.unwrap();
    false
}

fn boot(provider: Provider) -> Boot {
    let key = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    Boot {
        region: "japan".parse().unwrap(),
        joins: vec!["https://gw.example.com".parse().unwrap()],
        provider,
        channel: Channel::Canary,
        serial_min: 1,
        key: key.parse().unwrap(),
        slots: None,
        trusted: Vec::new(),
        trusted_native: Vec::new(),
        flags: EngineFlags::default(),
        life: Life::DEFAULT,
    }
}

fn providers() -> [Provider; 3] {
    let base = || "https://dl.example.com".parse().unwrap();
    let ec2 = Provider::Ec2 {
        bucket: "blitz".parse().unwrap(),
        prefix: None,
        bucket_region: "us-east-1".parse().unwrap(),
        endpoint: None,
        imds: None,
    };
    [
        ec2,
        Provider::Generic { base: base(), engine: None },
        Provider::None { base: base(), engine: None },
    ]
}

pub(crate) fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A program's words about files, when they are not good.
pub(crate) fn complaint(program: &str, arguments: &[&str]) -> Option<String> {
    let (is_good, said) = look(program, arguments);
    (!is_good).then_some(said)
}

/// All that systemd says of units: what it does not know it passes over with a word, and is content.
pub(crate) fn systemd_says(units: &[&str]) -> String {
    look("systemd-analyze", &[&["verify"], units].concat()).1
}

fn look(program: &str, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn cloud_init_takes_the_documents() {
    if !has("cloud-init", &["--version"], "BLITZ_TEST_CLOUD_INIT") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for (at, provider) in providers().into_iter().take(2).enumerate() {
        let text = render(&boot(provider)).unwrap();
        let good = write(directory.path(), &format!("{at}.yaml"), &text);
        assert_eq!(complaint("cloud-init", &["schema", "-c", &good]), None);
        let wrong = text.replace("mode: poweroff", "mode: explode");
        let wrong = write(directory.path(), &format!("{at}-wrong.yaml"), &wrong);
        assert!(complaint("cloud-init", &["schema", "-c", &wrong]).is_some(), "it looks at it");
    }
}

#[test]
fn shells_take_the_scripts() {
    for provider in providers() {
        let directory = tempfile::tempdir().unwrap();
        let script = write(directory.path(), "s.sh", &installer(&boot(provider)).unwrap());
        for shell in ["sh", "dash", "bash"] {
            if shell == "sh" || has(shell, &["-c", ":"], "BLITZ_TEST_SHELLCHECK") {
                assert_eq!(complaint(shell, &["-n", &script]), None, "{shell}");
            }
        }
    }
}

#[test]
fn shellcheck_takes_the_scripts() {
    if !has("shellcheck", &["--version"], "BLITZ_TEST_SHELLCHECK") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for provider in providers() {
        let text = installer(&boot(provider)).unwrap();
        let script = write(directory.path(), "s.sh", &text);
        assert_eq!(complaint("shellcheck", &["--shell=sh", &script]), None);
        let unquoted =
            write(directory.path(), "u.sh", &text.replace("rm -rf \"$work\"", "rm -rf $1"));
        assert!(complaint("shellcheck", &["--shell=sh", &unquoted]).is_some(), "it looks at it");
    }
}

#[test]
fn systemd_takes_the_units() {
    if !has("systemd-analyze", &["--version"], "BLITZ_TEST_SYSTEMD") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let gateway = include_str!("../../../files/systemd/blitz-gateway.service");
    for (name, text) in [("engine", ENGINE_UNIT), ("gateway", gateway)] {
        // The program is not on this machine.
        let text = text.replace("/opt/blitz/current/bin/blitz", "/bin/true");
        let unit = write(directory.path(), &format!("blitz-{name}.service"), &text);
        assert_eq!(systemd_says(&[&unit]), "");
        let wrong = text.replace("[Service]", "[Service]\nProtectSystm=strict");
        let wrong = write(directory.path(), &format!("blitz-wrong-{name}.service"), &wrong);
        assert!(systemd_says(&[&wrong]).contains("ProtectSystm"), "it looks at it");
    }
}
