//! What lies in a plugin's directory: its manifest, and the language of its sources.

use std::fs;
use std::path::{Path, PathBuf};

use blitz_contract::Manifest;

use crate::plugin::Error;
use crate::plugin::language::Language;
use crate::text::without_os_code;

/// A plugin that is to be built.
#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) directory: PathBuf,
    pub(crate) manifest: Manifest,
    /// The WASM file that was named in place of a directory.
    pub(crate) ready_made: Option<PathBuf>,
}

impl Project {
    /// Reads the `plugin.toml` in a directory, or beside a file.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] names the file and what is wrong with it.
    pub(crate) fn open(source: &Path) -> Result<Self, Error> {
        let ready_made = source.is_file().then(|| source.to_owned());
        let directory = match &ready_made {
            None => source,
            Some(file) => file.parent().unwrap_or(Path::new("")),
        };
        // A child process is started there, and is given paths that must not depend on where.
        let directory = std::path::absolute(directory)
            .map_err(|e| Error::Usage(format!("{}: {e}", directory.display())))?;
        let path = directory.join("plugin.toml");
        let text = fs::read_to_string(&path).map_err(|error| {
            let hint = match error.kind() {
                std::io::ErrorKind::NotFound => "; 'blitz plugin new NAME' makes a plugin with one",
                _ => "",
            };
            Error::Usage(without_os_code(&format!("read {}: {error}{hint}", path.display())))
        })?;
        let manifest = Manifest::from_toml(&text)
            .map_err(|e| Error::Usage(format!("{}: {e}", path.display())))?;
        Ok(Self { directory, manifest, ready_made })
    }

    /// What it is written in: as was said, else as the files say.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] when they say nothing, or two things.
    pub(crate) fn language(&self, said: Option<Language>) -> Result<Language, Error> {
        if let Some(said) = said {
            return Ok(said);
        }
        let has = |name: &str| self.directory.join(name).is_file();
        let found: Vec<(Language, &str)> = [
            (Language::Rust, "Cargo.toml", has("Cargo.toml")),
            (Language::Python, "app.py", has("app.py")),
            (Language::Javascript, "index.js", has("index.js")),
            (Language::C, "C sources", !c_sources(&self.directory).is_empty()),
        ]
        .into_iter()
        .filter_map(|(language, what, is_there)| is_there.then_some((language, what)))
        .collect();
        match found.as_slice() {
            [(language, _)] => Ok(*language),
            [] => Err(Error::Usage(format!(
                "{} has no Cargo.toml, app.py, index.js or C source beside its plugin.toml: nothing to build",
                self.directory.display()
            ))),
            [(_, one), (_, other), ..] => Err(Error::Usage(format!(
                "{} has {one} and {other}: say which with --lang",
                self.directory.display()
            ))),
        }
    }
}

/// The C sources of a plugin: in its directory and in `src`, sorted.
pub(crate) fn c_sources(directory: &Path) -> Vec<PathBuf> {
    let places = [directory.to_owned(), directory.join("src")];
    let entries = places.iter().filter_map(|place| fs::read_dir(place).ok()).flatten().flatten();
    let mut sources: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .collect();
    sources.sort();
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str =
        "name = \"x\"\nversion = \"0.1.0\"\nsummary = \"s\"\ncontract = \"0.1.0\"\n";

    fn project(files: &[&str]) -> (tempfile::TempDir, Result<Project, Error>) {
        let place = tempfile::tempdir().unwrap();
        for file in files {
            let path = place.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, if *file == "plugin.toml" { MANIFEST } else { "" }).unwrap();
        }
        let project = Project::open(place.path());
        (place, project)
    }

    #[test]
    fn files_tell_the_language() {
        for (files, wanted) in [
            (&["Cargo.toml", "src/lib.rs"][..], Language::Rust),
            (&["app.py", "other.py"], Language::Python),
            (&["index.js", "package.json"], Language::Javascript),
            (&["main.c"], Language::C),
            (&["src/main.c", "src/main.h"], Language::C),
        ] {
            let (_place, project) = project(&[&["plugin.toml"], files].concat());
            assert_eq!(project.unwrap().language(None).unwrap(), wanted, "{files:?}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_asked() {
        let (_place, nothing) = project(&["plugin.toml", "notes.txt"]);
        let text = nothing.unwrap().language(None).unwrap_err().to_string();
        assert!(text.ends_with("beside its plugin.toml: nothing to build"), "{text}");
        let (_place, two) = project(&["plugin.toml", "index.js", "Cargo.toml"]);
        let two = two.unwrap();
        let text = two.language(None).unwrap_err().to_string();
        assert!(text.ends_with("has Cargo.toml and index.js: say which with --lang"), "{text}");
        assert_eq!(two.language(Some(Language::Javascript)).unwrap(), Language::Javascript);
    }

    #[test]
    fn a_missing_or_wrong_manifest_is_named() {
        let (_place, none) = project(&["main.c"]);
        let text = none.unwrap_err().to_string();
        assert!(
            text.contains("plugin.toml: No such file or directory; 'blitz plugin new"),
            "{text}"
        );
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("plugin.toml"), MANIFEST.replace("summary", "sumary")).unwrap();
        let text = Project::open(place.path()).unwrap_err().to_string();
        assert!(text.contains("unknown field sumary"), "{text}");
    }
}
