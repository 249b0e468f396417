//! From words to the command that they name. The road goes on in [`crate::run`] for a plugin.

use std::ffi::OsString;
use std::io::Write as _;
use std::time::Duration;

use clap::CommandFactory as _;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::api::{self, Gateway};
use crate::built_in;
use crate::commands::{BuiltIn, Cli, Globals, JobAction, JobArgs, built_in_names, global_flags};
use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::list::{self, List};
use crate::load;
use crate::locate::{Place, locate};
use crate::log::LogFormat;
use crate::pin::{Pin, is_plugin_name};
use crate::run::{self, print, say};
use crate::settings::Settings;
use crate::stack::{Plan, Stack};
use crate::strip::Strip;
use crate::suggest::nearest;
use crate::text::without_os_code;
use crate::words::{SplitError, Typed, Words, split};
use crate::{
    accounts, cluster, complete, completions, couchdb, demo, doctor, help, log, login, plugin,
    region, rejoin, serve, up,
};

/// How long a stack of one command may take to stop. It is in memory: nothing is lost with it.
const STOP_MAX: Duration = Duration::from_secs(2);

/// Does what the words say, tells what went wrong, and gives the exit code.
pub(crate) fn start(words: impl Iterator<Item = OsString>, environment: &Environment) -> ExitCode {
    let mut plugin = None;
    let words: Result<Vec<String>, OsString> = words.map(OsString::into_string).collect();
    if let Ok([first, rest @ ..]) = words.as_deref()
        && first == complete::COMMAND
    {
        return complete::run(rest, environment);
    }
    words
        .map_err(Failure::NotText)
        .and_then(|words| dispatch(&words, environment, &mut plugin))
        .unwrap_or_else(|failure| tell(failure, plugin.as_deref()))
}

fn dispatch(
    words: &[String],
    environment: &Environment,
    plugin: &mut Option<String>,
) -> Result<ExitCode, Failure> {
    match split_words(words)? {
        Words::Nothing => {
            complain(&Cli::command().render_help().to_string());
            Ok(ExitCode::USAGE)
        }
        Words::Help => Ok(print(&Cli::command().render_help().to_string())),
        Words::Version => Ok(version()),
        Words::BuiltIn(words) => built_in_command(&words, environment),
        Words::Plugin { name, globals, typed } => {
            *plugin = Some(name.name.clone());
            if load::local::is_local(&name, &typed) {
                return load::local::run(&globals, &typed);
            }
            run_plugin(&command(name, &globals, typed)?, environment)
        }
        Words::PluginHelp { name, globals, first } => {
            if let Some(help) = first.and_then(|word| load::local::help(&name, &word)) {
                return Ok(print(&help));
            }
            plugin_help(&name, read_globals(&globals)?.host.as_deref(), environment)
        }
    }
}

fn split_words(words: &[String]) -> Result<Words, Failure> {
    let names = built_in_names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Ok(split(words, &global_flags(), &load::options::flags(), &names)?)
}

/// A plugin's command line, ready to run.
pub(crate) fn plugin_command(words: &[String]) -> Result<run::Command, Failure> {
    match split_words(words)? {
        Words::Plugin { name, globals, typed } => command(name, &globals, typed),
        _ => Err(SplitError::NoPlugin.into()),
    }
}

fn command(name: Pin, globals: &[String], typed: Typed) -> Result<run::Command, Failure> {
    Ok(run::Command { plugin: name, typed, settings: Settings::new(read_globals(globals)?)? })
}

/// Clap takes no word at all for a question for help.
fn read_globals(words: &[String]) -> Result<Globals, Failure> {
    if words.is_empty() {
        return Ok(Globals::default());
    }
    Ok(Cli::read(words)?.globals)
}

