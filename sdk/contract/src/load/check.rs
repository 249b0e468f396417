//! Whether a plan can be carried out at all. What an engine allows is another question.

use super::origin::Origin;
use super::plan::{
    BODY_BYTES_MAX, Body, HEADERS_MAX, Plan, SEGMENTS_MAX, STEPS_MAX, Shape, Step, VARIABLES_MAX,
    Values, Variable,
};

/// Transactions per second, or users, that no plan passes: more than all machines of a region do.
const HEIGHT_MAX: f64 = 100_000_000.0;
/// A plan is a day long at most.
const DURATION_MS_MAX: u64 = 24 * 3600 * 1000;
/// Words that a variable is drawn from: they lie in the memory of each worker.
const DRAWN_MAX: usize = 100_000;
/// Letters of a drawn word.
const WORD_MAX: u32 = 1024;

/// What is wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {rule}, not {found}")]
pub struct PlanError {
    /// Where, as a path: `steps[1].timeout_ms`.
    pub place: String,
    /// What is allowed.
    pub rule: String,
    /// What stands there.
    pub found: String,
}

fn wrong<T>(
    place: impl Into<String>,
    rule: impl Into<String>,
    found: impl ToString,
) -> Result<T, PlanError> {
    let found: String = found.to_string().chars().take(80).collect();
    Err(PlanError { place: place.into(), rule: rule.into(), found })
}

impl Plan {
    /// Reads and checks JSON.
    ///
    /// # Errors
    ///
    /// [`PlanError`] names the place.
    pub fn from_json(text: &str) -> Result<Self, PlanError> {
        let plan: Self = serde_json::from_str(text).map_err(|e| PlanError {
            place: "the plan".to_owned(),
            rule: "JSON of a plan".to_owned(),
            found: e.to_string(),
        })?;
        plan.check()?;
        Ok(plan)
    }

    /// Checks the rules that the types alone do not hold.
    ///
    /// # Errors
    ///
    /// [`PlanError`] for the first place that breaks one.
    pub fn check(&self) -> Result<(), PlanError> {
        if !(1..=STEPS_MAX).contains(&self.steps.len()) {
            return wrong("steps", format!("1 to {STEPS_MAX}"), self.steps.len());
        }
        self.shape.check()?;
        if self.requests == Some(0) {
            return wrong("requests", "1 or more", 0);
        }
        if self.transactions == Some(0) {
            return wrong("transactions", "1 or more", 0);
        }
        if self.transactions.is_some() && matches!(self.shape, Shape::Rate { .. }) {
            return wrong(
                "transactions",
                "none with a rate, which says how many there are",
                "some",
            );
        }
        if self.connections == Some(0) {
            return wrong("connections", "1 or more", 0);
        }
        if !(1..=1000).contains(&self.streams) {
            return wrong("streams", "1 to 1000", self.streams);
        }
        if self.warm_up_ms >= DURATION_MS_MAX || self.think_ms >= DURATION_MS_MAX {
            return wrong(
                "warm_up_ms and think_ms",
                "less than a day",
                self.warm_up_ms.max(self.think_ms),
            );
        }
        let of_step = |step: &Step| step.variables.len() + step.extract.len();
        let variables: usize = self.steps.iter().map(of_step).sum();
        if variables > VARIABLES_MAX {
            let rule = format!("at most {VARIABLES_MAX}, with the cookies that are taken");
            return wrong("variables", rule, variables);
        }
        self.steps
            .iter()
            .enumerate()
            .try_for_each(|(number, step)| step.check(&format!("steps[{number}]")))
    }

    /// Where its requests go, each once, in the order of the steps.
    #[must_use]
    pub fn origins(&self) -> Vec<Origin> {
        let mut found: Vec<Origin> = Vec::new();
        for (origin, _) in self.steps.iter().filter_map(|step| Origin::of_url(&step.url)) {
            if !found.contains(&origin) {
                found.push(origin);
            }
        }
        found
    }
}

impl Shape {
    fn check(&self) -> Result<(), PlanError> {
        let segments = self.segments();
        if !(1..=SEGMENTS_MAX).contains(&segments.len()) {
            return wrong("shape.segments", format!("1 to {SEGMENTS_MAX}"), segments.len());
        }
        for (number, segment) in segments.iter().enumerate() {
            let place = format!("shape.segments[{number}]");
            for height in [segment.from, segment.to] {
                if !(0.0..=HEIGHT_MAX).contains(&height) {
                    return wrong(place, format!("0 to {HEIGHT_MAX}"), height);
                }
                if matches!(self, Self::Users { .. }) && height.fract() != 0.0 {
                    return wrong(place, "whole users", height);
                }
            }
        }
        let duration = self.duration().as_millis();
        if !(1..=u128::from(DURATION_MS_MAX)).contains(&duration) {
            return wrong("shape", format!("1 to {DURATION_MS_MAX} ms long"), duration);
        }
        if self.peak() == 0.0 {
            return wrong("shape", "more than nothing at some time", 0);
        }
        Ok(())
    }
}

