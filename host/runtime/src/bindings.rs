//! The WIT package `blitz:plugin@0.1.0` as Rust: generated, never edited.

wasmtime::component::bindgen!({
    path: "../../sdk/wit/blitz-plugin-0.1.0",
    world: "plugin",
    imports: { default: async | trappable },
    exports: { default: async },
    with: { "blitz:plugin/web.body": crate::http::Body },
});
