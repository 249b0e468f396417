//! Who asks: Basic authentication of the one administrator.
//!
//! Cookies, tokens and users of `_users` come later; until then they are refused by name, never
//! taken for somebody without a password.

use super::{call::User, refusal::Refusal};
use crate::{document::attachment::BASE64, options::Admin};
use base64::Engine as _;
use http::{HeaderMap, header};

/// Looks at the `Authorization` header.
pub(crate) fn user(headers: &HeaderMap, admin: Option<&Admin>) -> Result<User, Refusal> {
    let Some(admin) = admin else { return Ok(User::Admin) };
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(User::Anonymous) };
    let value = value.to_str().unwrap_or("");
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    if scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::not_implemented("bearer tokens"));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Ok(User::Anonymous);
    }
    let invalid = || Refusal::bad_request("Authorization header has invalid base64 value");
    let decoded = BASE64.decode(rest.trim()).map_err(|_| invalid())?;
    let decoded = String::from_utf8(decoded).map_err(|_| invalid())?;
    let (name, password) = decoded.split_once(':').ok_or_else(invalid)?;
    let known = same(name.as_bytes(), admin.name.as_bytes())
        & same(password.as_bytes(), admin.password.as_bytes());
    if known {
        Ok(User::Admin)
    } else {
        Err(Refusal::unauthorized("Name or password is incorrect."))
    }
}

/// Compares without telling by its time where the first difference is.
fn same(given: &[u8], wanted: &[u8]) -> bool {
    let pairs = wanted.iter().enumerate();
    let differences = pairs.fold(0, |differences, (index, byte)| {
        differences | (byte ^ given.get(index).copied().unwrap_or(!byte))
    });
    std::hint::black_box(differences) == 0 && given.len() == wanted.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_name_and_password_are_the_administrator() {
        let admin = Admin { name: String::from("u"), password: String::from("p:w") };
        let ask = |value: Option<String>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            }
            user(&headers, Some(&admin)).map_err(|refusal| refusal.status.as_u16())
        };
        let basic = |pair: &str| Some(format!("Basic {}", BASE64.encode(pair)));
        assert_eq!(ask(basic("u:p:w")), Ok(User::Admin));
        assert_eq!(ask(None), Ok(User::Anonymous));
        for (value, status) in [
            (basic("u:p"), 401),
            (basic("u:p:ww"), 401),
            (basic("u:"), 401),
            (basic("uu:p:w"), 401),
            (Some(String::from("Basic rubbish")), 400),
            (Some(String::from("Bearer x.y.z")), 501),
        ] {
            assert_eq!(ask(value.clone()), Err(status), "{value:?}");
        }
        assert_eq!(user(&HeaderMap::new(), None), Ok(User::Admin));
    }
}
