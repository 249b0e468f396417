//! What is taken as a word of user data, and what is not.

use proptest::prelude::*;

use super::*;

/// What a shell, YAML, systemd, a URL or a path would make something of.
const NASTY: &[&str] = &[
    "",
    " ",
    "a b",
    "'",
    "\"",
    "a'b",
    "a\"b",
    "$(reboot)",
    "`reboot`",
    "${HOME}",
    "$HOME",
    "a;b",
    "a&b",
    "a|b",
    "a>b",
    "a\nb",
    "a\r\nruncmd: [reboot]",
    "a\0b",
    "a\tb",
    "a\\b",
    "%n",
    "a%2fb",
    "a#b",
    "a: b",
    "- a",
    "-rf",
    "--trust",
    "*",
    "?",
    "[x]",
    "{x}",
    "~root",
    "!x",
    "é",
    "日本",
    "a\u{202e}b",
    "../x",
    "a/../b",
    "//",
    "/etc",
    ".",
    "..",
    "'; reboot #",
    "a,b",
    "a=b",
    "a^b",
    "<a>",
    "EOF",
    "UNIT'\nUNIT\nreboot",
];

fn check<T: FromStr<Err = BadValue> + fmt::Display + fmt::Debug>(good: &[&str], also: &[&str]) {
    for text in good {
        let value: T = text.parse().unwrap();
        assert_eq!(value.to_string(), text.trim_end_matches('/'));
    }
    for text in NASTY.iter().filter(|text| !also.contains(text)) {
        let value = text.parse::<T>();
        assert!(value.is_err(), "{text:?} became {value:?}");
    }
}

#[test]
fn nothing_that_means_something_elsewhere_is_taken() {
    // What means nothing anywhere but looks odd is named.
    check::<RegionName>(&["japan", "ap-northeast-1"], &[]);
    check::<AwsRegion>(&["eu-west-1", "us-gov-west-1", "cn-north-1"], &[]);
    check::<Bucket>(&["blitz-bundles", "a.b.c", "123"], &[]);
    check::<Prefix>(&["engines", "a/b-c/D_e.f"], &["EOF", "-rf", "--trust"]);
    check::<EngineName>(&["i-0feedface12345678", "Lyon_1.office"], &["EOF"]);
    // They stand in quotes for the shell, and for systemd, which knows no patterns, they are paths and patterns of nothing.
    check::<EngineWord>(
        &["--allow-target", "[fd00::/8]:8000-9000", "*.example.com:443", "ops+1@example.com"],
        &[
            "-rf", "--trust", "*", "[x]", "../x", "a/../b", "//", "/etc", ".", "..", "EOF", "a,b",
            "a=b",
        ],
    );
    check::<GatewayUrl>(
        &["https://gw.example.com", "http://10.0.0.1:8042/", "http://[::1]:1/a"],
        &[],
    );
    check::<BaseUrl>(
        &["https://dl.example.com/blitz", "http://127.0.0.1:1", "http://10.0.2.2/b"],
        &[],
    );
    for word in ["all", "any", "Japan", "9a", &"a".repeat(33)] {
        assert!(word.parse::<RegionName>().is_err(), "{word}");
    }
}

#[test]
fn addresses_with_secrets_or_tricks_are_refused() {
    for text in NASTY.iter().filter(|text| !text.is_empty()) {
        for address in
            [format!("https://{text}"), format!("https://h/{text}"), format!("https://h{text}")]
        {
            // A URL without anything special in it is what it is.
            if let Ok(url) = address.parse::<GatewayUrl>() {
                let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/[]".contains(c);
                assert!(url.to_string().chars().all(plain), "{address:?} became {url}");
            }
        }
    }
    for address in [
        "https://user:hunter2@h",
        "https://user@h",
        "https://h?token=hunter2",
        "https://h/#x",
        "ftp://h",
        "file:///etc/passwd",
        "h",
        "https://",
        "https://h/'x'",
        "https://h$x",
        "https://h'x",
        "javascript:alert(1)",
        "https://h/a%20b",
        "https://h/a\nb",
        "https://h\n/",
        "https://h/\\x",
    ] {
        let error = address.parse::<GatewayUrl>().unwrap_err();
        assert!(!error.to_string().contains("hunter2") || address.contains('?'), "{error}");
    }
    for address in ["http://dl.example.com", "http://8.8.8.8/x", "http://[2001:db8::1]/"] {
        let error = address.parse::<BaseUrl>().unwrap_err().to_string();
        assert!(error.contains("without https"), "{error}");
    }
}

#[test]
fn a_life_has_its_bounds() {
    assert!(Life::new(Duration::from_secs(599)).is_err());
    assert!(Life::new(Duration::from_secs(600)).is_ok());
    assert!(Life::new(Duration::from_secs(30 * 86_400 + 1)).is_err());
}

proptest! {
    #[test]
    fn no_text_becomes_more_than_plain_characters(text in "\\PC{0,60}", head in "(https?://)?") {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/[]".contains(c);
        let url = format!("{head}{text}");
        for printed in [
            text.parse::<RegionName>().map(|v| v.to_string()), text.parse::<Prefix>().map(|v| v.to_string()),
            text.parse::<EngineName>().map(|v| v.to_string()), text.parse::<Bucket>().map(|v| v.to_string()),
            url.parse::<GatewayUrl>().map(|v| v.to_string()), url.parse::<BaseUrl>().map(|v| v.to_string()),
        ].into_iter().flatten() {
            prop_assert!(printed.chars().all(plain), "{}", printed);
        }
    }
}
