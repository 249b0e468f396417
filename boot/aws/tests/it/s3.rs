//! Objects of a bucket: written once, or replaced over what was read.

use blitz_boot::access::Access;
use blitz_boot::s3::{Bucket, Error, Object, Put};
use sha2::{Digest as _, Sha256};

use crate::faults::{Fault, Proxy};
use crate::fleets::access;
use crate::moto::{self, ACCOUNT, BUCKET};

const PLACE: Option<&str> = Some("us-east-1");

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

async fn put_new(bucket: &Bucket, key: &str, bytes: &[u8]) -> Result<Put, Error> {
    bucket.put_new(key, bytes.to_vec(), sha256(bytes)).await
}

async fn get(bucket: &Bucket, key: &str) -> Object {
    bucket.get(key).await.expect("it can be read").expect("it is there")
}

/// Says what is expected of an error of AWS.
#[track_caller]
fn refused<T: std::fmt::Debug>(given: Result<T, Error>, kind: &str, words: &[&str]) {
    let given = given.map_err(|error| match error {
        Error::Aws(error) => error,
        other => panic!("not of AWS: {other:?}"),
    });
    crate::fleets::refused(given, kind, words);
}

#[tokio::test]
async fn an_object_is_written_once() {
    let Some(moto) = moto::guarded() else { return };
    let bucket = Bucket::new(&access(&moto.url(), &moto.operator), BUCKET, PLACE).await.unwrap();
    let bucket = bucket.with_owner(ACCOUNT);
    let key = "once/blobs/sha256/ab";
    assert_eq!(bucket.get(key).await, Ok(None), "there is none yet");
    // Large enough to come in parts.
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    assert_eq!(put_new(&bucket, key, &bytes).await, Ok(Put::Written));
    assert_eq!(put_new(&bucket, key, &bytes).await, Ok(Put::Same));
    let others = put_new(&bucket, key, b"other bytes").await;
    assert_eq!(others, Err(Error::Exists { bucket: BUCKET.to_owned(), key: key.to_owned() }));
    let text = others.unwrap_err().to_string();
    for word in ["s3:PutObject", "s3://blitz-bundles/once/blobs/sha256/ab", "never overwritten"] {
        assert!(text.contains(word), "{text}");
    }
    assert!(get(&bucket, key).await.bytes == bytes, "the first bytes are still there");
    assert_eq!(put_new(&bucket, "once/empty", b"").await, Ok(Put::Written));
    assert_eq!(get(&bucket, "once/empty").await.bytes, b"");
}

#[tokio::test]
async fn of_two_who_replace_one_is_refused() {
    let Some(moto) = moto::guarded() else { return };
    let bucket = Bucket::new(&access(&moto.url(), &moto.operator), BUCKET, PLACE).await.unwrap();
    let key = "two/channels/stable/x.json";
    let changed = || Err(Error::Changed { bucket: BUCKET.to_owned(), key: key.to_owned() });
    assert_eq!(
        bucket.replace(key, b"1".to_vec(), Some("\"none\"")).await,
        changed(),
        "it is not there"
    );
    let first = bucket.replace(key, b"1".to_vec(), None).await.unwrap();
    assert_eq!(bucket.replace(key, b"2".to_vec(), None).await, changed(), "it is there");

    let read = get(&bucket, key).await;
    assert_eq!(read, Object { bytes: b"1".to_vec(), etag: first });
    let second = bucket.replace(key, b"2".to_vec(), Some(&read.etag)).await.unwrap();
    let late = bucket.replace(key, b"3".to_vec(), Some(&read.etag)).await;
    assert_eq!(late, changed());
    let text = late.unwrap_err().to_string();
    assert!(text.contains("s3://blitz-bundles/two/channels/stable/x.json"), "{text}");
    assert_eq!(get(&bucket, key).await, Object { bytes: b"2".to_vec(), etag: second.clone() });
    let same = bucket.replace(key, b"2".to_vec(), Some(&read.etag)).await;
    assert_eq!(same, Ok(second), "who wanted what is there has it");
}

