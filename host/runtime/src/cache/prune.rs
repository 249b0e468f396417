//! Keeps the cache within its size: what was used longest ago goes first.
//!
//! The last use is the time of the record, not of the machine code, whose times show that it is unchanged.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{CODE, RECORD, TEMPORARY};

/// A file that is being written for so long belongs to a process that died.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Notes that the machine code of this record is used now.
pub(super) fn used_now(record: &File) {
    if let Err(error) = record.set_modified(SystemTime::now()) {
        // It goes a little earlier than it should.
        tracing::debug!(%error, "the use of a compiled plugin is not noted");
    }
}

/// Removes what was used longest ago until `bytes_max` are kept, and what nobody will use.
pub(super) fn prune(dir: &Path, bytes_max: u64) -> io::Result<()> {
    for path in surplus(list(dir)?, bytes_max, SystemTime::now()) {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    path: PathBuf,
    bytes: u64,
    modified: SystemTime,
}

fn list(dir: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        match entry.metadata().and_then(|metadata| {
            let (bytes, modified) = (metadata.len(), metadata.modified()?);
            Ok(Entry { path: entry.path(), bytes, modified })
        }) {
            Ok(entry) => entries.push(entry),
            // Removed by another process meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(entries)
}

/// The files that go.
fn surplus(entries: Vec<Entry>, bytes_max: u64, now: SystemTime) -> Vec<PathBuf> {
    let mut going = Vec::new();
    // Machine code and its record have one name but for its end.
    let mut pairs: BTreeMap<PathBuf, Vec<Entry>> = BTreeMap::new();
    for entry in entries {
        let is = |end: &str| entry.path.extension() == Some(OsStr::new(end));
        if is(CODE) || is(RECORD) {
            pairs.entry(entry.path.with_extension("")).or_default().push(entry);
        } else if is(TEMPORARY)
            && now.duration_since(entry.modified).unwrap_or_default() > ABANDONED
        {
            going.push(entry.path);
        }
    }
    let mut pairs: Vec<Vec<Entry>> = pairs.into_values().collect();
    let last_use = |pair: &Vec<Entry>| pair.iter().map(|entry| entry.modified).max();
    pairs.sort_by_key(|pair| std::cmp::Reverse(last_use(pair)));
    let mut kept_bytes = 0;
    for pair in pairs {
        let bytes: u64 = pair.iter().map(|entry| entry.bytes).sum();
        if kept_bytes + bytes <= bytes_max {
            kept_bytes += bytes;
        } else {
            going.extend(pair.into_iter().map(|entry| entry.path));
        }
    }
    going
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, bytes: u64, age_s: u64) -> Entry {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        Entry { path: path.into(), bytes, modified: now - Duration::from_secs(age_s) }
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let entries = vec![
            entry("old.cwasm", 50, 9_000),
            // Compiled long ago and used just now.
            entry("used.cwasm", 50, 90_000),
            entry("used.json", 1, 10),
            entry("old.json", 1, 8_000),
            entry("new.cwasm", 40, 5),
            entry("new.json", 1, 5),
            entry(".1.2.tmp", 7, 4_000),
            entry(".1.3.tmp", 7, 4),
            entry("README", 1_000_000, 1),
        ];
        let gone = surplus(entries.clone(), 100, now);
        assert_eq!(gone, [".1.2.tmp", "old.cwasm", "old.json"].map(PathBuf::from));
        assert_eq!(surplus(entries, 143, now), [PathBuf::from(".1.2.tmp")]);
    }
}