impl Step {
    fn check(&self, place: &str) -> Result<(), PlanError> {
        let at = |field: &str| format!("{place}.{field}");
        if !is_token(&self.method) {
            return wrong(at("method"), "a method of HTTP", format!("{:?}", self.method));
        }
        if self.method == "CONNECT" {
            return wrong(at("method"), "a method with an answer of its own", "\"CONNECT\"");
        }
        let is_url = Origin::of_url(&self.url).is_some() && is_printable(&self.url);
        if !is_url {
            let rule = "an absolute http or https URL without a user, and without variables before its path";
            return wrong(at("url"), rule, format!("{:?}", self.url));
        }
        if self.headers.len() > HEADERS_MAX {
            return wrong(at("headers"), format!("at most {HEADERS_MAX}"), self.headers.len());
        }
        for (name, value) in &self.headers {
            let is_framing =
                ["content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"]
                    .iter()
                    .any(|framing| name.eq_ignore_ascii_case(framing));
            if !is_token(name) || is_framing {
                return wrong(
                    at("headers"),
                    "names of headers that are not of the framing",
                    format!("{name:?}"),
                );
            }
            if value.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
                return wrong(at("headers"), "values of one line", format!("{value:?}"));
            }
        }
        let body = self.body.as_ref().map_or(0, |body| match body {
            Body::Text(text) => text.len(),
            Body::Base64(text) => text.len() / 4 * 3,
        });
        if body > BODY_BYTES_MAX {
            return wrong(at("body"), format!("at most {BODY_BYTES_MAX} bytes"), body);
        }
        if self.status.is_some_and(|status| !(100..=999).contains(&status)) {
            return wrong(at("status"), "100 to 999", self.status.unwrap_or_default());
        }
        if !(1..=3_600_000).contains(&self.timeout_ms) {
            return wrong(at("timeout_ms"), "1 to 3600000", self.timeout_ms);
        }
        if let Some(name) = self.extract.iter().find(|name| !is_token(name)) {
            return wrong(at("extract"), "names of cookies", format!("{name:?}"));
        }
        self.variables.iter().try_for_each(|variable| variable.check(&at("variables")))
    }
}

impl Variable {
    fn check(&self, place: &str) -> Result<(), PlanError> {
        let is_name = (1..=40).contains(&self.name.len())
            && self.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name {
            return wrong(place, "1 to 40 letters, digits and _", format!("{:?}", self.name));
        }
        let drawn =
            |count: u32| (1..=DRAWN_MAX).contains(&usize::try_from(count).unwrap_or(usize::MAX));
        let is_possible = match &self.values {
            Values::List(list) => (1..=DRAWN_MAX).contains(&list.len()),
            Values::Alpha { min, max, count } => {
                min <= max && *min > 0 && *max <= WORD_MAX && drawn(*count)
            }
            Values::Number { min, max, count } => min <= max && drawn(*count),
            Values::Udid => true,
        };
        if is_possible {
            return Ok(());
        }
        let rule =
            format!("1 to {DRAWN_MAX} values, least before greatest, words of 1 to {WORD_MAX}");
        wrong(format!("{place}.{}", self.name), rule, format!("{:?}", self.values))
    }
}

/// `token` of RFC 9110: methods, names of headers and cookies.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn is_printable(url: &str) -> bool {
    url.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::load::Segment;
    use serde_json::{Value, json};

    fn plan() -> Value {
        json!({"steps": [{"method": "GET", "url": "http://127.0.0.1:1/#{a}", "timeout_ms": 1000,
            "variables": [{"name": "a", "values": {"number": {"min": 1, "max": 9, "count": 3}}}]}],
            "shape": {"users": {"segments": [{"from": 1.0, "to": 250.0, "duration_ms": 60000}]}}})
    }

    #[test]
    fn a_plan_that_is_made_is_one_that_is_read() {
        let second = Duration::from_secs(1);
        let step = Step::new("GET", "http://127.0.0.1:1/", second);
        let shape = Shape::Rate { segments: vec![Segment::flat(10.0, second)], poisson: false };
        let json = json!({
            "steps": [{"method": "GET", "url": "http://127.0.0.1:1/", "timeout_ms": 1000}],
            "shape": {"rate": {"segments": [{"from": 10.0, "to": 10.0, "duration_ms": 1000}]}},
        });
        assert_eq!(Plan::from_json(&json.to_string()), Ok(Plan::new(vec![step], shape)));
    }

    #[test]
    fn a_plan_is_read_and_its_mistakes_are_named() {
        let whole = Plan::from_json(&plan().to_string()).unwrap();
        assert!(whole.keep_alive && whole.verify && whole.resume && whole.streams == 1);
        assert_eq!(Plan::from_json(&serde_json::to_string(&whole).unwrap()).unwrap(), whole);
        for (pointer, value, place) in [
            ("/steps/0/url", json!("http://#{x}/"), "steps[0].url"),
            ("/steps/0/url", json!("http://x/a b"), "steps[0].url"),
            ("/steps/0/method", json!("GET X"), "steps[0].method"),
            ("/steps/0/timeout_ms", json!(0), "steps[0].timeout_ms"),
            ("/steps/0/variables/0/name", json!("a-b"), "steps[0].variables"),
            ("/steps", json!([]), "steps"),
            ("/shape/users/segments", json!([]), "shape.segments"),
            ("/shape/users/segments/0/to", json!(1.5), "shape.segments[0]"),
            ("/shape/users/segments/0/to", json!(-1.0), "shape.segments[0]"),
            ("/shape/users/segments/0/duration_ms", json!(0), "shape"),
            ("/shape/users/segments/0/duration_ms", json!(-1), "the plan"),
        ] {
            let mut bad = plan();
            *bad.pointer_mut(pointer).unwrap() = value;
            let error = Plan::from_json(&bad.to_string()).unwrap_err();
            assert_eq!(error.place, place, "{error}");
        }
        let mut header = plan();
        header["steps"][0]["headers"] = json!([["x", "a\r\nb"]]);
        assert_eq!(Plan::from_json(&header.to_string()).unwrap_err().place, "steps[0].headers");
        let mut many = plan();
        many["steps"][0]["extract"] = json!(vec!["c"; VARIABLES_MAX]);
        assert_eq!(Plan::from_json(&many.to_string()).unwrap_err().place, "variables");
        let mut unknown = plan();
        unknown["warp"] = json!(9);
        assert!(Plan::from_json(&unknown.to_string()).unwrap_err().found.contains("warp"));
    }
}
