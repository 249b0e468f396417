//! `blitz-boot promote`, `rollback` and `history`: what machines load now, and loaded before.
//!
//! A channel moves by one more pointer, signed, that counts up: also backwards, to an earlier bundle.

use std::collections::btree_map::{BTreeMap, Entry};
use std::path::PathBuf;

use blitz_boot_core::bundle::{
    Channel, Digest, Expected, Manifest, Pointer, PublicKey, SigningKey, Target, layout,
};
use blitz_jobs::clock::now_ms;
use clap::Args;

use crate::access::Access;
use crate::bundles::{ShelfArgs, found, manifest};
use crate::failure::Failure;
use crate::s3::Object;
use crate::shelf::Shelf;
use crate::stdout::print;
use crate::text::{table, utc};

/// Pointers that are read backwards: who promoted one bundle more often than that names another by itself.
const BACK_MAX: u64 = 100;

/// Which channel, and where it is.
#[derive(Debug, Args)]
pub(crate) struct ChannelArgs {
    /// The channel: canary or stable
    #[arg(long, value_name = "NAME")]
    channel: Channel,
    /// The machines that it is for: x86_64 or aarch64
    #[arg(long, value_name = "NAME", default_value = std::env::consts::ARCH)]
    target: Target,
    #[command(flatten)]
    shelf: ShelfArgs,
}

/// The flags of `promote` and `rollback`.
#[derive(Debug, Args)]
pub(crate) struct MoveArgs {
    #[command(flatten)]
    channel: ChannelArgs,
    /// The key to sign with
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

/// The flags of `promote`.
#[derive(Debug, Args)]
pub(crate) struct PromoteArgs {
    /// The bundle, as 'bundle' printed it
    #[arg(value_name = "BUNDLE")]
    bundle: Digest,
    #[command(flatten)]
    moved: MoveArgs,
}

/// Lets a channel point at a bundle that was published.
pub(crate) async fn promote(access: &Access, args: PromoteArgs) -> Result<(), Failure> {
    let PromoteArgs { bundle, moved } = args;
    let (lever, now) = Lever::take(access, moved).await?;
    lever.point(now, bundle).await
}

/// Lets a channel point at the bundle that it pointed at before the one of now.
pub(crate) async fn rollback(access: &Access, args: MoveArgs) -> Result<(), Failure> {
    let (lever, now) = Lever::take(access, args).await?;
    let track = &lever.track;
    let Some(now) = now else { return Err(Failure::NoPointer(track.channel)) };
    for serial in back_from(now.pointer.serial.saturating_sub(1)) {
        let Some(before) = track.at(serial).await? else { continue };
        if before.bundle != now.pointer.bundle {
            return lever.point(Some(now), before.bundle).await;
        }
    }
    Err(Failure::NothingBefore { channel: track.channel, bundle: now.pointer.bundle })
}

/// The flags of `history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    channel: ChannelArgs,
    /// The public key of who signs, as 'key' prints it
    #[arg(long, value_name = "KEY")]
    key: PublicKey,
}

const HEAD: [&str; 5] = ["SERIAL", "SINCE", "BUNDLE", "BLITZ", "NOW"];

/// Lists what a channel points at and pointed at before, newest first.
pub(crate) async fn history(access: &Access, args: HistoryArgs) -> Result<(), Failure> {
    let track = Track::find(access, args.channel, args.key).await?;
    let Some(now) = track.now().await?.map(|now| now.pointer) else {
        return Err(Failure::NoPointer(track.channel));
    };
    let mut products = BTreeMap::new();
    let mut rows = Vec::new();
    for serial in back_from(track.last_serial(now.serial).await?) {
        let found = match serial == now.serial {
            true => Some(now.clone()),
            false => track.at(serial).await?,
        };
        let Some(Pointer { bundle, at_ms, .. }) = found else { continue };
        let product = match products.entry(bundle) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(track.product(&bundle).await?),
        };
        let is_now = if serial == now.serial { "*" } else { "" };
        rows.push([
            serial.to_string(),
            utc(at_ms),
            bundle.to_string(),
            product.clone(),
            is_now.to_owned(),
        ]);
    }
    print(&table(HEAD, rows))
}

/// So many serials as are looked through, backwards.
fn back_from(serial: u64) -> impl Iterator<Item = u64> {
    (serial.saturating_sub(BACK_MAX - 1).max(1)..=serial).rev()
}

/// A channel that is read.
struct Track {
    shelf: Shelf,
    key: PublicKey,
    channel: Channel,
    target: Target,
}

/// What a channel points at.
struct Now {
    pointer: Pointer,
    object: Object,
}

impl Track {
    async fn find(access: &Access, args: ChannelArgs, key: PublicKey) -> Result<Self, Failure> {
        let ChannelArgs { channel, target, shelf } = args;
        Ok(Self { shelf: shelf.open(access).await?, key, channel, target })
    }