#[tokio::test]
async fn refusals_name_bucket_key_and_action() {
    let Some(moto) = moto::guarded() else { return };
    let operator = Bucket::new(&access(&moto.url(), &moto.operator), BUCKET, PLACE).await.unwrap();
    put_new(&operator, "refused/a", b"a").await.unwrap();
    let reader = Bucket::new(&access(&moto.url(), &moto.reader), BUCKET, PLACE).await.unwrap();
    assert_eq!(get(&reader, "refused/a").await.bytes, b"a", "this one is allowed");
    let line = r#"{"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::blitz-bundles/refused/b"}"#;
    refused(
        put_new(&reader, "refused/b", b"b").await,
        "Denied",
        &[line, "s3://blitz-bundles/refused/b"],
    );
    refused(reader.replace("refused/b", vec![1], None).await, "Denied", &["s3:PutObject"]);

    let none = Bucket::new(&access(&moto.url(), &moto.operator), "no-such-bucket", PLACE).await;
    let none = none.unwrap();
    refused(
        none.get("k").await,
        "Invalid",
        &["s3:GetObject of s3://no-such-bucket/k", "create it"],
    );
    refused(put_new(&none, "k", b"b").await, "Invalid", &["no such bucket"]);

    let secret = aws_sdk_ec2::config::Credentials::new(
        moto.operator.access_key_id(),
        "wrong",
        None,
        None,
        "test",
    );
    let wrong = Bucket::new(&access(&moto.url(), &secret), BUCKET, PLACE).await.unwrap();
    refused(put_new(&wrong, "refused/c", b"c").await, "Denied", &["secret key", "clock"]);
    assert_eq!(operator.get("refused/c").await, Ok(None));
}

#[tokio::test]
async fn what_stands_on_the_wire() {
    let Some(moto) = moto::open() else { return };
    let proxy = Proxy::start(moto).await;
    let bucket = Bucket::new(&access(&proxy.url(), &moto.operator), BUCKET, PLACE).await.unwrap();
    let bucket = bucket.with_owner(ACCOUNT);
    put_new(&bucket, "wire/a", b"abc").await.unwrap();
    let etag = bucket.replace("wire/b", b"abc".to_vec(), None).await.unwrap();
    bucket.replace("wire/b", b"def".to_vec(), Some(&etag)).await.unwrap();
    let encrypted = bucket.clone().with_kms_key("alias/blitz");
    put_new(&encrypted, "wire/c", b"abc").await.unwrap();
    bucket.get("wire/a").await.unwrap();

    let seen = proxy.seen("PutObject").await;
    let header = |index: usize, name: &str| {
        seen[index].headers.get(name).map(|value| value.to_str().unwrap().to_owned())
    };
    let abc = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
    for (index, name, value) in [
        (0, "if-none-match", Some("*")),
        (0, "x-amz-checksum-sha256", Some(abc)),
        (0, "x-amz-expected-bucket-owner", Some(ACCOUNT)),
        (0, "x-amz-server-side-encryption", Some("AES256")),
        (1, "if-none-match", Some("*")),
        (1, "if-match", None),
        (2, "if-none-match", None),
        (2, "if-match", Some(etag.as_str())),
        (2, "x-amz-expected-bucket-owner", Some(ACCOUNT)),
        (2, "x-amz-server-side-encryption", Some("AES256")),
        (3, "x-amz-server-side-encryption", Some("aws:kms")),
        (3, "x-amz-server-side-encryption-aws-kms-key-id", Some("alias/blitz")),
    ] {
        assert_eq!(header(index, name).as_deref(), value, "{name} of {index}");
    }
    let got = &proxy.seen("GetObject").await[0];
    assert_eq!(got.headers["x-amz-expected-bucket-owner"], ACCOUNT);

    let others = bucket.clone().with_owner("210987654321");
    let words = ["s3:PutObject of s3://blitz-bundles/wire/d", "not of account 210987654321"];
    refused(put_new(&others, "wire/d", b"abc").await, "Denied", &words);
    refused(
        others.get("wire/a").await,
        "Denied",
        &["not of account 210987654321", "may also not exist"],
    );
    let damaged = bucket.put_new("wire/e", b"abc".to_vec(), sha256(b"abd")).await;
    refused(damaged, "Invalid", &["BadDigest", "wire/e"]);
    assert_eq!(bucket.get("wire/e").await, Ok(None));
}

