//! The interfaces of `wasi:sockets` as Rust: generated, never edited. What is common to all hosts (the network,
//! addresses, error codes, streams) is wasmtime-wasi's.

wasmtime::component::bindgen!({
    path: "wit/wasi-sockets.wit",
    world: "sockets",
    imports: { default: async | trappable },
    trappable_error_type: {
        "wasi:sockets/network.error-code" => wasmtime_wasi::p2::SocketError,
    },
    with: {
        "wasi:io": wasmtime_wasi::p2::bindings::io,
        "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
        "wasi:sockets/network": wasmtime_wasi::p2::bindings::sockets::network,
        "wasi:sockets/tcp.tcp-socket": super::tcp::Socket,
        "wasi:sockets/udp.udp-socket": super::udp::Socket,
        "wasi:sockets/udp.incoming-datagram-stream": super::udp::Incoming,
        "wasi:sockets/udp.outgoing-datagram-stream": super::udp::Outgoing,
        "wasi:sockets/ip-name-lookup.resolve-address-stream": super::lookup::Addresses,
    },
});
