//! The data of a record as dig prints it: fields by the letters of its type's shape; what does not fit its shape, or
//! has none, as bytes. Source: RFC 1035, section 5; RFC 3597; the RFC of each type.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::numbers;
use crate::wire::{Message, Reader, Record};

/// Letters of hex and base64 that stand together.
const GROUP_LETTERS: usize = 56;

/// What stands behind the type.
pub(crate) fn text(message: &Message, record: &Record) -> String {
    let mut reader = Reader::of(&message.bytes, record.data.clone());
    let words = numbers::kind_shape(record.kind).chars().map(|field| word(field, &mut reader));
    let words: Option<Vec<String>> = words.collect();
    if let Some(words) = words.filter(|_| reader.rest().is_empty()) {
        let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
        return words.join(" ");
    }
    let bytes = message.bytes.get(record.data.clone()).unwrap_or_default();
    format!("\\# {} {}", bytes.len(), grouped(&hex(bytes))).trim_end().to_owned()
}

/// One field; `None` when the data is not of the shape.
fn word(field: char, reader: &mut Reader<'_>) -> Option<String> {
    Some(match field {
        '1' => reader.number(1)?.to_string(),
        '2' => reader.number(2)?.to_string(),
        '4' => reader.number(4)?.to_string(),
        'n' => reader.name()?,
        'i' => Ipv4Addr::from(<[u8; 4]>::try_from(reader.take(4)?).ok()?).to_string(),
        'I' => ipv6(<[u8; 16]>::try_from(reader.take(16)?).ok()?),
        's' => quoted(reader.counted()?),
        'S' => list(reader, |reader| Some(quoted(reader.counted()?)))?,
        'q' => quoted(reader.take_rest()),
        'b' => grouped(&STANDARD.encode(reader.take_rest())),
        'x' => grouped(&hex(reader.take_rest())),
        'N' => format!("0x{}", hex(reader.take_rest())),
        't' => numbers::kind_text(reader.u16()?),
        'T' => list(reader, window)?,
        'd' => date(reader.number(4)?),
        'h' => match reader.counted()? {
            [] => "-".to_owned(),
            salt => hex(salt),
        },
        'H' => base32(reader.counted()?),
        'c' => {
            let tag = reader.counted()?;
            let fits = !tag.is_empty() && tag.iter().all(u8::is_ascii_alphanumeric);
            String::from_utf8(tag.to_vec()).ok().filter(|_| fits)?
        }
        'C' => match reader.u16()? {
            1 => "PKIX".to_owned(),
            2 => "SPKI".to_owned(),
            3 => "PGP".to_owned(),
            253 => "URI".to_owned(),
            254 => "OID".to_owned(),
            other => other.to_string(),
        },
        'E' => {
            let bytes = reader.take_rest().iter().map(|byte| format!("{byte:02x}"));
            bytes.collect::<Vec<_>>().join("-")
        }
        'g' => {
            let groups = (0..4).map(|_| Some(format!("{:x}", reader.u16()?)));
            groups.collect::<Option<Vec<_>>>()?.join(":")
        }
        'L' => location(reader)?,
        'P' => list(reader, parameter)?,
        _ => return None,
    })
}

/// Fields of one sort to the end.
fn list(
    reader: &mut Reader<'_>,
    field: impl Fn(&mut Reader<'_>) -> Option<String>,
) -> Option<String> {
    let mut words = Vec::new();
    while !reader.rest().is_empty() {
        words.push(field(reader)?);
    }
    Some(words.join(" "))
}

/// As `inet_ntop` writes it, which knows two forms with an IPv4 address in them.
fn ipv6(bytes: [u8; 16]) -> String {
    let [.., a, b, c, d] = bytes;
    match Ipv6Addr::from(bytes).segments() {
        [0, 0, 0, 0, 0, 0, 1..=u16::MAX, _] => format!("::{}", Ipv4Addr::new(a, b, c, d)),
        _ => Ipv6Addr::from(bytes).to_string(),
    }
}

pub(crate) fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => write!(text, "\\{byte:03}").unwrap_or_default(),
        }
    }
    text + "\""
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// Of ASCII.
fn grouped(letters: &str) -> String {
    let groups = letters.as_bytes().chunks(GROUP_LETTERS).map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(" ")
}

/// Source: RFC 4648, section 7, without padding.
fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHIJKLMNOPQRSTUV";
    let mut text = String::new();
    for five in bytes.chunks(5) {
        let bits = (0..5).fold(0u64, |bits, at| {
            (bits << 8) | u64::from(five.get(at).copied().unwrap_or_default())
        });
        for at in 0..(five.len() * 8).div_ceil(5) {
            let letter = usize::try_from((bits >> (35 - 5 * at)) & 31).unwrap_or_default();
            text.push(char::from(LETTERS[letter]));
        }
    }
    text
}

