//! Objects of a bucket: what is written once, and the few that are replaced.
//!
//! What has a hash for its name is never overwritten ([`Bucket::put_new`]). What is replaced is replaced only over what was
//! read ([`Bucket::replace`]): of two who promote at once, one is refused. Which keys there are is known elsewhere.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_s3::operation::put_object::PutObjectError;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, ServerSideEncryption};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use blitz_boot_core::provider::ProviderError;

use crate::access::Access;
use crate::refusals::{Asked, refusal};

/// Bytes of an object that is read: the largest of ours, an engine with its symbols, has a fifth.
pub const OBJECT_BYTES_MAX: usize = 512 * 1024 * 1024;

/// How long the transfer of one object may take with all its attempts: the largest at 5 Mbit/s. One that stands still ends
/// sooner, by the SDK's own watch.
const TRANSFER: Duration = Duration::from_secs(15 * 60);

/// Why an object was not written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There are other bytes under the key.
    #[error(
        "s3:PutObject of s3://{bucket}/{key}: it exists with other bytes, and is never overwritten: bytes that differ have \
         another key"
    )]
    Exists {
        /// Of which bucket.
        bucket: String,
        /// Under which key.
        key: String,
    },
    /// It is not any more what was read before.
    #[error(
        "s3:PutObject of s3://{bucket}/{key}: somebody else changed it since it was read: look at what it is now, and begin again"
    )]
    Changed {
        /// Of which bucket.
        bucket: String,
        /// Under which key.
        key: String,
    },
    /// More than is read.
    #[error(
        "s3:GetObject of s3://{bucket}/{key}: it has more than {} MiB, and is none of ours", OBJECT_BYTES_MAX >> 20
    )]
    TooLarge {
        /// Of which bucket.
        bucket: String,
        /// Under which key.
        key: String,
    },
    /// S3's refusal, or no answer of it.
    #[error(transparent)]
    Aws(#[from] ProviderError),
}

/// An object as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// All of it.
    pub bytes: Vec<u8>,
    /// What [`Bucket::replace`] replaces it by.
    pub etag: String,
}

/// How a put of something new ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is there now.
    Written,
    /// It was there before, the same bytes.
    Same,
}

/// A bucket in S3, or in something that speaks its protocol.
#[derive(Debug, Clone)]
pub struct Bucket {
    client: Client,
    name: String,
    place: String,
    owner: Option<String>,
    kms_key: Option<String>,
}

impl Bucket {
    /// Makes the client of a bucket. Nothing is asked yet. Without `place` its region is that of the environment.
    ///
    /// # Errors
    ///
    /// [`Error::Aws`]: as [`Access::config`].
    pub async fn new(access: &Access, name: &str, place: Option<&str>) -> Result<Self, Error> {
        let config = access.config(place).await?;
        let place = config.region().map(ToString::to_string).unwrap_or_default();
        let timeouts = config.timeout_config().map(TimeoutConfig::to_builder).unwrap_or_default();
        let timeouts =
            timeouts.disable_operation_attempt_timeout().operation_timeout(TRANSFER).build();
        let config = aws_sdk_s3::config::Builder::from(&config)
            // Others than AWS have no name for each bucket.
            .force_path_style(config.endpoint_url().is_some())
            .timeout_config(timeouts)
            .build();
        let client = Client::from_conf(config);
        Ok(Self { client, name: name.to_owned(), place, owner: None, kms_key: None })
    }

    /// The account that the bucket must be of, 12 digits: a bucket that was deleted may be made again by anybody.
    #[must_use]
    pub fn with_owner(mut self, account: &str) -> Self {
        self.owner = Some(account.to_owned());
        self
    }

    /// The key of KMS to encrypt with; otherwise S3 has keys of its own.
    #[must_use]
    pub fn with_kms_key(mut self, key_id: &str) -> Self {
        self.kms_key = Some(key_id.to_owned());
        self
    }

    /// Writes an object that is not there yet. S3 checks the hash before it keeps anything.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] when other bytes have the key. After [`ProviderError::Unknown`] it may be there: put it again.
    pub async fn put_new(&self, key: &str, bytes: Vec<u8>, sha256: [u8; 32]) -> Result<Put, Error> {
        let sum = BASE64_STANDARD.encode(sha256);
        let put = self.put(key, bytes.clone()).checksum_sha256(&sum).if_none_match("*");
        match put.send().await {
            Ok(_) => Ok(Put::Written),
            // Also of an own earlier attempt, whose answer was lost.
            Err(error) if is_condition(&error) => match self.get(key).await? {
                Some(there) if there.bytes == bytes => Ok(Put::Same),
                Some(_) => Err(Error::Exists { bucket: self.name.clone(), key: key.to_owned() }),
                None => Err(Error::Changed { bucket: self.name.clone(), key: key.to_owned() }),
            },
            Err(error) => Err(self.refused(&error, self.asked("s3:PutObject", key))),
        }
    }

