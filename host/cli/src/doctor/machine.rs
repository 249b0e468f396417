//! This machine: what it lets an engine do, and room on its disks.

use std::path::Path;

use blitz_runtime::powers;
use rustix::fs::statvfs;

use super::finding::{Level, Part};
use crate::environment::Environment;
use crate::text::size;

/// Free bytes below which a store is soon full: a day of a busy region's output.
const FREE_BYTES_MIN: u64 = 2 << 30;

/// And below this it is as good as full: CouchDB needs room to compact.
const FREE_BYTES_LEAST: u64 = 256 << 20;

pub(super) fn look(environment: &Environment) -> Part {
    let mut part = Part::new("this machine, for engines and stores on it");
    let lacks = powers::lacks();
    for lack in &lacks {
        part.said(Level::Warning, &format!("{}: {}", lack.power, lack.reason));
    }
    if lacks.is_empty() {
        part.ok("engines may send every probe, run native plugins and open descriptors enough");
    }
    let mut seen = Vec::new();
    for (what, directory) in [
        ("the store", &environment.data_directory),
        ("compiled plugins", &environment.compiled_directory()),
    ] {
        if let Some(directory) = directory.as_deref().and_then(existing)
            && let Ok(disk) = statvfs(directory)
            && !seen.contains(&disk.f_fsid)
        {
            seen.push(disk.f_fsid);
            room(&mut part, what, directory, disk.f_bavail.saturating_mul(disk.f_frsize));
        }
    }
    part
}

/// The nearest directory above that is there.
fn existing(path: &Path) -> Option<&Path> {
    path.ancestors().find(|path| path.is_dir())
}

fn room(part: &mut Part, what: &str, directory: &Path, free: u64) {
    let text = format!("{} free for {what} in '{}'", size(free), directory.display());
    let next = "make room there, or move it with --data (of 'blitz up') or XDG_DATA_HOME";
    match free {
        0..FREE_BYTES_LEAST => part.bad(&text, next),
        FREE_BYTES_LEAST..FREE_BYTES_MIN => part.warning(&text, next),
        FREE_BYTES_MIN.. => part.ok(&text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_room_is_told() {
        for (free, level) in [(0, Level::Bad), (300 << 20, Level::Warning), (3 << 30, Level::Ok)] {
            let mut part = Part::new("m");
            room(&mut part, "the store", Path::new("/d"), free);
            assert_eq!(part.worst(), level, "{free}");
        }
        assert_eq!(existing(Path::new("/none/of/these")), Some(Path::new("/")));
    }
}
