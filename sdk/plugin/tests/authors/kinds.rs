//! A crate with an argument of each kind, and the example of the README: their own tests are run.

use std::path::Path;

use crate::workspace::{Author, Workspace, read, repository};

#[test]
fn every_kind_has_its_type_and_the_example_passes_its_own_tests() {
    let kinds = Author {
        plugin_toml: Some(include_str!("kinds/plugin.toml").to_owned()),
        lib_rs: include_str!("kinds/lib.rs").to_owned(),
        ..Author::new("kinds")
    };
    let example = repository().join("sdk/examples/mx");
    let mx = Author {
        plugin_toml: Some(read(&example.join("plugin.toml"))),
        lib_rs: read(&example.join("src/lib.rs")),
        more: vec![(Path::new("src/tests.rs").to_owned(), read(&example.join("src/tests.rs")))],
        ..Author::new("mx")
    };

    let output = Workspace::new("kinds", &[kinds, mx]).cargo(&["test", "--workspace"]);

    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(!stderr.contains("warning"), "authors see no warnings of ours: {stderr}");
    for test in ["tests::kinds_have_types ... ok", "tests::servers_are_told_in_their_order ... ok"]
    {
        assert!(stdout.contains(test), "{test}: {stdout}");
    }
}