/// One window of a bitmap of types. Source: RFC 4034, section 4.1.2.
fn window(reader: &mut Reader<'_>) -> Option<String> {
    let high = u16::from(reader.u8()?) << 8;
    let bits = reader.counted().filter(|bits| (1..=32).contains(&bits.len()))?;
    let is_set = |number: &u16| {
        bits.get(usize::from(number / 8)).is_some_and(|byte| byte & (0x80 >> (number % 8)) != 0)
    };
    let kinds = (0..256).filter(is_set).map(|low| numbers::kind_text(high | low));
    Some(kinds.collect::<Vec<_>>().join(" "))
}

/// `20301231235959`. Source: RFC 4034, section 3.2; the date from days is Howard Hinnant's `civil_from_days`.
fn date(since_1970: u32) -> String {
    let Civil { year, month, day, hour, minute, second, .. } = civil(u64::from(since_1970));
    format!("{year}{month:02}{day:02}{hour:02}{minute:02}{second:02}")
}

/// A date and a time of day, UTC.
pub(crate) struct Civil {
    pub(crate) year: u64,
    /// 1 to 12.
    pub(crate) month: u64,
    pub(crate) day: u64,
    pub(crate) hour: u64,
    pub(crate) minute: u64,
    pub(crate) second: u64,
    /// 0 is Sunday.
    pub(crate) weekday: u64,
}

/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
pub(crate) fn civil(seconds: u64) -> Civil {
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    Civil {
        year: era * 400 + year_of_era + u64::from(month <= 2),
        month,
        day: day_of_year - (153 * shifted + 2) / 5 + 1,
        hour: seconds / 3600 % 24,
        minute: seconds / 60 % 60,
        second: seconds % 60,
        weekday: (seconds / 86_400 + 4) % 7,
    }
}

/// Source: RFC 1876.
fn location(reader: &mut Reader<'_>) -> Option<String> {
    /// Of the centre of latitude and longitude, in thousandths of a second.
    const CENTRE: i64 = 1 << 31;
    /// Below the reference spheroid, in centimetres.
    const DEPTH: i64 = 10_000_000;
    reader.u8().filter(|version| *version == 0)?;
    let sizes = [reader.u8()?, reader.u8()?, reader.u8()?];
    let mut angle = |ways: [char; 2]| {
        let from_centre = i64::from(reader.number(4)?) - CENTRE;
        let (way, ms) = (ways[usize::from(from_centre < 0)], from_centre.abs());
        let (degrees, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
        Some(format!("{degrees} {minutes} {}.{:03} {way}", ms / 1000 % 60, ms % 1000))
    };
    let (latitude, longitude) = (angle(['N', 'S'])?, angle(['E', 'W'])?);
    let altitude = i64::from(reader.number(4)?) - DEPTH;
    let sign = if altitude < 0 { "-" } else { "" };
    let (metres, centimetres) = (altitude.abs() / 100, altitude.abs() % 100);
    let size = |size: &u8| {
        let (base, power) = (u64::from(size >> 4), u32::from(size & 15));
        let fits = base < 10 && power < 10;
        fits.then(|| match power {
            0 | 1 => format!("0.{:02}m", base * 10u64.pow(power)),
            _ => format!("{}m", base * 10u64.pow(power - 2)),
        })
    };
    let sizes = sizes.iter().map(size).collect::<Option<Vec<_>>>()?.join(" ");
    Some(format!("{latitude} {longitude} {sign}{metres}.{centimetres:02}m {sizes}"))
}

/// One parameter of a service. Source: RFC 9460, section 2.1 and 14.3.2; RFC 9461.
fn parameter(reader: &mut Reader<'_>) -> Option<String> {
    const KEYS: [&str; 9] = [
        "mandatory",
        "alpn",
        "no-default-alpn",
        "port",
        "ipv4hint",
        "ech",
        "ipv6hint",
        "dohpath",
        "ohttp",
    ];
    let name = |key: u16| {
        let known = KEYS.get(usize::from(key));
        known.map_or_else(|| format!("key{key}"), |name| (*name).to_owned())
    };
    let (key, length) = (reader.u16()?, usize::from(reader.u16()?));
    let value = reader.take(length)?;
    let mut value = Reader::of(value, 0..value.len());
    let mut items = |field: &dyn Fn(&mut Reader<'_>) -> Option<String>| {
        Some(list(&mut value, field)?.replace(' ', ","))
    };
    let value = match key {
        0 => items(&|value| Some(name(value.u16()?)))?,
        1 => {
            let mut ids = Vec::new();
            while !value.rest().is_empty() {
                let id = quoted(value.counted()?).replace("\\\\", "\\\\\\\\").replace(',', "\\\\,");
                ids.push(id.trim_matches('"').to_owned());
            }
            format!("\"{}\"", ids.join(","))
        }
        3 => items(&|value| word('2', value))?,
        4 => items(&|value| word('i', value))?,
        5 => STANDARD.encode(value.take_rest()),
        6 => items(&|value| word('I', value))?,
        _ if length == 0 => return Some(name(key)),
        _ => quoted(value.take_rest()),
    };
    Some(format!("{}={value}", name(key)))
}
