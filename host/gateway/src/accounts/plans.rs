//! `/v1/plans`: operators say what the tenants of a plan may use. A member sees the plan that it has.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use blitz_contract::Capability;
use blitz_jobs::accounts::{Changed, Plan, UNLIMITED, is_name};
use serde_json::{Map, Value, json};

use super::entry::told;
use super::tenants::{accounts, no_name};
use crate::audit::Told;
use crate::caller::Caller;
use crate::failure::Failure;
use crate::routes::{Method, Routes, Who};
use crate::server::{Gateway, Shared};
use crate::strict::Strict;

/// Plans of one installation: all of them are in the memory of each gateway.
const PLANS_MAX: usize = 1_000;

pub(super) fn routes() -> Routes {
    use Method::{Delete, Get, Put};
    Routes::default()
        .at(Who::Callers, Get, "/v1/plans", list)
        .at(Who::Operator, Put, "/v1/plans/{name}", put)
        .at(Who::Operator, Delete, "/v1/plans/{name}", remove)
}

async fn list(
    State(shared): Gateway,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, Failure> {
    shared.book.may_be_believed().map_err(|refused| told(&refused))?;
    let plans = match &caller {
        Caller::Operator => shared.book.plans(),
        Caller::Member(member) => vec![member.plan.clone()],
    };
    Ok(Json(json!({"plans": plans})))
}

/// What is said replaces all that was said before: a limit that is absent is none.
async fn put(
    State(shared): Gateway,
    Path(name): Path<String>,
    Strict(body): Strict<Map<String, Value>>,
) -> Result<Response, Failure> {
    let accounts = accounts(&shared)?;
    if !is_name(&name) {
        return Err(no_name("plan", &name));
    }
    if name == UNLIMITED {
        let reason = "plan 'unlimited' is what tenants have that were given none, and limits nothing; take another name, \
                      and give it to them ('blitz tenants set NAME --plan PLAN')";
        return Err(Failure::usage(reason));
    }
    let plan = read(&name, body)?;
    check_then(&shared, &plan)?;
    let plans = shared.book.plans();
    let is_new = !plans.iter().any(|known| known.name == name);
    if is_new && plans.len() >= PLANS_MAX {
        let reason = format!("there are {PLANS_MAX} plans, which is the limit of an installation");
        return Err(Failure::conflict("too_many_plans", reason));
    }
    match plan.put(&accounts).await.map_err(|error| Failure::store(&error))? {
        Changed::Stored(plan) => {
            let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
            let answer = json!({"plan": plan});
            let mut limits = answer["plan"].clone();
            if let Some(limits) = limits.as_object_mut() {
                limits.retain(|member, _| member != "kind" && member != "blitz");
            }
            let told = Told::of(limits.to_string());
            // At once, so that whoever made it finds it here; the feed says the same a moment later.
            shared.book.hear_plan(plan);
            Ok((status, told, Json(answer)).into_response())
        }
        Changed::Missing | Changed::Contended => Err(Failure::busy()),
    }
}

/// A plan of this name as a caller says it. A word that no plan has is a limit that would not hold.
fn read(name: &str, mut body: Map<String, Value>) -> Result<Plan, Failure> {
    body.retain(|_, value| !value.is_null());
    let empty = json!(Plan::unlimited(name));
    for own in ["kind", "blitz", "name"] {
        if let Some(said) = body.get(own).filter(|said| own != "blitz" && **said != empty[own]) {
            return Err(Failure::usage(format!(
                "the {own} of this plan is {}, not {said}",
                empty[own]
            )));
        }
        body.insert(own.to_owned(), empty[own].clone());
    }
    let plan: Plan = serde_json::from_value(Value::Object(body.clone()))
        .map_err(|error| Failure::usage(format!("plan '{name}': {error}")))?;
    let is_known = |right: &String| Capability::KNOWN.iter().any(|known| known.name() == right);
    if let Some(unknown) = plan.capabilities.iter().find(|right| !is_known(right)) {
        let known: Vec<&str> = Capability::KNOWN.iter().map(Capability::name).collect();
        let known = known.join(", ");
        return Err(Failure::usage(format!(
            "plan '{name}': plugins have no right {unknown:.40?}; there are {known}"
        )));
    }
    let understood = json!(plan);
    let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    let unknown =
        body.iter().find(|(word, value)| understood.get(word).is_none() && !is_empty(value));
    match unknown {
        Some((word, _)) => {
            let reason =
                format!("plan '{name}': no limit '{word}'; 'blitz plans set --help' lists them");
            Err(Failure::usage(reason))
        }
        None => Ok(plan),
    }
}

/// What comes after a plan must be there, and be another one.
fn check_then(shared: &Shared, plan: &Plan) -> Result<(), Failure> {
    let Some(then) = &plan.then else { return Ok(()) };
    if *then == plan.name {
        return Err(Failure::usage(format!("plan '{then}' cannot come after itself")));
    }
    match shared.book.plan(then) {
        Some(_) => Ok(()),
        None => {
            let reason =
                format!("no plan '{then}', which is to come after '{}'; make it first", plan.name);
            Err(Failure::missing("unknown_plan", &reason))
        }
    }
}

async fn remove(State(shared): Gateway, Path(name): Path<String>) -> Result<Json<Value>, Failure> {
    let accounts = accounts(&shared)?;
    let unknown = || Failure::missing("unknown_plan", &format!("no plan '{name}'"));
    if !is_name(&name) {
        return Err(unknown());
    }
    let tenants = shared.book.tenants().into_iter().filter(|(_, revoked)| revoked.is_none());
    let mut having = tenants
        .map(|(tenant, _)| tenant)
        .filter(|tenant| tenant.plan == name || tenant.contested.contains(&name));
    if let Some(tenant) = having.next() {
        let reason = format!(
            "tenant '{}' has plan '{name}'; give it another one first ('blitz tenants set {0} --plan PLAN')",
            tenant.name
        );
        return Err(Failure::conflict("plan_in_use", reason));
    }
    let mut before = shared.book.plans().into_iter();
    if let Some(plan) = before.find(|plan| plan.then.as_ref() == Some(&name)) {
        let reason =
            format!("plan '{name}' comes after plan '{}'; change that one first", plan.name);
        return Err(Failure::conflict("plan_in_use", reason));
    }
    if !Plan::delete(&accounts, &name).await.map_err(|error| Failure::store(&error))? {
        return Err(unknown());
    }
    shared.book.forget(&Plan::id(&name));
    Ok(Json(json!({"plan": name, "removed": true})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_says_what_plans_can_say_and_nothing_else() {
        let of = |body: Value| read("free", body.as_object().cloned().unwrap());
        let plan = of(json!({"jobs_per_hour": 100, "load_users": null, "later": []})).unwrap();
        let capabilities = vec!["web".to_owned(), "dns".to_owned()];
        let wanted = Plan { jobs_per_hour: Some(100), capabilities, ..Plan::unlimited("free") };
        assert_eq!(plan, wanted, "rights are given by name alone");
        assert_eq!(of(json!(plan)), Ok(plan));
        for (body, words) in [
            (json!({"jobs_per_day": 1}), "no limit 'jobs_per_day'"),
            (json!({"jobs_per_hour": -1}), "plan 'free': invalid value"),
            (json!({"jobs_per_hour": "many"}), "plan 'free': invalid type"),
            (json!({"name": "other"}), "the name of this plan is \"free\", not \"other\""),
        ] {
            let text = format!("{:?}", of(body).unwrap_err());
            assert!(text.replace("\\\"", "\"").contains(words), "{words}: {text}");
        }
    }
}
