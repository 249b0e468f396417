//! A thousand strings that mean something to a shell, a terminal, HTTP, JSON, CouchDB or its ids.

/// How many there are.
pub(super) const COUNT: usize = 1_000;

/// Forms; `M` is the mark.
const FORMS: &[&str] = &[
    // Shells.
    "$(M)",
    "`M`",
    ";M;",
    "|M",
    "&&M&",
    ">M",
    "<(M)",
    "${IFS}M",
    "'M'",
    "\"M\"",
    "\\\"M",
    "!M",
    "*M?",
    "~M/",
    "M\\",
    "{M,M}",
    "M #",
    "-oProxyCommand=M",
    "--config=M",
    "-M",
    "@M",
    "%M%",
    // HTTP and paths.
    "M\r\nx-evil: M",
    "M\n\nGET /M HTTP/1.1",
    "M\0",
    "../M",
    "..%2fM",
    "%2f..%2fM",
    "..\\M",
    "M%00",
    "M%0d%0a",
    "M?include_docs=true",
    "M#M",
    "M&startkey=\"a\"",
    "//M",
    "M/../../_users",
    "%252e%252e%252fM",
    "+M+",
    // JSON and Mango.
    "{\"$gt\":\"M\"}",
    "$gt M",
    "$where:M",
    "M\",\"_id\":\"x",
    "M'}],\"x\":[{'",
    "[\"M\"]",
    "$regex M.*",
    "M\u{0}\",\"selector\":{}",
    // CouchDB and our ids.
    "_id M",
    "_design/M",
    "_local/M",
    "_all_docs?M",
    "M:spec",
    "M;",
    "japan-1-M",
    "M:out.0001.M.0",
    "org.couchdb.user:M",
    "plugin:M:0.1.0",
    // Text that looks like other text, and terminals.
    "\u{202e}M\u{202c}",
    "\u{2028}M",
    "ｅｖａｌ\u{ff08}M\u{ff09}",
    "\u{feff}M",
    "\u{1b}[31mM\u{1b}[0m",
    "\u{1b}]8;;http://M\u{7}M\u{1b}]8;;\u{7}",
    "\u{9b}2JM",
];

/// What is done to a form.
const CHANGES: &[fn(&str) -> String] = &[
    str::to_owned,
    |text| format!("{text}{text}"),
    |text| format!(" {text} "),
    |text| format!("a{text}"),
    |text| format!("{text}a"),
    |text| format!("'{text}'"),
    |text| format!("\"{text}\""),
    |text| format!("\n{text}"),
    |text| format!("{text}\t"),
    |text| format!("${{{text}}}"),
    |text| format!("japan|{text}"),
    |text| format!("{{\"$or\":[{text}]}}"),
    |text| format!("http://127.0.0.1/{text}"),
    |text| format!("<script>{text}</script>"),
    |text| text.replace('/', "%2F"),
    |text| text.chars().rev().collect(),
    |text| format!("{text};{text}"),
    |text| format!("$({text})"),
];

/// All of them, each with its own mark.
pub(super) fn strings() -> Vec<String> {
    let forms = CHANGES.iter().flat_map(|change| FORMS.iter().map(|form| change(form)));
    let marked = forms.enumerate().map(|(n, form)| form.replace('M', &mark(n)));
    marked.take(COUNT).collect()
}

/// The mark of the string of this number.
pub(super) fn mark(n: usize) -> String {
    format!("zq{n:04}qz")
}

/// Whether a text has one of the marks in it, `zq0000qz` to `zq0999qz`. Nothing else has by chance: less would be in a ULID.
pub(super) fn is_marked(text: &str) -> bool {
    text.match_indices("zq").any(|(at, _)| {
        let rest = text.as_bytes().get(at + 2..at + 8);
        rest.is_some_and(|rest| rest[..4].iter().all(u8::is_ascii_digit) && &rest[4..] == b"qz")
    })
}
