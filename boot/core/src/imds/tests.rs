//! What is asked of the service, and what it answers.

use super::*;

fn ask(tokens: &mut Tokens, method: Method, path: &str, header: (&str, &str)) -> (u16, String) {
    let (name, value) = header;
    let request = Request::builder().method(method).uri(path).header(name, value).body(()).unwrap();
    let found = |path: &str| (path == "/there").then(|| "text".to_owned());
    let answer = tokens.answer(&request, found);
    let token = answer.headers().get(TTL_HEADER).map(|ttl| ttl.to_str().unwrap().to_owned());
    (answer.status().as_u16(), token.unwrap_or_default())
}

/// The last token that was given.
fn token(tokens: &Tokens) -> String {
    tokens.given.back().unwrap().0.clone()
}

#[test]
fn nothing_is_told_without_a_token() {
    let mut tokens = Tokens::default();
    let get = |tokens: &mut Tokens, path: &str, token: &str| {
        ask(tokens, Method::GET, path, (TOKEN_HEADER, token)).0
    };
    for (ttl, status) in [("21600", 200), ("1", 200), ("0", 400), ("21601", 400), ("long", 400)] {
        let answered = ask(&mut tokens, Method::PUT, TOKEN, (TTL_HEADER, ttl));
        let given = if status == 200 { ttl } else { "" };
        assert_eq!(answered, (status, given.to_owned()), "{ttl}");
    }
    assert_eq!(ask(&mut tokens, Method::PUT, TOKEN, ("host", "x")).0, 400);
    let given = token(&tokens);
    assert_eq!(given.len(), 56);
    assert_eq!(get(&mut tokens, "/there", &given), 200);
    assert_eq!(get(&mut tokens, "/elsewhere", &given), 404);
    assert_eq!(get(&mut tokens, "/there", "another"), 401);
    assert_eq!(ask(&mut tokens, Method::GET, "/there", ("host", "x")).0, 401);
    assert_eq!(ask(&mut tokens, Method::GET, TOKEN, ("host", "x")).0, 401);
    assert_eq!(ask(&mut tokens, Method::POST, "/there", (TOKEN_HEADER, &given)).0, 405);
    tokens.forget();
    assert_eq!(get(&mut tokens, "/there", &given), 401);
}

#[test]
fn a_token_ends_with_its_time_and_when_many_others_came() {
    let mut tokens = Tokens::default();
    tokens.given.push_back(("old".to_owned(), Instant::now()));
    assert!(!tokens.holds("old"));
    let mut first = None;
    for _ in 0..TOKENS_MAX {
        assert_eq!(ask(&mut tokens, Method::PUT, TOKEN, (TTL_HEADER, "60")).0, 200);
        first = first.or(Some(token(&tokens)));
    }
    let first = first.unwrap();
    assert!(tokens.holds(&first), "the one that had ended went before");
    assert_eq!(ask(&mut tokens, Method::PUT, TOKEN, (TTL_HEADER, "60")).0, 200);
    assert!(!tokens.holds(&first) && tokens.holds(&token(&tokens)));
    assert_eq!(tokens.given.len(), TOKENS_MAX);
}

#[test]
fn notices_and_tags_are_as_ec2_has_them() {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_790_000_000_900);
    let text = r#"{"action": "terminate", "time": "2026-09-21T14:13:20Z"}"#;
    assert_eq!(interruption("terminate", at), text);
    let named = BTreeMap::from([("b", "2"), ("a", "1")].map(|(n, v)| (n.to_owned(), v.to_owned())));
    let told = BTreeMap::from_iter(tags(&named));
    assert_eq!(told[TAGS], "a\nb");
    assert_eq!(told[&format!("{TAGS}/b")], "2");
}