    /// Reads an object, whole and with its checksum verified, or says that there is none.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], and [`Error::Aws`]: S3 answers who may not list the bucket that an object which is not there is
    /// denied.
    pub async fn get(&self, key: &str) -> Result<Option<Object>, Error> {
        let asked = self.asked("s3:GetObject", key);
        let got = self
            .client
            .get_object()
            .bucket(&self.name)
            .key(key)
            .checksum_mode(ChecksumMode::Enabled)
            .set_expected_bucket_owner(self.owner.clone())
            .send()
            .await;
        let mut got = match got {
            Ok(got) => got,
            Err(error) if error.code() == Some("NoSuchKey") => return Ok(None),
            Err(error) => {
                let refused = self.refused(&error, asked);
                return Err(match refused {
                    Error::Aws(ProviderError::Denied(text)) => ProviderError::Denied(format!(
                        "{text}; to who may not s3:ListBucket, it may also not exist"
                    ))
                    .into(),
                    refused => refused,
                });
            }
        };
        let too_large = || Error::TooLarge { bucket: self.name.clone(), key: key.to_owned() };
        let said = got.content_length().and_then(|length| usize::try_from(length).ok());
        if said.is_some_and(|length| length > OBJECT_BYTES_MAX) {
            return Err(too_large());
        }
        let mut bytes = Vec::with_capacity(said.unwrap_or_default());
        while let Some(part) = got.body.next().await {
            let part = part.map_err(|error| {
                ProviderError::Unknown(format!(
                    "{asked}: it broke off, or came otherwise than it was written ({error}): read it again"
                ))
            })?;
            if bytes.len() + part.len() > OBJECT_BYTES_MAX {
                return Err(too_large());
            }
            bytes.extend_from_slice(&part);
        }
        let etag = got.e_tag().unwrap_or_default().to_owned();
        Ok(Some(Object { bytes, etag }))
    }

    /// Writes an object over the one that was read, and gives the ETag of the new one. Without `over` there must be none.
    ///
    /// # Errors
    ///
    /// [`Error::Changed`]: it is not the one that was read.
    pub async fn replace(
        &self,
        key: &str,
        bytes: Vec<u8>,
        over: Option<&str>,
    ) -> Result<String, Error> {
        let put = self.put(key, bytes.clone());
        let put = match over {
            Some(etag) => put.if_match(etag),
            None => put.if_none_match("*"),
        };
        match put.send().await {
            Ok(put) => Ok(put.e_tag().unwrap_or_default().to_owned()),
            Err(error) if is_condition(&error) => match self.get(key).await? {
                // By an own attempt whose answer was lost; or by who wanted the same, which is as good.
                Some(there) if there.bytes == bytes => Ok(there.etag),
                _ => Err(Error::Changed { bucket: self.name.clone(), key: key.to_owned() }),
            },
            Err(error) => Err(self.refused(&error, self.asked("s3:PutObject", key))),
        }
    }

    fn put(
        &self,
        key: &str,
        bytes: Vec<u8>,
    ) -> aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder {
        let encryption = match self.kms_key {
            Some(_) => ServerSideEncryption::AwsKms,
            None => ServerSideEncryption::Aes256,
        };
        self.client
            .put_object()
            .bucket(&self.name)
            .key(key)
            .server_side_encryption(encryption)
            .set_ssekms_key_id(self.kms_key.clone())
            .set_expected_bucket_owner(self.owner.clone())
            .body(ByteStream::from(bytes))
    }

    fn asked(&self, action: &'static str, key: &str) -> Asked<'_> {
        let what = format!("s3://{}/{key}", self.name);
        let resource = Some(format!("arn:aws:s3:::{}/{key}", self.name));
        Asked { action, what, resource, place: &self.place }
    }

    fn refused<E>(&self, error: &SdkError<E>, asked: Asked<'_>) -> Error
    where
        E: std::error::Error + aws_sdk_s3::error::ProvideErrorMetadata + 'static,
    {
        match (refusal(error, &asked), &self.owner) {
            (ProviderError::Denied(text), Some(owner)) => {
                ProviderError::Denied(format!("{text}; or the bucket is not of account {owner}"))
            }
            (refused, _) => refused,
        }
        .into()
    }
}

/// Whether a condition of ours was not met: also 409, of two writes at the same time, and 404 of a write over what is gone.
fn is_condition(error: &SdkError<PutObjectError>) -> bool {
    matches!(error.code(), Some("PreconditionFailed" | "ConditionalRequestConflict" | "NoSuchKey"))
}
