//! `blitz-boot key`, `bundle`, `publish`, `promote` and `rollback`: from a program to what machines load.
//!
//! A bundle is made and signed where the key is, into a directory; what is published is that directory, as it is. A channel
//! moves by one more pointer, signed, that counts up: also backwards, to an earlier bundle.

use std::fs;
use std::path::{Path, PathBuf};

use blitz_boot_core::bundle::{
    Bundle, Channel, Digest, Expected, Glibc, Input, Manifest, PROGRAM, Pointer, SigningKey,
    Target, layout,
};
use blitz_boot_core::user_data::value::{Account, Bucket as BucketName, Prefix};
use blitz_jobs::clock::now_ms;
use clap::{Args, Subcommand};

use crate::access::Access;
use crate::commands::print;
use crate::failure::Failure;
use crate::s3::{Bucket, Object, Put};
use crate::shelf::Shelf;

/// Pointers that are read backwards to find the bundle before: who promoted one bundle more often than that names the other.
const BACK_MAX: u64 = 100;

/// What can be done with the key.
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make a key, and print its public half
    Make {
        /// Where; nothing may be there
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print the public half of a key
    Show {
        /// The key
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Makes or shows a key.
pub(crate) fn key(key: Key) -> Result<(), Failure> {
    let key = match key {
        Key::Make { file } => SigningKey::make(&file)?,
        Key::Show { file } => SigningKey::read(&file)?,
    };
    print(&format!("{}\n", key.public()))
}

/// The flags of `bundle`.
#[derive(Debug, Args)]
pub(crate) struct BundleArgs {
    /// The program 'blitz': engine, gateway and command line, with its built-in plugins
    #[arg(long, value_name = "FILE")]
    program: PathBuf,
    /// Another plugin to have beside it; repeat for others
    #[arg(long = "plugin", value_name = "FILE")]
    plugins: Vec<PathBuf>,
    /// The machines that it is for: x86_64 or aarch64
    #[arg(long, value_name = "NAME", default_value = std::env::consts::ARCH)]
    target: Target,
    /// The version of the product, for people
    #[arg(long, value_name = "TEXT", default_value = env!("CARGO_PKG_VERSION"))]
    product: String,
    /// The newest C library that it may need; images with an older one do not start it
    #[arg(long, value_name = "2.N", default_value = "2.34")]
    glibc_max: Glibc,
    /// The key to sign with
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The directory that it is written into, beside what is there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Makes a bundle, and prints its id.
pub(crate) async fn bundle(args: BundleArgs) -> Result<(), Failure> {
    let key = SigningKey::read(&args.key)?;
    let mut inputs = vec![Input { name: PROGRAM.to_owned(), bytes: read(&args.program)? }];
    for path in &args.plugins {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        inputs.push(Input { name, bytes: read(path)? });
    }
    let bundle = Bundle::build(&args.product, args.target, args.glibc_max, inputs)?;
    let id = bundle.manifest().id();
    let shelf = Shelf::Directory(args.out);
    for object in bundle.into_objects(&key) {
        shelf.put_new(&object.key, object.bytes).await?;
    }
    print(&format!("{id}\n"))
}

/// Where bundles are published.
#[derive(Debug, Args)]
#[group(required = true, multiple = false, id = "place")]
pub(crate) struct PlaceArgs {
    /// The bucket
    #[arg(long, value_name = "NAME")]
    bucket: Option<BucketName>,
    /// A directory that a web server serves
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// How the bucket is reached.
#[derive(Debug, Args)]
pub(crate) struct BucketArgs {
    /// What keys in the bucket begin with
    #[arg(long, value_name = "TEXT", default_value = "engines")]
    prefix: Prefix,
    /// The region of AWS that the bucket is in [default: that of the environment]
    #[arg(long, value_name = "NAME")]
    bucket_place: Option<String>,
    /// The account that the bucket must be of, 12 digits
    #[arg(long, value_name = "ID")]
    owner: Option<Account>,
}

async fn shelf(access: &Access, place: PlaceArgs, bucket: BucketArgs) -> Result<Shelf, Failure> {
    let BucketArgs { prefix, bucket_place, owner } = bucket;
    let Some(name) = place.bucket else {
        return Ok(Shelf::Directory(place.dir.unwrap_or_default()));
    };
    let mut bucket = Bucket::new(access, &name.to_string(), bucket_place.as_deref()).await?;
    if let Some(owner) = owner {
        bucket = bucket.with_owner(&owner.to_string());
    }
    Ok(Shelf::Bucket { bucket, prefix: prefix.to_string() })
}

/// The flags of `publish`.
#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    /// The bundle, as 'bundle' printed it
    #[arg(value_name = "BUNDLE")]
    bundle: Digest,
    /// The directory that it was made in
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The machines that it is for: x86_64 or aarch64
    #[arg(long, value_name = "NAME", default_value = std::env::consts::ARCH)]
    target: Target,
    /// The key that it is signed with
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    bucket: BucketArgs,
}

/// Publishes a bundle: every file is looked at once more, and nothing that is there is overwritten.
pub(crate) async fn publish(access: &Access, args: PublishArgs) -> Result<(), Failure> {
    let key = SigningKey::read(&args.key)?;
    let from = Shelf::Directory(args.from);
    let manifest = manifest(&from, &args.bundle, args.target, &key).await?;
    let to = shelf(access, args.place, args.bucket).await?;
    let (mut written, mut same) = (0, 0);
    let mut put = |put: Put| match put {
        Put::Written => written += 1,
        Put::Same => same += 1,
    };
    for file in manifest.files() {
        let at = layout::blob(&file.sha256);
        let bytes = found(&from, &at).await?;
        file.check_bytes(&bytes)?;
        put(to.put_new(&at, bytes).await?);
    }
    // Who finds the manifest finds all of it.
    for at in [layout::manifest_signature(&args.bundle), layout::manifest(&args.bundle)] {
        put(to.put_new(&at, found(&from, &at).await?).await?);
    }
    print(&format!("{}: {written} objects written, {same} were there\n", args.bundle))
}

/// The flags of `promote` and `rollback`.
#[derive(Debug, Args)]
pub(crate) struct MoveArgs {
    /// The channel: canary or stable
    #[arg(long, value_name = "NAME")]
    channel: Channel,
    /// The machines that it is for: x86_64 or aarch64
    #[arg(long, value_name = "NAME", default_value = std::env::consts::ARCH)]
    target: Target,
    /// The key to sign with
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    bucket: BucketArgs,
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
    let (mut lever, now) = Lever::take(access, moved).await?;
    lever.point(now, bundle).await
}

/// Lets a channel point at the bundle that it pointed at before the one of now.
pub(crate) async fn rollback(access: &Access, args: MoveArgs) -> Result<(), Failure> {
    let (mut lever, now) = Lever::take(access, args).await?;
    let Some(now) = now else { return Err(Failure::NoPointer(lever.channel)) };
    let from = now.pointer.serial.saturating_sub(1);
    for serial in (from.saturating_sub(BACK_MAX - 1).max(1)..=from).rev() {
        // A number that nobody came to use.
        let Some(object) = lever.shelf.get(&lever.history(serial)).await? else { continue };
        let before = lever.open(&object.bytes)?;
        if before.bundle != now.pointer.bundle {
            return lever.point(Some(now), before.bundle).await;
        }
    }
    Err(Failure::NothingBefore { channel: lever.channel, bundle: now.pointer.bundle })
}

/// A channel that is to be moved.
struct Lever {
    shelf: Shelf,
    key: SigningKey,
    channel: Channel,
    target: Target,
}

/// What a channel points at.
struct Now {
    pointer: Pointer,
    object: Object,
}

impl Lever {
    async fn take(access: &Access, args: MoveArgs) -> Result<(Self, Option<Now>), Failure> {
        let MoveArgs { channel, target, key, place, bucket } = args;
        let key = SigningKey::read(&key)?;
        let lever = Self { shelf: shelf(access, place, bucket).await?, key, channel, target };
        let object = lever.shelf.get(&layout::channel(channel, target)).await?;
        let now = object
            .map(|object| Ok::<_, Failure>(Now { pointer: lever.open(&object.bytes)?, object }))
            .transpose()?;
        Ok((lever, now))
    }

    fn open(&self, object: &[u8]) -> Result<Pointer, Failure> {
        let Self { channel, target, .. } = *self;
        let expected = Expected { channel, target, serial_min: 1 };
        Ok(Pointer::open(object, &self.key.public(), expected)?)
    }

    /// Moves the channel, if the bundle is whole where it lies.
    async fn point(&mut self, now: Option<Now>, bundle: Digest) -> Result<(), Failure> {
        let Self { channel, target, .. } = *self;
        let manifest = manifest(&self.shelf, &bundle, target, &self.key).await?;
        let place = (channel, target);
        let previous = now.as_ref().map(|now| &now.pointer);
        if let Some(now) = previous.filter(|now| now.bundle == bundle) {
            let serial = now.serial;
            return print(&format!(
                "{channel} of {target} points at it already, by serial {serial}\n"
            ));
        }
        self.check_files(&manifest).await?;
        let last = self.last_serial(previous.map_or(0, |now| now.serial)).await?;
        let pointer = Pointer::after(last, place, bundle, now_ms())?;
        if let Some(now) = &now {
            self.remember(now.pointer.serial, &now.object.bytes).await?;
        }
        let etag = now.as_ref().map(|now| now.object.etag.as_str());
        let object = pointer.to_object(&self.key);
        self.shelf.replace(&layout::channel(channel, target), object.clone(), etag).await?;
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
            let bytes = found(&self.shelf, &key).await?;
            if Digest::of(&bytes) != file.sha256 {
                return Err(Failure::Damaged { file: file.name.clone(), key });
            }
        }
        Ok(())
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

    /// Writes down what the channel points at, once it does, and before it moves, where whoever moved it was cut off: none is missing
    /// of what a machine may have seen.
    /// What it is about to point at is not written: of two who move it at once, one fails, and its bundle was never in the channel.
    async fn remember(&self, serial: u64, object: &[u8]) -> Result<(), Failure> {
        let at = self.history(serial);
        let there = self.shelf.get(&at).await?;
        if there.as_ref().is_some_and(|there| there.bytes == object) {
            return Ok(());
        }
        // Another one is of a channel that began anew.
        let etag = there.as_ref().map(|there| there.etag.as_str());
        Ok(self.shelf.replace(&at, object.to_owned(), etag).await?)
    }
}

/// The manifest of a bundle, if it is of this key.
async fn manifest(
    shelf: &Shelf,
    bundle: &Digest,
    target: Target,
    key: &SigningKey,
) -> Result<Manifest, Failure> {
    let text = found(shelf, &layout::manifest(bundle)).await?;
    let signature = found(shelf, &layout::manifest_signature(bundle)).await?;
    Ok(Manifest::open(&text, &signature, &key.public(), bundle, target)?)
}

async fn found(shelf: &Shelf, key: &str) -> Result<Vec<u8>, Failure> {
    let object = shelf.get(key).await?;
    object.map(|object| object.bytes).ok_or_else(|| Failure::NotPublished(key.to_owned()))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|source| Failure::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
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
            MoveArgs {
                channel: "stable".parse().unwrap(),
                target: std::env::consts::ARCH.parse().unwrap(),
                key: self.path("key"),
                place: PlaceArgs { bucket: None, dir: Some(self.path("site")) },
                bucket: BucketArgs {
                    prefix: "engines".parse().unwrap(),
                    bucket_place: None,
                    owner: None,
                },
            }
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
        let (mut lever, now) = bench.take().await;
        lever.point(now, one).await.unwrap();

        let (mut winner, seen) = bench.take().await;
        let (mut loser, seen_too) = bench.take().await;
        winner.point(seen, two).await.unwrap();
        let refused = loser.point(seen_too, three).await.unwrap_err();
        assert!(matches!(refused, Failure::Shelf(shelf::Error::Changed(_))), "{refused}");

        let (mut lever, now) = bench.take().await;
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
        let head = bench.path("site").join(layout::channel(Channel::Stable, bench.words().target));
        let promote = async |bundle| {
            let (mut lever, now) = bench.take().await;
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
