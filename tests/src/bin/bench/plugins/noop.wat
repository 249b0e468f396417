;; A WASI command that does nothing: noop.wasm is this text as a component, without a manifest.
(component
  (core module $m (memory 1) (func (export "run") (result i32) (i32.const 0)))
  (core instance $i (instantiate $m))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (instance $cli (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $cli)))
