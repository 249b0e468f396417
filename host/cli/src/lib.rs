//! `blitz`: run a command from any region, while staying in your own shell.
//!
//! Read along the road of a job. `words` tells our flags from the plugin's, `pin` reads its name, `commands` and
//! `settings` give them types, `dispatch` chooses the command. `run` is a plugin's command:
//! `locate` finds the gateway (`state_file` is that of `blitz up`, `credentials` what `login` keeps), `submit` makes the job, `follow` hears of it, `render` decides
//! what to show (`live`, `report`, `ndjson`), `outage` what to say of regions out of reach, `watch` does it, `exit_code` tells the
//! shell.
//! `load` is all of this for a load test, over the crate `blitz-report`.
//! `stack` is everything in one process, for `up`, `demo` and commands that find no gateway; `targets`
//! says which addresses its engines may reach, `trusting` whom they believe, `clusters` which stores can be entered. `plugin` is what authors and operators of
//! plugins do, `cluster` and `region` what operators of several clusters do, `accounts` what tenants and those who have them do. `completions` are scripts that ask `complete`, which has the plugins from the gateway, or from `known`.
//!
//! A library, so that the stories and benches of `tests/` can carry the program in a binary of their own.

mod words;
mod pin;
mod commands;
mod settings;
mod environment;
mod dispatch;
mod run;
mod locate;
mod state_file;
mod credentials;
mod token_file;
mod accounts_file;
mod key_file;
mod api;
mod wire;
mod submit;
mod follow;
mod sse;
mod watch;
mod render;
mod live;
mod drawn;
mod group;
mod columns;
mod table;
mod cells;
mod pipeline;
mod strip;
mod lines;
mod talk;
mod outage;
mod report;
mod ndjson;
mod load;
mod files;
mod screen;
mod signals;
mod exit_code;
mod failure;
mod rejoin;
mod list;
mod help;
mod completions;
mod complete;
mod joining;
mod known;
mod suggest;
mod color;
mod text;
mod when;
mod log;
mod built_in;
mod near;
mod targets;
mod loads;
mod trusting;
mod stack;
mod up;
mod clusters;
mod serve;
mod couchdb;
mod cluster;
mod region;
mod plugin;
mod login;
mod accounts;
mod demo;
mod doctor;
mod hello;
#[cfg(test)]
mod script;

/// What this program is to its own engines: a compiler, the cage of a native plugin, a worker of load tests.
pub fn child_main(words: impl Iterator<Item = std::ffi::OsString>) -> std::process::ExitCode {
    let work = blitz_runtime::ChildWork { load: Some(blitz_load::worker) };
    blitz_runtime::child_main_with(words, work)
}

/// The program: reads the process's arguments and environment, and gives its exit code.
#[must_use]
pub fn main() -> std::process::ExitCode {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == blitz_runtime::CHILD) {
        return child_main(words);
    }
    let environment = environment::Environment::read();
    dispatch::start(std::env::args_os().skip(1), &environment).into()
}