/// Runs a plugin at the gateway that is found, or with everything in this process.
fn run_plugin(command: &run::Command, environment: &Environment) -> Result<ExitCode, Failure> {
    let host = command.settings.host.as_deref();
    on_place(host, environment, |place| async move {
        match place {
            Found::Gateway(gateway) => Ok(run::run(&gateway, command, environment).await?),
            Found::Here(_) if command.settings.detach => {
                Err(Failure::NoGateway { what: "--detach" })
            }
            Found::Here(gateway) => {
                let command = command.clone().with_a_new_engine();
                let result = run::run(&gateway, &command, environment).await;
                result.map_err(|error| with_way_to_region(error.into()))
            }
        }
    })
}

/// A gateway, and whether it ends with this command.
enum Found {
    Gateway(Gateway),
    Here(Gateway),
}

/// Finds the gateway and does something with it; starts one in this process when there is none.
fn on_place<F: Future<Output = Result<ExitCode, Failure>>>(
    host: Option<&str>,
    environment: &Environment,
    act: impl FnOnce(Found) -> F,
) -> Result<ExitCode, Failure> {
    let client = client_runtime()?;
    let code = match locate(host, environment)? {
        Place::Gateway(gateway) => client.block_on(act(Found::Gateway(*gateway))),
        Place::Here => {
            // An orderly end removes the file.
            if environment.state_file.as_ref().is_some_and(|file| file.exists()) {
                say("blitz: the last 'blitz up' did not end in order; running in this process");
            }
            log::start(environment, LogFormat::Text);
            let server = server_runtime()?;
            let code = server.block_on(async {
                let regions = vec![up::LOCAL.to_owned()];
                let cache = environment.compiled_directory();
                let stack = Stack::start(Plan::in_memory(regions, cache)).await?;
                let code = act(Found::Here(stack.gateway.clone())).await;
                // The command is over; what its stack says of its own end changes nothing.
                let _late = timeout(STOP_MAX, stack.stop()).await;
                code
            });
            server.shutdown_background();
            code
        }
    };
    // A write to a pipe that nobody reads may hang for ever: it is not waited for.
    client.shutdown_background();
    code
}

/// Asks a gateway that must be there already.
fn on_gateway<F: Future<Output = Result<ExitCode, Failure>>>(
    what: &'static str,
    host: Option<&str>,
    environment: &Environment,
    act: impl FnOnce(Gateway) -> F,
) -> Result<ExitCode, Failure> {
    let client = client_runtime()?;
    let code = match locate(host, environment)? {
        Place::Gateway(gateway) => client.block_on(act(*gateway)),
        Place::Here => Err(Failure::NoGateway { what }),
    };
    client.shutdown_background();
    code
}

