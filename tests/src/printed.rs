//! What a plugin prints when it is run in this process, without an engine.

use blitz_contract::{Exit, Frame, Stream};
use blitz_runtime::{Invocation, Plugin};
use tokio::sync::mpsc::Receiver;

/// How a run ended, and what it wrote. Named files are left out.
#[derive(Debug)]
pub struct Printed {
    /// The plugin's status, or why it was stopped.
    pub exit: Exit,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

/// Runs it to its end. `frames` is the other end of the invocation's output.
pub async fn run(plugin: &Plugin, invocation: Invocation, mut frames: Receiver<Frame>) -> Printed {
    let taking = async {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        while let Some(frame) = frames.recv().await {
            match frame.stream {
                Stream::Stdout => stdout.extend(frame.bytes),
                Stream::Stderr => stderr.extend(frame.bytes),
                _ => {}
            }
        }
        (stdout, stderr)
    };
    let (exit, (stdout, stderr)) = tokio::join!(plugin.run(invocation), taking);
    Printed { exit, stdout, stderr }
}
