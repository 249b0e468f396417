//! Where bundles lie: a bucket, or a directory that some web server serves. Both keep what is named by its content for ever.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use blitz_boot_core::bundle::Digest;

use crate::s3::{self, Bucket, OBJECT_BYTES_MAX, Object, Put};

/// Where bundles lie.
#[derive(Debug, Clone)]
pub enum Shelf {
    /// A bucket, below a prefix.
    Bucket {
        /// The bucket.
        bucket: Bucket,
        /// What keys begin with, without the slash behind it.
        prefix: String,
    },
    /// A directory.
    Directory(PathBuf),
}

/// Why an object was not written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bucket.
    #[error(transparent)]
    Bucket(#[from] s3::Error),
    /// There are other bytes in a file.
    #[error("'{}' exists with other bytes, and is never overwritten", .0.display())]
    Exists(PathBuf),
    /// It is not any more what was read before.
    #[error("'{}' was changed since it was read: look at what it is now, and begin again", .0.display())]
    Changed(PathBuf),
    /// More than is read.
    #[error("'{}' has more than {} MiB, and is none of ours", .0.display(), OBJECT_BYTES_MAX >> 20)]
    TooLarge(PathBuf),
    /// The system.
    #[error("read or write '{}': {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Shelf {
    /// Reads an object, if there is one.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn get(&self, key: &str) -> Result<Option<Object>, Error> {
        match self {
            Self::Bucket { bucket, prefix } => Ok(bucket.get(&format!("{prefix}/{key}")).await?),
            Self::Directory(directory) => {
                let bytes = read(&directory.join(key))?;
                Ok(bytes.map(|bytes| Object { etag: Digest::of(&bytes).to_string(), bytes }))
            }
        }
    }

    /// Writes an object that is not there yet, or is there with these bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`], or that of the bucket, when there are other bytes.
    pub async fn put_new(&self, key: &str, bytes: Vec<u8>) -> Result<Put, Error> {
        match self {
            Self::Bucket { bucket, prefix } => {
                let sha256 = *Digest::of(&bytes).as_bytes();
                Ok(bucket.put_new(&format!("{prefix}/{key}"), bytes, sha256).await?)
            }
            Self::Directory(directory) => {
                let path = directory.join(key);
                match read(&path)? {
                    Some(there) if there == bytes => Ok(Put::Same),
                    Some(_) => Err(Error::Exists(path)),
                    None => write(&path, &bytes).map(|()| Put::Written),
                }
            }
        }
    }

    /// Writes an object over the one that was read; without `over` there must be none.
    ///
    /// # Errors
    ///
    /// [`Error::Changed`], or that of the bucket, when it is another one by now.
    pub async fn replace(
        &self,
        key: &str,
        bytes: Vec<u8>,
        over: Option<&str>,
    ) -> Result<(), Error> {
        match self {
            Self::Bucket { bucket, prefix } => {
                bucket.replace(&format!("{prefix}/{key}"), bytes, over).await?;
                Ok(())
            }
            Self::Directory(directory) => {
                let path = directory.join(key);
                let there = read(&path)?.map(|bytes| Digest::of(&bytes).to_string());
                if there.as_deref() != over {
                    return Err(Error::Changed(path));
                }
                write(&path, &bytes)
            }
        }
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let failed = |source| Error::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let max = u64::try_from(OBJECT_BYTES_MAX).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > OBJECT_BYTES_MAX {
        return Err(Error::TooLarge(path.to_owned()));
    }
    Ok(Some(bytes))
}

/// Writes a file whole, or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::Io { path: path.to_owned(), source };
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(failed)?;
    }
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).open(&new).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&new, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_keeps_what_is_named_by_its_content_and_changes_what_was_read() {
        let directory = tempfile::tempdir().unwrap();
        let shelf = Shelf::Directory(directory.path().to_owned());
        assert_eq!(shelf.get("blobs/sha256/x").await.unwrap(), None);
        assert_eq!(shelf.put_new("blobs/sha256/x", b"one".to_vec()).await.unwrap(), Put::Written);
        assert_eq!(shelf.put_new("blobs/sha256/x", b"one".to_vec()).await.unwrap(), Put::Same);
        let other = shelf.put_new("blobs/sha256/x", b"two".to_vec()).await.unwrap_err();
        assert!(matches!(other, Error::Exists(_)), "{other}");

        shelf.replace("channels/c", b"1".to_vec(), None).await.unwrap();
        let there = shelf.get("channels/c").await.unwrap().unwrap();
        assert_eq!(there.bytes, b"1");
        let late = shelf.replace("channels/c", b"2".to_vec(), None).await.unwrap_err();
        assert!(matches!(late, Error::Changed(_)), "{late}");
        shelf.replace("channels/c", b"2".to_vec(), Some(&there.etag)).await.unwrap();
        let late = shelf.replace("channels/c", b"3".to_vec(), Some(&there.etag)).await.unwrap_err();
        assert!(matches!(late, Error::Changed(_)), "{late}");
    }
}
