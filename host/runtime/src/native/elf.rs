//! Looks at the head of a file: a shared library for this machine, or why not. The loader reads the rest, in the
//! cage.

/// Offset and meaning of the fields: System V ABI, "ELF Header".
const MACHINE_AT: usize = 18;

/// `e_machine` of the machines that an engine is built for.
const MACHINES: &[(u16, &str)] = &[(62, "x86_64"), (183, "aarch64"), (243, "riscv64")];

/// # Errors
///
/// What it is instead, and what to do.
pub(super) fn check(bytes: &[u8], here: &str) -> Result<(), String> {
    let Some(&[0x7f, b'E', b'L', b'F', class, order, ..]) = bytes.get(..MACHINE_AT + 2) else {
        return Err(
            "it is no ELF library; build it with crate-type cdylib, or with cc -shared".to_owned()
        );
    };
    let field = |at: usize| {
        let pair = [bytes[at], bytes[at + 1]];
        if order == 1 { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) }
    };
    let machine = field(MACHINE_AT);
    let name = MACHINES.iter().find(|(number, _)| *number == machine).map(|(_, name)| *name);
    // 64-bit and little-endian, as all that are listed.
    if (class, order, name) != (2, 1, Some(here)) {
        let other = name.map_or_else(|| format!("ELF machine {machine}"), str::to_owned);
        return Err(format!(
            "it is a library for {other}, this engine runs on {here}; publish one for {here}, or a component"
        ));
    }
    if field(16) != 3 {
        return Err("it is an ELF file, but no shared library; build it with cc -shared".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(machine: u16, kind: u16) -> Vec<u8> {
        let mut head = b"\x7fELF\x02\x01".to_vec();
        head.resize(16, 0);
        head.extend_from_slice(&kind.to_le_bytes());
        head.extend_from_slice(&machine.to_le_bytes());
        head
    }

    #[test]
    fn a_library_for_another_machine_is_named() {
        assert_eq!(check(&head(62, 3), "x86_64"), Ok(()));
        for (bytes, wanted) in [
            (head(183, 3), "it is a library for aarch64, this engine runs on x86_64"),
            (head(8, 3), "it is a library for ELF machine 8, this engine"),
            (head(62, 2), "it is an ELF file, but no shared library"),
            (b"\0asm".to_vec(), "it is no ELF library"),
            (Vec::new(), "it is no ELF library"),
        ] {
            let text = check(&bytes, "x86_64").unwrap_err();
            assert!(text.starts_with(wanted), "{text}");
        }
    }
}
