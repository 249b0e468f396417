//! Libraries that are not run, and why.

use blitz_contract::{Exit, Manifest, Stopped};
use blitz_runtime::{Error, NativePolicy, Runtime, RuntimeConfig};
use bytes::Bytes;

use crate::support::{config, example, hostile_with, load, nobody_stays, runtime, sha256, simple};

async fn refusal(runtime: &Runtime, library: Bytes) -> String {
    match simple(&load(runtime, library).await, &["noop"]).await.0 {
        Exit::Stopped(Stopped::Unusable(text)) => text,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_table_of_another_kind_or_version_is_refused() {
    let runtime = runtime();
    for (definition, wanted) in [
        ("-DMAGIC=7", "its blitz_plugin begins with 0x7, not 0x676c707a74696c62"),
        (
            "-DMAJOR=9",
            "it was built for version 9.1 of the native contract, this engine has 1.1; build it anew",
        ),
        ("-DSIZE=24", "its blitz_plugin of version 1.1 has 24 bytes, at least 40 are needed"),
        ("-Dblitz_plugin=other", "it exports no blitz_plugin; see blitz_plugin.h"),
    ] {
        assert_eq!(refusal(&runtime, hostile_with(&[definition])).await, wanted);
    }
    nobody_stays().await;
}

#[tokio::test]
async fn a_constructor_runs_inside_the_cage() {
    let runtime = runtime();
    let plugin = load(&runtime, hostile_with(&["-DCONSTRUCTOR"])).await;
    let (exit, frames) = simple(&plugin, &["told"]).await;
    assert_eq!(exit, Exit::Status(0));
    let told = crate::support::text(&frames, &blitz_contract::Stream::Stdout);
    assert_eq!(told, "constructor held\n");
    assert!(!std::path::Path::new("/tmp/blitz-native-constructor").exists());
}

#[tokio::test]
async fn what_the_loader_does_not_take_is_told() {
    let runtime = runtime();
    let text = refusal(&runtime, example().slice(..300)).await;
    assert!(text.starts_with("the loader refuses it: "), "{text}");
    assert_eq!(
        refusal(&runtime, hostile_with(&["-Dmemset=nowhere"])).await.get(..23),
        Some("the loader refuses it: ")
    );
}

#[tokio::test]
async fn what_is_no_library_of_this_machine_is_not_taken_in() {
    let runtime = runtime();
    let mut foreign = example().to_vec();
    foreign[18] = if cfg!(target_arch = "aarch64") { 62 } else { 183 };
    for (bytes, wanted) in [
        (Bytes::from_static(b"\0asm\x0d\0\x01\0 and so on behind it"), "it is no ELF library"),
        (Bytes::new(), "it is no ELF library"),
        (foreign.into(), "this engine runs on"),
    ] {
        let digest = sha256(&bytes);
        let error = runtime.load_native(bytes, &digest, None).await.unwrap_err();
        assert!(matches!(error, Error::Native(_)), "{error:?}");
        assert!(error.to_string().contains(wanted), "{error}");
    }
    let error = runtime.load_native(example(), &"0".repeat(64), None).await.unwrap_err();
    assert!(matches!(error, Error::Digest { .. }), "{error:?}");
}

#[tokio::test]
async fn an_engine_may_run_none() {
    let (library, digest) = (example(), sha256(&example()));
    for config in [
        RuntimeConfig { native: NativePolicy::Off, ..config() },
        RuntimeConfig { child: None, ..config() },
    ] {
        let runtime = Runtime::new(config).unwrap();
        let error = runtime.load_native(library.clone(), &digest, None).await.unwrap_err();
        assert!(matches!(error, Error::Native(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_signed_manifest_is_taken_as_it_is() {
    let (runtime, library) = (runtime(), example());
    let json = r#"{"name":"signed","version":"9.9.9","summary":"x","contract":"0.1.0"}"#;
    let manifest = Manifest::from_json(json).unwrap();
    let digest = sha256(&library);
    let plugin = runtime.load_native(library, &digest, Some(manifest)).await.unwrap();
    assert_eq!(plugin.describe().await.unwrap().name, "signed");
    assert_eq!(plugin.sha256(), digest);
}
