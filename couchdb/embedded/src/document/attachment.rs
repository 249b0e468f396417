//! An attachment: what is stored beside a revision, and how a client names or brings it.

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    object,
    packing::{self, BadPacking, Encoding, Packed},
};

/// What CouchDB says of an attachment that came without a type.
pub(crate) const DEFAULT_CONTENT_TYPE: &str = "application/octet-stream";

/// The longest name and the longest content type, in bytes: both become part of a revision's row.
pub(crate) const NAME_BYTES_MAX: usize = 1024;

/// Base64 as CouchDB writes it; padding may be missing in what is read.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An attachment of a stored revision. Its bytes are a blob of the store, shared by all revisions
/// that carry it on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attachment {
    pub(crate) name: String,
    pub(crate) content_type: String,
    /// The generation of the revision that brought it.
    pub(crate) revpos: u64,
    /// `md5-` and the digest in base64.
    pub(crate) digest: String,
    /// How long it is said to be. Of one that a client brought packed, CouchDB tells the packed
    /// length and does not know the other.
    pub(crate) length: u64,
    /// The length of the blob, if that is packed with gzip; None when it has the bytes themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) encoded_length: Option<u64>,
    /// The key of the blob; it does not leave the store.
    pub(crate) blob: i64,
}

impl Attachment {
    /// How many bytes its blob has.
    pub(crate) fn stored_length(&self) -> u64 {
        self.encoded_length.unwrap_or(self.length)
    }
}

/// An attachment that a client gives with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) name: String,
    pub(crate) revpos: Option<u64>,
    pub(crate) content: Content,
}

/// Where the bytes of a given attachment are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Here.
    Data { content_type: String, packed: Packed },
    /// In the revision before: `"stub": true`.
    Stub { digest: Option<String> },
    /// In a later part of the same multipart body: `"follows": true`.
    Follows { content_type: String, encoding: Encoding },
}

/// What is wrong with an attachment. The texts are CouchDB's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadAttachment {
    #[error("Attachment name '{0}' starts with prohibited character '_'")]
    Name(String),
    #[error("Attachment name or content type is longer than {NAME_BYTES_MAX} bytes")]
    TooLong,
    #[error("Invalid attachment data for {0}")]
    Data(String),
    #[error("Attachment '{name}' is longer than {limit} bytes")]
    TooLarge { name: String, limit: usize },
    /// Stored as it came, the packed bytes would be taken for the attachment.
    #[error("Attachment '{name}' has the encoding '{encoding}', and only gzip is known")]
    Encoding { name: String, encoding: String },
}

impl Given {
    /// The attachment with the bytes of its part, of which there may be `limit` once they are unpacked.
    ///
    /// What came packed stays so, under the digest that it has where it came from.
    pub(crate) fn with_part(&mut self, part: Bytes, limit: usize) -> Result<(), BadAttachment> {
        let Content::Follows { content_type, encoding } = &self.content else { return Ok(()) };
        let too_large = || BadAttachment::TooLarge { name: self.name.clone(), limit };
        let packed = match encoding {
            Encoding::Identity if part.len() > limit => return Err(too_large()),
            Encoding::Identity => packing::pack(content_type, part),
            Encoding::Gzip => packing::take_packed(part, limit).map_err(|bad| match bad {
                BadPacking::NotGzip => BadAttachment::Data(self.name.clone()),
                BadPacking::TooLarge => too_large(),
            })?,
        };
        self.content = Content::Data { content_type: content_type.clone(), packed };
        Ok(())
    }
}

/// Checks a name and a type before they are stored.
pub(crate) fn check_name(name: &str, content_type: &str) -> Result<(), BadAttachment> {
    if name.starts_with('_') {
        return Err(BadAttachment::Name(name.to_owned()));
    }
    if name.len() > NAME_BYTES_MAX || content_type.len() > NAME_BYTES_MAX {
        return Err(BadAttachment::TooLong);
    }
    Ok(())
}

/// Reads the value of `_attachments`; None when it is no object of objects.
pub(crate) fn read(value: &RawValue) -> Option<Result<Vec<Given>, BadAttachment>> {
    let members = object::members(value.get()).ok()??;
    let mut given = Vec::with_capacity(members.0.len());
    for (name, value) in &members.0 {
        match read_one(name, value)? {
            Ok(attachment) => {
                // A later duplicate wins, as with any member of JSON.
                given.retain(|earlier: &Given| earlier.name != attachment.name);
                given.push(attachment);
            }
            Err(bad) => return Some(Err(bad)),
        }
    }
    Some(Ok(given))
}

fn read_one(name: &str, value: &RawValue) -> Option<Result<Given, BadAttachment>> {
    let members = object::members(value.get()).ok()??;
    let content_type: Option<String> = members.read("content_type");
    let content_type = content_type.unwrap_or_else(|| String::from(DEFAULT_CONTENT_TYPE));
    if let Err(bad) = check_name(name, &content_type) {
        return Some(Err(bad));
    }
    let revpos = members.read("revpos");
    let content = if members.read("stub") == Some(true) {
        Content::Stub { digest: members.read("digest") }
    } else if members.read("follows") == Some(true) {
        let encoding = match members.read::<String>("encoding").as_deref() {
            None | Some("identity") => Encoding::Identity,
            Some("gzip") => Encoding::Gzip,
            Some(other) => {
                let (name, encoding) = (name.to_owned(), other.to_owned());
                return Some(Err(BadAttachment::Encoding { name, encoding }));
            }
        };
        Content::Follows { content_type, encoding }
    } else {
        // As in CouchDB, `encoding` says nothing of inline data: it is never packed.
        match members.get("data").and_then(|data| decode(data.get())) {
            Some(data) => {
                let packed = packing::pack(&content_type, data.into());
                Content::Data { content_type, packed }
            }
            None => return Some(Err(BadAttachment::Data(name.to_owned()))),
        }
    };
    Some(Ok(Given { name: name.to_owned(), revpos, content }))
}

/// The bytes of a JSON text in base64. It may be many MiB and is not copied if it has no escapes.
fn decode(json: &str) -> Option<Vec<u8>> {
    let plain = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match plain.filter(|text| !text.contains('\\')) {
        Some(text) => BASE64.decode(text).ok(),
        None => BASE64.decode(serde_json::from_str::<String>(json).ok()?).ok(),
    }
}
