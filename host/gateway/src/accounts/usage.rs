//! `/v1/usage`: what a tenant has used of what its plan allows, as this gateway knows it.

use axum::extract::State;
use axum::{Extension, Json};
use blitz_jobs::accounts::Plan;
use blitz_jobs::accounts::quota::{Limit, Used, reached};
use blitz_jobs::clock::now_ms;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::tenants::{accounts, tenant, unknown_tenant};
use crate::caller::Caller;
use crate::failure::Failure;
use crate::routes::{Method, Routes, Who};
use crate::server::Gateway;
use crate::strict::Params;

pub(super) fn routes() -> Routes {
    Routes::default().at(Who::Callers, Method::Get, "/v1/usage", usage)
}

#[derive(Debug, Deserialize)]
struct Whose {
    tenant: Option<String>,
}

async fn usage(
    State(shared): Gateway,
    Extension(caller): Extension<Caller>,
    Params(Whose { tenant: asked }): Params<Whose>,
) -> Result<Json<Value>, Failure> {
    let accounts = accounts(&shared)?;
    let name = match (caller.tenant(), asked) {
        (Some(own), Some(asked)) if own != asked => return Err(unknown_tenant(&asked)),
        (Some(own), _) => own.to_owned(),
        (None, Some(asked)) => asked,
        (None, None) => {
            let reason =
                "an operator has no tenant and no limits; say whose usage (tenant; --tenant NAME)";
            return Err(Failure::bad_request(reason));
        }
    };
    let tenant = tenant(&shared, &accounts, &name).await?;
    let plan = shared.book.plan_of(&name, now_ms());
    let used = Box::pin(shared.quota.used(&name)).await.map_err(|error| Failure::store(&error))?;
    let mut answer = view(&plan, &used, now_ms());
    answer["tenant"] = json!(name);
    answer["plan_until_ms"] = json!(tenant.plan_until_ms);
    Ok(Json(answer))
}

fn view(plan: &Plan, used: &Used, now_ms: u64) -> Value {
    let again: Map<String, Value> = reached(plan, used, now_ms)
        .into_iter()
        .map(|(limit, at_ms)| (Limit::name(limit).to_owned(), json!(at_ms)))
        .collect();
    json!({
        "plan": plan,
        "used": {
            "jobs_this_hour": used.jobs_this_hour,
            "jobs_now": used.jobs_now,
            "load_minutes_today": used.load_ms_today.div_ceil(60_000),
            "output_bytes_today": used.output_bytes_today,
        },
        // Of limits that are reached. What is free again when jobs end has no time.
        "free_again_ms": again,
    })
}
