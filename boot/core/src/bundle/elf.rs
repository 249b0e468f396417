//! What a program or library asks of the machine that it is to run on: its kind, and the C library.
//!
//! The loader refuses a program before its first instruction when the C library lacks a version that the program
//! names ("version `GLIBC_2.35' not found"), whether the function is ever called or not. So what a program names is all
//! that counts.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use object::Endianness;
use object::elf::{
    DT_VERNEED, EM_AARCH64, EM_X86_64, ET_DYN, ET_EXEC, FileHeader64, PT_INTERP, SHT_DYNSYM,
    VER_FLG_WEAK, VERSYM_VERSION,
};
use object::read::StringTable;
use object::read::elf::{
    Dyn as _, FileHeader as _, ProgramHeader as _, SectionTable, VerneedIterator,
};
use serde::{Deserialize, Serialize};

use super::{BadBundle, Target};

/// A version of the C library, `2.34`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Glibc {
    /// Always 2 up to now.
    pub major: u32,
    /// Rises twice a year.
    pub minor: u32,
}

impl Glibc {
    /// The oldest C library of the default images: Amazon Linux 2023 has 2.34, Debian 12 has 2.36, Ubuntu 22.04 has 2.35.
    pub const OF_IMAGES: Self = Self { major: 2, minor: 34 };

    /// What `GLIBC_ABI_DT_RELR` stands for: relative relocations in the short form.
    const OF_RELR: Self = Self { major: 2, minor: 36 };
}

impl fmt::Display for Glibc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Glibc {
    type Err = BadBundle;

    fn from_str(text: &str) -> Result<Self, BadBundle> {
        let bad = || BadBundle::Word {
            what: "a version of glibc",
            value: text.chars().take(16).collect(),
            rule: "it is MAJOR.MINOR, as in 2.34",
        };
        let number = |digits: &str| {
            let is_plain = digits.len() <= 4
                && digits.bytes().all(|b| b.is_ascii_digit())
                && (digits == "0" || !digits.starts_with('0'));
            digits.parse().ok().filter(|_| is_plain)
        };
        let (major, minor) = text.split_once('.').ok_or_else(bad)?;
        let numbers = number(major).zip(number(minor));
        numbers.map(|(major, minor)| Self { major, minor }).ok_or_else(bad)
    }
}

impl TryFrom<String> for Glibc {
    type Error = BadBundle;

    fn try_from(text: String) -> Result<Self, BadBundle> {
        text.parse()
    }
}

impl From<Glibc> for String {
    fn from(version: Glibc) -> Self {
        version.to_string()
    }
}

/// Whether these bytes begin as a program or library does.
#[must_use]
pub fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF")
}

/// What a program or library asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// The kind of machine; none when it is one that blitz is not built for, with its number.
    pub target: Result<Target, String>,
    /// Whether it is started by a loader: libraries are not, nor are programs that bring their own C library.
    pub has_loader: bool,
    /// The newest version of the C library that it names.
    pub glibc: Option<Glibc>,
    /// The functions for which it names that version, a few of them.
    pub symbols: Vec<String>,
}

/// Functions in a message.
const SYMBOLS_SHOWN: usize = 3;

/// Versions that one file may name: the program itself names 30.
const VERSIONS_MAX: usize = 4096;

/// What the program or library of these bytes asks for.
///
/// # Errors
///
/// The text says what is wrong with bytes that are none.
pub fn needs(bytes: &[u8]) -> Result<Needs, String> {
    read(bytes).map_err(|error| error.to_string())
}

/// The newest version of the C library that a program or library names; none when it needs none.
///
/// # Errors
///
/// The text says what is wrong with bytes that are none.
pub fn needs_glibc(bytes: &[u8]) -> Result<Option<Glibc>, String> {
    needs(bytes).map(|needs| needs.glibc)
}

fn read(bytes: &[u8]) -> Result<Needs, Box<dyn Error>> {
    let header = FileHeader64::<Endianness>::parse(bytes)?;
    let endian = header.endian()?;
    if endian != Endianness::Little {
        return Err("it is for big-endian machines".into());
    }
    if !matches!(header.e_type(endian), ET_EXEC | ET_DYN) {
        return Err("it is neither a program nor a library".into());
    }
    let target = match header.e_machine(endian) {
        EM_X86_64 => Ok(Target::X86_64),
        EM_AARCH64 => Ok(Target::Aarch64),
        other => Err(format!("machine {other} of elf.h")),
    };
    let segments = header.program_headers(endian, bytes)?;
    let has_loader = segments.iter().any(|segment| segment.p_type(endian) == PT_INTERP);
    let mut names_versions = false;
    for segment in segments {
        let entries = segment.dynamic(endian, bytes)?.unwrap_or_default();
        names_versions |= entries.iter().any(|entry| entry.tag(endian) == DT_VERNEED);
    }
    let sections = header.sections(endian, bytes)?;
    let Some((files, names)) = sections.gnu_verneed(endian, bytes)? else {
        // The loader reads segments, and we sections: a file without sections must not pass as one without needs.
        return match names_versions {
            true => Err("its sections are cut off, so that its needs cannot be read".into()),
            false => Ok(Needs { target, has_loader, glibc: None, symbols: Vec::new() }),
        };
    };
    let names = sections.strings(endian, bytes, names)?;
    let newest = newest(files, endian, names)?;
    let symbols = match newest {
        Some((_, index)) => symbols_of(&sections, endian, bytes, index)?,
        None => Vec::new(),
    };
    Ok(Needs { target, has_loader, glibc: newest.map(|(glibc, _)| glibc), symbols })
}