    async fn now(&self) -> Result<Option<Now>, Failure> {
        let object = self.shelf.get(&layout::channel(self.channel, self.target)).await?;
        object.map(|object| Ok(Now { pointer: self.open(&object.bytes)?, object })).transpose()
    }

    /// What it pointed at by this serial; not all numbers came to be used.
    async fn at(&self, serial: u64) -> Result<Option<Pointer>, Failure> {
        let object = self.shelf.get(&self.history(serial)).await?;
        object.map(|object| self.open(&object.bytes)).transpose()
    }

    /// The version of a bundle, for people.
    async fn product(&self, bundle: &Digest) -> Result<String, Failure> {
        match self.manifest(bundle).await {
            Ok(manifest) => Ok(manifest.product().to_owned()),
            Err(Failure::NotPublished(_)) => Ok("(taken away)".to_owned()),
            Err(failure) => Err(failure),
        }
    }

    async fn manifest(&self, bundle: &Digest) -> Result<Manifest, Failure> {
        manifest(&self.shelf, bundle, self.target, &self.key).await
    }

    fn open(&self, object: &[u8]) -> Result<Pointer, Failure> {
        let Self { channel, target, .. } = *self;
        let expected = Expected { channel, target, serial_min: 1 };
        Ok(Pointer::open(object, &self.key, expected)?)
    }

    /// The last serial that machines may have seen: that of now, or a later one, of which there is a history where somebody has put
    /// an older pointer back, or taken it away.
    async fn last_serial(&self, now: u64) -> Result<u64, Failure> {
        let mut last = now;
        while self.shelf.get(&self.history(last.saturating_add(1))).await?.is_some() {
            last = last.saturating_add(1);
        }
        Ok(last)
    }

    fn history(&self, serial: u64) -> String {
        layout::channel_history(self.channel, self.target, serial)
    }
}

/// A channel that is to be moved.
struct Lever {
    track: Track,
    key: SigningKey,
}

impl Lever {
    async fn take(access: &Access, args: MoveArgs) -> Result<(Self, Option<Now>), Failure> {
        let key = SigningKey::read(&args.key)?;
        let track = Track::find(access, args.channel, key.public()).await?;
        let now = track.now().await?;
        Ok((Self { track, key }, now))
    }

    /// Moves the channel, if the bundle is whole where it lies.
    async fn point(&self, now: Option<Now>, bundle: Digest) -> Result<(), Failure> {
        let Self { track, key } = self;
        let Track { shelf, channel, target, .. } = track;
        let manifest = track.manifest(&bundle).await?;
        let place = (*channel, *target);
        let previous = now.as_ref().map(|now| &now.pointer);
        if let Some(now) = previous.filter(|now| now.bundle == bundle) {
            let serial = now.serial;
            return print(&format!(
                "{channel} of {target} points at it already, by serial {serial}\n"
            ));
        }
        self.check_files(&manifest).await?;
        let last = track.last_serial(previous.map_or(0, |now| now.serial)).await?;
        let pointer = Pointer::after(last, place, bundle, now_ms())?;
        if let Some(now) = &now {
            self.remember(now.pointer.serial, &now.object.bytes).await?;
        }
        let etag = now.as_ref().map(|now| now.object.etag.as_str());
        let object = pointer.to_object(key);
        shelf.replace(&layout::channel(*channel, *target), object.clone(), etag).await?;
        self.remember(pointer.serial, &object).await?;
        let (product, serial) = (manifest.product(), pointer.serial);
        print(&format!(
            "{channel} of {target} points at {bundle} (blitz {product}), by serial {serial}\n"
        ))
    }

    /// Reads what machines would read, so that none of them is sent to what is not there, or is not what was signed.
    async fn check_files(&self, manifest: &Manifest) -> Result<(), Failure> {
        for file in manifest.files() {
            let key = layout::blob(&file.sha256);
            let bytes = found(&self.track.shelf, &key).await?;
            if Digest::of(&bytes) != file.sha256 {
                return Err(Failure::Damaged { file: file.name.clone(), key });
            }
        }
        Ok(())
    }

