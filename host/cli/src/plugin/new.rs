//! `blitz plugin new`: a plugin's first files, ready to build, in a directory of their own.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use blitz_contract::{CONTRACT_VERSION, Manifest};

use crate::built_in::manifests;
use crate::commands::built_in_names;
use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::plugin::language::Language;
use crate::plugin::{Error, sdk};
use crate::text::{quoted, without_os_code};

/// `blitz plugin new`.
#[derive(Debug, clap::Args)]
pub(crate) struct NewArgs {
    /// The word that users will type; also the new directory, or a path that ends with it
    name: PathBuf,
    /// What to write it in
    #[arg(long, value_name = "LANGUAGE", value_enum, default_value_t)]
    lang: Language,
}

pub(crate) async fn run(args: NewArgs, _: &Environment) -> Result<ExitCode, Error> {
    let NewArgs { name: directory, lang } = args;
    refuse_taken(name_of(&directory)?)?;
    make(&directory, lang)?;
    let shown = quoted(&directory.display().to_string());
    let name = name_of(&directory)?;
    let text = format!(
        "made {shown}, a plugin in {}\n\n  cd {shown}\n  blitz plugin build\n  blitz plugin run {name}.wasm {}\n\n\
         README.md says what is what.\n",
        lang.word(),
        example(lang),
    );
    // A closed pipe is a quiet end: the files are there.
    std::io::stdout().write_all(text.as_bytes()).ok();
    Ok(ExitCode::SUCCESS)
}

/// A plugin with the name of something that `blitz` has already would never be called by it.
fn refuse_taken(name: &str) -> Result<(), Error> {
    let what = if built_in_names().iter().any(|command| command == name) || name == "help" {
        "a command of blitz"
    } else if manifests().any(|manifest| manifest.name == name) {
        "a plugin that blitz brings along"
    } else {
        return Ok(());
    };
    Err(Error::Usage(format!("'{name}' is {what}: give the plugin another name")))
}

/// Arguments that show each template at work.
fn example(language: Language) -> &'static str {
    match language {
        Language::Rust | Language::Javascript => "https://example.com",
        Language::Python => "https://example.com",
        Language::C => "< README.md",
        Language::Wasi => "example.com 443",
    }
}

/// Writes the files.
///
/// # Errors
///
/// [`Error::Usage`] for a name that is no plugin's and for a directory with something in it,
/// [`Error::Failed`] for what the file system says.
fn make(directory: &Path, language: Language) -> Result<(), Error> {
    let name = name_of(directory)?;
    let failed = |e: std::io::Error| Error::Failed(without_os_code(&e.to_string()));
    match fs::read_dir(directory).map(|mut entries| entries.next().is_some()) {
        Ok(true) => {
            return Err(Error::Usage(format!(
                "{} is not empty: a new plugin needs a directory of its own",
                directory.display()
            )));
        }
        Ok(false) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            let text = format!("cannot use {}: {error}", directory.display());
            return Err(Error::Usage(without_os_code(&text)));
        }
    }
    for (path, bytes) in sdk::template(language.word()) {
        sdk::write(&directory.join(path), &filled(bytes, name)).map_err(failed)?;
    }
    if language == Language::Rust {
        sdk::write(&directory.join("Cargo.lock"), sdk::lock().as_bytes()).map_err(failed)?;
    }
    if language != Language::Wasi {
        sdk::unpack(directory).map_err(failed)?;
    }
    Ok(())
}

/// The plugin's name: the last part of the path, if it is a name as manifests have it.
fn name_of(directory: &Path) -> Result<&str, Error> {
    let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let probe = format!(
        "name = {name:?}\nversion = \"0.1.0\"\nsummary = \"\"\ncontract = {CONTRACT_VERSION:?}\n"
    );
    match Manifest::from_toml(&probe) {
        Ok(_) => Ok(name),
        Err(_) => Err(Error::Usage(format!(
            "'{}' is no name for a plugin: 1 to 40 of a-z, 0-9 and -, a letter first",
            directory.display()
        ))),
    }
}

/// A file of a template with the plugin's name in it.
fn filled(bytes: &[u8], name: &str) -> Vec<u8> {
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            text.replace("{{name}}", name).replace("{{contract}}", CONTRACT_VERSION).into_bytes()
        }
        Err(_) => bytes.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_placeholder_is_filled_and_the_manifest_is_one() {
        for language in Language::value_variants() {
            let place = tempfile::tempdir().unwrap();
            let directory = place.path().join("first-try");
            make(&directory, *language).unwrap();
            let manifest = fs::read_to_string(directory.join("plugin.toml")).unwrap();
            let manifest = Manifest::from_toml(&manifest).unwrap();
            assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("first-try", "0.1.0"));
            assert_eq!(manifest.contract, CONTRACT_VERSION);
            for (path, _) in sdk::template(language.word()) {
                let text = fs::read_to_string(directory.join(path)).unwrap();
                assert!(!text.contains("{{name") && !text.contains("{{contract"), "{path}: {text}");
            }
            let has_sdk = sdk::directory(&directory).exists();
            assert_eq!(has_sdk, *language != Language::Wasi, "{language:?}");
        }
    }

    #[test]
    fn names_that_are_taken_are_refused() {
        for name in ["curl", "run", "plugin", "help"] {
            let refused = refuse_taken(name).unwrap_err().to_string();
            assert!(refused.ends_with(": give the plugin another name"), "{refused}");
        }
        assert!(refuse_taken("curly").is_ok());
    }

    #[test]
    fn what_is_no_name_is_refused_before_anything_is_written() {
        let place = tempfile::tempdir().unwrap();
        let long = "x".repeat(41);
        for name in ["", "..", "/", "Hops", "1st", "two words", "a_b", "a\"b", &long] {
            let refused =
                make(&place.path().join(name).join(""), Language::Rust).is_err() || name.is_empty();
            assert!(refused, "{name:?}");
        }
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_with_something_in_it_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("mine");
        fs::create_dir(&directory).unwrap();
        make(&directory, Language::Wasi).unwrap();
        fs::write(directory.join("src/main.rs"), "mine").unwrap();
        let refused = make(&directory, Language::Wasi).unwrap_err().to_string();
        assert!(refused.ends_with("is not empty: a new plugin needs a directory of its own"));
        assert_eq!(fs::read_to_string(directory.join("src/main.rs")).unwrap(), "mine");
    }
}
