//! The plugin's side of a shared library: the table that it exports, and the host's table as a [`Host`](crate::Host).
//!
//! Read in this order: `export_library!` and `enter` are the way in, `lent` is what the host lends, `words` turns
//! exchanges and lookups into the contract's JSON and back.

mod lent;
mod words;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

pub use blitz_contract::native::{Bytes, HostTable, Invocation, MAGIC, MAJOR, MINOR, Table};

use blitz_contract::native::PANICKED;

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

/// The host's table, when it has all fields that are known here. It lives until the process ends, as far as a
/// plugin can see: nothing of a plugin runs behind `run`.
fn table_of(host: *const HostTable) -> Option<&'static HostTable> {
    // SAFETY: the host hands a table that begins with these fields in every version.
    #[expect(unsafe_code, reason = "the tables are of C")]
    let host = unsafe { host.as_ref() }?;
    let fits = host.magic == MAGIC && host.major == MAJOR && host.size >= size_of::<HostTable>();
    fits.then_some(host)
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
