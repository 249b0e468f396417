//! `-F`: the fields of a form, and their `multipart/form-data` body (RFC 7578).

use crate::exit::Problem;

/// One `-F NAME=...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) content: FieldContent,
    /// `;type=`.
    pub(crate) media_type: Option<String>,
    /// `;filename=`.
    pub(crate) file_name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FieldContent {
    /// `NAME=TEXT`.
    Text(String),
    /// `NAME=<FILE`: the file's content as a plain field.
    TextFile(String),
    /// `NAME=@FILE`: a file upload.
    File(String),
}

impl Field {
    /// Reads `NAME=VALUE` with its suffixes.
    pub(crate) fn parse(value: &str) -> Result<Self, Problem> {
        let (name, rest) = split(value)?;
        let (marker, rest) = match rest.strip_prefix(['@', '<']) {
            Some(file) => (rest.chars().next(), file),
            None => (None, rest),
        };
        if marker.is_some() && (rest.starts_with('"') || rest.contains(',')) {
            return Err(Problem::usage(format!(
                "option -F: quotes and lists of files are not supported: {value:?}"
            )));
        }
        let (content, mut rest) = word(rest);
        let content = match marker {
            Some('@') => FieldContent::File(content),
            Some(_) => FieldContent::TextFile(content),
            None => FieldContent::Text(content),
        };
        let mut field = Self { name: name.to_owned(), content, media_type: None, file_name: None };
        while let Some(suffix) = rest.strip_prefix(';') {
            let suffix = suffix.trim_start();
            if let Some(media_type) = suffix.strip_prefix("type=") {
                let end = media_type_end(media_type);
                field.media_type = Some(media_type[..end].trim_end().to_owned());
                rest = &media_type[end..];
            } else if let Some(file_name) = suffix.strip_prefix("filename=") {
                let (file_name, behind) = word(file_name);
                field.file_name = Some(file_name);
                rest = behind;
            } else {
                return Err(Problem::usage(format!(
                    "option -F: only ;type= and ;filename= are supported: {value:?}; \
                     put a text with ; in double quotes"
                )));
            }
        }
        Ok(field)
    }

    /// `--form-string`: nothing in the value has a meaning.
    pub(crate) fn literal(value: &str) -> Result<Self, Problem> {
        let (name, text) = split(value)?;
        let content = FieldContent::Text(text.to_owned());
        Ok(Self { name: name.to_owned(), content, media_type: None, file_name: None })
    }

    /// The file name that is sent.
    fn sent_file_name(&self) -> Option<&str> {
        let own = match &self.content {
            FieldContent::File(path) => Some(path.rsplit(['/', '\\']).next().unwrap_or(path)),
            FieldContent::Text(_) | FieldContent::TextFile(_) => None,
        };
        self.file_name.as_deref().or(own)
    }

    fn sent_media_type(&self) -> Option<&str> {
        let guess = || match &self.content {
            // Standard input has no name to guess from.
            FieldContent::File(path) if path == "-" => None,
            FieldContent::File(_) => Some(guess_media_type(self.sent_file_name()?)),
            FieldContent::Text(_) | FieldContent::TextFile(_) => None,
        };
        self.media_type.as_deref().or_else(guess)
    }
}

/// What a form is, unless somebody gives it another name.
pub(crate) const MEDIA_TYPE: &str = "multipart/form-data";

/// The body of a form, and the boundary that its content type names. Under another type than that of forms its
/// parts are attachments, as in curl.
pub(crate) fn encode(fields: &[(Field, Vec<u8>)], media_type: &str) -> (String, Vec<u8>) {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let is_form = essence.eq_ignore_ascii_case(MEDIA_TYPE);
    let boundary = boundary(fields);
    let mut body = Vec::new();
    for (field, content) in fields {
        let mut head = format!("--{boundary}");
        let is_named = !field.name.is_empty() || field.sent_file_name().is_some();
        if is_form {
            head.push_str("\r\nContent-Disposition: form-data");
        } else if is_named {
            head.push_str("\r\nContent-Disposition: attachment");
        }
        if !field.name.is_empty() {
            head.push_str(&format!("; name=\"{}\"", escaped(&field.name)));
        }
        if let Some(file_name) = field.sent_file_name() {
            head.push_str(&format!("; filename=\"{}\"", escaped(file_name)));
        }
        if let Some(media_type) = field.sent_media_type() {
            head.push_str(&format!("\r\nContent-Type: {media_type}"));
        }
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (boundary, body)
}

fn split(value: &str) -> Result<(&str, &str), Problem> {
    value
        .split_once('=')
        .ok_or_else(|| Problem::usage(format!("option -F: {value:?} is not NAME=VALUE")))
}

/// A value up to the next `;`, or one in double quotes with `\` before `"` and `\`.
fn word(text: &str) -> (String, &str) {
    let text = text.trim_start();
    let plain = || {
        let (word, rest) = text.split_at(text.find(';').unwrap_or(text.len()));
        (word.trim_end().to_owned(), rest)
    };
    let Some(quoted) = text.strip_prefix('"') else { return plain() };
    let mut word = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => {
                let rest = &quoted[at + 1..];
                return (word, rest.find(';').map_or("", |end| &rest[end..]));
            }
            '\\' if quoted[at + 1..].starts_with(['"', '\\']) => {
                word.extend(chars.next().map(|(_, escaped)| escaped));
            }
            _ => word.push(c),
        }
    }
    // The quotes do not close: they are part of the text, as in curl.
    plain()
}

