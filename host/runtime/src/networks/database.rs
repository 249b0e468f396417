//! One file in MaxMind's format, read once: it lies in memory for as long as the engine runs.
//!
//! The format says how records are found and written, and not what stands in them. Known here are the fields of
//! MaxMind (GeoLite2 and GeoIP2: ASN, Country, City), which DB-IP took over, and those of IPinfo. What a record has in
//! another form than these is passed over.

use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use blitz_contract::probes::Network;
use maxminddb::{LookupResult, MaxMindDbError, PathElement, Reader};
use serde::Deserialize;

use crate::limits::Size;

/// The largest file: cities of the whole world have 130 MB, and it stays in memory.
const FILE_MAX_BYTES: u64 = 512 * 1024 * 1024;

/// Where makers of databases put the number of an autonomous system, as a number or as `AS64500`.
const ASN: &[&[&str]] = &[&["autonomous_system_number"], &["asn"]];
/// Where its owner stands.
const ORGANIZATION: &[&[&str]] = &[&["autonomous_system_organization"], &["as_name"], &["name"]];
/// Where a country stands, of two letters; a registry's word counts where nothing is known of the place.
const COUNTRY: &[&[&str]] = &[
    &["country", "iso_code"],
    &["country_code"],
    &["country"],
    &["registered_country", "iso_code"],
];

#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    reader: Reader<Vec<u8>>,
}

impl Database {
    /// # Errors
    ///
    /// Why the file is not a database.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let mut bytes = Vec::new();
        let file =
            File::open(path).and_then(|file| file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes));
        let length = file.map_err(|error| {
            let text = error.to_string();
            // Without its number.
            text.split(" (os error").next().unwrap_or(&text).to_owned()
        })?;
        if u64::try_from(length).is_ok_and(|length| length > FILE_MAX_BYTES) {
            return Err(format!(
                "it has more than {}, the most that is read",
                Size(FILE_MAX_BYTES)
            ));
        }
        Self::of(path, bytes)
    }

    /// # Errors
    ///
    /// These bytes are no database.
    pub(super) fn of(path: &Path, bytes: Vec<u8>) -> Result<Self, String> {
        let reader = Reader::from_source(bytes)
            .map_err(|error| format!("it is not in MaxMind's format: {error}"))?;
        let metadata = reader.metadata();
        tracing::info!(
            path = %path.display(), kind = metadata.database_type, built = metadata.build_epoch,
            "read a database of networks"
        );
        Ok(Self { path: path.to_owned(), reader })
    }

    /// What is known of an address.
    ///
    /// # Errors
    ///
    /// The file is broken where its record stands.
    pub(super) fn whose(&self, address: IpAddr) -> Result<Network, String> {
        let broken = |error: MaxMindDbError| {
            format!("the engine's database of networks {} is broken: {error}", self.path.display())
        };
        let record = match self.reader.lookup(address) {
            Ok(record) => record,
            // A database of IPv4 alone knows no other address.
            Err(MaxMindDbError::InvalidInput { .. }) => return Ok(Network::default()),
            Err(error) => return Err(broken(error)),
        };
        Ok(Network {
            asn: first(&record, ASN, Fact::number).map_err(broken)?,
            organization: first(&record, ORGANIZATION, Fact::text)
                .map_err(broken)?
                .map(str::to_owned),
            country: first(&record, COUNTRY, Fact::country)
                .map_err(broken)?
                .map(str::to_ascii_uppercase),
        })
    }
}

/// The first of these places that has what `read` understands.
fn first<'a, T>(
    record: &LookupResult<'a, Vec<u8>>,
    places: &[&[&str]],
    read: impl Fn(Fact<'a>) -> Option<T>,
) -> Result<Option<T>, MaxMindDbError> {
    for place in places {
        if let Some(found) = fact(record, place)?.and_then(&read) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// A value of a record.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Fact<'a> {
    Number(u32),
    Text(&'a str),
}

impl<'a> Fact<'a> {
    fn number(self) -> Option<u32> {
        match self {
            Self::Number(number) => Some(number),
            Self::Text(text) => text.strip_prefix("AS").unwrap_or(text).parse().ok(),
        }
    }

    fn text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text),
            Self::Text(_) | Self::Number(_) => None,
        }
    }

    /// Others write a country's name in this place.
    fn country(self) -> Option<&'a str> {
        self.text().filter(|text| text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic()))
    }
}

/// The value at this place of a record; `None` when there is none, or one of another kind.
fn fact<'a>(
    record: &LookupResult<'a, Vec<u8>>,
    path: &[&str],
) -> Result<Option<Fact<'a>>, MaxMindDbError> {
    let path: Vec<PathElement<'_>> = path.iter().copied().map(PathElement::Key).collect();
    match record.decode_path(&path) {
        Err(MaxMindDbError::Decoding { .. }) => Ok(None),
        found => found,
    }
}