#[tokio::test]
async fn answers_that_are_lost() {
    let Some(moto) = moto::open() else { return };
    let proxy = Proxy::start(moto).await;
    let bucket = Bucket::new(&access(&proxy.url(), &moto.operator), BUCKET, PLACE).await.unwrap();
    // The second attempt meets the object of the first.
    proxy.inject("PutObject", [Fault::LostAnswer]).await;
    assert_eq!(put_new(&bucket, "lost/a", b"a").await, Ok(Put::Same));
    proxy.inject("PutObject", [Fault::LostAnswer]).await;
    let etag = bucket.replace("lost/b", b"1".to_vec(), None).await.unwrap();
    proxy.inject("PutObject", [Fault::LostAnswer]).await;
    let etag = bucket.replace("lost/b", b"2".to_vec(), Some(&etag)).await.unwrap();
    assert_eq!(get(&bucket, "lost/b").await, Object { bytes: b"2".to_vec(), etag });

    proxy.inject("PutObject", vec![Fault::Cut; 3]).await;
    refused(
        put_new(&bucket, "lost/c", b"c").await,
        "Unknown",
        &["s3://blitz-bundles/lost/c", "connection"],
    );
    proxy
        .inject("PutObject", vec![Fault::Error(503, "SlowDown", "Reduce your request rate"); 3])
        .await;
    refused(put_new(&bucket, "lost/c", b"c").await, "Throttled", &["SlowDown"]);
    proxy
        .inject("PutObject", [Fault::Error(409, "ConditionalRequestConflict", "At the same time")])
        .await;
    let changed = Error::Changed { bucket: BUCKET.to_owned(), key: "lost/c".to_owned() };
    assert_eq!(put_new(&bucket, "lost/c", b"c").await, Err(changed));
    let moved = Fault::Error(301, "PermanentRedirect", "Use the other endpoint");
    proxy.inject("GetObject", [moved]).await;
    refused(bucket.get("lost/a").await, "Invalid", &["another region"]);
    proxy.all_met().await;
}

#[tokio::test]
async fn an_object_that_comes_otherwise_than_it_was_written() {
    let Some(moto) = moto::open() else { return };
    let proxy = Proxy::start(moto).await;
    let bucket = Bucket::new(&access(&proxy.url(), &moto.operator), BUCKET, PLACE).await.unwrap();
    put_new(&bucket, "damaged/a", b"abc").await.unwrap();
    proxy.inject("GetObject", [Fault::Damaged]).await;
    let words = ["s3:GetObject of s3://blitz-bundles/damaged/a", "read it again"];
    refused(bucket.get("damaged/a").await, "Unknown", &words);
    proxy.all_met().await;
    assert_eq!(get(&bucket, "damaged/a").await.bytes, b"abc");
}

#[tokio::test]
async fn a_region_that_nobody_names() {
    const ALONE: &str = "BLITZ_TEST_NO_REGION";
    if std::env::var_os(ALONE).is_some() {
        let bucket = Bucket::new(&Access::default(), BUCKET, None).await.map(drop);
        refused(bucket, "Invalid", &["AWS region", "set AWS_REGION"]);
        return;
    }
    // In a process of its own: the environment of this one may name a region.
    let name = "s3::a_region_that_nobody_names";
    let alone = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env_clear()
        .envs([(ALONE, "1"), ("AWS_EC2_METADATA_DISABLED", "true")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&alone.stdout);
    assert!(alone.status.success() && said.contains("1 passed"), "{said}");
}
