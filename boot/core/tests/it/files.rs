//! The files to start from: they parse, hold what they promise, and pass the schemas of those who read them.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::tools::{complaint, has, write};

fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../files").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(place(name)).unwrap()
}

fn compose() -> Value {
    serde_saphyr::from_str(&text("compose/compose.yaml")).unwrap()
}

fn kubernetes() -> Vec<Value> {
    serde_saphyr::from_multiple(&text("kubernetes/blitz.yaml")).unwrap()
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn the_compose_file_holds_what_it_promises() {
    let compose = compose();
    let services = compose["services"].as_object().unwrap();
    let volumes: BTreeSet<&String> = compose["volumes"].as_object().unwrap().keys().collect();
    for (name, service) in services {
        for (other, how) in service["depends_on"].as_object().into_iter().flatten() {
            let other = services.get(other).unwrap_or_else(|| panic!("{name}: no {other}"));
            let is_watched = other["healthcheck"].is_object();
            assert_eq!(how["condition"] == "service_healthy", is_watched, "{name}: {how}");
        }
        for volume in strings(&service["volumes"]) {
            let (from, _) = volume.split_once(':').unwrap();
            let is_known = from.starts_with("./secrets/") || from.starts_with("./state/");
            assert!(is_known || volumes.contains(&from.to_owned()), "{name}: {volume}");
        }
        for port in strings(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port} is open to everybody");
        }
        if service["image"] != "blitz" {
            continue;
        }
        let context = place("compose").join(service["build"]["context"].as_str().unwrap());
        assert!(context.join("Cargo.lock").is_file(), "{name}: {}", context.display());
        assert!(context.join(service["build"]["dockerfile"].as_str().unwrap()).is_file());
        assert_eq!(strings(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(strings(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        let is_engine = name.starts_with("engine-");
        assert_eq!(strings(&service["cap_add"]).len(), usize::from(is_engine), "{name}");
        assert_eq!(service["stop_grace_period"] == "45s", is_engine, "{name}");
    }
    let of = |kind: &str| services.keys().filter(|name| name.starts_with(kind)).count();
    assert_eq!((of("couch-"), of("gateway-"), of("engine-")), (2, 2, 2));
}

#[test]
fn the_compose_file_gets_its_secrets_once() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("prepare.sh");
    fs::copy(place("compose/prepare.sh"), &script).unwrap();
    let run = || {
        let output = Command::new("sh").arg(&script).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let said = run();
    let secrets = directory.path().join("secrets");
    let read = || -> Vec<(PathBuf, Vec<u8>)> {
        let names = fs::read_dir(&secrets).unwrap().flatten().map(|entry| entry.path());
        let mut files: Vec<_> = names.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        files.sort();
        files
    };
    let first = read();
    run();
    assert_eq!(read(), first, "what is there stays as it is");
    let password = fs::read_to_string(secrets.join("couchdb.env")).unwrap();
    let password = password.trim().rsplit_once('=').unwrap().1.to_owned();
    assert_eq!(password.len(), 64);
    assert!(!said.contains(&password));
    // Every file that the services name is there; and the only one that others may read has no secret.
    for service in compose()["services"].as_object().unwrap().values() {
        let files = strings(&service["volumes"]).into_iter().chain(service["env_file"].as_str());
        for file in files.filter(|file| file.trim_start_matches("./").starts_with("secrets/")) {
            let file = file.trim_start_matches("./").split(':').next().unwrap();
            assert!(directory.path().join(file).is_file(), "{file}");
        }
    }
    for (path, bytes) in first {
        let is_open = fs::metadata(&path).unwrap().permissions().mode() & 0o077 != 0;
        let bytes = String::from_utf8(bytes).unwrap();
        assert!(!is_open || path.ends_with("couchdb.ini"), "{}", path.display());
        assert!(!is_open || !(bytes.contains(&password) || bytes.contains("PRIVATE")));
    }
    if has("shellcheck", &["--version"], "BLITZ_TEST_SHELLCHECK") {
        assert_eq!(complaint("shellcheck", &[script.to_str().unwrap()]), None);
    }
}

#[test]
fn the_pods_are_as_tight_as_they_can_be() {
    let objects = kubernetes();
    let kinds: Vec<&str> = objects.iter().filter_map(|object| object["kind"].as_str()).collect();
    assert_eq!(
        kinds,
        ["Deployment", "Service", "PodDisruptionBudget", "Deployment", "NetworkPolicy"]
    );
    for object in &objects {
        assert_eq!(object["metadata"]["namespace"], "blitz");
        let labels = &object["spec"]["template"]["metadata"]["labels"];
        if object["kind"] != "Deployment" {
            continue;
        }
        assert_eq!(&object["spec"]["selector"]["matchLabels"], labels);
        let pod = &object["spec"]["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(pod["terminationGracePeriodSeconds"], 45);
        let volumes: Vec<&Value> =
            pod["volumes"].as_array().unwrap().iter().map(|v| &v["name"]).collect();
        let containers =
            ["containers", "initContainers"].iter().filter_map(|kind| pod[kind].as_array());
        for container in containers.flatten() {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false);
            assert_eq!(context["readOnlyRootFilesystem"], true);
            assert_eq!(strings(&context["capabilities"]["drop"]), ["ALL"]);
            assert!(container["resources"]["limits"]["memory"].is_string());
            for mount in container["volumeMounts"].as_array().unwrap() {
                assert!(volumes.contains(&&mount["name"]), "{mount}");
            }
            // The operator's token is never where jobs run.
            if container["name"] == "engine" {
                assert!(!container.to_string().contains("secretKeyRef"), "{container}");
            }
        }
    }
    // No secret and no place for one: they are made beside it.
    assert!(!kinds.contains(&"Secret"));
}

#[test]
fn the_image_is_built_by_the_compiler_of_the_workspace() {
    let workspace = fs::read_to_string(place("../../Cargo.toml")).unwrap();
    let workspace: toml::Table = workspace.parse().unwrap();
    let version = workspace["workspace"]["package"]["rust-version"].as_str().unwrap();
    let dockerfile = text("Dockerfile");
    assert!(
        dockerfile.contains(&format!("FROM rust:{version}-bookworm AS build")),
        "rust {version}"
    );
    assert!(dockerfile.contains("\nUSER 10001:10001\n"));
    // The image is made of the whole work tree, but not of the secrets that lie in it.
    let left_out = text("Dockerfile.dockerignore");
    for secret in text("compose/.gitignore").lines().map(|line| line.trim_end_matches('/')) {
        let line = format!("boot/files/compose/{secret}");
        assert!(left_out.lines().any(|it| it == line), "{line}");
    }
}

/// Of compose files, PyYAML resolves what is merged, and then every key and value is looked at.
const COMPOSE: &str = r#"
import re, sys, yaml, compose_spec
text = re.sub(r"(?<!\$)\$\{[^}]*\}", "1000", open(sys.argv[1]).read())
compose_spec.PyCompose.from_yaml(yaml.safe_dump(yaml.safe_load(text))).validate()
"#;

#[test]
fn the_schemas_of_others_take_the_files() {
    let Some(python) = std::env::var_os("BLITZ_TEST_SCHEMAS").map(PathBuf::from) else {
        let told =
            "skipped: BLITZ_TEST_SCHEMAS names no Python with the schemas; .ci/schemas makes one";
        writeln!(std::io::stderr(), "{told}").unwrap();
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let check = |name: &str, wrong: (&str, &str), program: &Path, arguments: &[&str]| {
        let text = text(name);
        let good = write(directory.path(), "good.yaml", &text);
        let program = program.to_str().unwrap();
        assert_eq!(complaint(program, &[arguments, &[&good]].concat()), None);
        let wrong = write(directory.path(), "wrong.yaml", &text.replacen(wrong.0, wrong.1, 1));
        assert!(complaint(program, &[arguments, &[&wrong]].concat()).is_some(), "it looks at it");
    };
    let compose = ("cap_drop:", "cap_dropp:");
    check("compose/compose.yaml", compose, &python, &["-c", COMPOSE]);
    let validate = python.with_file_name("kubernetes-validate");
    check("kubernetes/blitz.yaml", ("readOnlyRoot", "readonlyRoot"), &validate, &["--strict"]);
}
