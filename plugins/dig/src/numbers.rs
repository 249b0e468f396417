//! IANA's numbers and their words: types with the shape of their data, classes, response codes, EDNS errors. Tables.

/// A type: its number, its word, and its data field by field, in the letters of [`crate::rdata`].
pub(crate) struct Kind(pub(crate) u16, pub(crate) &'static str, pub(crate) &'static str);

pub(crate) const A: u16 = 1;
pub(crate) const NS: u16 = 2;
pub(crate) const PTR: u16 = 12;
pub(crate) const AAAA: u16 = 28;
pub(crate) const OPT: u16 = 41;
pub(crate) const ANY: u16 = 255;

/// Source: the IANA registry "Resource Record (RR) TYPEs", and the RFCs that it names.
const KINDS: &[Kind] = &[
    Kind(A, "A", "i"),
    Kind(NS, "NS", "n"),
    Kind(3, "MD", "n"),
    Kind(4, "MF", "n"),
    Kind(5, "CNAME", "n"),
    Kind(6, "SOA", "nn44444"),
    Kind(7, "MB", "n"),
    Kind(8, "MG", "n"),
    Kind(9, "MR", "n"),
    Kind(PTR, "PTR", "n"),
    Kind(13, "HINFO", "ss"),
    Kind(14, "MINFO", "nn"),
    Kind(15, "MX", "2n"),
    Kind(16, "TXT", "S"),
    Kind(17, "RP", "nn"),
    Kind(18, "AFSDB", "2n"),
    Kind(19, "X25", "s"),
    Kind(20, "ISDN", "S"),
    Kind(21, "RT", "2n"),
    Kind(22, "NSAP", "N"),
    Kind(24, "SIG", "t114dd2nb"),
    Kind(25, "KEY", "211b"),
    Kind(26, "PX", "2nn"),
    Kind(27, "GPOS", "sss"),
    Kind(AAAA, "AAAA", "I"),
    Kind(29, "LOC", "L"),
    Kind(33, "SRV", "222n"),
    Kind(35, "NAPTR", "22sssn"),
    Kind(36, "KX", "2n"),
    Kind(37, "CERT", "C21b"),
    Kind(39, "DNAME", "n"),
    Kind(OPT, "OPT", "?"),
    Kind(43, "DS", "211x"),
    Kind(44, "SSHFP", "11x"),
    Kind(46, "RRSIG", "t114dd2nb"),
    Kind(47, "NSEC", "nT"),
    Kind(48, "DNSKEY", "211b"),
    Kind(49, "DHCID", "b"),
    Kind(50, "NSEC3", "112hHT"),
    Kind(51, "NSEC3PARAM", "112h"),
    Kind(52, "TLSA", "111x"),
    Kind(53, "SMIMEA", "111x"),
    Kind(55, "HIP", "?"),
    Kind(59, "CDS", "211x"),
    Kind(60, "CDNSKEY", "211b"),
    Kind(61, "OPENPGPKEY", "b"),
    Kind(62, "CSYNC", "42T"),
    Kind(63, "ZONEMD", "411x"),
    Kind(64, "SVCB", "2nP"),
    Kind(65, "HTTPS", "2nP"),
    Kind(99, "SPF", "S"),
    Kind(104, "NID", "2g"),
    Kind(105, "L32", "2i"),
    Kind(106, "L64", "2g"),
    Kind(107, "LP", "2n"),
    Kind(108, "EUI48", "E"),
    Kind(109, "EUI64", "E"),
    Kind(251, "IXFR", "?"),
    Kind(252, "AXFR", "?"),
    Kind(ANY, "ANY", "?"),
    Kind(256, "URI", "22q"),
    Kind(257, "CAA", "1cq"),
    Kind(32769, "DLV", "211x"),
];

const CLASSES: &[(u16, &str)] = &[(1, "IN"), (3, "CH"), (4, "HS"), (254, "NONE"), (255, "ANY")];

const RCODES: &[&str] = &[
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET",
    "NXRRSET", "NOTAUTH", "NOTZONE",
];

const OPCODES: &[&str] = &["QUERY", "IQUERY", "STATUS", "RESERVED3", "NOTIFY", "UPDATE"];

pub(crate) const BADVERS: u16 = 16;
pub(crate) const BADCOOKIE: u16 = 23;

/// Source: RFC 8914, section 5.2.
const EXTENDED_ERRORS: &[&str] = &[
    "Other",
    "Unsupported DNSKEY Algorithm",
    "Unsupported DS Digest Type",
    "Stale Answer",
    "Forged Answer",
    "DNSSEC Indeterminate",
    "DNSSEC Bogus",
    "Signature Expired",
    "Signature Not Yet Valid",
    "DNSKEY Missing",
    "RRSIGs Missing",
    "No Zone Key Bit Set",
    "NSEC Missing",
    "Cached Error",
    "Not Ready",
    "Blocked",
    "Censored",
    "Filtered",
    "Prohibited",
    "Stale NXDOMAIN Answer",
    "Not Authoritative",
    "Not Supported",
    "No Reachable Authority",
    "Network Error",
    "Invalid Data",
];

fn kind(number: u16) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.0 == number)
}

/// `MX`; `TYPE65280` for one without a word. Source: RFC 3597, section 5.
pub(crate) fn kind_text(number: u16) -> String {
    kind(number).map_or_else(|| format!("TYPE{number}"), |kind| kind.1.to_owned())
}

/// How its data looks; `?` where it is shown as bytes.
pub(crate) fn kind_shape(number: u16) -> &'static str {
    kind(number).map_or("?", |kind| kind.2)
}

pub(crate) fn kind_number(word: &str) -> Option<u16> {
    let known = KINDS.iter().find(|kind| kind.1.eq_ignore_ascii_case(word));
    known.map(|kind| kind.0).or_else(|| numbered(word, "TYPE"))
}

pub(crate) fn class_text(number: u16) -> String {
    let known = CLASSES.iter().find(|(class, _)| *class == number);
    known.map_or_else(|| format!("CLASS{number}"), |(_, word)| (*word).to_owned())
}

pub(crate) fn class_number(word: &str) -> Option<u16> {
    let known = CLASSES.iter().find(|(_, class)| class.eq_ignore_ascii_case(word));
    known.map(|(class, _)| *class).or_else(|| numbered(word, "CLASS"))
}

fn numbered(word: &str, prefix: &str) -> Option<u16> {
    let number = word.get(prefix.len()..)?;
    let fits = word[..prefix.len()].eq_ignore_ascii_case(prefix);
    number.parse().ok().filter(|_| fits && number.bytes().all(|b| b.is_ascii_digit()))
}

pub(crate) fn rcode_text(code: u16) -> String {
    match code {
        BADVERS => "BADVERS".to_owned(),
        BADCOOKIE => "BADCOOKIE".to_owned(),
        _ => {
            RCODES.get(usize::from(code)).map_or_else(|| format!("?{code}"), |word| (*word).into())
        }
    }
}

pub(crate) fn opcode_text(code: u8) -> String {
    let known = OPCODES.get(usize::from(code));
    known.map_or_else(|| format!("RESERVED{code}"), |word| (*word).to_owned())
}

pub(crate) fn extended_error_text(code: u16) -> Option<&'static str> {
    EXTENDED_ERRORS.get(usize::from(code)).copied()
}
