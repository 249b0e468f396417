//! `blitz demo`: the main job for real, with nothing configured and nothing beyond loopback.

use crate::dispatch::plugin_command;
use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::hello::Hello;
use crate::run::{self, print};
use crate::stack::{self, Plan, Stack};

/// The regions of the demonstration.
const REGIONS: [&str; 2] = ["virginia", "japan"];

/// Starts two regions and a small web server, then runs commands as a user would type them. They are
/// parsed and run by the very code that runs a user's command. Succeeds when all did.
pub(crate) async fn run(environment: &Environment) -> Result<ExitCode, Failure> {
    let hello = Hello::start()
        .await
        .map_err(|source| stack::Error::Io { what: "start the hello server", source })?;
    let regions = REGIONS.map(str::to_owned).to_vec();
    let stack = Stack::start(Plan::in_memory(regions, environment.compiled_directory())).await?;
    let shown = show(&stack, &hello, environment).await;
    stack.stop().await?;
    shown
}

async fn show(
    stack: &Stack,
    hello: &Hello,
    environment: &Environment,
) -> Result<ExitCode, Failure> {
    let url = format!("http://{}/hello", hello.address);
    for line in [format!("curl -r virginia {url}"), format!("curl -r virginia,japan {url}")] {
        print(&format!("$ blitz {line}\n"));
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let command = plugin_command(&words)?.with_a_new_engine();
        let code = run::run(&stack.gateway, &command, environment).await?;
        if code != ExitCode::SUCCESS {
            return Ok(code);
        }
    }
    Ok(print(
        "\nNow with a region of your own: 'blitz up' in one terminal, 'blitz curl URL' in another.\n",
    ))
}
