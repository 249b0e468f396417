//! Options of curl that are declared only to be refused, each with what to do instead.
//!
//! Whatever is not declared at all is refused by its name. These are the ones that people try.

use blitz_plugin::Arguments;

use crate::exit::Problem;

/// The declared name, and what is said.
const REFUSED: &[(&str, &str)] = &[
    (
        "proxy",
        "option --proxy is not supported: engines use no proxies, a request leaves from the region \
         that you name; --connect-to sends it to another host",
    ),
    (
        "proxytunnel",
        "option -p: in blitz curl -p is curl's (proxytunnel), which is not supported; \
         load patterns: blitz rush -p",
    ),
    (
        "remote-name",
        "option -O is not supported: the command line must name the file that is written; give -o FILE",
    ),
    (
        "http1.0",
        "option --http1.0 is not supported: engines speak HTTP/1.1 and later; give --http1.1",
    ),
];

/// Refuses the first of them that was given.
pub(crate) fn check(args: &Arguments) -> Result<(), Problem> {
    match REFUSED.iter().find(|(name, _)| args.has(name)) {
        Some((_, text)) => Err(Problem::usage(*text)),
        None => Ok(()),
    }
}