fn built_in_command(words: &[String], environment: &Environment) -> Result<ExitCode, Failure> {
    let Some(command) = Cli::read(words)?.command else {
        return Ok(print(&Cli::command().render_help().to_string()));
    };
    let format = match &command {
        BuiltIn::Up(args) => args.log.log_format,
        BuiltIn::Engine(args) => args.log.log_format,
        BuiltIn::Gateway(args) => args.log.log_format,
        _ => LogFormat::Text,
    };
    let serving = |future: ServingFuture<'_>| {
        log::start(environment, format);
        let runtime = server_runtime()?;
        let code = runtime.block_on(future);
        runtime.shutdown_background();
        code
    };
    let lists = |list: List, args: &crate::commands::ListArgs| {
        let json = args.json;
        on_place(args.host.as_deref(), environment, |place| async move {
            match place {
                Found::Gateway(gateway) | Found::Here(gateway) => {
                    Ok(list::show(&gateway, list, json).await?)
                }
            }
        })
    };
    match command {
        // `run` never comes here: the split takes it.
        BuiltIn::Run { .. } => Err(SplitError::NoPlugin.into()),
        BuiltIn::Demo => serving(Box::pin(demo::run(environment))),
        BuiltIn::Up(args) => serving(Box::pin(async { Ok(up::run(args, environment).await?) })),
        BuiltIn::Engine(args) => {
            serving(Box::pin(async { Ok(serve::engine(args, environment).await?) }))
        }
        BuiltIn::Gateway(args) => {
            serving(Box::pin(async { Ok(serve::gateway(args, environment).await?) }))
        }
        BuiltIn::Couchdb(args) => {
            serving(Box::pin(async { Ok(couchdb::run(args, environment).await?) }))
        }
        BuiltIn::Cluster(action) => {
            serving(Box::pin(async { Ok(cluster::run(action, environment).await?) }))
        }
        BuiltIn::Region(action) => {
            serving(Box::pin(async { region::run(action, environment).await }))
        }
        BuiltIn::Doctor(args) => {
            serving(Box::pin(async { Ok(doctor::run(args, environment).await?) }))
        }
        BuiltIn::Regions(args) => lists(List::Regions, &args),
        BuiltIn::Plugins(args) => lists(List::Plugins, &args),
        BuiltIn::Engines(args) => {
            on_gateway("blitz engines", args.host.as_deref(), environment, |gateway| async move {
                Ok(list::show(&gateway, List::Engines, args.json).await?)
            })
        }
        BuiltIn::Jobs { last, list: args } => {
            on_gateway("blitz jobs", args.host.as_deref(), environment, |gateway| async move {
                Ok(list::show(&gateway, List::Jobs(last), args.json).await?)
            })
        }
        BuiltIn::Plugin(action) => {
            serving(Box::pin(async { Ok(plugin::run(action, environment).await?) }))
        }
        BuiltIn::Job(args) => job(args, environment),
        BuiltIn::Login(args) => {
            let client = client_runtime()?;
            let code = client.block_on(login::login(args, environment));
            // After ^C somebody still waits for the terminal.
            client.shutdown_background();
            Ok(code?)
        }
        BuiltIn::Logout(args) => Ok(login::logout(args, environment)?),
        BuiltIn::Account(command) => {
            let host = command.ask().host.clone();
            on_gateway(command.what(), host.as_deref(), environment, |gateway| async move {
                Ok(accounts::run(command, &gateway).await?)
            })
        }
        BuiltIn::Completions { shell } => Ok(completions::run(shell)),
        BuiltIn::Help { topic: None, .. } => Ok(print(&Cli::command().render_help().to_string())),
        BuiltIn::Help { topic: Some(topic), host } => {
            help_topic(&topic, host.as_deref(), environment)
        }
        BuiltIn::Version => Ok(version()),
    }
}

type ServingFuture<'a> = std::pin::Pin<Box<dyn Future<Output = Result<ExitCode, Failure>> + 'a>>;

fn job(args: JobArgs, environment: &Environment) -> Result<ExitCode, Failure> {
    match (args.action, args.id) {
        (Some(JobAction::Abort { id, host }), _) => {
            on_gateway("blitz job", host.as_deref(), environment, |gateway| async move {
                Ok(list::abort(&gateway, &id).await?)
            })
        }
        (None, Some(id)) => {
            let host = args.list.host.clone();
            on_gateway("blitz job", host.as_deref(), environment, |gateway| async move {
                if args.list.json {
                    return Ok(list::show_job(&gateway, &id).await?);
                }
                Ok(rejoin::follow(&gateway, &id, args.raw, environment).await?)
            })
        }
        // Clap asks for one of them.
        (None, None) => Ok(ExitCode::USAGE),
    }
}

/// Help of a command of ours, or of a plugin.
fn help_topic(
    topic: &str,
    host: Option<&str>,
    environment: &Environment,
) -> Result<ExitCode, Failure> {
    let mut cli = Cli::command();
    cli.build();
    if let Some(command) = cli.find_subcommand_mut(topic) {
        return Ok(print(&command.render_help().to_string()));
    }
    let pin: Pin = match Pin::is_meant(topic) || is_plugin_name(topic) {
        true => topic.parse().map_err(SplitError::from)?,
        false => return Err(unknown_topic(topic, Vec::new())),
    };
    plugin_help(&pin, host, environment)
}

