//! From files to a bundle, and from a bundle to the objects of a store.

use super::elf::{self, Needs};
use super::{
    BadBundle, BundleFile, Digest, Glibc, Manifest, Mode, PROGRAM, SigningKey, Target, layout,
};

/// A file for a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Its name in the bundle; `blitz` is the program, all others are plugins.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// A bundle, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    manifest: Manifest,
    /// The contents, in the order of the manifest's files.
    contents: Vec<Vec<u8>>,
}

/// An object to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Where, below the prefix.
    pub key: String,
    /// What.
    pub bytes: Vec<u8>,
    /// The digest of it.
    pub sha256: Digest,
}

impl Bundle {
    /// Puts files together: the program `blitz`, and plugins beside it. No program or library among them may name a newer
    /// C library than `glibc_max`; take [`Glibc::OF_IMAGES`] unless the operator knows the images better.
    ///
    /// # Errors
    ///
    /// [`BadBundle`].
    pub fn build(
        product: &str,
        target: Target,
        glibc_max: Glibc,
        inputs: Vec<Input>,
    ) -> Result<Self, BadBundle> {
        let mut inputs = inputs;
        inputs.sort_by(|one, two| one.name.cmp(&two.name));
        let mut glibc = None;
        for input in &inputs {
            glibc = glibc.max(check(input, target, glibc_max)?);
        }
        let file = |input: &Input| {
            let mode = if input.name == PROGRAM { Mode::Run } else { Mode::Read };
            BundleFile::of(&input.name, mode, &input.bytes)
        };
        // A bundle without its program, which alone may be without a need, is refused here.
        let glibc = glibc.unwrap_or(Glibc::OF_IMAGES);
        let manifest = Manifest::new(product, target, glibc, inputs.iter().map(file).collect())?;
        Ok(Self { manifest, contents: inputs.into_iter().map(|input| input.bytes).collect() })
    }

    /// What is in it.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// All that is to be stored, signed, in the order in which it is to be stored: who finds the manifest finds the rest.
    #[must_use]
    pub fn into_objects(self, key: &SigningKey) -> Vec<Object> {
        let object = |key: String, bytes: Vec<u8>| {
            let sha256 = Digest::of(&bytes);
            Object { key, bytes, sha256 }
        };
        let id = self.manifest.id();
        let files = self.manifest.files().iter().zip(self.contents);
        let blobs = files.map(|(file, bytes)| Object {
            key: layout::blob(&file.sha256),
            bytes,
            sha256: file.sha256,
        });
        let mut objects: Vec<Object> = blobs.collect();
        objects.push(object(layout::manifest_signature(&id), self.manifest.sign(key)));
        objects.push(object(layout::manifest(&id), self.manifest.to_text().into_bytes()));
        objects
    }
}