/// A media type may have parameters of its own: it ends before a suffix that belongs to `-F`.
fn media_type_end(text: &str) -> usize {
    let is_own = |at: &usize| text[at + 1..].trim_start().starts_with("filename=");
    text.match_indices(';').map(|(at, _)| at).find(is_own).unwrap_or(text.len())
}

/// Escapes what would end the quoted string (WHATWG HTML, "multipart/form-data encoding algorithm").
fn escaped(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

/// A line that no content holds. Made from the contents and not from random numbers: a job that runs again
/// sends the same bytes.
fn boundary(fields: &[(Field, Vec<u8>)]) -> String {
    let mut salt = 0u64;
    loop {
        let hash = fields.iter().fold(salt, |hash, (_, content)| fnv1a(hash, content));
        let boundary = format!("------------------------{hash:016x}");
        let is_inside = |content: &[u8]| {
            content.windows(boundary.len()).any(|window| window == boundary.as_bytes())
        };
        if !fields.iter().any(|(_, content)| is_inside(content)) {
            return boundary;
        }
        salt += 1;
    }
}

/// FNV-1a, 64 bits: short, and nobody's secret depends on it.
fn fnv1a(seed: u64, bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ seed;
    bytes.iter().fold(start, |hash, &b| (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// curl's own table.
fn guess_media_type(file_name: &str) -> &'static str {
    let extension = file_name.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension.to_ascii_lowercase().as_str() {
        "gif" => "image/gif",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "txt" => "text/plain",
        "htm" | "html" => "text/html",
        "pdf" => "application/pdf",
        "xml" => "application/xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, content: FieldContent) -> Field {
        Field { name: name.to_owned(), content, media_type: None, file_name: None }
    }

    #[test]
    fn fields_are_read_as_curl_reads_them() {
        let text = |text: &str| FieldContent::Text(text.to_owned());
        let file = |path: &str| FieldContent::File(path.to_owned());
        for (value, expected) in [
            ("a=b", field("a", text("b"))),
            ("a=", field("a", text(""))),
            ("a= lead ", field("a", text("lead"))),
            ("a=b=c", field("a", text("b=c"))),
            ("a=\"x;y\\\"z\"", field("a", text("x;y\"z"))),
            ("a=\"open", field("a", text("\"open"))),
            ("f=@dir/x.png", field("f", file("dir/x.png"))),
            ("f=<notes", field("f", FieldContent::TextFile("notes".to_owned()))),
            (
                "a=b;type=text/x;charset=utf-8",
                Field {
                    media_type: Some("text/x;charset=utf-8".to_owned()),
                    ..field("a", text("b"))
                },
            ),
            (
                "f=@x;type=a/b;filename=\"y;z\"",
                Field {
                    media_type: Some("a/b".to_owned()),
                    file_name: Some("y;z".to_owned()),
                    ..field("f", file("x"))
                },
            ),
        ] {
            assert_eq!(Field::parse(value).unwrap(), expected, "{value}");
        }
        for value in ["a=b;c", "f=@a,b", "f=@\"x\"", "f=@x;headers=y"] {
            assert!(Field::parse(value).is_err(), "{value}");
        }
        assert_eq!(Field::literal("a=@b;type=c").unwrap(), field("a", text("@b;type=c")));
    }

    #[test]
    fn a_body_has_a_part_for_each_field() {
        let fields = [
            (Field::parse("n\"q=v").unwrap(), b"v".to_vec()),
            (Field::parse("f=@dir/x.PNG").unwrap(), vec![0, 255]),
        ];
        let (boundary, body) = encode(&fields, MEDIA_TYPE);
        let mut expected = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"n%22q\"\r\n\r\nv\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.PNG\"\r\n\
             Content-Type: image/png\r\n\r\n"
        )
        .into_bytes();
        expected.extend_from_slice(&[0, 255]);
        expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        assert_eq!(body, expected);
    }

    #[test]
    fn a_boundary_is_never_inside_a_content() {
        let first = [(Field::parse("a=b").unwrap(), b"b".to_vec())];
        let (inside, _) = encode(&first, MEDIA_TYPE);
        // A content that holds the boundary of its own hash cannot be written down; the nearest is a
        // content that holds another form's.
        let second = [(Field::parse("a=b").unwrap(), inside.clone().into_bytes())];
        let (boundary, body) = encode(&second, MEDIA_TYPE);
        assert_ne!(boundary, inside);
        let body = String::from_utf8(body).unwrap();
        assert_eq!(body.matches(&boundary).count(), 2);
    }
}
