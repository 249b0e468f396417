//! The root collation of Unicode, by which CouchDB orders texts (it takes it from ICU).

use icu_collator::{CollatorBorrowed, options::CollatorOptions};
use std::sync::LazyLock;

/// Compares texts, and makes keys of them that compare as bytes do.
pub(crate) static ROOT: LazyLock<CollatorBorrowed<'static>> = LazyLock::new(|| {
    CollatorBorrowed::try_new(Default::default(), CollatorOptions::default())
        .expect("the root collation is part of this program")
});
