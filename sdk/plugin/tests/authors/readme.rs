//! The tutorial of `sdk/README.md` shows files that are compiled and tested as they stand.

use std::path::Path;

use blitz_plugin::Manifest;

use crate::workspace::{read, repository};

/// The line before a block that shows a file of the repository.
const MARK: &str = "<!-- file: ";

#[test]
fn the_blocks_of_the_tutorial_are_its_files() {
    let readme = read(&repository().join("sdk/README.md"));
    let mut shown = Vec::new();
    for part in readme.split(MARK).skip(1) {
        let (path, rest) = part.split_once(" -->\n").expect("the mark ends its line");
        let block = rest.strip_prefix("```").expect("a block follows the mark");
        let (_, block) = block.split_once('\n').unwrap();
        let (block, _) = block.split_once("```\n").expect("the block ends");
        let file = read(&repository().join(path));
        assert!(block == file, "sdk/README.md shows another {path} than the file is:\n{block}");
        shown.push(Path::new(path).file_name().and_then(|name| name.to_str()).unwrap());
    }
    assert_eq!(shown, ["plugin.toml", "lib.rs", "tests.rs"]);
}

#[test]
fn the_manifests_of_the_readme_are_manifests() {
    let readme = read(&repository().join("sdk/README.md"));
    let blocks = readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```\n").next());
    let whole: Vec<&str> = blocks.filter(|block| block.contains("contract = ")).collect();
    assert_eq!(whole.len(), 2, "the tutorial's and the reference");
    for block in whole {
        Manifest::from_toml(block).unwrap_or_else(|error| panic!("{error}:\n{block}"));
    }
}
