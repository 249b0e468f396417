//! The plugin's side of a shared library: the table that it exports, and the host's table as a [`Host`](crate::Host).
//!
//! Read in this order: `export_library!` and `enter` are the way in, `lent` is what the host lends, `paths` and `load`
//! what of it is asked by name; `words` turns exchanges and lookups into the contract's JSON and back.

mod lent;
mod paths;
mod load;
mod words;

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

pub use blitz_contract::native::{Bytes, HostTable, Invocation, MAGIC, MAJOR, MINOR, Table};

use blitz_contract::native::{FAILED, PANICKED};

use crate::embedded::Embedded;
use crate::plugin::{RawCall, dispatch};
use lent::Lent;

/// What `run` returns when the host's table is not one: beyond every exit status.
const NO_HOST: u32 = 0x200;

/// Exports the table of an [`Embedded`] plugin.
#[doc(hidden)]
#[macro_export]
macro_rules! export_library {
    ($embedded:ty) => {
        #[expect(unsafe_code, reason = "a name among all symbols of a program")]
        #[unsafe(export_name = "blitz_plugin")]
        static BLITZ_PLUGIN: $crate::native::Table = $crate::native::table::<$embedded>();
    };
}

/// What a library exports.
#[must_use]
pub const fn table<E: Embedded>() -> Table {
    Table {
        magic: MAGIC,
        major: MAJOR,
        minor: MINOR,
        size: size_of::<Table>(),
        describe: Some(describe::<E>),
        run: Some(run::<E>),
    }
}

extern "C" fn describe<E: Embedded>() -> Bytes {
    Bytes::of(E::MANIFEST.as_bytes())
}

/// Unwinding out of a function of C would abort the process without a word.
extern "C" fn run<E: Embedded>(host: *const HostTable, call: *const Invocation) -> u32 {
    catch_unwind(AssertUnwindSafe(|| enter::<E>(host, call))).unwrap_or(PANICKED)
}

fn enter<E: Embedded>(host: *const HostTable, call: *const Invocation) -> u32 {
    let (Some(host), Some(call)) = (table_of(host), invocation(call)) else {
        return NO_HOST;
    };
    let status = dispatch::<E::Plugin>(E::NAME, E::ARGUMENTS, call, &mut Lent::new(host));
    // A library's own `std` does not flush at the end of the program, as that is not its own.
    std::io::Write::flush(&mut std::io::stdout()).ok();
    u32::from(status)
}

/// The host's table, when it has all fields of version 1.0: a copy, in which a host that is older than `ask` has one that
/// refuses. It lives until the process ends, as far as a plugin can see: nothing of a plugin runs behind `run`.
fn table_of(host: *const HostTable) -> Option<&'static HostTable> {
    if host.is_null() {
        return None;
    }
    let head = host.cast::<Head>();
    // SAFETY: the host hands a table that begins with these fields in every version.
    #[expect(unsafe_code, reason = "the tables are of C")]
    let Head { magic, major, minor: _, size } = unsafe { head.read() };
    if magic != MAGIC || major != MAJOR || size < HostTable::SIZE_1_0 {
        return None;
    }
    let mut table = MaybeUninit::<HostTable>::uninit();
    let known = size.min(size_of::<HostTable>());
    // SAFETY: so many bytes are there, by the table's own word, and there is room for them.
    #[expect(unsafe_code, reason = "the tables are of C")]
    unsafe {
        host.cast::<u8>().copy_to_nonoverlapping(table.as_mut_ptr().cast(), known);
    }
    if known < size_of::<HostTable>() {
        // SAFETY: a field of memory that is ours.
        #[expect(unsafe_code, reason = "the tables are of C")]
        let place = unsafe { &raw mut (*table.as_mut_ptr()).ask };
        // SAFETY: as above.
        #[expect(unsafe_code, reason = "the tables are of C")]
        unsafe {
            place.write(too_old);
        }
    }
    // SAFETY: the host filled the fields of 1.0, and the one behind them was filled by it or here.
    #[expect(unsafe_code, reason = "the tables are of C")]
    let table = unsafe { table.assume_init() };
    Some(Box::leak(Box::new(table)))
}

/// What every version of a table begins with.
#[repr(C)]
struct Head {
    magic: u64,
    major: u32,
    minor: u32,
    size: usize,
}

/// Stands in for `ask` where the host has none.
extern "C" fn too_old(_: *mut c_void, _: Bytes, _: Bytes, out: *mut Bytes) -> u32 {
    const TEXT: &str =
        "this engine's native contract is older than 1.1, which this needs; upgrade the engine";
    // SAFETY: whoever calls it hands a place for the answer, as for the host's own.
    #[expect(unsafe_code, reason = "the tables are of C")]
    unsafe {
        out.write(Bytes::of(TEXT.as_bytes()));
    }
    FAILED
}

fn invocation(call: *const Invocation) -> Option<RawCall> {
    // SAFETY: the host lends it for the call.
    #[expect(unsafe_code, reason = "the tables are of C")]
    let call = unsafe { call.as_ref() }?;
    let args: &[Bytes] = if call.args_len == 0 {
        &[]
    } else {
        // SAFETY: so many stand there.
        #[expect(unsafe_code, reason = "the tables are of C")]
        let args = unsafe { std::slice::from_raw_parts(call.args, call.args_len) };
        args
    };
    let text = |bytes: &Bytes| String::from_utf8_lossy(borrow(*bytes)).into_owned();
    Some(RawCall {
        args: args.iter().map(text).collect(),
        region: text(&call.region),
        deadline: Duration::from_millis(call.deadline_ms),
    })
}

/// Bytes that the host lends until its next call.
fn borrow<'a>(bytes: Bytes) -> &'a [u8] {
    if bytes.ptr.is_null() || bytes.len == 0 {
        return &[];
    }
    // SAFETY: the contract says that they are there; callers copy them before they call the host again.
    #[expect(unsafe_code, reason = "the tables are of C")]
    let lent = unsafe { std::slice::from_raw_parts(bytes.ptr, bytes.len) };
    lent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Host as _, HostError};

    /// A table as an old host hands it: all of its functions lead nowhere, and what lies behind it is not its own.
    fn table(size: usize) -> Vec<u64> {
        let words = size_of::<HostTable>() / size_of::<u64>();
        let mut table = vec![1; words];
        table[0] = MAGIC;
        table[1] = u64::from(MAJOR);
        table[2] = u64::try_from(size).unwrap();
        table.truncate(size.div_ceil(size_of::<u64>()));
        table
    }

    #[test]
    fn a_host_of_version_1_0_lends_what_it_has_and_the_rest_is_refused() {
        let old = table(HostTable::SIZE_1_0);
        let lent = table_of(old.as_ptr().cast()).expect("a table");
        let whose = Lent::new(lent).networks(&[]);
        let Err(HostError::Failed(text)) = whose else { panic!("{whose:?}") };
        assert_eq!(
            text,
            "this engine's native contract is older than 1.1, which this needs; upgrade the engine"
        );
    }

    #[test]
    fn what_is_no_table_of_a_host_is_not_used() {
        assert!(table_of(std::ptr::null()).is_none());
        let short = table(HostTable::SIZE_1_0 - 1);
        assert!(table_of(short.as_ptr().cast()).is_none());
        let mut other = table(HostTable::SIZE_1_0);
        other[1] = u64::from(MAJOR + 1);
        assert!(table_of(other.as_ptr().cast()).is_none());
        other[0] = 7;
        assert!(table_of(other.as_ptr().cast()).is_none());
    }
}
