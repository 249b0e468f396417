//! The facts of a native library's ELF header, as far as they are for people. Nothing is loaded and nothing is run.
//!
//! Source: System V ABI, "ELF Header"; `e_machine` as registered there.

use blitz_contract::native::SYMBOL;

/// `ET_DYN`: a shared object.
const SHARED: u16 = 3;

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Elf {
    /// `x86-64`
    pub(super) machine: String,
    /// Of the class of 64 bits, in little-endian order, a shared object: what a host of blitz can load.
    pub(super) is_library: bool,
    /// Its tables of names have our symbol.
    pub(super) has_symbol: bool,
}

impl Elf {
    /// `None` when the file has no ELF header.
    pub(super) fn read(file: &[u8]) -> Option<Self> {
        let header = file.get(..20).filter(|header| header.starts_with(b"\x7fELF"))?;
        let is_64 = header[4] == 2;
        let is_little = header[5] == 1;
        let half = |at: usize| {
            let bytes = [header[at], header[at + 1]];
            if is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) }
        };
        let machine = match half(18) {
            62 => "x86-64".to_owned(),
            183 => "aarch64".to_owned(),
            243 => "riscv".to_owned(),
            3 => "x86".to_owned(),
            40 => "arm".to_owned(),
            other => format!("machine {other}"),
        };
        Some(Self {
            machine,
            is_library: is_64 && is_little && half(16) == SHARED,
            has_symbol: has_name(file, SYMBOL.as_bytes()),
        })
    }

    /// The word of this machine's own libraries.
    pub(super) fn is_of_this_machine(&self) -> bool {
        let here = match std::env::consts::ARCH {
            "x86_64" => "x86-64",
            other => other,
        };
        self.machine == here
    }
}

/// Whether a table of names has this one: between two NULs.
fn has_name(file: &[u8], name: &[u8]) -> bool {
    let is_name = |bytes: &[u8]| {
        bytes.first() == Some(&0) && bytes.last() == Some(&0) && bytes[1..=name.len()] == *name
    };
    file.windows(name.len() + 2).any(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read() {
        let header = |class: u8, order: u8, kind: [u8; 2], machine: [u8; 2]| {
            [&[0x7f, b'E', b'L', b'F', class, order, 1, 0][..], &[0; 8], &kind, &machine].concat()
        };
        let library = header(2, 1, [3, 0], [62, 0]);
        let elf = Elf::read(&library).unwrap();
        assert_eq!((elf.machine.as_str(), elf.is_library, elf.has_symbol), ("x86-64", true, false));
        for (names, has_symbol) in
            [("\0blitz_plugin\0", true), ("\0my_blitz_plugin\0", false), ("\0blitz_plugin", false)]
        {
            let named = [&library[..], names.as_bytes()].concat();
            assert_eq!(Elf::read(&named).unwrap().has_symbol, has_symbol, "{names:?}");
        }
        let big = Elf::read(&header(2, 2, [0, 3], [0, 183])).unwrap();
        assert_eq!((big.machine.as_str(), big.is_library), ("aarch64", false));
        assert_eq!(Elf::read(&library[..19]), None);
        assert_eq!(Elf::read(b"\0asm\x0d\0\x01\0            "), None);
    }
}
