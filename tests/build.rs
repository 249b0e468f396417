//! Builds the plugin `fixture`; tests find it at `env!("BLITZ_FIXTURE_WASM")`.

#[path = "../sdk/component_build.rs"]
mod component_build;

use std::process::ExitCode;

use component_build::{Component, build};

const FIXTURE: Component =
    Component { name: "fixture", package: "blitz-fixture", directory: "tests/fixture" };

fn main() -> ExitCode {
    match build(&FIXTURE) {
        Ok(made) => {
            println!("cargo::rustc-env=BLITZ_FIXTURE_WASM={}", made.display());
            ExitCode::SUCCESS
        }
        Err(problem) => {
            println!("cargo::error={problem}");
            ExitCode::FAILURE
        }
    }
}
