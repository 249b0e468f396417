//! The limits of one guest's memories and tables, which remember what they refused: the guest's own allocator only
//! aborts.

use wasmtime::ResourceLimiter;

use crate::limits::{CORE_INSTANCES_MAX, MEMORIES_MAX, Size, TABLE_ELEMENTS_MAX};

/// Counts all linear memories of one store together.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    max_bytes: u64,
    used_bytes: u64,
    /// The latest growth, to be taken back when the machine could not do it.
    latest_growth_bytes: u64,
    /// Elements of all tables of the store.
    table_elements: usize,
    refused: Option<Refusal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Memory { asked_bytes: u64 },
    Table { asked: usize },
}

impl MemoryLimit {
    pub(crate) fn new(max_bytes: u64) -> Self {
        Self { max_bytes, used_bytes: 0, latest_growth_bytes: 0, table_elements: 0, refused: None }
    }

    /// What to tell when the guest ended badly after a refusal.
    pub(crate) fn refusal(&self) -> Option<String> {
        match self.refused? {
            Refusal::Memory { asked_bytes } => Some(format!(
                "memory limit {} reached (asked for {})",
                Size(self.max_bytes),
                Size(asked_bytes)
            )),
            Refusal::Table { asked } => Some(format!(
                "table limit {TABLE_ELEMENTS_MAX} elements reached (asked for {asked})"
            )),
        }
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = u64::try_from(desired.saturating_sub(current)).unwrap_or(u64::MAX);
        let asked_bytes = self.used_bytes.saturating_add(more);
        if asked_bytes > self.max_bytes {
            self.refused = Some(Refusal::Memory { asked_bytes });
            return Ok(false);
        }
        self.used_bytes = asked_bytes;
        self.latest_growth_bytes = more;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        tracing::debug!(%error, "a guest's memory did not grow");
        self.used_bytes -= std::mem::take(&mut self.latest_growth_bytes);
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let asked = self.table_elements.saturating_add(desired.saturating_sub(current));
        if asked > TABLE_ELEMENTS_MAX {
            self.refused = Some(Refusal::Table { asked });
            return Ok(false);
        }
        self.table_elements = asked;
        Ok(true)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        CORE_INSTANCES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn memories_add_up_and_the_refusal_is_remembered() {
        let mut limit = MemoryLimit::new(64 * 1024 * 1024);
        assert!(limit.memory_growing(0, 40 * MIB, None).unwrap());
        assert!(limit.memory_growing(0, 24 * MIB, None).unwrap());
        assert_eq!(limit.refusal(), None);
        assert!(!limit.memory_growing(24 * MIB, 31 * MIB, None).unwrap());
        assert_eq!(
            limit.refusal().as_deref(),
            Some("memory limit 64 MiB reached (asked for 71 MiB)")
        );
    }

    #[test]
    fn tables_have_a_limit() {
        let mut limit = MemoryLimit::new(1);
        assert!(limit.table_growing(0, 1000, None).unwrap());
        assert!(limit.table_growing(0, TABLE_ELEMENTS_MAX - 1000, None).unwrap());
        assert!(!limit.table_growing(1000, 1001, None).unwrap());
        assert!(limit.refusal().unwrap().starts_with("table limit"), "{:?}", limit.refusal());
    }
}
