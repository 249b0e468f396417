//! Command lines as they may be shown to others: without their secrets.

use super::{Arguments, Place, Value};
use crate::manifest::{ArgumentKind, Manifest};

/// What stands in the place of a secret.
const MASK: &str = "***";

/// The command line as it may be shown: values of the kind [`Secret`](ArgumentKind::Secret) are `***`.
///
/// Of a command line that does not fit the manifest only the number of words is told: nobody knows
/// where a secret stands in it.
#[must_use]
pub fn masked(manifest: &Manifest, args: &[String]) -> Vec<String> {
    let Ok(arguments) = Arguments::parse(manifest, args) else { return all_masked(args) };
    let mut shown = args.to_vec();
    let secret = |v: &&Value| v.kind == ArgumentKind::Secret && !v.text.is_empty();
    for Place { word, offset } in arguments.values.iter().filter(secret).filter_map(|v| v.place) {
        shown[word].replace_range(offset.., MASK);
    }
    shown
}

/// A command line of which only the number of words may be shown, as nobody knows its plugin.
#[must_use]
pub fn all_masked(args: &[String]) -> Vec<String> {
    vec![MASK.to_owned(); args.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest::from_toml(
            r#"
            name = "demo"
            version = "0.1.0"
            summary = "for tests"
            contract = "0.1.0"
            [[arguments]]
            name = "silent"
            short = "s"
            kind = "flag"
            [[arguments]]
            name = "data"
            short = "d"
            [[arguments]]
            name = "user"
            short = "u"
            kind = "secret"
            [[arguments]]
            name = "URL"
            positional = true
            "#,
        )
        .unwrap()
    }

    #[test]
    fn secrets_are_masked_where_they_stand() {
        for (line, shown) in [
            ("-u me:pw x", "-u *** x"),
            ("-ume:pw x", "-u*** x"),
            ("-sume:pw x", "-su*** x"),
            ("--user me:pw x", "--user *** x"),
            ("--user=me:pw x", "--user=*** x"),
            ("--user=me:pw=1 -u é -- x", "--user=*** -u *** -- x"),
            ("--user= x", "--user= x"),
            // Another argument that ends like the secret is not one.
            ("-u x -d ax x", "-u *** -d ax x"),
            ("-s x", "-s x"),
            // It does not fit: a secret may stand anywhere.
            ("--usr me:pw x", "*** *** ***"),
            ("-u me:pw x y", "*** *** *** ***"),
        ] {
            let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            assert_eq!(masked(&manifest(), &args).join(" "), shown, "{line}");
        }
    }
}
