//! Command lines as they may be shown to others: without their secrets.

use std::ops::Range;

use super::{Arguments, Value};
use crate::manifest::{ArgumentKind, Manifest, SecretPart};
use crate::secret::{in_header, in_url, masked_url};

pub(super) use crate::secret::MASK;

/// A word of a command line that has a secret in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretWord {
    /// Which, from 0.
    pub word: usize,
    /// The declared name of its argument.
    pub argument: String,
    /// Where in the word.
    pub bytes: Range<usize>,
}

impl Arguments {
    /// The words of the command line that have secrets, in its order: values of the kind [`Secret`](ArgumentKind::Secret),
    /// the userinfo of URLs, and what the manifest says by [`secret`](crate::Argument::secret). It is the manifest that the
    /// line was matched against.
    #[must_use]
    pub fn secrets(&self, manifest: &Manifest) -> Vec<SecretWord> {
        let secret = |value: &Value| {
            let place = value.place?;
            let declared = manifest.arguments.iter().find(|a| a.name == value.name);
            let part = declared.and_then(|argument| argument.secret);
            let Range { start, end } = range(value.kind, part, &value.text)?;
            let bytes = place.offset + start..place.offset + end;
            Some(SecretWord { word: place.word, argument: value.name.clone(), bytes })
        };
        self.values.iter().filter_map(secret).collect()
    }
}

/// The command line as it may be shown: secrets are `***`.
///
/// Of a command line that does not fit the manifest only the number of words is told: nobody knows
/// where a secret stands in it.
#[must_use]
pub fn masked(manifest: &Manifest, args: &[String]) -> Vec<String> {
    let Ok(arguments) = Arguments::parse(manifest, args) else { return all_masked(args) };
    let mut shown = args.to_vec();
    for SecretWord { word, bytes, .. } in arguments.secrets(manifest) {
        shown[word].replace_range(bytes, MASK);
    }
    shown
}

/// Where the secret stands in a value.
fn range(kind: ArgumentKind, part: Option<SecretPart>, text: &str) -> Option<Range<usize>> {
    // The name of a file.
    if kind.input(text).is_some() {
        return None;
    }
    match (kind, part) {
        (ArgumentKind::Secret, _) | (_, Some(SecretPart::Whole)) => {
            (!text.is_empty()).then_some(0..text.len())
        }
        (_, Some(SecretPart::Header)) => in_header(text),
        (ArgumentKind::Url, _) | (_, Some(SecretPart::Userinfo)) => in_url(text),
        _ => None,
    }
}

/// A value as an error may quote it.
pub(super) fn quotable(kind: ArgumentKind, value: &str) -> String {
    match kind {
        ArgumentKind::Secret => MASK.to_owned(),
        ArgumentKind::Url => masked_url(value),
        _ => value.to_owned(),
    }
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
            name = "header"
            short = "H"
            kind = "text-or-input-file"
            secret = "header"
            repeated = true
            [[arguments]]
            name = "proxy"
            kind = "url"
            [[arguments]]
            name = "URL"
            secret = "userinfo"
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
            ("-H Cookie:a x", "-H Cookie:*** x"),
            ("-sHCookie:a -H Accept:b -HX-Key:é x", "-sHCookie:*** -H Accept:b -HX-Key:*** x"),
            ("--header=Cookie:a -H @cookie x", "--header=Cookie:*** -H @cookie x"),
            ("http://me:pw@x/ --proxy=http://me:pw@y/", "http://***@x/ --proxy=http://***@y/"),
            // It does not fit: a secret may stand anywhere.
            ("--usr me:pw x", "*** *** ***"),
            ("-u me:pw x y", "*** *** *** ***"),
        ] {
            let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            assert_eq!(masked(&manifest(), &args).join(" "), shown, "{line}");
        }
    }

    #[test]
    fn a_masked_line_is_masked_already() {
        let line = "-sume:pw --header=Cookie:a -u x --proxy=http://me:pw@y http://me:pw@x/";
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let once = masked(&manifest(), &args);
        assert_eq!(masked(&manifest(), &once), once);
    }

    #[test]
    fn a_part_of_a_later_version_is_all_of_it() {
        let text = serde_json::to_string(&manifest()).unwrap().replace("userinfo", "fragment");
        let manifest = Manifest::from_json(&text).unwrap();
        assert_eq!(masked(&manifest, &["http://x/".to_owned()]), ["***"]);
    }

    #[test]
    fn errors_quote_no_secret() {
        let manifest = manifest();
        for (args, full, without) in [
            (
                ["--proxy", "http://me:pw@h /", "x"],
                r#"option --proxy: "http://***@h /" is not a URL"#,
                r#""***""#,
            ),
            (["x", "pw", ""], r#"unexpected argument "pw""#, r#"unexpected argument "***""#),
            (
                ["--usr:me:pw", "x", ""],
                "option --usr:me:pw is not supported",
                "option --usr is not supported",
            ),
        ] {
            let error = Arguments::parse(&manifest, &args).unwrap_err();
            assert!(error.to_string().starts_with(full), "{error}");
            let hidden = error.without_values().to_string();
            assert!(hidden.contains(without) && !hidden.contains("pw"), "{hidden}");
        }
    }
}
