//! What a job's stream passes through on its way to the screen: the filter of a terminal, then the name
//! of the region before each line. Pure.

use crate::color::faint;
use crate::lines::Lines;
use crate::render::Scene;
use crate::strip::Strip;

/// One stream of one job.
#[derive(Debug)]
pub(crate) struct Pipeline {
    strip: Option<Strip>,
    lines: Option<Lines>,
}

impl Pipeline {
    /// Bytes as they are, without what could drive a terminal.
    pub(crate) fn plain(scene: &Scene, is_terminal: bool) -> Self {
        Self { strip: (is_terminal && !scene.raw).then(Strip::default), lines: None }
    }

    /// The same, with the name of the job's region before each line when there are several jobs.
    pub(crate) fn named(scene: &Scene, job: usize, is_terminal: bool) -> Self {
        let lines = (scene.jobs.len() > 1).then(|| {
            let prefix = format!("{} | ", scene.jobs[job].label);
            Lines::new(faint(&prefix, scene.color.applies(is_terminal, scene.no_color)))
        });
        Self { lines, ..Self::plain(scene, is_terminal) }
    }

    /// Takes bytes and gives what can be shown by now.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let bytes = match &mut self.strip {
            Some(strip) => strip.push(bytes),
            None => bytes.to_vec(),
        };
        match &mut self.lines {
            Some(lines) => lines.push(&bytes),
            None => bytes,
        }
    }

    /// The rest: a line that never got its end.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        self.lines.as_mut().map(Lines::finish).unwrap_or_default()
    }

    /// Forgets what is held: it belonged to an attempt that is void.
    pub(crate) fn clear(&mut self) {
        self.strip = self.strip.take().map(|_| Strip::default());
        if let Some(lines) = &mut self.lines {
            lines.clear();
        }
    }
}
