//! Why a query is not answered or an index not made. Words and texts are CouchDB's.

use crate::selector::BadSelector;

/// A query or a definition that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadQuery {
    #[error("Missing required key: {0}")]
    MissingKey(&'static str),
    #[error("Invalid key {0} for this request.")]
    UnknownKey(String),
    #[error("{0} is not an integer greater than or equal to zero")]
    NotCount(String),
    #[error("{0} is not an integer greater than zero")]
    NotPositive(String),
    #[error("Invalid boolean value: {0}")]
    NotBoolean(String),
    #[error("Invalid string: {0}")]
    NotText(String),
    #[error("`stale` is \"ok\" or false, not: {0}")]
    Stale(String),
    #[error("`partitioned` is true or false, not: {0}")]
    Partitioned(String),
    #[error("Index name or ddoc cannot be empty string")]
    EmptyName,
    #[error("Selector must be a JSON object, not: {0}")]
    SelectorShape(String),
    #[error("One or more conditions is missing a field name.")]
    NoFieldName,
    #[error(transparent)]
    Selector(#[from] BadSelector),
    #[error("Fields must be an array of strings, not: {0}")]
    FieldsShape(String),
    #[error("Invalid JSON for field spec: {0}")]
    Field(String),
    #[error("Sort must be an array of sort specs, not: {0}")]
    SortShape(String),
    #[error("Invalid sort field: {0}")]
    SortField(String),
    #[error("Sorts currently only support a single direction for all fields.")]
    MixedSort,
    #[error("Invalid index name: {0}")]
    IndexName(String),
    #[error("Bulk Delete requires an array of non-null docids. Docids: {0}")]
    BulkShape(String),
    #[error("Invalid bookmark value: {0}")]
    Bookmark(String),
    #[error("No index exists for this sort, try indexing by the sort fields.")]
    NoIndexForSort,
    #[error("{0} specified by `use_index` could not be found or it is not suitable.")]
    UnusableIndex(String),
    #[error("You must specify an index with the `use_index` parameter.")]
    MustNameIndex,
    #[error("Invalid type for index: {0}")]
    IndexType(String),
    #[error("JSON indexes must be an object, not: {0}")]
    IndexShape(String),
    #[error("Existing design doc has an invalid language: {0}")]
    Language(String),
    #[error("Requested partitioned option does not match existing value on design document {0}")]
    PartitionedMismatch(String),
    #[error("Unknown error while saving the design document: invalid_design_doc")]
    PartitionedHere,
    #[error("Encountered a conflict while saving the design document.")]
    DesignConflict,
    #[error("Index parameter ranges: limit > 1, skip > 0")]
    ListRange,
    #[error("`partition` parameter is not supported on this db")]
    Partition,
    /// A limit of this server.
    #[error(
        "the rows of this sort take more than {limit} bytes; lower `limit` or `skip`, name fewer `fields`, or go on with a bookmark"
    )]
    SortTooLarge { limit: usize },
}

impl BadQuery {
    /// CouchDB's word for it.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            BadQuery::MissingKey(_) => "missing_required_key",
            BadQuery::UnknownKey(_) => "invalid_key",
            BadQuery::NotCount(_) => "invalid_non_neg_integer",
            BadQuery::NotPositive(_) => "invalid_pos_integer",
            BadQuery::NotBoolean(_) => "invalid_boolean",
            BadQuery::NotText(_) => "invalid_string",
            BadQuery::Stale(_) => "invalid_ok_or_false_value",
            BadQuery::Partitioned(_) => "invalid_partitioned_value",
            BadQuery::EmptyName => "invalid_empty_string",
            BadQuery::SelectorShape(_) => "invalid_selector_json",
            BadQuery::NoFieldName => "invalid_selector",
            BadQuery::Selector(BadSelector::Argument { .. }) => "bad_arg",
            BadQuery::Selector(BadSelector::Operator(_)) => "invalid_operator",
            BadQuery::Selector(BadSelector::NotObject) => "bad_field",
            BadQuery::FieldsShape(_) => "invalid_fields",
            BadQuery::Field(_) => "invalid_field",
            BadQuery::SortShape(_) => "invalid_sort_json",
            BadQuery::SortField(_) => "invalid_sort_field",
            BadQuery::MixedSort => "unsupported_mixed_sort",
            BadQuery::IndexName(_) => "invalid_index_name",
            BadQuery::BulkShape(_) => "invalid_bulk_docs",
            BadQuery::Bookmark(_) => "invalid_bookmark",
            BadQuery::NoIndexForSort => "no_usable_index",
            BadQuery::UnusableIndex(_)
            | BadQuery::MustNameIndex
            | BadQuery::IndexType(_)
            | BadQuery::IndexShape(_) => "invalid_index",
            BadQuery::Language(_) => "invalid_ddoc_lang",
            BadQuery::PartitionedMismatch(_) => "invalid_partitioned_option",
            BadQuery::PartitionedHere | BadQuery::DesignConflict => "error_saving_ddoc",
            BadQuery::ListRange => "invalid_list_index_params",
            BadQuery::Partition => "query_parse_error",
            BadQuery::SortTooLarge { .. } => "sort_too_large",
        }
    }
}