/// Help of a plugin at the gateway, or of a built-in one where none runs; a command may have its name.
fn plugin_help(
    pin: &Pin,
    host: Option<&str>,
    environment: &Environment,
) -> Result<ExitCode, Failure> {
    let topic = &pin.to_string();
    let client = client_runtime()?;
    let manifest = client.block_on(async {
        match locate(host, environment)? {
            Place::Gateway(gateway) => match gateway.plugin(pin, &[]).await {
                Ok(info) => Ok(info.manifest),
                Err(api::Error::Refused { refusal, .. }) if refusal.error == "unknown_plugin" => {
                    Err(unknown_topic(topic, refusal.known))
                }
                Err(error) => Err(error.into()),
            },
            Place::Here => {
                let known = || built_in::manifests().map(|m| m.name).collect();
                let is_wanted =
                    |version: &String| pin.version.as_ref().is_none_or(|v| v == version);
                let found =
                    built_in::manifests().find(|m| m.name == pin.name && is_wanted(&m.version));
                found.ok_or_else(|| unknown_topic(topic, known()))
            }
        }
    });
    client.shutdown_background();
    Ok(print(&help::of_plugin(&manifest?, &global_flags())))
}

fn unknown_topic(topic: &str, plugins: Vec<String>) -> Failure {
    let known: Vec<String> = built_in_names().into_iter().chain(plugins).collect();
    // A plugin that is not there may have the name of a command: that was not meant.
    let others = known.iter().map(String::as_str).filter(|known| *known != topic);
    let nearest = nearest(topic, others).map(str::to_owned);
    Failure::UnknownTopic { topic: topic.to_owned(), nearest }
}

fn version() -> ExitCode {
    print(concat!("blitz ", env!("CARGO_PKG_VERSION"), "\n"))
}

/// Where everything is in this process there is one region; the way to another is to start it.
fn with_way_to_region(mut failure: Failure) -> Failure {
    if let Some(refusal) = failure.refusal_mut().filter(|r| r.error == "unknown_region") {
        let region = refusal.reason.split('\'').nth(1).unwrap_or("NAME").to_owned();
        let known = std::mem::take(&mut refusal.known).join(", ");
        refusal.suggestion = None;
        refusal
            .reason
            .push_str(&format!("; known: {known}; 'blitz up --region {region}' starts one here"));
    }
    failure
}

/// Prints a failure and gives its code.
fn tell(mut failure: Failure, plugin: Option<&str>) -> ExitCode {
    let code = failure.code();
    if let Failure::Clap(error) = &failure {
        let text = error.render().to_string();
        return match error.use_stderr() {
            true => {
                complain(&text);
                code
            }
            // Help that was asked for.
            false => print(&text),
        };
    }
    // A word that is no plugin may be a command of ours, mistyped.
    if let Some(refusal) = failure.refusal_mut().filter(|r| r.error == "unknown_plugin")
        && let (None, Some(word)) = (&refusal.suggestion, plugin)
    {
        let names = built_in_names();
        refusal.suggestion = nearest(word, names.iter().map(String::as_str)).map(str::to_owned);
    }
    let text = without_os_code(&failure.to_string());
    match plugin.filter(|_| failure.is_about_plugin()) {
        Some(plugin) => complain(&format!("blitz {plugin}: {text}\n")),
        None => complain(&format!("blitz: {text}\n")),
    }
    code
}

/// Writes to stderr, without the control sequences of foreign words: manifests, imports and refusals are quoted in
/// failures. Talk that nobody hears is no error.
fn complain(text: &str) {
    let safe = Strip::default().push(text.as_bytes());
    let _unheard = std::io::stderr().lock().write_all(&safe);
}

/// For a command that only asks a gateway: one thread, as starting more costs a millisecond.
fn client_runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread().enable_all().build().map_err(Failure::Start)
}

/// For a store, a gateway and engines.
fn server_runtime() -> Result<Runtime, Failure> {
    Builder::new_multi_thread().enable_all().build().map_err(Failure::Start)
}
