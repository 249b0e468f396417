//! A crate with an argument of each kind, and the examples with this SDK: their own tests are run.

use std::fs;
use std::path::Path;

use crate::workspace::{Author, Workspace, read, repository};

#[test]
fn every_kind_has_its_type_and_the_examples_pass_their_own_tests() {
    let kinds = Author {
        plugin_toml: Some(include_str!("kinds/plugin.toml").to_owned()),
        lib_rs: include_str!("kinds/lib.rs").to_owned(),
        ..Author::new("kinds")
    };
    let output = Workspace::new("kinds", &[kinds, example("mx"), example("knee")])
        .cargo(&["test", "--workspace"]);

    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(!stderr.contains("warning"), "authors see no warnings of ours: {stderr}");
    for test in
        ["kinds_have_types", "servers_are_told_in_their_order", "the_arguments_become_a_plan"]
    {
        let test = format!("tests::{test} ... ok");
        assert!(stdout.contains(&test), "{test}: {stdout}");
    }
}

/// One of `sdk/examples`, with its tests.
fn example(name: &str) -> Author {
    let directory = repository().join("sdk/examples").join(name);
    let sources = fs::read_dir(directory.join("src")).expect("an example has sources");
    let more = sources
        .flatten()
        .filter(|entry| entry.file_name() != "lib.rs")
        .map(|entry| (Path::new("src").join(entry.file_name()), read(&entry.path())));
    Author {
        plugin_toml: Some(read(&directory.join("plugin.toml"))),
        lib_rs: read(&directory.join("src/lib.rs")),
        more: more.collect(),
        ..Author::new(name)
    }
}
