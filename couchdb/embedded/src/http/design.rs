//! What a design document must be before it is stored: the [shapes](check) of its members, and map and
//! reduce functions that compile. The texts are CouchDB's.

use super::{refusal::Refusal, validate};
use crate::{
    script::{Design, ScriptError, Scripts},
    store::edit::{Edit, Kind},
    view::check::{self, BadDesign},
};
use http::StatusCode;
use serde_json::Value;
use std::sync::Arc;

/// Looks at the design document that an edit would store.
pub(crate) async fn check(scripts: &Scripts, edit: &Edit) -> Result<(), Refusal> {
    let (Kind::Update { text, .. } | Kind::Merge { text, .. }) = &edit.kind else { return Ok(()) };
    let Ok(design) = serde_json::from_str::<Value>(text) else { return Ok(()) };
    check::check(&design)?;
    let language = design.get("language").and_then(Value::as_str).unwrap_or("javascript");
    let Some(Value::Object(views)) = design.get("views") else { return Ok(()) };
    if language != "javascript" {
        // Others may have an interpreter for it; views of it answer with an error here.
        return Ok(());
    }
    for (name, view) in views.iter().filter(|(name, _)| *name != "lib") {
        let text = |member| view.get(member).and_then(Value::as_str);
        if let Some(map) = text("map") {
            compile(scripts, "map", name, map).await?;
        }
        if let Some(reduce) = text("reduce").filter(|text| !text.starts_with('_')) {
            compile(scripts, "reduce", name, reduce).await?;
        }
    }
    Ok(())
}

async fn compile(scripts: &Scripts, kind: &str, view: &str, text: &str) -> Result<(), Refusal> {
    if text.is_empty() {
        return Err(Refusal::not_found("missing function"));
    }
    let design = Arc::new(Design { library: None, functions: vec![text.into()] });
    match scripts.compile(&design).await {
        Err(ScriptError::Compilation { reason }) => {
            let reason =
                format!("Compilation of the {kind} function in the '{view}' view failed: {reason}");
            Err(Refusal::new(StatusCode::BAD_REQUEST, "compilation_error", reason))
        }
        compiled => compiled.map_err(validate::refusal),
    }
}

impl From<BadDesign> for Refusal {
    fn from(error: BadDesign) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, "invalid_design_doc", error.to_string())
    }
}
