//! The last step of a build: the manifest goes into the component, the file to its place, and what it is to
//! stdout.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use blitz_contract::package;
use tempfile::TempDir;

use crate::plugin::build::project::Project;
use crate::plugin::{Error, sdk};
use crate::text::without_os_code;

/// What was built.
#[derive(Debug)]
pub(crate) enum Built {
    /// A component, whose manifest goes into it.
    Component(Vec<u8>),
    /// A native library, whose manifest stays beside it.
    Library(Vec<u8>),
}

/// What was written.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) path: PathBuf,
    pub(crate) bytes: usize,
    pub(crate) sha256: String,
}

/// Packs and writes it: whole, or not at all.
///
/// # Errors
///
/// [`Error::Failed`] for what the file system says.
pub(crate) fn write(
    project: &Project,
    built: Built,
    output: Option<&Path>,
) -> Result<Packed, Error> {
    let name = &project.manifest.name;
    let (bytes, file) = match built {
        Built::Component(component) => {
            let json = serde_json::to_string(&project.manifest)
                .map_err(|e| Error::Failed(format!("write the manifest as JSON: {e}")))?;
            let packed = package::with_manifest(&component, &json)
                .ok_or_else(|| Error::Failed("the component is not made of sections".to_owned()))?;
            (packed, format!("{name}.wasm"))
        }
        Built::Library(library) => (library, format!("{name}.{}", std::env::consts::DLL_EXTENSION)),
    };
    let path = output.map_or_else(|| project.directory.join(file), Path::to_owned);
    replace(&path, &bytes)
        .map_err(|e| Error::Failed(without_os_code(&format!("write {}: {e}", path.display()))))?;
    Ok(Packed { sha256: blitz_jobs::plugin::sha256(&bytes), bytes: bytes.len(), path })
}

/// Says what it is.
pub(crate) fn tell(project: &Project, packed: &Packed) {
    let text = told(project, packed);
    // A closed pipe is a quiet end: the file is there.
    io::stdout().write_all(text.as_bytes()).ok();
}

fn told(project: &Project, packed: &Packed) -> String {
    let manifest = &project.manifest;
    let rights: Vec<String> = manifest
        .capabilities
        .iter()
        .map(|right| format!("{right}: {}", right.in_words()))
        .collect();
    let rights = match rights.is_empty() {
        true => "none".to_owned(),
        false => rights.join("\n              "),
    };
    format!(
        "{} {}\nfile          {}\nsize          {} bytes\nsha256        {}\ncapabilities  {rights}\n",
        manifest.name,
        manifest.version,
        shown(&packed.path),
        packed.bytes,
        packed.sha256,
    )
}

/// From here, where it is below.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}

/// A directory for what tools leave, in the plugin's own: gone when it is dropped.
///
/// # Errors
///
/// [`Error::Failed`] for what the file system says.
pub(crate) fn scratch(plugin: &Path) -> Result<TempDir, Error> {
    let private = plugin.join(sdk::PRIVATE);
    let made = fs::create_dir_all(&private)
        .and_then(|()| tempfile::Builder::new().prefix("build-").tempdir_in(&private));
    made.map_err(|e| {
        Error::Failed(without_os_code(&format!("make a directory in {}: {e}", private.display())))
    })
}

/// A reader of the file sees the old one or the new one.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(directory.unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(readable)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "name = \"x\"\nversion = \"0.1.0\"\nsummary = \"s\"\ncontract = \"0.1.0\"\n\
                            capabilities = [\"web\", \"dns\"]\n";

    #[test]
    fn a_component_has_its_manifest_and_a_library_does_not() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("plugin.toml"), MANIFEST).unwrap();
        let project = Project::open(place.path()).unwrap();
        let empty = b"\0asm\x0d\0\x01\0".to_vec();
        let packed = write(&project, Built::Component(empty), None).unwrap();
        assert_eq!(packed.path, project.directory.join("x.wasm"));
        let file = fs::read(&packed.path).unwrap();
        let json = package::manifest(&file).unwrap();
        assert_eq!(blitz_contract::Manifest::from_json(json).unwrap(), project.manifest);
        assert_eq!(
            (packed.bytes, &packed.sha256),
            (file.len(), &blitz_jobs::plugin::sha256(&file))
        );

        let elsewhere = place.path().join("lib.so");
        let packed =
            write(&project, Built::Library(b"\x7fELF".to_vec()), Some(&elsewhere)).unwrap();
        assert_eq!((packed.path, fs::read(&elsewhere).unwrap()), (elsewhere, b"\x7fELF".to_vec()));
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 3, "and nothing is left over");
    }

    #[test]
    fn the_rights_are_told_in_words() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("plugin.toml"), MANIFEST).unwrap();
        let project = Project::open(place.path()).unwrap();
        let packed = Packed { path: "/p/x.wasm".into(), bytes: 12, sha256: "ab".to_owned() };
        assert_eq!(
            told(&project, &packed),
            "x 0.1.0\nfile          /p/x.wasm\nsize          12 bytes\nsha256        ab\n\
             capabilities  web: make HTTP requests to addresses that the engine allows\n              \
             dns: ask the DNS, also a server of its choice that the engine allows\n"
        );
    }
}
