//! `blitz-boot key`, `bundle` and `publish`: from a program to what machines load.
//!
//! A bundle is made and signed where the key is, into a directory; what is published is that directory, as it is.

use std::fs;
use std::path::{Path, PathBuf};

use blitz_boot_core::bundle::{
    Bundle, Digest, Glibc, Input, Manifest, PROGRAM, PublicKey, SigningKey, Target, layout,
};
use blitz_boot_core::user_data::value::{Account, Bucket as BucketName, Prefix};
use clap::{Args, Subcommand};

use crate::access::Access;
use crate::failure::Failure;
use crate::s3::{Bucket, Put};
use crate::shelf::Shelf;
use crate::stdout::print;

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

/// Where bundles are published, and how it is reached.
#[derive(Debug, Args)]
pub(crate) struct ShelfArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    bucket: BucketArgs,
}

/// Where bundles are published.
#[derive(Debug, Args)]
#[group(required = true, multiple = false, id = "place")]
struct PlaceArgs {
    /// The bucket
    #[arg(long, value_name = "NAME")]
    bucket: Option<BucketName>,
    /// A directory that a web server serves
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// How the bucket is reached.
#[derive(Debug, Args)]
struct BucketArgs {
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

impl ShelfArgs {
    pub(crate) async fn open(self, access: &Access) -> Result<Shelf, Failure> {
        let BucketArgs { prefix, bucket_place, owner } = self.bucket;
        let Some(name) = self.place.bucket else {
            return Ok(Shelf::Directory(self.place.dir.unwrap_or_default()));
        };
        let mut bucket = Bucket::new(access, &name.to_string(), bucket_place.as_deref()).await?;
        if let Some(owner) = owner {
            bucket = bucket.with_owner(&owner.to_string());
        }
        Ok(Shelf::Bucket { bucket, prefix: prefix.to_string() })
    }
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
    shelf: ShelfArgs,
}

/// Publishes a bundle: every file is looked at once more, and nothing that is there is overwritten.
pub(crate) async fn publish(access: &Access, args: PublishArgs) -> Result<(), Failure> {
    let key = SigningKey::read(&args.key)?;
    let from = Shelf::Directory(args.from);
    let manifest = manifest(&from, &args.bundle, args.target, &key.public()).await?;
    let to = args.shelf.open(access).await?;
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

/// The manifest of a bundle, if it is of this key.
pub(crate) async fn manifest(
    shelf: &Shelf,
    bundle: &Digest,
    target: Target,
    key: &PublicKey,
) -> Result<Manifest, Failure> {
    let text = found(shelf, &layout::manifest(bundle)).await?;
    let signature = found(shelf, &layout::manifest_signature(bundle)).await?;
    Ok(Manifest::open(&text, &signature, key, bundle, target)?)
}

/// An object that must be there.
pub(crate) async fn found(shelf: &Shelf, key: &str) -> Result<Vec<u8>, Failure> {
    let object = shelf.get(key).await?;
    object.map(|object| object.bytes).ok_or_else(|| Failure::NotPublished(key.to_owned()))
}

/// A file of this machine.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|source| Failure::File { path: path.to_owned(), source })
}