/// Holds a program or library against the machines that the bundle is for; what it needs of the C library. Components of
/// WASM need nothing.
fn check(input: &Input, target: Target, max: Glibc) -> Result<Option<Glibc>, BadBundle> {
    let Input { name, bytes } = input;
    if name != PROGRAM && !elf::is_elf(bytes) {
        return Ok(None);
    }
    let no_elf = |why| BadBundle::NoElf { file: name.clone(), why };
    let Needs { target: found, has_loader, glibc, symbols } = elf::needs(bytes).map_err(no_elf)?;
    match found {
        Ok(found) if found == target => {}
        found => {
            let found = found.map_or_else(|machine| machine, |found| found.to_string());
            return Err(BadBundle::OtherMachine { file: name.clone(), found, wanted: target });
        }
    }
    if name == PROGRAM && (!has_loader || glibc.is_none()) {
        return Err(BadBundle::Static(name.clone()));
    }
    match glibc {
        Some(needs) if needs > max => {
            let symbols = symbols.join(", ");
            Err(BadBundle::NewGlibc { file: name.clone(), needs, symbols, max })
        }
        other => Ok(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Glibc = Glibc { major: 2, minor: 99 };

    /// The program that runs now, which is one of Linux with the C library of GNU.
    fn program() -> Input {
        Input { name: PROGRAM.to_owned(), bytes: std::fs::read("/proc/self/exe").unwrap() }
    }

    fn plugin() -> Input {
        Input { name: "hops.wasm".to_owned(), bytes: b"\0asm".to_vec() }
    }

    fn here() -> Target {
        std::env::consts::ARCH.parse().unwrap()
    }

    fn build(max: Glibc, inputs: Vec<Input>) -> Result<Bundle, BadBundle> {
        Bundle::build("0.1.0", here(), max, inputs)
    }

    #[test]
    fn the_same_files_are_the_same_bytes() {
        let key = SigningKey::generate().unwrap();
        let one = build(ANY, vec![program(), plugin()]).unwrap();
        let two = build(ANY, vec![plugin(), program()]).unwrap();
        let id = one.manifest().id();
        assert_eq!(one.manifest().files()[0].mode, Mode::Run);
        assert_eq!(one.manifest().files()[1].mode, Mode::Read);
        let (one, two) = (one.into_objects(&key), two.into_objects(&key));
        assert_eq!(one, two);
        let keys: Vec<&str> = one.iter().map(|object| object.key.as_str()).collect();
        let last = format!("bundles/{id}/manifest.json");
        assert_eq!(keys.last(), Some(&last.as_str()), "and it is stored when all else is");
        for object in &one {
            assert_eq!(object.sha256, Digest::of(&object.bytes));
        }
        let [.., signature, text] = one.as_slice() else { panic!("a manifest and its signature") };
        let opened =
            Manifest::open(&text.bytes, &signature.bytes, &key.public(), &id, here()).unwrap();
        for (file, object) in opened.files().iter().zip(&one) {
            assert_eq!(object.key, format!("blobs/sha256/{}", file.sha256));
            file.check_bytes(&object.bytes).unwrap();
        }
    }

    #[test]
    fn a_program_that_is_too_new_for_the_images_is_refused() {
        let needs = elf::needs_glibc(&program().bytes).unwrap().unwrap();
        assert_eq!(build(needs, vec![program()]).unwrap().manifest().glibc(), needs);
        let older = Glibc { major: 2, minor: needs.minor - 1 };
        let error = build(older, vec![program()]).unwrap_err().to_string();
        for wants in [&format!("needs glibc {needs} (for "), "boot/files/README.md", "give up"] {
            assert!(error.contains(wants), "{error}");
        }
        // The same holds for native plugins.
        let native = Input { name: "native.so".to_owned(), ..program() };
        let error = build(older, vec![native]).unwrap_err();
        assert!(matches!(error, BadBundle::NewGlibc { file, .. } if file == "native.so"));
    }

    #[test]
    fn what_is_no_program_for_the_target_is_refused() {
        let other = Target::ALL.into_iter().find(|target| *target != here()).unwrap();
        let error = Bundle::build("0.1.0", other, ANY, vec![program()]).unwrap_err();
        assert!(matches!(error, BadBundle::OtherMachine { .. }), "{error}");
        let text = Input { name: PROGRAM.to_owned(), bytes: b"#!/bin/sh\n".to_vec() };
        let error = build(ANY, vec![text]).unwrap_err();
        assert!(matches!(error, BadBundle::NoElf { .. }), "{error}");
        assert_eq!(build(ANY, vec![plugin()]), Err(BadBundle::NoProgram));
        let error = build(ANY, vec![program(), plugin(), plugin()]).unwrap_err();
        assert_eq!(error, BadBundle::Twice("hops.wasm".to_owned()));
        // Without the segment that names the loader, a program is one that brings its own C library.
        let mut bytes = program().bytes;
        let table = usize::try_from(u64::from_le_bytes(bytes[0x20..0x28].try_into().unwrap()));
        let (table, count) = (table.unwrap(), usize::from(bytes[0x38]));
        for at in (0..count).map(|at| table + at * 56) {
            if bytes[at..at + 4] == [3, 0, 0, 0] {
                bytes[at] = 4;
            }
        }
        let error = build(ANY, vec![Input { bytes, ..program() }]).unwrap_err();
        assert!(matches!(error, BadBundle::Static(_)), "{error}");
    }
}
