//! The life of a load worker until its own code begins: shut the cage, say so.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use blitz_contract::load::work::Said;

use super::cage::{self, Bars};
use super::line;

/// The word behind [`crate::CHILD`].
pub(crate) const WORD: &str = "load";

/// The kernel ends this one first when memory runs out. Source: `proc_pid_oom_score_adj(5)`.
const OOM_FIRST: &str = "1000";

/// Runs `work` on the line to the engine, in a cage. The engine is at the other end of stdin.
pub(crate) fn main(
    mut arguments: impl Iterator<Item = OsString>,
    work: fn(UnixStream) -> ExitCode,
) -> ExitCode {
    let Some(line) = crate::native::line_of_child() else { return ExitCode::FAILURE };
    let mut line = UnixStream::from(line);
    // What fills a worker's memory is a target's doing as well: a machine without any takes it from the worker, and not
    // from the engine, which says what became of it. Where that is refused, the kernel chooses.
    std::fs::write("/proc/self/oom_score_adj", OOM_FIRST).ok();
    let bars = arguments.next().and_then(|word| serde_json::from_str::<Bars>(word.to_str()?).ok());
    let shut = match &bars {
        Some(bars) => cage::shut(bars, &line).map_err(|e| format!("the cage does not shut: {e}")),
        None => Err("its argument is none".to_owned()),
    };
    match shut {
        Ok(()) => work(line),
        Err(text) => {
            // An engine that is gone needs no word.
            let frame = line::frame(&Said::Refused(text)).unwrap_or_default();
            line.write_all(&frame).ok();
            ExitCode::FAILURE
        }
    }
}
