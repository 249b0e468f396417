//! JSON as Erlang prints it: CouchDB's messages about bad queries quote values so, and clients and
//! tests compare them.

use serde_json::Value;

/// As `~w` prints it: a text is a list of bytes.
pub(crate) fn bytes(value: &Value) -> String {
    print(value, &|text| {
        let bytes: Vec<String> = text.bytes().map(|byte| byte.to_string()).collect();
        format!("<<{}>>", bytes.join(","))
    })
}

/// As `~p` prints it: a text is readable.
pub(crate) fn pretty(value: &Value) -> String {
    print(value, &|text| {
        if text.is_empty() { String::from("<<>>") } else { format!("<<{text:?}>>") }
    })
}

fn print(value: &Value, text: &dyn Fn(&str) -> String) -> String {
    match value {
        Value::String(one) => text(one),
        Value::Array(list) => {
            let list: Vec<String> = list.iter().map(|one| print(one, text)).collect();
            format!("[{}]", list.join(","))
        }
        Value::Object(members) => {
            let members = members.iter();
            let members: Vec<String> = members
                .map(|(name, one)| format!("{{{},{}}}", text(name), print(one, text)))
                .collect();
            format!("{{[{}]}}", members.join(","))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_printed_as_couchdb_prints_them() {
        assert_eq!(bytes(&json!("x")), "<<120>>");
        assert_eq!(bytes(&json!([1, null, "ab"])), "[1,null,<<97,98>>]");
        assert_eq!(pretty(&json!("")), "<<>>");
        assert_eq!(pretty(&json!({"a": "up"})), "{[{<<\"a\">>,<<\"up\">>}]}");
    }
}
