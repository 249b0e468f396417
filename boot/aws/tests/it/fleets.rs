//! Fleets and clients of the stories.

use aws_sdk_ec2::config::Credentials;
use blitz_boot::access::Access;
use blitz_boot::ec2::Ec2;
use blitz_boot_core::fleet::Fleet;
use blitz_boot_core::provider::{LaunchRequest, ProviderError};

use crate::moto::TEMPLATE;

/// A fleet with a region `at-PLACE` in each of the places.
pub(crate) fn fleet(name: &str, places: &[&str]) -> Fleet {
    let region = |place: &&str| serde_json::json!({ "name": format!("at-{place}"), "place": place, "max": 9, "launch-template": TEMPLATE });
    let regions: Vec<_> = places.iter().map(region).collect();
    serde_json::from_value(serde_json::json!({ "name": name, "region": regions })).expect("a fleet")
}

/// Access to an end point.
pub(crate) fn access(url: &str, credentials: &Credentials) -> Access {
    Access {
        endpoint_url: Some(url.to_owned()),
        credentials: Some(credentials.clone()),
        ..Access::default()
    }
}

/// The provider of a fleet's machines in one place.
pub(crate) async fn provider(access: &Access, fleet: &str, place: &str) -> Ec2 {
    Ec2::new(access, &self::fleet(fleet, &[place]), place).await.expect("a provider")
}

/// One launch in a place.
pub(crate) fn launch(place: &str, token: &str, count: u32) -> LaunchRequest {
    LaunchRequest { token: token.to_owned(), region: format!("at-{place}"), count, is_spot: false }
}

/// Says what is expected of an error: its kind, as the type is called, and words of its text.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(
    given: Result<T, ProviderError>,
    kind: &str,
    words: &[&str],
) {
    let error = given.expect_err("it is refused");
    assert!(format!("{error:?}").starts_with(&format!("{kind}(")), "not {kind}: {error:?}");
    for word in words {
        assert!(error.to_string().contains(word), "no \"{word}\" in: {error}");
    }
}
