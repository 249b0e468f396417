//! What is sent: the data of the command line, with the files that it names.

use std::fmt::Write as _;

use blitz_plugin::{Host, read_whole_input};

use crate::args::{Content, Data, Payload, TextOrFile};
use crate::exit::Problem;
use crate::multipart::{self, Field, FieldContent};
use crate::url::Url;

/// A body with the type that it is announced as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    /// `None` for an upload, and where `--json` says it among the other headers.
    pub(crate) media_type: Option<String>,
    /// Its type has a boundary in it, and takes the place of one that was given with `-H`.
    pub(crate) is_form: bool,
}

/// Reads the files and makes the body. `given_type` is a `Content-Type` of `-H`. What `-G` and `-T` change in the URL is changed in `url`.
pub(crate) fn prepare(
    payload: &Payload,
    given_type: Option<&str>,
    url: &mut Url,
    host: &mut dyn Host,
) -> Result<Option<Body>, Problem> {
    match payload {
        Payload::Nothing => Ok(None),
        Payload::Query(parts) => {
            let data = join(parts, host)?;
            url.add_query(&String::from_utf8_lossy(&data))?;
            Ok(None)
        }
        Payload::Data(parts) => {
            let media_type = "application/x-www-form-urlencoded".to_owned();
            let bytes = join(parts, host)?;
            Ok(Some(Body { bytes, media_type: Some(media_type), is_form: false }))
        }
        Payload::Form(fields) => {
            let fields = fields
                .iter()
                .map(|field| Ok((field.clone(), field_content(field, host)?)))
                .collect::<Result<Vec<_>, Problem>>()?;
            let media_type = given_type.unwrap_or(multipart::MEDIA_TYPE);
            let (boundary, bytes) = multipart::encode(&fields, media_type);
            let media_type = format!("{media_type}; boundary={boundary}");
            Ok(Some(Body { bytes, media_type: Some(media_type), is_form: true }))
        }
        Payload::Upload(file) => {
            let bytes = read(file, host)?;
            if url.path.ends_with('/') && file != "-" {
                let name = file.rsplit('/').next().unwrap_or(file);
                url.path.push_str(&percent_encoded(name.as_bytes(), "%20"));
            }
            Ok(Some(Body { bytes, media_type: None, is_form: false }))
        }
    }
}

/// The text that a value gives, from its file where it names one.
pub(crate) fn text_of(value: &TextOrFile, host: &mut dyn Host) -> Result<String, Problem> {
    match value {
        TextOrFile::Text(text) => Ok(text.clone()),
        TextOrFile::File(name) => Ok(String::from_utf8_lossy(&read(name, host)?).into_owned()),
    }
}

fn read(name: &str, host: &mut dyn Host) -> Result<Vec<u8>, Problem> {
    read_whole_input(host, name).map_err(|error| Problem::reading(name, &error))
}

fn join(parts: &[Data], host: &mut dyn Host) -> Result<Vec<u8>, Problem> {
    let mut joined = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 && !part.is_json {
            joined.push(b'&');
        }
        match &part.content {
            Content::Text(text) => joined.extend_from_slice(text.as_bytes()),
            Content::Encode(name, text) => {
                if let Some(name) = name {
                    joined.extend_from_slice(name.as_bytes());
                    joined.push(b'=');
                }
                joined.extend_from_slice(percent_encoded(text.as_bytes(), "+").as_bytes());
            }
            Content::File(name) => joined.extend_from_slice(&read(name, host)?),
            Content::FileStripped(name) => {
                let whole = read(name, host)?;
                joined.extend(whole.iter().filter(|b| !matches!(b, b'\r' | b'\n' | 0)));
            }
            Content::FileEncode(name) => {
                joined.extend_from_slice(percent_encoded(&read(name, host)?, "+").as_bytes());
            }
        }
    }
    Ok(joined)
}

fn field_content(field: &Field, host: &mut dyn Host) -> Result<Vec<u8>, Problem> {
    match &field.content {
        FieldContent::Text(text) => Ok(text.clone().into_bytes()),
        FieldContent::TextFile(name) | FieldContent::File(name) => read(name, host),
    }
}

/// All but the unreserved characters of RFC 3986; `--data-urlencode` writes a space as `+`.
fn percent_encoded(bytes: &[u8], space: &str) -> String {
    let mut encoded = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b' ' => encoded.push_str(space),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            // Writing to a `String` does not fail.
            _ => write!(encoded, "%{byte:02X}").unwrap_or_default(),
        }
    }
    encoded
}
