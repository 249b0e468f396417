//! Who sends this: the `user-agent` of every request names the job, and a contact.

use blitz_contract::load::{HEADERS_MAX, Plan};

/// Of steps that have none.
const OWN: &str = concat!("blitz-rush/", env!("CARGO_PKG_VERSION"));
/// Longest signature: a job's id and an address of mail.
const SIGNATURE_BYTES_MAX: usize = 200;

/// The plan with a signed `user-agent` in every step.
///
/// # Errors
///
/// The text of a limit: a step has no room for the header.
pub(super) fn signed(mut plan: Plan, signature: &str) -> Result<Plan, String> {
    let signature = clean(signature);
    for (number, step) in plan.steps.iter_mut().enumerate() {
        let own =
            step.headers.iter_mut().filter(|(name, _)| name.eq_ignore_ascii_case("user-agent"));
        let mut is_signed = false;
        for (_, value) in own {
            value.push_str(&signature);
            is_signed = true;
        }
        if is_signed {
            continue;
        }
        if step.headers.len() >= HEADERS_MAX {
            return Err(format!(
                "steps[{number}].headers: {HEADERS_MAX} headers, and one more is needed for user-agent; leave one out"
            ));
        }
        step.headers.push(("user-agent".to_owned(), format!("{OWN}{signature}")));
    }
    Ok(plan)
}

/// ` (signature)`, or nothing. What would end the header, the comment, or begin a variable, is left out.
fn clean(signature: &str) -> String {
    let is_fit = |c: &char| (c.is_ascii_graphic() || *c == ' ') && !"()\\#{}".contains(*c);
    let text: String = signature.chars().filter(is_fit).take(SIGNATURE_BYTES_MAX).collect();
    let text = text.trim();
    if text.is_empty() { String::new() } else { format!(" ({text})") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(headers: serde_json::Value) -> Plan {
        let plan = json!({"steps": [{"method": "GET", "url": "http://127.0.0.1/", "timeout_ms": 1, "headers": headers}],
            "shape": {"users": {"segments": [{"from": 1.0, "to": 1.0, "duration_ms": 1}]}}});
        Plan::from_json(&plan.to_string()).unwrap()
    }

    #[test]
    fn every_step_is_signed() {
        for (headers, signature, wanted) in [
            (json!([]), "job 7; a@b.example", format!("{OWN} (job 7; a@b.example)")),
            (json!([]), "", OWN.to_owned()),
            (json!([["User-Agent", "mine/1"]]), "j", "mine/1 (j)".to_owned()),
            (json!([["a", "b"]]), "x\r\nhost: y #{z})(", format!("{OWN} (xhost: y z)")),
        ] {
            let signed = signed(plan(headers), signature).unwrap();
            let (name, value) = signed.steps[0].headers.last().unwrap();
            assert!(name.eq_ignore_ascii_case("user-agent"));
            assert_eq!(*value, wanted);
            signed.check().unwrap();
        }
        let full: Vec<_> = (0..HEADERS_MAX).map(|n| (format!("h{n}"), String::new())).collect();
        assert!(signed(plan(json!(full)), "j").unwrap_err().starts_with("steps[0].headers"));
    }
}
