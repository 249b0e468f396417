//! `blitz plugin build`: from a plugin's directory to the one file that is published.
//!
//! The road: `project` finds out what lies in the directory; `rust`, `c`, `python` and `javascript` run the tools
//! of a language, through `tool`; `component` makes a component of what they left, and checks what it is; `pack`
//! puts the manifest in, writes the file and says what it is.

mod project;
mod tool;
mod rust;
mod c;
mod python;
mod javascript;
mod component;
mod pack;

use std::path::{Path, PathBuf};

use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::plugin::language::Language;
use crate::plugin::{Error, sdk};
use crate::text::without_os_code;

use pack::Built;
use project::Project;

/// `blitz plugin build`.
#[derive(Debug, clap::Args)]
pub(crate) struct BuildArgs {
    /// The plugin's directory; or a WASM file that another tool made, with a plugin.toml beside it
    #[arg(value_name = "DIR|FILE", default_value = ".")]
    source: PathBuf,
    /// Make a native library, for engines whose operator trusts it; without a sandbox
    #[arg(long)]
    native: bool,
    /// What it is written in, where its files leave that open
    #[arg(long, value_name = "LANGUAGE", value_enum)]
    lang: Option<Language>,
    /// Where to write it, in place of NAME.wasm beside plugin.toml
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) async fn run(args: BuildArgs, _: &Environment) -> Result<ExitCode, Error> {
    let work = tokio::task::spawn_blocking(move || build(&args));
    work.await.map_err(|e| Error::Failed(format!("the build ended early: {e}")))??;
    Ok(ExitCode::SUCCESS)
}

/// One build, start to end.
fn build(args: &BuildArgs) -> Result<(), Error> {
    let project = Project::open(&args.source)?;
    let built = match (&project.ready_made, args.native) {
        (Some(file), false) => component::of_file(file).map(Built::Component)?,
        (Some(file), true) => {
            return Err(Error::Usage(format!(
                "--native builds a directory, and {} is a file",
                file.display()
            )));
        }
        (None, true) => native(&project, args.lang)?,
        (None, false) => sandboxed(&project, args.lang).map(Built::Component)?,
    };
    let packed = pack::write(&project, built, args.output.as_deref())?;
    pack::tell(&project, &packed);
    Ok(())
}

fn sandboxed(project: &Project, language: Option<Language>) -> Result<Vec<u8>, Error> {
    let language = project.language(language)?;
    let directory = &project.directory;
    if language != Language::Rust || rust::uses_unpacked_sdk(directory) {
        refresh_sdk(directory)?;
    }
    let made = match language {
        Language::Rust | Language::Wasi => rust::component(directory)?,
        Language::C => c::module(directory)?,
        Language::Python => python::component(directory)?,
        Language::Javascript => javascript::component(directory, &project.manifest)?,
    };
    component::of(&made)
}

fn native(project: &Project, language: Option<Language>) -> Result<Built, Error> {
    let language = project.language(language)?;
    if language != Language::Rust {
        return Err(Error::Usage(format!(
            "--native is for plugins in Rust, and this one is in {}; without it, the plugin runs in a sandbox",
            language.word()
        )));
    }
    if rust::uses_unpacked_sdk(&project.directory) {
        refresh_sdk(&project.directory)?;
    }
    rust::library(&project.directory).map(Built::Library)
}

fn refresh_sdk(directory: &Path) -> Result<(), Error> {
    let unpacked = sdk::unpack(directory).map_err(|e| {
        Error::Failed(format!("unpack the SDK: {}", without_os_code(&e.to_string())))
    })?;
    if unpacked == sdk::Unpacked::Replaced {
        tool::say("the SDK in .blitz/sdk was that of another blitz, and is now that of this one");
    }
    Ok(())
}
