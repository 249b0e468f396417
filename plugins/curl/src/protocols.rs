//! `--proto` and `--proto-redir`: which schemes may be used at all.

use blitz_plugin::Arguments;

use crate::exit::{Code, Problem};
use crate::url::Scheme;

/// What a command line permits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Protocols {
    any: Permitted,
    after_redirects: Permitted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Permitted {
    http: bool,
    https: bool,
}

impl Protocols {
    pub(crate) fn read(args: &Arguments) -> Self {
        let list = |name| args.value(name).map_or(Permitted::ALL, Permitted::parse);
        Self { any: list("proto"), after_redirects: list("proto-redir") }
    }

    /// Refuses a scheme that is not permitted. What `--proto` forbids is forbidden to redirects, too.
    pub(crate) fn check(self, scheme: Scheme, is_redirect: bool) -> Result<(), Problem> {
        let permits = self.any.has(scheme) && (!is_redirect || self.after_redirects.has(scheme));
        if permits {
            return Ok(());
        }
        let place = if is_redirect { " in redirect" } else { "" };
        let text = format!("Protocol \"{}\" disabled{place}", scheme.name());
        Err(Problem::new(Code::UnsupportedProtocol, text))
    }
}

impl Permitted {
    const ALL: Self = Self { http: true, https: true };
    const NONE: Self = Self { http: false, https: false };

    /// Reads a list: `=` permits only this, `-` forbids, `+` and nothing permit. Schemes that there are not here
    /// change nothing.
    fn parse(list: &str) -> Self {
        let mut permitted = Self::ALL;
        for word in list.split(',') {
            let name = word.trim_start_matches(['+', '-', '=']);
            let permits = !word.starts_with('-');
            if word.starts_with('=') {
                permitted = Self::NONE;
            }
            if matches!(name, "http" | "all") {
                permitted.http = permits;
            }
            if matches!(name, "https" | "all") {
                permitted.https = permits;
            }
        }
        permitted
    }

    fn has(self, scheme: Scheme) -> bool {
        match scheme {
            Scheme::Http => self.http,
            Scheme::Https => self.https,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_in_curl() {
        for (list, http, https) in [
            ("=https", false, true),
            ("=http,https", true, true),
            ("-http", false, true),
            ("+https,-http", false, true),
            ("-all,http", true, false),
            ("-all,ftp", false, false),
            ("=", false, false),
            ("=ftp", false, false),
            ("ftp", true, true),
        ] {
            assert_eq!(Permitted::parse(list), Permitted { http, https }, "{list}");
        }
    }
}
