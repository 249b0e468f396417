//! The clients, and what they say about how many answers they had.

use serde_json::Value;
use tokio::process::Command;

use super::site::{has, on_core};

/// What every client is asked to do.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) url: String,
    pub(crate) connections: u32,
    pub(crate) seconds: u32,
    /// Requests at once on a connection; none is HTTP/1.
    pub(crate) streams: Option<u32>,
}

/// A client of somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Wrk,
    H2load,
    Oha,
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wrk => "wrk",
            Self::H2load => "h2load",
            Self::Oha => "oha",
        }
    }

    /// Runs it; how many answers it had.
    pub(crate) async fn run(self, task: &Task) -> Result<u64, String> {
        if !has(self.name()) {
            return Err("not installed".to_owned());
        }
        let mut command = on_core(1, self.name().as_ref());
        self.words(task, &mut command);
        let output = command.output().await.map_err(|e| e.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout);
        self.answers(&text)
            .ok_or_else(|| format!("{text}{}", String::from_utf8_lossy(&output.stderr)))
    }

    fn words(self, task: &Task, command: &mut Command) {
        let (connections, seconds) = (task.connections.to_string(), task.seconds.to_string());
        match self {
            Self::Wrk => command.args(["-t", "1", "-c", &connections, "-d", &seconds, &task.url]),
            Self::H2load => {
                command.args(["-t", "1", "-c", &connections, "-D", &seconds]);
                match task.streams {
                    None => command.arg("--h1"),
                    Some(streams) => command.args(["-m", &streams.to_string()]),
                };
                command.arg(&task.url)
            }
            Self::Oha => {
                let time = format!("{seconds}s");
                command.env("TOKIO_WORKER_THREADS", "1");
                command.args(["--no-tui", "--output-format", "json", "--insecure"]);
                if let Some(streams) = task.streams {
                    command.args(["--http2", "-p", &streams.to_string()]);
                }
                command.args(["-c", &connections, "-z", &time, &task.url])
            }
        };
    }

    fn answers(self, text: &str) -> Option<u64> {
        match self {
            // `  123456 requests in 3.00s, 150.00MB read`
            Self::Wrk => text
                .lines()
                .find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok()),
            // `requests: 123 total, 123 started, 123 done, 123 succeeded, ...`
            Self::H2load => text.lines().find_map(|line| {
                let parts = line.strip_prefix("requests:")?.split(',');
                parts.filter_map(|part| part.trim().strip_suffix(" succeeded")?.parse().ok()).next()
            }),
            Self::Oha => {
                let report: Value = serde_json::from_str(text).ok()?;
                let codes = report["statusCodeDistribution"].as_object()?;
                Some(codes.values().filter_map(Value::as_u64).sum())
            }
        }
    }
}
