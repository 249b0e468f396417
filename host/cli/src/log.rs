//! What gateway, engines and store say while they work: lines on stderr, as many as `BLITZ_LOG` asks.

use tracing_subscriber::filter::LevelFilter;

use crate::environment::Environment;

/// Starts logging. A second call changes nothing.
pub(crate) fn start(environment: &Environment) {
    let level = environment.log.as_deref().and_then(|level| level.parse().ok());
    let started = tracing_subscriber::fmt()
        .with_max_level(level.unwrap_or(LevelFilter::WARN))
        .with_writer(std::io::stderr)
        .try_init();
    // It had been started before.
    drop(started);
}