    /// Writes down what the channel points at, once it does, and before it moves, where whoever moved it was cut off: none is missing
    /// of what a machine may have seen.
    /// What it is about to point at is not written: of two who move it at once, one fails, and its bundle was never in the channel.
    async fn remember(&self, serial: u64, object: &[u8]) -> Result<(), Failure> {
        let at = self.track.history(serial);
        let there = self.track.shelf.get(&at).await?;
        if there.as_ref().is_some_and(|there| there.bytes == object) {
            return Ok(());
        }
        // Another one is of a channel that began anew.
        let etag = there.as_ref().map(|there| there.etag.as_str());
        Ok(self.track.shelf.replace(&at, object.to_owned(), etag).await?)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs;

    use blitz_boot_core::bundle::{Bundle, Input, PROGRAM};
    use clap::Parser;

    use super::*;
    use crate::bundles::read;
    use crate::shelf;

    struct Bench {
        directory: tempfile::TempDir,
    }

    impl Bench {
        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        /// Publishes a bundle of a program that every machine of these tests has.
        async fn published(&self, program: &str) -> Digest {
            let key = SigningKey::read(&self.path("key")).unwrap();
            let inputs =
                vec![Input { name: PROGRAM.to_owned(), bytes: read(program.as_ref()).unwrap() }];
            let target: Target = std::env::consts::ARCH.parse().unwrap();
            // The images of these tests are newer than those of machines.
            let glibc = "2.99".parse().unwrap();
            let bundle = Bundle::build("1", target, glibc, inputs).unwrap();
            let id = bundle.manifest().id();
            let shelf = Shelf::Directory(self.path("site"));
            for object in bundle.into_objects(&key) {
                shelf.put_new(&object.key, object.bytes).await.unwrap();
            }
            id
        }

        fn words(&self) -> MoveArgs {
            #[derive(Parser)]
            struct Line {
                #[command(flatten)]
                args: MoveArgs,
            }

            let (key, site) = (self.path("key"), self.path("site"));
            let words = ["promote", "--channel", "stable", "--key"].map(OsString::from);
            let words = words.into_iter().chain([key.into(), "--dir".into(), site.into()]);
            Line::try_parse_from(words).unwrap().args
        }

        async fn take(&self) -> (Lever, Option<Now>) {
            Lever::take(&Access::default(), self.words()).await.unwrap()
        }
    }

    #[tokio::test]
    async fn who_loses_a_race_leaves_nothing_to_roll_back_to() {
        let bench = Bench { directory: tempfile::tempdir().unwrap() };
        SigningKey::make(&bench.path("key")).unwrap();
        let one = bench.published("/bin/true").await;
        let two = bench.published("/bin/false").await;
        let three = bench.published("/bin/cat").await;
        let (lever, now) = bench.take().await;
        lever.point(now, one).await.unwrap();

        let (winner, seen) = bench.take().await;
        let (loser, seen_too) = bench.take().await;
        winner.point(seen, two).await.unwrap();
        let refused = loser.point(seen_too, three).await.unwrap_err();
        assert!(matches!(refused, Failure::Shelf(shelf::Error::Changed(_))), "{refused}");

        let (lever, now) = bench.take().await;
        assert_eq!(now.as_ref().map(|now| now.pointer.bundle), Some(two));
        lever.point(now, one).await.unwrap();
        rollback(&Access::default(), bench.words()).await.unwrap();
        let (_, now) = bench.take().await;
        let now = now.unwrap().pointer;
        assert_eq!((now.bundle, now.serial), (two, 4), "what was there, and not {three}");
    }

    #[tokio::test]
    async fn a_channel_never_counts_back_and_never_points_at_what_is_damaged() {
        let bench = Bench { directory: tempfile::tempdir().unwrap() };
        SigningKey::make(&bench.path("key")).unwrap();
        let one = bench.published("/bin/true").await;
        let two = bench.published("/bin/false").await;
        let head =
            bench.path("site").join(layout::channel(Channel::Stable, bench.words().channel.target));
        let promote = async |bundle| {
            let (lever, now) = bench.take().await;
            lever.point(now, bundle).await
        };
        let serial = async || bench.take().await.1.unwrap().pointer.serial;
        promote(one).await.unwrap();
        let first = fs::read(&head).unwrap();
        promote(two).await.unwrap();
        promote(one).await.unwrap();
        // Somebody puts the first pointer back.
        fs::write(&head, first).unwrap();
        promote(two).await.unwrap();
        assert_eq!(serial().await, 4, "machines have seen 3");
        fs::remove_file(&head).unwrap();
        promote(one).await.unwrap();
        assert_eq!(serial().await, 5);

        let blob = Digest::of(&read("/bin/false".as_ref()).unwrap());
        let blob = bench.path("site").join(layout::blob(&blob));
        let mut bytes = fs::read(&blob).unwrap();
        bytes[0] ^= 1;
        fs::write(&blob, bytes).unwrap();
        let damaged = promote(two).await.unwrap_err();
        assert!(matches!(&damaged, Failure::Damaged { file, .. } if file == PROGRAM), "{damaged}");
        fs::remove_file(&blob).unwrap();
        let missing = promote(two).await.unwrap_err();
        assert!(matches!(missing, Failure::NotPublished(_)), "{missing}");
        assert_eq!(serial().await, 5);
    }
}
