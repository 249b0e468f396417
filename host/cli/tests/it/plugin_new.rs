//! `blitz plugin new` and `build`, as far as no tool of another language is needed: what is made, and what is
//! refused.

use std::fs;

use blitz_contract::package;

use crate::blitz::Blitz;

#[test]
fn a_new_plugin_needs_nothing_but_the_program() {
    let blitz = Blitz::new();
    let ran = blitz.run_alone("plugin new hops");
    ran.check(
        0,
        "made hops, a plugin in rust\n\n  cd hops\n  blitz plugin build\n  \
         blitz plugin run hops.wasm https://example.com\n\nREADME.md says what is what.\n",
        "",
    );
    let made = blitz.directory().join("hops");
    for file in [
        "plugin.toml",
        "Cargo.toml",
        "Cargo.lock",
        "src/lib.rs",
        "tests/page.toml",
        "tests/page.tape",
        ".blitz/sdk/plugin/Cargo.toml",
    ] {
        assert!(made.join(file).is_file(), "{file}");
    }
    let again = blitz.run_alone("plugin new hops");
    again.check(2, "", "blitz: hops is not empty: a new plugin needs a directory of its own\n");
    for language in ["c", "python", "javascript", "wasi"] {
        let ran = blitz.run_alone(&format!("plugin new below/{language}-one --lang {language}"));
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    assert_eq!(fs::read_dir(blitz.directory().join("below")).unwrap().count(), 4);
}

#[test]
fn what_cannot_be_made_or_built_says_why() {
    let blitz = Blitz::new();
    fs::write(blitz.directory().join("plain"), "").unwrap();
    fs::create_dir(blitz.directory().join("empty")).unwrap();
    for (line, says) in [
        (
            "plugin new Hops",
            "'Hops' is no name for a plugin: 1 to 40 of a-z, 0-9 and -, a letter first",
        ),
        ("plugin new ..", "'..' is no name for a plugin"),
        ("plugin new plain", "cannot use plain: Not a directory"),
        ("plugin new hops --lang cobol", "invalid value 'cobol' for '--lang <LANGUAGE>'"),
        (
            "plugin build empty",
            "empty/plugin.toml: No such file or directory; 'blitz plugin new NAME' makes",
        ),
        ("plugin build gone", "gone/plugin.toml: No such file or directory"),
    ] {
        let ran = blitz.run_alone(line);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "blitz {line}: {ran:?}");
        assert!(ran.stderr.contains(says), "blitz {line}: {}", ran.stderr);
    }
}

#[test]
fn a_missing_tool_is_named_with_the_command_that_installs_it() {
    let blitz = Blitz::new();
    for (language, says) in [
        ("c", "run 'pip install ziglang'"),
        ("python", "run 'pip install componentize-py'"),
        ("javascript", "run 'npm install @bytecodealliance/componentize-js'"),
        ("wasi", "cargo is missing"),
    ] {
        assert_eq!(
            blitz.run_alone(&format!("plugin new my-{language} --lang {language}")).code,
            Some(0)
        );
        let line = format!("plugin build my-{language}");
        let mut command = blitz.command(None, &line);
        let ran = crate::blitz::Ran::from(command.env("PATH", "/nonexistent").output().unwrap());
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains(says), "{language}: {}", ran.stderr);
    }
}

#[test]
fn a_file_that_another_tool_made_gets_its_manifest() {
    let blitz = Blitz::new();
    let place = blitz.directory().join("mine");
    fs::create_dir(&place).unwrap();
    let manifest = "name = \"mine\"\nversion = \"1.2.3\"\nsummary = \"s\"\ncontract = \"0.1.0\"\n\
                    capabilities = [\"web\"]\n";
    fs::write(place.join("plugin.toml"), manifest).unwrap();
    let component = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/plugin_new.rs");
    fs::copy(component, place.join("not-wasm.wasm")).unwrap();
    let ran = blitz.run_alone("plugin build mine/not-wasm.wasm");
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("is not WASM"), "{}", ran.stderr);

    fs::write(place.join("made.wasm"), COMMAND).unwrap();
    let ran = blitz.run_alone("plugin build mine/made.wasm");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    let packed = fs::read(place.join("mine.wasm")).unwrap();
    assert!(ran.stdout.starts_with("mine 1.2.3\nfile          mine/mine.wasm\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("capabilities  web: make HTTP requests"), "{}", ran.stdout);
    assert!(package::manifest(&packed).unwrap().contains("\"1.2.3\""));

    // Again, with a newer manifest and into itself.
    fs::write(place.join("plugin.toml"), manifest.replace("1.2.3", "1.2.4")).unwrap();
    assert_eq!(blitz.run_alone("plugin build mine/mine.wasm").code, Some(0));
    let packed = fs::read(place.join("mine.wasm")).unwrap();
    assert!(package::manifest(&packed).unwrap().contains("\"1.2.4\""));
}

/// The smallest command of WASI 0.1: a `_start` that does nothing.
const COMMAND: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x05\x03\x01\0\x01\
    \x07\x13\x02\x06memory\x02\0\x06_start\0\0\x0a\x04\x01\x02\0\x0b";
