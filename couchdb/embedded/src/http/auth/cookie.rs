//! `AuthSession` cookies: a name and a time, signed. The server keeps nothing of them.
//!
//! As in CouchDB the key of a signature is the server's secret and the user's salt, which changes with
//! the password: a new password ends all sessions.

use super::super::refusal::Refusal;
use crate::revision::hex;
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::{HeaderMap, HeaderValue, header};
use ring::hmac;

/// How long a cookie is good, in seconds; CouchDB's own.
const TIMEOUT_S: u64 = 600;

/// One that has less left than this is renewed: nine tenths.
const RENEWED_S: u64 = TIMEOUT_S / 10 * 9;

const NAME: &str = "AuthSession";

/// Base64 for URLs, taken with or without its padding.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A cookie that was sent; whether it proves anything is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) name: String,
    made_s: Option<u64>,
    signed: Vec<u8>,
    signature: Vec<u8>,
}

/// The cookie of a request; None when it has none.
pub(super) fn sent(headers: &HeaderMap) -> Result<Option<Session>, Refusal> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|one| one.split_once('='));
    let found = pairs.find(|(name, _)| name.trim() == NAME);
    let text = found.map_or("", |(_, value)| value.trim().trim_matches('"'));
    if text.is_empty() {
        return Ok(None);
    }
    let malformed =
        || Refusal::bad_request("Malformed AuthSession cookie. Please clear your cookies.");
    read(text).map(Some).ok_or_else(malformed)
}

fn read(text: &str) -> Option<Session> {
    let bytes = BASE64URL.decode(text).ok()?;
    let mut parts = bytes.splitn(3, |byte| *byte == b':');
    let (name, time, signature) = (parts.next()?, parts.next()?, parts.next()?);
    let time = str::from_utf8(time).ok()?;
    let plain = time.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some(Session {
        name: str::from_utf8(name).ok()?.to_owned(),
        made_s: plain.then(|| u64::from_str_radix(time, 16).ok()).flatten(),
        signed: bytes[..name.len() + 1 + time.len()].to_vec(),
        signature: signature.to_vec(),
    })
}

impl Session {
    fn left_s(&self, now_s: u64) -> u64 {
        self.made_s.map_or(0, |made| made.saturating_add(TIMEOUT_S).saturating_sub(now_s))
    }

    pub(super) fn is_over(&self, now_s: u64) -> bool {
        self.left_s(now_s) == 0
    }

    pub(super) fn is_aging(&self, now_s: u64) -> bool {
        self.left_s(now_s) < RENEWED_S
    }
}

/// Signs cookies.
pub(super) struct Signer(String);

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    pub(super) fn new(secret: &str) -> Signer {
        Signer(secret.to_owned())
    }

    fn key(&self, salt: &str) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, format!("{}{salt}", self.0).as_bytes())
    }

    /// Whether the cookie was signed here, for the password that the user still has.
    pub(super) fn is_of(&self, session: &Session, salt: &str) -> bool {
        hmac::verify(&self.key(salt), &session.signed, &session.signature).is_ok()
    }

    /// A new cookie, as the value of `Set-Cookie`.
    pub(super) fn sign(&self, name: &str, salt: &str, now_s: u64) -> HeaderValue {
        let mut bytes = format!("{name}:{now_s:X}").into_bytes();
        let signature = hmac::sign(&self.key(salt), &bytes);
        bytes.push(b':');
        bytes.extend_from_slice(signature.as_ref());
        set(&BASE64URL.encode(bytes), now_s)
    }

    /// The salt of an administrator, whose password is not hashed: it stays as long as the password.
    pub(super) fn salt(&self, name: &str, password: &str) -> String {
        let text = format!("{}:{name}{password}", name.len());
        hex(hmac::sign(&self.key("administrator"), text.as_bytes()).as_ref())
    }
}

/// The value of `Set-Cookie` that ends a session in the browser.
pub(crate) fn cleared() -> HeaderValue {
    set("", super::now_s())
}

fn set(value: &str, now_s: u64) -> HeaderValue {
    let expires = date(now_s.saturating_add(TIMEOUT_S));
    let text = format!(
        "{NAME}={value}; Version=1; Expires={expires}; Max-Age={TIMEOUT_S}; Path=/; HttpOnly"
    );
    HeaderValue::try_from(text).expect("base64 and a date are visible ASCII")
}

/// A time as cookies of Netscape have it, with dashes.
fn date(at_s: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, second) = (at_s / 86_400, at_s % 86_400);
    let weekday = DAYS.iter().cycle().nth(usize::try_from(days % 7).unwrap_or(0)).unwrap_or(&"");
    let (mut year, mut day) = (1970_u64, days);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    // The clock of a machine is a few decades after 1970; a bent one must not spin here.
    while day >= 365 + u64::from(is_leap(year)) && year < 9999 {
        day -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = "Dec";
    for (index, name) in MONTHS.iter().enumerate() {
        let length = match index {
            1 => 28 + u64::from(is_leap(year)),
            3 | 5 | 8 | 10 => 30,
            _ => 31,
        };
        if day < length {
            month = name;
            break;
        }
        day -= length;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{weekday}, {:02}-{month}-{year} {hour:02}:{minute:02}:{second:02} GMT", day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(value: &HeaderValue) -> Result<Option<Session>, Refusal> {
        let text = value.to_str().unwrap().split(';').next().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, format!("a=b; {text}; c=d").parse().unwrap());
        sent(&headers)
    }

    #[test]
    fn a_cookie_is_good_for_ten_minutes_and_one_password() {
        let signer = Signer::new("secret");
        let session = round(&signer.sign("jos\u{e9}", "salt", 1000)).unwrap().unwrap();
        assert_eq!(session.name, "jos\u{e9}");
        assert!(signer.is_of(&session, "salt"));
        assert!(!signer.is_of(&session, "other"));
        assert!(!Signer::new("secre").is_of(&session, "tsalt2"));
        assert!(!session.is_over(1599) && session.is_over(1600));
        assert!(!session.is_aging(1060) && session.is_aging(1061));
    }

    #[test]
    fn a_cookie_that_was_changed_proves_nothing() {
        let signer = Signer::new("secret");
        let value = signer.sign("u", "salt", 0x1000);
        let text = value.to_str().unwrap()[NAME.len() + 1..].split(';').next().unwrap().to_owned();
        for end in 1..text.len() {
            if let Some(session) = read(&text[..end]) {
                assert!(!signer.is_of(&session, "salt"), "{end}");
            }
        }
        for index in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            let good = read(&changed).is_some_and(|session| {
                signer.is_of(&session, "salt") && session.made_s == Some(0x1000)
            });
            assert!(!good, "{index}");
        }
        for time in ["", "-1", "+1", " 1", "x", "11111111111111111"] {
            let session = read(&BASE64URL.encode(format!("u:{time}:x"))).unwrap();
            assert!(session.is_over(0), "{time}");
        }
        for rubbish in ["rubbish", "%%%", "YQ", "YTpi"] {
            assert_eq!(read(rubbish), None, "{rubbish}");
        }
    }

    #[test]
    fn dates_have_dashes() {
        for (at, text) in [
            (0, "Thu, 01-Jan-1970 00:00:00 GMT"),
            (951_782_399, "Mon, 28-Feb-2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29-Feb-2000 00:00:00 GMT"),
            (1_795_248_517, "Sat, 21-Nov-2026 08:08:37 GMT"),
            (4_107_542_400, "Mon, 01-Mar-2100 00:00:00 GMT"),
        ] {
            assert_eq!(date(at), text);
        }
        assert!(date(u64::MAX).ends_with("GMT"));
    }
}
