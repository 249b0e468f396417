//! The WIT package `blitz:plugin@0.1.0` as Rust: generated, never edited.

wasmtime::component::bindgen!({
    path: "../../sdk/wit/blitz-plugin-0.1.0",
    world: "plugin",
    imports: {
        // Called often, and with nothing to wait for: without a future they cost half.
        "blitz:plugin/control.time-left-ms": trappable,
        "blitz:plugin/control.is-cancelled": trappable,
        "blitz:plugin/metrics.count": trappable,
        "blitz:plugin/metrics.observe": trappable,
        default: async | trappable,
    },
    exports: { default: async },
    with: {
        "blitz:plugin/web.body": crate::web::Body,
        "blitz:plugin/probes.session": crate::probes::Session,
        "blitz:plugin/load.test": crate::load::Test,
    },
});
