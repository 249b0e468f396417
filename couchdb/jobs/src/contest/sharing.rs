//! One engine at several homes: what its other stays take, and a stay that claims again.

use super::Contest;
use super::phase::Phase;

impl Contest {
    /// Claims again, where [`Contest::drain`] alone was said before.
    pub fn resume(&mut self) {
        self.draining = self.gives_back;
    }

    /// So many slots are taken here, for the engine's other stays: by jobs that are claimed or being claimed. One that has
    /// stopped and whose last word is not stored yet takes none: the store may be away for hours, and what the engine has
    /// is free meanwhile.
    #[must_use]
    pub fn slots_taken(&self) -> u32 {
        let closing = |job| {
            let known = self.known(job)?;
            let is_closing = matches!(known.phase, Phase::Closing { .. });
            is_closing.then(|| known.weight(self.config.slots))
        };
        let stopped: u32 = self.busy.iter().filter_map(closing).sum();
        self.slots_taken.saturating_sub(stopped)
    }

    /// So many of the engine's slots are taken by its other stays.
    pub fn hear_elsewhere(&mut self, slots: u32) {
        self.slots_elsewhere = slots;
    }

    pub(super) fn slots_free(&self) -> u32 {
        self.config.slots.saturating_sub(self.slots_taken).saturating_sub(self.slots_elsewhere)
    }
}
