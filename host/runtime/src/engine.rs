//! The wasmtime engine: one set of settings for all who compile or run machine code, and the pool of instances
//! that it is run from.
//!
//! The pool is address space that is taken once: a memory, tables and a stack for each run are then there without
//! a system call that maps. Its slots are counted here, so that a run waits for them as it waits for its turn, and
//! never hears of a full pool.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::Component;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::limits::{
    CORE_INSTANCES_MAX, FIBER_STACK_BYTES, GUEST_STACK_BYTES, INSTANCE_STATE_MAX_BYTES,
    MEMORIES_MAX, MEMORY_MAX_BYTES, TABLE_ELEMENTS_MAX, WARM_MEMORY_BYTES, WARM_SLOTS_MAX,
    WARM_STACK_BYTES, WARM_TABLE_BYTES,
};

/// Tables that belong to one slot: a Rust component has two beside its one memory, a Python component a dozen.
const TABLES_PER_SLOT: u32 = 4;

/// What compiled code depends on. Whoever compiles for a runtime uses the same, or its code is refused.
pub(crate) fn settings() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK_BYTES)
        .async_stack_size(FIBER_STACK_BYTES)
        // Maps machine code back to WASM offsets, which only backtraces read: a third of the cached file.
        .generate_address_map(false);
    config
}

/// An engine that runs so many guests at once, and the slots of its pool.
///
/// # Errors
///
/// When this machine cannot run WASM at all. One that has no address space for a pool runs without.
pub(crate) fn start(instances_max: usize) -> wasmtime::Result<(Engine, Slots)> {
    let count = slots(instances_max);
    let mut pooled = settings();
    // What a run left on its stack goes with it: a pool of stacks that were once deep would be gigabytes.
    pooled.async_stack_zeroing(true);
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(count)));
    let engine = match Engine::new(&pooled) {
        Ok(engine) => engine,
        Err(error) => {
            tracing::warn!(%error, slots = count, "no pool of instances; each run maps its own memory");
            Engine::new(&settings())?
        }
    };
    Ok((engine, Slots { free: Arc::new(Semaphore::new(usize::try_from(count)?)), count }))
}

/// One for each run, and at least what the largest component takes.
fn slots(instances_max: usize) -> u32 {
    u32::try_from(instances_max.max(MEMORIES_MAX)).unwrap_or(u32::MAX)
}

fn pool(slots: u32) -> PoolingAllocationConfig {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let tables = number(MEMORIES_MAX) * TABLES_PER_SLOT;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_memories(slots)
        .total_tables(slots.saturating_mul(TABLES_PER_SLOT))
        .total_stacks(slots)
        // These two are only counted, no space is taken for them.
        .total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(number(CORE_INSTANCES_MAX)))
        .max_core_instances_per_component(number(CORE_INSTANCES_MAX))
        .max_memories_per_component(number(MEMORIES_MAX))
        .max_memories_per_module(number(MEMORIES_MAX))
        .max_tables_per_component(tables)
        .max_tables_per_module(tables)
        .max_memory_size(usize::try_from(MEMORY_MAX_BYTES).unwrap_or(usize::MAX))
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_component_instance_size(INSTANCE_STATE_MAX_BYTES)
        .max_core_instance_size(INSTANCE_STATE_MAX_BYTES)
        .max_unused_warm_slots(WARM_SLOTS_MAX)
        // The kernel says which pages a run has written, and only these are cleared: a Rust program leaves the
        // first megabyte, its stack, nearly untouched. Kernels before 6.7 cannot: there it is the lowest addresses.
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(WARM_MEMORY_BYTES)
        .table_keep_resident(WARM_TABLE_BYTES)
        .async_stack_keep_resident(WARM_STACK_BYTES);
    pool
}

/// The free slots of the pool.
#[derive(Debug)]
pub(crate) struct Slots {
    free: Arc<Semaphore>,
    count: u32,
}

impl Slots {
    /// Waits for as many as an instance of the component needs; `None` when the runtime is closed.
    pub(crate) async fn take(&self, wanted: u32) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).acquire_many_owned(wanted.min(self.count)).await.ok()
    }
}

/// The slots that one instance of the component needs.
pub(crate) fn slots_of(component: &Component) -> u32 {
    let most = u32::try_from(MEMORIES_MAX).unwrap_or(u32::MAX);
    match component.resources_required() {
        Some(needs) => {
            needs.num_memories.max(needs.num_tables.div_ceil(TABLES_PER_SLOT)).clamp(1, most)
        }
        // It instantiates modules that it imports: we lend none.
        None => most,
    }
}
