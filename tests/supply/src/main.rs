//! Prints the bill of materials of blitz: `cargo run -p blitz-supply > blitz.cdx.json`.

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let printed = blitz_supply::Supply::read().and_then(|supply| {
        let text = serde_json::to_string_pretty(&supply.bill()).map_err(|e| e.to_string())?;
        writeln!(std::io::stdout().lock(), "{text}").map_err(|e| e.to_string())
    });
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            drop(writeln!(std::io::stderr().lock(), "supply: {why}"));
            ExitCode::FAILURE
        }
    }
}
