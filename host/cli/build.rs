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

const CURL: Component =
    Component { name: "curl", package: "blitz-curl", directory: "plugins/curl" };

fn main() -> ExitCode {
    match build(&CURL).and_then(|_| carried::list()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            println!("cargo::error={problem}");
            ExitCode::FAILURE
        }
    }
}
