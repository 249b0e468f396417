//! Builds a plugin of this repository to a WASM component from within a build script.
//!
//! Not a crate: build scripts take it in with `#[path]`, so that no build dependency is compiled
//! for it. It knows cargo and rustup, and nothing of blitz.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-wasip2";

/// A directory of ready-made `NAME.wasm` files, used instead of building.
const READY_MADE: &str = "BLITZ_PLUGINS_DIR";

/// What of the outer environment reaches the nested build: tools, places, network, and the
/// jobserver, so that both builds together use the cores once. The outer build's flags and
/// profile are about another target.
const PASSED_ON: &[&str] = &[
    "PATH",
    "HOME",
    "TMPDIR",
    "CARGO_HOME",
    "CARGO_MAKEFLAGS",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "RUSTUP_DIST_SERVER",
    "RUSTUP_UPDATE_ROOT",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];
const PASSED_ON_PREFIXES: &[&str] =
    &["CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_", "CARGO_SOURCE_"];

/// The profile of guests: small, as they are kept as attachments and compiled again by each engine.
const PROFILE: &[(&str, &str)] = &[
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s"),
    ("CARGO_PROFILE_RELEASE_LTO", "true"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_STRIP", "true"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
    ("CARGO_PROFILE_RELEASE_INCREMENTAL", "false"),
    // Set though empty: it silences flags for the host in the user's own cargo configuration.
    ("CARGO_ENCODED_RUSTFLAGS", ""),
];

/// A plugin of this repository.
pub(crate) struct Component {
    /// The word users type, and the file's stem in `OUT_DIR` and `BLITZ_PLUGINS_DIR`.
    pub(crate) name: &'static str,
    /// The cargo package.
    pub(crate) package: &'static str,
    /// Its directory from the root of the repository.
    pub(crate) directory: &'static str,
}

/// Makes `OUT_DIR/NAME.wasm`, tells cargo what it came from, and gives its path.
///
/// The nested build has one target directory for all build scripts and outer profiles. Its lock is not
/// the one that the outer cargo holds, so the two never wait for each other.
///
/// # Errors
///
/// One line that says what to do.
pub(crate) fn build(component: &Component) -> Result<PathBuf, String> {
    let out_dir = PathBuf::from(variable("OUT_DIR")?);
    let made = out_dir.join(format!("{}.wasm", component.name));
    println!("cargo::rerun-if-env-changed={READY_MADE}");
    let source = match env::var_os(READY_MADE).filter(|directory| !directory.is_empty()) {
        Some(directory) => {
            let ready_made = Path::new(&directory).join(format!("{}.wasm", component.name));
            println!("cargo::rerun-if-changed={}", ready_made.display());
            ready_made
        }
        None => compile(component, &repository()?, &target_directory(&out_dir))?,
    };
    fs::copy(&source, &made)
        .map_err(|error| format!("copy {} to {}: {error}", source.display(), made.display()))?;
    Ok(made)
}

fn compile(component: &Component, root: &Path, target_dir: &Path) -> Result<PathBuf, String> {
    for part in ["Cargo.toml", "Cargo.lock", "sdk", component.directory] {
        println!("cargo::rerun-if-changed={}", root.join(part).display());
    }
    ensure_target(target_dir)?;
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .current_dir(root)
        .env_clear()
        .envs(env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_passed_on)))
        .envs(PROFILE.iter().copied())
        .env("CARGO_TARGET_DIR", target_dir)
        // The outer build has just brought the lock file up to date.
        .args(["build", "--locked", "--release", "--target", TARGET, "--package"])
        .arg(component.package);
    let output = cargo.output().map_err(|error| format!("start cargo: {error}"))?;
    if !output.status.success() {
        tell(&String::from_utf8_lossy(&output.stderr));
        return Err(format!(
            "plugin {} did not build for {TARGET}; its messages stand below; \
             {READY_MADE}=DIR takes a ready-made DIR/{}.wasm",
            component.name, component.name
        ));
    }
    let file = format!("{}.wasm", component.package.replace('-', "_"));
    Ok(target_dir.join(TARGET).join("release").join(file))
}

#[expect(clippy::print_stderr, reason = "cargo shows the stderr of a build script that failed")]
fn tell(messages: &str) {
    eprint!("{messages}");
}

/// Adds the standard library for WASM where it is missing.
fn ensure_target(target_dir: &Path) -> Result<(), String> {
    if has_target()? {
        return Ok(());
    }
    // Two build scripts may get here at once, and rustup does not wait for itself.
    let lock = target_dir.join(".rustup-lock");
    let held = fs::create_dir_all(target_dir)
        .and_then(|()| fs::File::create(&lock))
        .and_then(|file| file.lock().map(|()| file))
        .map_err(|error| format!("lock {}: {error}", lock.display()))?;
    let added = if has_target()? { Ok(()) } else { add_target() };
    drop(held);
    added
}

fn add_target() -> Result<(), String> {
    let mut rustup = Command::new("rustup");
    let reason = match rustup.args(["target", "add", TARGET]).output() {
        Ok(output) if output.status.success() && has_target()? => return Ok(()),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            text.lines().last().unwrap_or("no reason given").trim().to_owned()
        }
        Err(error) => error.to_string(),
    };
    Err(format!(
        "plugins are built for {TARGET}, which this toolchain lacks: run `rustup target add {TARGET}` \
         and build again (tried it: {reason})"
    ))
}

fn has_target() -> Result<bool, String> {
    let output = Command::new(variable("RUSTC")?)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|error| format!("start rustc: {error}"))?;
    let directory = String::from_utf8_lossy(&output.stdout);
    Ok(output.status.success() && Path::new(directory.trim()).is_dir())
}

/// `plugins` beside the outer build's profile directories: `cargo clean` takes it along, and what one
/// profile built serves the other.
fn target_directory(out_dir: &Path) -> PathBuf {
    // Cargo's own place of an OUT_DIR: <target>/<profile>/build/<package>/out.
    out_dir.ancestors().nth(4).unwrap_or(out_dir).join("plugins")
}

/// The root of the repository: where this file's own directory is.
fn repository() -> Result<PathBuf, String> {
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    package
        .ancestors()
        .find(|directory| directory.join("sdk/component_build.rs").is_file())
        .map(Path::to_path_buf)
        .ok_or_else(|| format!("no sdk/component_build.rs above {}", package.display()))
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name} in the environment of a build script: {error}"))
}

fn is_passed_on(name: &str) -> bool {
    PASSED_ON.contains(&name)
        || PASSED_ON_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || name.to_ascii_lowercase().ends_with("_proxy")
}
