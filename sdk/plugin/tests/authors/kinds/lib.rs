//! An argument of each kind.
#![deny(missing_docs, warnings)]

use std::time::Duration;

use blitz_plugin::arguments::{InputFile, OutputFile, Secret, TextOrInputFile};
use blitz_plugin::{Call, Failure, Host, Plugin};

mod typed {
    blitz_plugin::arguments! {
        /// What `kinds` takes.
        #[must_use]
        pub(super) struct Args
    }
}
use typed::Args;

/// Prints what it was given.
#[derive(Debug)]
pub struct Kinds;

blitz_plugin::export!(Kinds);

impl Plugin for Kinds {
    fn run(call: &Call, host: &mut dyn Host) -> Result<u8, Failure> {
        let args = Args::of(call);
        let silent: bool = args.silent;
        let verbose: u32 = args.verbose;
        let count: Option<i64> = args.count;
        let rate: f64 = args.rate;
        let max_time: Duration = args.max_time;
        let kind: &Option<String> = &args.r#type;
        let at: &Option<String> = &args.at;
        let field: &Vec<String> = &args.field;
        let user: &Option<Secret> = &args.user;
        let env: &Vec<(String, String)> = &args.env;
        let list: &InputFile = &args.list;
        let data: &Vec<TextOrInputFile> = &args.data;
        let report: &OutputFile = &args.report;
        let url: &String = &args.url;
        let port: &Vec<i64> = &args.port;
        writeln!(
            host.stdout(),
            "{silent} {verbose} {count:?} {rate} {max_time:?} {kind:?} {at:?} {field:?} {user:?} {url} {port:?}"
        )?;
        for (name, value) in env {
            writeln!(host.stdout(), "{name}={value}")?;
        }
        if let Some(user) = user {
            writeln!(host.stdout(), "{user} {}", user.reveal())?;
        }
        let list = list.read_text(host)?;
        let mut whole = Vec::new();
        for data in data {
            whole.extend(data.read(host)?);
        }
        report.write(host, &whole)?;
        report.write(host, list.as_bytes())?;
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use blitz_plugin::embedded::Embedded;
    use blitz_plugin::testing::{self, FakeHost};
    use blitz_plugin::{Arguments, Manifest};

    use super::*;

    #[test]
    fn kinds_have_types() {
        let ran = testing::run!(Kinds, ["u"], FakeHost::default().input("-", "in"));
        assert_eq!((ran.status, ran.stderr().as_str()), (0, ""));
        assert_eq!(ran.stdout(), "false 0 None 0.5 60s None None [] None u [443]\nin");
    }

    #[test]
    fn what_is_given_is_taken() {
        let host = FakeHost::default().input("names", "Ada").input("body", "b");
        let ran = testing::run!(
            Kinds,
            [
                "-vsv",
                "--count=-7",
                "--rate=1e3",
                "--max-time=20ms",
                "--type=x",
                "--at",
                "h",
                "--field=a=1",
                "--field=b=2",
                "--user=me:pw",
                "-e:A",
                "1",
                "--env:B=2",
                "--list=names",
                "--data=a",
                "--data=@body",
                "--report=out",
                "u",
                "80",
                "443",
            ],
            host,
        );
        assert_eq!((ran.status, ran.stderr().as_str()), (0, ""));
        assert_eq!(
            ran.stdout(),
            "true 2 Some(-7) 1000 20ms Some(\"x\") Some(\"h\") [\"a=1\", \"b=2\"] Some(Secret(***)) u [80, 443]\n\
             A=1\nB=2\n\
             *** me:pw\n"
        );
        assert_eq!(ran.host.output_text("out"), "abAda");
    }

    /// What a carrier has: constants in the place of a manifest.
    struct Carried;

    impl Embedded for Carried {
        type Plugin = Kinds;
        blitz_plugin::embedded::manifest_items!();
    }

    #[test]
    fn a_carrier_parses_as_the_command_line_does() {
        let manifest = Manifest::from_toml(include_str!("../plugin.toml")).unwrap();
        assert_eq!(Manifest::from_json(Carried::MANIFEST), Ok(manifest.clone()));
        assert_eq!(Carried::NAME, "kinds");
        for args in [
            &["u"][..],
            &["-vsv", "--rate=2", "u", "80"],
            &["u", "81"],
            &["u", "x"],
            &[],
            &["--user"],
            &["-e:A", "1", "u"],
            &["-e", "1", "u"],
        ] {
            let here = Arguments::parse_declared(Carried::ARGUMENTS, args);
            assert_eq!(here, Arguments::parse(&manifest, args), "{args:?}");
        }
    }

    #[test]
    fn a_file_that_is_no_text_is_told() {
        let ran = testing::run!(Kinds, ["u"], FakeHost::default().input("-", b"ab\xff"));
        assert_eq!((ran.status, ran.stderr().as_str()), (1, "kinds: - is not UTF-8 at byte 2\n"));
    }

    #[test]
    #[should_panic(expected = "\"rate\" was parsed with another manifest")]
    fn the_arguments_of_another_manifest_are_a_bug() {
        let manifest = "name = \"x\"\nversion = \"0.1.0\"\nsummary = \"x\"\ncontract = \"0.1.0\"";
        testing::run::<Kinds>(manifest, &[], &mut FakeHost::default());
    }
}
