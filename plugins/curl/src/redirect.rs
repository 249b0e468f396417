//! Where an answer sends the transfer next: curl's rules for `-L`.

use blitz_plugin::web::Headers;

use crate::args::Settings;
use crate::exit::{Code, Problem};
use crate::request::{Hop, Verb};
use crate::url::Url;

/// Where an answer points to, followed or not.
#[derive(Debug)]
pub(crate) struct Target {
    /// As the server wrote it.
    pub(crate) location: String,
    /// What it means, if anything.
    pub(crate) url: Result<Url, Problem>,
}

/// Reads `Location`. An empty one is none, as in curl.
pub(crate) fn target(hop: &Hop, status: u16, headers: &Headers) -> Option<Target> {
    if !(300..400).contains(&status) {
        return None;
    }
    let (_, location) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("location"))?;
    let location = String::from_utf8_lossy(location).trim().to_owned();
    let url = hop.url.join(&location);
    Some(Target { location, url }).filter(|target| !target.location.is_empty())
}

/// The next hop, or `None` when redirects are not followed.
///
/// `followed` is the count of redirects so far.
pub(crate) fn next(
    hop: &Hop,
    status: u16,
    target: Url,
    followed: u64,
    settings: &Settings,
) -> Result<Option<Hop>, Problem> {
    let Some(redirects) = settings.redirects else { return Ok(None) };
    if let Some(count_max) = redirects.count_max.filter(|&count_max| followed >= count_max) {
        return Err(Problem::new(
            Code::TooManyRedirects,
            format!("Maximum ({count_max}) redirects followed"),
        ));
    }
    let verb = match (status, hop.verb) {
        (301, Verb::Post) if !redirects.keeps_post_301 => Verb::Get,
        (302, Verb::Post) if !redirects.keeps_post_302 => Verb::Get,
        (303, Verb::Post) if redirects.keeps_post_303 => Verb::Post,
        (303, Verb::Post | Verb::Put) => Verb::Get,
        (_, verb) => verb,
    };
    let referer = if settings.referer_follows {
        Some(hop.url.without_fragment())
    } else {
        hop.referer.clone()
    };
    Ok(Some(Hop { url: target, verb, referer }))
}
