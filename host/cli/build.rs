//! Builds the plugins that the binary carries, into `OUT_DIR/NAME.wasm`, and lists the files of the SDK and of
//! the templates, which it carries too, in `OUT_DIR/sdk.rs`.

#[path = "../../sdk/component_build.rs"]
mod component_build;
#[path = "build/carried.rs"]
mod carried;
#[path = "build/workspace.rs"]
mod workspace;

use std::process::ExitCode;

use component_build::{Component, build};

/// In the order of `built_in.rs`.
const PLUGINS: &[Component] = &[
    Component { name: "curl", package: "blitz-curl", directory: "plugins/curl" },
    Component { name: "traceroute", package: "blitz-traceroute", directory: "plugins/traceroute" },
    Component { name: "ping", package: "blitz-ping", directory: "plugins/ping" },
    Component { name: "mtr", package: "blitz-mtr", directory: "plugins/mtr" },
    Component { name: "dig", package: "blitz-dig", directory: "plugins/dig" },
    Component { name: "rush", package: "blitz-rush", directory: "plugins/rush" },
];

fn main() -> ExitCode {
    let built = PLUGINS.iter().try_for_each(|plugin| build(plugin).map(drop));
    match built.and_then(|()| carried::list()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            println!("cargo::error={problem}");
            ExitCode::FAILURE
        }
    }
}
