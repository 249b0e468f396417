//! Builds the plugins that the binary carries, into `OUT_DIR/NAME.wasm`.

#[path = "../../sdk/component_build.rs"]
mod component_build;

use std::process::ExitCode;

use component_build::{Component, build};

const CURL: Component =
    Component { name: "curl", package: "blitz-curl", directory: "plugins/curl" };

fn main() -> ExitCode {
    match build(&CURL) {
        Ok(_) => ExitCode::SUCCESS,
        Err(problem) => {
            println!("cargo::error={problem}");
            ExitCode::FAILURE
        }
    }
}