/// The newest version of the C library that is named, with the number by which symbols refer to it.
fn newest(
    mut files: VerneedIterator<'_, FileHeader64<Endianness>>,
    endian: Endianness,
    names: StringTable<'_>,
) -> Result<Option<(Glibc, u16)>, Box<dyn Error>> {
    let mut newest: Option<(Glibc, u16)> = None;
    let mut left = VERSIONS_MAX;
    while let Some((_, mut versions)) = files.next()? {
        while let Some(version) = versions.next()? {
            left = left.checked_sub(1).ok_or("it names too many versions")?;
            // A weak one may be missing: `match_symbol` of glibc's elf/dl-version.c.
            if version.vna_flags.get(endian) & VER_FLG_WEAK != 0 {
                continue;
            }
            if let Some(glibc) = glibc_of(version.name(endian, names)?)
                && newest.is_none_or(|(other, _)| other < glibc)
            {
                newest = Some((glibc, version.vna_other.get(endian) & VERSYM_VERSION));
            }
        }
    }
    Ok(newest)
}

/// `GLIBC_2.34`, and not `GLIBC_PRIVATE` or a version of another library.
fn glibc_of(name: &[u8]) -> Option<Glibc> {
    let version = std::str::from_utf8(name).ok()?.strip_prefix("GLIBC_")?;
    if version == "ABI_DT_RELR" {
        return Some(Glibc::OF_RELR);
    }
    // Old ones have a third number: GLIBC_2.2.5.
    let mut numbers = version.splitn(3, '.');
    format!("{}.{}", numbers.next()?, numbers.next()?).parse().ok()
}

/// A few of the functions that name this version.
fn symbols_of(
    sections: &SectionTable<'_, FileHeader64<Endianness>>,
    endian: Endianness,
    bytes: &[u8],
    index: u16,
) -> Result<Vec<String>, Box<dyn Error>> {
    let Some((versions, _)) = sections.gnu_versym(endian, bytes)? else {
        return Ok(Vec::new());
    };
    let symbols = sections.symbols(endian, bytes, SHT_DYNSYM)?;
    let of_it = symbols.iter().zip(versions);
    let of_it = of_it.filter(|(_, version)| version.0.get(endian) & VERSYM_VERSION == index);
    let names = of_it.take(SYMBOLS_SHOWN).map(|(symbol, _)| {
        let name = String::from_utf8_lossy(symbols.symbol_name(endian, symbol)?);
        Ok(name.chars().filter(|c| c.is_ascii_graphic()).take(SYMBOL_CHARS).collect())
    });
    names.collect()
}

/// Characters of a function's name in a message.
const SYMBOL_CHARS: usize = 40;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The program that runs now: it is one of Linux, and it is dynamic.
    fn program() -> Vec<u8> {
        std::fs::read("/proc/self/exe").unwrap()
    }

    #[test]
    fn a_real_program_tells_its_needs() {
        let needs = needs(&program()).unwrap();
        assert_eq!(needs.target, std::env::consts::ARCH.parse().map_err(|_| String::new()));
        assert!(needs.has_loader);
        let glibc = needs.glibc.unwrap();
        assert!(glibc >= "2.17".parse().unwrap() && glibc < "3.0".parse().unwrap(), "{glibc}");
        assert!(!needs.symbols.is_empty());
    }

    #[test]
    fn a_program_of_another_machine_is_known() {
        let mut bytes = program();
        bytes[18..20].copy_from_slice(&EM_AARCH64.to_le_bytes());
        assert_eq!(needs(&bytes).unwrap().target, Ok(Target::Aarch64));
        bytes[18..20].copy_from_slice(&243_u16.to_le_bytes());
        assert_eq!(needs(&bytes).unwrap().target, Err("machine 243 of elf.h".to_owned()));
    }

    #[test]
    fn a_program_whose_sections_are_cut_off_does_not_pass() {
        let mut bytes = program();
        // e_shoff, e_shnum and e_shstrndx.
        bytes[0x28..0x30].fill(0);
        bytes[0x3c..0x40].fill(0);
        let error = needs(&bytes).unwrap_err();
        assert!(error.contains("cut off"), "{error}");
    }

    #[test]
    fn versions_of_other_libraries_do_not_count() {
        for (name, version) in [
            (&b"GLIBC_2.2.5"[..], Some((2, 2))),
            (b"GLIBC_2.34", Some((2, 34))),
            (b"GLIBC_ABI_DT_RELR", Some((2, 36))),
            (b"GLIBC_PRIVATE", None),
            (b"GLIBC_2", None),
            (b"GCC_3.0", None),
            (b"GLIBCXX_3.4", None),
            (b"GLIBC_\xff", None),
        ] {
            let found = glibc_of(name).map(|glibc| (glibc.major, glibc.minor));
            assert_eq!(found, version, "{}", String::from_utf8_lossy(name));
        }
        assert!("2.4".parse::<Glibc>().unwrap() < "2.34".parse().unwrap(), "numbers, not texts");
        for text in ["", "2", "2.", "2.034", "02.3", "2.3.4", "-2.3", "2.99999", "2.x"] {
            assert!(text.parse::<Glibc>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            needs(&bytes).ok();
        }

        #[test]
        fn no_change_of_a_program_panics(
            changes in proptest::collection::vec((0_usize..4096, any::<u8>()), 1..32),
            length in 0_usize..65536,
        ) {
            thread_local! {
                static PROGRAM: Vec<u8> = program();
            }
            let mut bytes = PROGRAM.with(|program| program[..length.max(4096)].to_vec());
            for (at, byte) in changes {
                bytes[at] = byte;
            }
            needs(&bytes).ok();
        }
    }
}
