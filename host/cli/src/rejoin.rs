//! `blitz job ID`: follows a job that another command made, from its start.

use std::collections::BTreeSet;

use crate::api::Gateway;
use crate::color::ColorChoice;
use crate::environment::Environment;
use crate::exit_code::{ExitCode, FailOn};
use crate::files::OutputFiles;
use crate::load::{LoadOptions, is_load};
use crate::pin::Pin;
use crate::render::{Scene, Watched, renderer};
use crate::run::Error;
use crate::screen::Screen;
use crate::settings::Format;
use crate::signals::Signals;
use crate::submit;
use crate::watch::Watch;

/// Shows the job's output and gives its exit code. ^C leaves and the job goes on: it is not this
/// command's own. Its output files are not written: they belong to the command that named them.
pub(crate) async fn follow(
    gateway: &Gateway,
    id: &str,
    raw: bool,
    environment: &Environment,
) -> Result<ExitCode, Error> {
    let mut signals = Signals::catch().map_err(Error::Signals)?;
    let job = gateway.job(id).await.map_err(submit::Error::from)?;
    let mut screen = Screen::new();
    // A load test is known by its manifest: its output is records, which another view would not show.
    let pin = Pin { name: job.plugin.clone(), version: Some(job.version.clone()), sha256: None };
    let manifest = match pin.version.as_deref() {
        Some("") | None => None,
        Some(_) => gateway.plugin(&pin, &[]).await.ok().map(|info| info.manifest),
    };
    let load = manifest.is_some_and(|manifest| is_load(&manifest)).then(LoadOptions::default);
    let watched = Watched { id: job.id, region: job.region.clone(), label: job.region };
    let scene = Scene {
        plugin: job.plugin.clone(),
        version: job.version,
        args: job.args,
        run: job.run,
        jobs: vec![watched.clone()],
        table: None,
        live: None,
        is_side_by_side: false,
        width_chars: load.as_ref().and_then(|_| screen.width_chars()),
        stdout_is_terminal: screen.stdout_is_terminal,
        stderr_is_terminal: screen.stderr_is_terminal,
        streams_are_one: screen.streams_are_one,
        raw,
        quiet: false,
        color: ColorChoice::Auto,
        no_color: environment.no_color,
        load,
        owns_jobs: false,
    };
    let watch = Watch {
        gateway,
        files: OutputFiles::new(BTreeSet::new(), std::slice::from_ref(&watched.label)),
        jobs: vec![watched],
        render: renderer(Format::Text { buffer: false }, scene),
        screen: &mut screen,
        signals: &mut signals,
        owns_jobs: false,
        fail_on: FailOn::Any,
        plugin: job.plugin,
        quiet: false,
    };
    Ok(watch.run(Vec::new()).await?)
}
