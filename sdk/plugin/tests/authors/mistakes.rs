//! Mistakes of authors, each with the line that rustc shows.

use crate::workspace::{Author, Workspace};

/// Where a mistake is made.
enum File {
    Plugin,
    Lib,
}
use File::{Lib, Plugin};

/// (crate, file, right, wrong, what the error says)
const MISTAKES: &[(&str, File, &str, &str, &[&str])] = &[
    (
        "toml",
        Plugin,
        "name = \"greet\"",
        "name = greet",
        &["toml/plugin.toml: read the manifest: TOML parse error at line 1"],
    ),
    (
        "word",
        Plugin,
        "summary",
        "sumary",
        &[
            "word/plugin.toml: read the manifest: unknown field sumary: \\\"sumary\\\" is none of name, version, summary",
        ],
    ),
    (
        "nothing",
        Plugin,
        "summary = \"says hello\"\n",
        "",
        &["nothing/plugin.toml: read the manifest", "missing field `summary`"],
    ),
    (
        "kind",
        Plugin,
        "integer",
        "interger",
        &["unknown kind of arguments.times: \\\"interger\\\" is none of flag, number, integer"],
    ),
    (
        "right",
        Plugin,
        "\"web\"",
        "\"wep\"",
        &["unknown capability: \\\"wep\\\" is none of web, sockets, dns, probes"],
    ),
    (
        "limit",
        Plugin,
        "cpu_ms",
        "cpu_s",
        &["unknown field limits.cpu_s: \\\"cpu_s\\\" is none of memory_bytes"],
    ),
    (
        "default",
        Plugin,
        "default = \"1\"",
        "default = \"one\"",
        &[
            "default/plugin.toml: manifest field arguments.times.default: a whole number, not \\\"one\\\"",
        ],
    ),
    (
        "choice",
        Plugin,
        "default = \"1\"",
        "default = \"1\"\nchoices = [\"2\"]",
        &["manifest field arguments.times.default: one of the choices, not \\\"1\\\""],
    ),
    (
        "required",
        Plugin,
        "default = \"1\"",
        "default = \"1\"\nrequired = true",
        &["manifest field arguments.times.default: absent, as the argument is required"],
    ),
    (
        "twice",
        Plugin,
        "\"times\"",
        "\"NAME\"",
        &["manifest field arguments.NAME: a name of its own"],
    ),
    (
        "same",
        Plugin,
        "\"times\"",
        "\"name\"",
        &[
            "the arguments \\\"NAME\\\" and \\\"name\\\" would both be the field name; give one another name",
        ],
    ),
    (
        "version",
        Plugin,
        "version = \"0.1.0\"",
        "version = \"0.2.0\"",
        &["version/plugin.toml: version 0.2.0 is not the 0.1.0 of Cargo.toml; give both the same"],
    ),
    (
        "field",
        Lib,
        "args.times",
        "args.nope",
        &["no field `nope` on type `Args`", "available fields are: `name`, `times`"],
    ),
    (
        "type",
        Lib,
        "u8::try_from(args.times)?",
        "args.name",
        &["mismatched types", "expected `u8`, found `Option<String>`"],
    ),
    (
        "fields",
        Lib,
        "pub struct Args)",
        "pub struct Args { times: u8 })",
        &["arguments! takes a struct without fields: arguments!(pub struct Args);"],
    ),
    (
        "enums",
        Lib,
        "pub struct Args)",
        "pub enum Args)",
        &["arguments! takes a struct without fields: arguments!(pub struct Args);"],
    ),
    (
        "trait",
        Lib,
        "Plugin for Greet",
        "Clone for Greet",
        &["`Greet` is not a plugin: it does not implement `blitz_plugin::Plugin`"],
    ),
    (
        "unknown",
        Lib,
        "export!(Greet)",
        "export!(Great)",
        &["cannot find type `Great` in this scope"],
    ),
    (
        "signature",
        Lib,
        "_: &mut dyn Host",
        "_: &dyn Host",
        &["method `run` has an incompatible type for trait", "expected signature `fn(&Call, &mut"],
    ),
];

#[test]
fn a_mistake_is_an_error_of_the_build_that_says_what_it_is() {
    let mut authors: Vec<Author> = MISTAKES
        .iter()
        .map(|(name, file, right, wrong, _)| {
            let mut author = Author::new(name);
            let text = match file {
                Plugin => author.plugin_toml.as_mut().unwrap(),
                Lib => &mut author.lib_rs,
            };
            assert!(text.contains(right), "{name}: there is no {right:?}");
            *text = text.replacen(right, wrong, 1);
            author
        })
        .collect();
    authors.push(Author { plugin_toml: None, ..Author::new("missing") });
    authors.push(Author::new("good"));

    let errors = Workspace::new("mistakes", &authors).errors();
    let of = |name: &str| {
        let texts = errors.iter().filter(|(of, _)| of == name).map(|(_, text)| text.as_str());
        texts.collect::<String>()
    };

    assert_eq!(of("good"), "", "what is right compiles");
    let missing = of("missing");
    assert!(
        missing.contains("missing/plugin.toml: a plugin has a plugin.toml beside its Cargo.toml"),
        "{missing}"
    );
    assert_eq!(of("version").matches("is not the 0.1.0 of").count(), 1, "{}", of("version"));
    for (name, _, _, _, says) in MISTAKES {
        let shown = of(name);
        for line in *says {
            let line = line.replace("\\\"", "\"");
            assert!(shown.contains(&line), "{name} should say {line:?}, and says:\n{shown}");
        }
    }
}
