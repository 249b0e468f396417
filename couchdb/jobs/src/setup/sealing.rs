//! The keys in regions' documents: a public half is added when its private half is where it belongs.

use super::error::SetupError;
use super::known::Known;
use super::operators::Operators;
use crate::region::Region;
use crate::sealing::SealingKey;

/// Another writes the document at the same moment now and then; so often in a row, it is something else.
const TRIES: u32 = 5;

/// Adds a key to a region, and gives its document. From then on secrets are sealed to it.
///
/// # Errors
///
/// [`SetupError::UnknownRegion`], and what stores answer.
pub async fn add(
    operators: &Operators,
    region: &str,
    key: &SealingKey,
) -> Result<Region, SetupError> {
    let added = change(operators, region, |region| {
        // One that is there is as old as it was.
        if region.sealing.iter().all(|known| known.id != key.id) {
            region.add_sealing_key(key.clone());
        }
    });
    added.await.map(|(region, ())| region)
}

/// Has nothing sealed to a key of a region any more, and gives its document; whether the key was there and not retired before.
///
/// # Errors
///
/// As [`add`].
pub async fn retire(
    operators: &Operators,
    region: &str,
    id: &str,
) -> Result<(Region, bool), SetupError> {
    change(operators, region, |region| region.retire_sealing_key(id)).await
}

async fn change<T>(
    operators: &Operators,
    name: &str,
    change: impl Fn(&mut Region) -> T,
) -> Result<(Region, T), SetupError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let mut known = Known::read(operators).await?;
        let mut region = known.region(name).cloned().ok_or_else(|| SetupError::UnknownRegion {
            name: name.to_owned(),
            known: known.region_names(),
        })?;
        let changed = change(&mut region);
        match known.put_region(operators, &region).await {
            Ok(_) => return Ok((region, changed)),
            Err(SetupError::Changed { .. }) if tries < TRIES => {}
            Err(error) => return Err(error),
        }
    }
}
