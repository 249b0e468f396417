//! Checks that a page answers as it should.

use blitz_plugin::{Call, Failure, Host, Plugin, Record, web};

// A struct with a typed field for each argument of plugin.toml.
blitz_plugin::arguments!(pub struct Args);

#[derive(Debug)]
pub struct Check;

// Makes `Check` the plugin of this file, with the plugin.toml beside Cargo.toml.
blitz_plugin::export!(Check);

impl Plugin for Check {
    /// One job: the arguments come in `call`, everything else is asked of `host`. The number is the exit status.
    fn run(call: &Call, host: &mut dyn Host) -> Result<u8, Failure> {
        let args = Args::of(call);

        // `?` ends the plugin with status 1, and tells the user why.
        let page = web::get(host, &args.url)?;
        let status = i64::from(page.status);
        let first_byte_us = page.phases.first_byte_us;

        // For people: standard output.
        let (ms, region) = (first_byte_us / 1000, &call.region);
        writeln!(host.stdout(), "{status} after {ms} ms in {region}")?;
        // For programs and tables: a record.
        Record::new()
            .field("status", status)
            .field("first_byte_us", first_byte_us)
            .emit(host, "check")?;

        if status == args.status {
            return Ok(0);
        }
        let (url, wanted) = (&args.url, args.status);
        let message = format!("{url} has status {status}, and {wanted} was wanted");
        Err(Failure::new(1, message))
    }
}

#[cfg(test)]
mod tests {
    use blitz_plugin::testing::{self, CannedAnswer, FakeHost};

    use super::*;

    #[test]
    fn a_page_that_answers_is_well() {
        let host = FakeHost::default().answers(CannedAnswer::new(200, "OK"));
        let ran = testing::run!(Check, ["http://example.com"], host);
        assert_eq!((ran.status, ran.stderr().as_str()), (0, ""));
        assert_eq!(ran.stdout(), "200 after 5 ms in testing\n");
        assert_eq!(ran.records("check")[0]["first_byte_us"], 5000);
    }

    #[test]
    fn another_status_fails_unless_it_was_wanted() {
        let gone = || FakeHost::default().answers(CannedAnswer::new(404, "Not Found"));
        let ran = testing::run!(Check, ["http://example.com"], gone());
        assert_eq!(ran.status, 1);
        let says = "has status 404, and 200 was wanted";
        assert!(ran.stderr().contains(says), "{}", ran.stderr());
        let ran = testing::run!(Check, ["-s", "404", "http://example.com"], gone());
        assert_eq!(ran.status, 0);
    }
}
