//! Names of files for completion.

use std::fs;
use std::path::Path;

use super::CANDIDATES_MAX;
use super::place::Candidate;

/// The entries that `current` may go on to, behind a prefix that is no part of the name (`@`, `--data=@`).
pub(super) fn starting_with(prefix: &str, current: &str) -> Vec<Candidate> {
    let Some(typed) = current.strip_prefix(prefix) else { return Vec::new() };
    let (directory, begun) = match typed.rfind('/') {
        Some(slash) => typed.split_at(slash + 1),
        None => ("", typed),
    };
    let place = if directory.is_empty() { Path::new(".") } else { Path::new(directory) };
    let Ok(entries) = fs::read_dir(place) else { return Vec::new() };
    let names = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let name = entry.file_name().into_string().ok()?;
        let is_wanted =
            name.starts_with(begun) && (!name.starts_with('.') || begun.starts_with('.'));
        // Through links, as the user would.
        let slash = if fs::metadata(entry.path()).ok()?.is_dir() { "/" } else { "" };
        is_wanted.then(|| Candidate::bare(format!("{prefix}{directory}{name}{slash}")))
    });
    let mut names: Vec<Candidate> = names.take(CANDIDATES_MAX).collect();
    names.sort_by(|a, b| a.word.cmp(&b.word));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_directory_go_on() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().display();
        for name in ["data.json", "data.txt", ".hidden"] {
            fs::write(directory.path().join(name), b"").unwrap();
        }
        fs::create_dir(directory.path().join("dat")).unwrap();
        let words = |prefix: &str, typed: &str| {
            let found = starting_with(prefix, &format!("{prefix}{base}/{typed}"));
            let head = format!("{prefix}{base}/");
            found.iter().map(|c| c.word.strip_prefix(&head).unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(words("@", "da"), ["dat/", "data.json", "data.txt"]);
        assert_eq!(words("", "data.j"), ["data.json"]);
        assert_eq!(words("", "."), [".hidden"]);
        assert_eq!(starting_with("@", "no-at").len(), 0);
    }
}
