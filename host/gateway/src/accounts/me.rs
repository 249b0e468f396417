//! `GET /v1/whoami`: as whom a gateway knows its caller.

use axum::{Extension, Json};
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::routes::{Method, Routes, Who};

pub(super) fn routes() -> Routes {
    Routes::default().at(Who::Callers, Method::Get, "/v1/whoami", whoami)
}

async fn whoami(Extension(caller): Extension<Caller>) -> Json<Value> {
    Json(match &caller {
        Caller::Operator => json!({"operator": true}),
        Caller::Member(member) => {
            let key = &member.key;
            json!({
                "tenant": key.tenant,
                "user": key.user,
                "key": {
                    "id": key.id,
                    "label": key.label,
                    "scopes": key.scopes,
                    "expires_at_ms": key.expires_at_ms,
                },
                "plan": member.plan.name,
            })
        }
    })
}
