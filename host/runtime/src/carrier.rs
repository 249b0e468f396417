//! What kind of plugin a component is: one of our contract, or a plain WASI command.
//!
//! A command is a program with a `main`, in any language that compiles to WASI: it gets its arguments as `argv`
//! and knows nothing of us. So its manifest stands beside it in the file, and its arguments are checked here.

use std::time::Instant;

use blitz_contract::arguments::Arguments;
use blitz_contract::{CONTRACT_VERSION, Manifest};
use wasmtime::Store;
use wasmtime::component::{Component, Linker};
use wasmtime_wasi::p2::bindings::CommandPre;

use crate::bindings::PluginPre;
use crate::error::Error;
use crate::guest::{Answer, Call};
use crate::job::Job;

/// How a component is entered.
pub(crate) enum Carrier {
    /// By `describe` and `run` of `blitz:plugin/tool`.
    Tool(PluginPre<Job>),
    /// By `run` of `wasi:cli/run`.
    Command(CommandPre<Job>),
}

/// A component begins with the magic number, version 13 and layer 1.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
/// A core module, what compilers for `wasm32-wasip1` and older give: version 1, layer 0.
const MODULE: &[u8] = b"\0asm\x01\0\0\0";
const ELF: &[u8] = b"\x7fELF";

/// The environment variable that tells a command its region.
const REGION: &str = "BLITZ_REGION";

/// The status of a command line that the plugin does not take, as in most Unix commands.
pub(crate) const EXIT_USAGE: u8 = 2;

/// Refuses what is no component before a compiler sees it.
///
/// # Errors
///
/// [`Error::NotAComponent`] says what it is instead, and what to do.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Error> {
    let text = if bytes.starts_with(COMPONENT) {
        return Ok(());
    } else if bytes.starts_with(MODULE) {
        "this is a core module; 'blitz plugin build' makes a component of it"
    } else if bytes.starts_with(ELF) {
        "this is a native library; it is published with its manifest beside it, by 'blitz plugin publish'"
    } else {
        "it does not begin as one; 'blitz plugin build' makes one"
    };
    Err(Error::NotAComponent(text.to_owned()))
}

impl Carrier {
    /// Links a component; everything that it imports must be there.
    ///
    /// # Errors
    ///
    /// [`Error::Contract`] names the import that we do not have, or the exports that we look for.
    pub(crate) fn link(linker: &Linker<Job>, component: &Component) -> Result<Self, Error> {
        let contract = |e: wasmtime::Error| Error::Contract(format!("{e:#}"));
        let pre = linker.instantiate_pre(component).map_err(contract)?;
        let tool = format!("blitz:plugin/tool@{CONTRACT_VERSION}");
        if component.get_export_index(None, &tool).is_some() {
            return Ok(Self::Tool(PluginPre::new(pre).map_err(contract)?));
        }
        let command = CommandPre::new(pre).map_err(|_| {
            Error::Contract(format!("it exports neither {tool} nor wasi:cli/run@0.2"))
        })?;
        Ok(Self::Command(command))
    }

    pub(crate) fn is_command(&self) -> bool {
        matches!(self, Self::Command(_))
    }
}

/// What a WASI program finds around it. Empty for a component of our contract, which is told by `run`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Program {
    pub(crate) argv: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
}

impl Program {
    /// The world of a command: its name, then its arguments as they were typed.
    pub(crate) fn new(name: &str, args: &[String], region: &str) -> Self {
        let mut argv = vec![name.to_owned()];
        argv.extend_from_slice(args);
        Self { argv, environment: vec![(REGION.to_owned(), region.to_owned())] }
    }
}

/// Why a command does not take these arguments: two lines, as the SDK of a component prints them. A manifest that
/// declares none takes everything: the program reads its own `argv`.
pub(crate) fn usage_error(manifest: &Manifest, args: &[String]) -> Option<String> {
    if manifest.arguments.is_empty() {
        return None;
    }
    let error = Arguments::parse(manifest, args).err()?;
    let name = &manifest.name;
    Some(format!("{name}: {error}\ntry 'blitz help {name}'\n"))
}

/// Runs a command's `main`.
///
/// # Errors
///
/// When it trapped, or ended itself by `exit`.
pub(crate) async fn run_command(
    command: &CommandPre<Job>,
    store: &mut Store<Job>,
    call: &Call,
) -> wasmtime::Result<Answer> {
    let started = Instant::now();
    let instance = command.instantiate_async(&mut *store).await?;
    match call {
        Call::Instantiate => return Ok(Answer::Instantiated(started.elapsed())),
        Call::Describe => return Err(wasmtime::Error::msg("a WASI command has no describe")),
        Call::Run { .. } => {}
    }
    // `main` says no more than this; a number comes by `exit`.
    let ended = instance.wasi_cli_run().call_run(&mut *store).await?;
    Ok(Answer::Status(u8::from(ended.is_err())))
}
