//! The table of threats in `SECURITY.md` is true: every test that it names exists. And what holds for all routes of the
//! gateway, also for those that come later.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails at once")]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the workspace")
}

/// A row of the table: its number, and what stands in its last column.
fn rows(text: &str) -> Vec<(u32, String)> {
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let rows = text.lines().filter(|line| line.starts_with("| ")).map(cells);
    rows.filter_map(|cells| {
        let number = cells.first()?.parse().ok()?;
        assert_eq!(cells.len(), 5, "row {number} has another number of cells");
        Some((number, cells.last()?.clone()))
    })
    .collect()
}

/// What is wrong with the name of a test.
fn wrong(name: &str) -> Option<String> {
    let Some((file, test)) = name.split_once("::") else {
        return Some(format!("{name} is not FILE::TEST"));
    };
    let Ok(text) = fs::read_to_string(root().join(file)) else {
        return Some(format!("there is no file {file}"));
    };
    let is_there = text.contains(&format!("fn {test}("));
    (!is_there).then(|| format!("{file} has no test {test}"))
}

#[test]
fn every_threat_has_a_test_that_exists_or_a_reason() {
    let text = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let rows = rows(&text);
    let mut problems = Vec::new();
    for (at, (number, tests)) in rows.iter().enumerate() {
        if usize::try_from(*number) != Ok(at + 1) {
            problems.push(format!("row {number} stands in place {}", at + 1));
        }
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        let reason = tests.strip_prefix("out of scope: ");
        match reason {
            Some(reason) if reason.len() < 20 => problems.push(format!("row {number}: no reason")),
            Some(_) => {}
            None if names.is_empty() => problems.push(format!("row {number} has no test")),
            None => problems.extend(
                names
                    .iter()
                    .filter_map(|name| wrong(name))
                    .map(|why| format!("row {number}: {why}")),
            ),
        }
    }
    assert!(rows.len() >= 30, "the table has {} rows", rows.len());
    assert!(problems.is_empty(), "SECURITY.md:\n{}", problems.join("\n"));
}

/// A name that is wrong is found: else the test above could not fail.
#[test]
fn a_name_without_a_test_is_found() {
    for (name, is_wrong) in [
        ("tests/it/security.rs::a_name_without_a_test_is_found", false),
        ("tests/it/security.rs::another", true),
        ("tests/it/nowhere.rs::a_name", true),
        ("tests/it/security.rs", true),
    ] {
        assert_eq!(wrong(name).is_some(), is_wrong, "{name}: {:?}", wrong(name));
    }
}

/// Extractors that would read JSON or parameters in the lenient way.
const LENIENT: [&str; 7] = [
    "JsonRejection",
    "QueryRejection",
    "Json<T>",
    ": Json<",
    "Result<Json<",
    ": Query<",
    "Result<Query<",
];

#[test]
fn every_route_reads_strictly() {
    let mut found = Vec::new();
    for path in sources(&root().join("host/gateway/src")) {
        if path.ends_with("strict.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for (at, line) in text.lines().enumerate() {
            // What is given back is no extractor.
            if line.contains("->") {
                continue;
            }
            found.extend(
                LENIENT
                    .iter()
                    .filter(|word| line.contains(**word))
                    .map(|word| format!("{}:{}: {word}", path.display(), at + 1)),
            );
        }
    }
    assert!(found.is_empty(), "take Strict or Params of strict.rs:\n{}", found.join("\n"));
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push(path);
        }
    }
    all
}
