//! `blitz keys`, `tenants`, `plans`, `usage`, `targets` and `audit`: what is asked of a gateway, and what is said of its answers.
//! What a gateway does with it is told by the workspace's `tests`.

use crate::blitz::Blitz;
use crate::gateway::Gateway;

/// Takes everything.
fn gateway() -> Gateway {
    let key = r#"{"id":"k9","tenant":"acme","user":"ci","scopes":{"plugins":["curl"],"rate_per_minute":60}}"#;
    Gateway::new(&["japan"])
        .answer("GET /v1/tenants", 200, r#"{"tenants":[{"name":"acme","plan":"team"}]}"#)
        .answer("POST /v1/tenants", 201, r#"{"tenant":{"name":"acme","plan":"team"}}"#)
        .answer("PATCH /v1/tenants/acme", 200, r#"{"tenant":{"name":"acme","plan":"free"}}"#)
        .answer("DELETE /v1/tenants/acme", 204, "")
        .answer("GET /v1/keys", 200, r#"{"keys":[{"id":"k1","tenant":"acme","user":"ann"}]}"#)
        .answer("POST /v1/keys", 201, &format!(r#"{{"secret":"blitz_k9_s","key":{key}}}"#))
        .answer("DELETE /v1/keys/k9", 200, r#"{"id":"k9","new":true}"#)
        .answer("DELETE /v1/tenants/acme/users/eve", 200, "{}")
        .answer("GET /v1/keys?tenant=acme", 200, r#"{"keys":[]}"#)
        .answer("DELETE /v1/keys/0123456789", 200, r#"{"id":"0123456789","new":true}"#)
        .answer("GET /v1/plans", 200, r#"{"plans":[{"name":"team","kind":"plan","jobs_per_hour":100}]}"#)
        .answer("PUT /v1/plans/team", 200, r#"{"name":"team"}"#)
        .answer("PUT /v1/plans/free", 201, r#"{"name":"free"}"#)
        .answer("DELETE /v1/plans/free", 200, "{}")
        .answer(
            "GET /v1/usage?tenant=acme",
            200,
            r#"{"tenant":"acme","plan":{"name":"team","jobs_per_hour":100},"used":{"jobs_this_hour":7}}"#,
        )
        .answer("GET /v1/targets", 200, r#"{"targets":[{"host":"a.example","tenant":"acme"}]}"#)
        .answer(
            "POST /v1/targets",
            201,
            r#"{"host":"a.example","token":"t","state":"waiting","ways":["42 at http://a.example/t"]}"#,
        )
        .answer("POST /v1/targets/a.example/verify", 200, r#"{"host":"a.example","state":"proved"}"#)
        .answer("DELETE /v1/targets/a.example?tenant=acme", 200, r#"{"host":"a.example","ended":2}"#)
        .answer("GET /v1/targets?tenant=acme", 200, r#"{"targets":[]}"#)
        .answer("GET /v1/audit?limit=50", 200, r#"{"entries":[]}"#)
        .answer("GET /v1/audit?limit=2&tenant=acme&since_ms=5000", 200, r#"{"entries":[]}"#)
}

#[test]
fn what_is_asked_and_what_is_told() {
    let (gateway, blitz) = (gateway(), Blitz::new());
    let mut told = String::new();
    let mut asked = 0;
    for line in [
        "tenants",
        "tenants add acme --plan team",
        "tenants set acme --plan free --plan-until never",
        "tenants set acme --plan-until 1970-01-01T00:00:05Z",
        "tenants remove acme --yes --reason unpaid",
        "keys list",
        "keys add --tenant acme --user ci --label nightly --plugins curl,ping --regions japan --rate 60/min --admin",
        "keys revoke k9 --reason lost",
        "keys revoke blitz_0123456789_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "keys revoke --user eve --tenant acme --yes",
        "keys list --tenant acme",
        "keys --json",
        "--json tenants list",
        "plans",
        "plans set team --jobs-at-once 5",
        "plans set free --jobs-per-hour 10 --load-minutes-per-day 0",
        "plans remove free",
        "usage --tenant acme",
        "targets",
        "targets --tenant acme",
        "targets add a.example",
        "targets add a.example --tenant acme --pre-authorised",
        "targets verify a.example",
        "targets remove a.example --tenant acme",
        "audit",
        "audit --tenant acme --since 1970-01-01T00:00:05Z --last 2",
    ] {
        let ran = blitz.run(&gateway, line);
        assert_eq!(ran.code, Some(0), "blitz {line}: {ran:?}");
        let mark = |text: &str, mark: &str| {
            text.lines().map(|line| format!("{mark} {line}\n")).collect::<String>()
        };
        told.push_str(&format!("$ blitz {line}\n"));
        told.push_str(&mark(&gateway.told()[asked..].join("\n"), ">"));
        asked = gateway.told().len();
        told.push_str(&mark(&ran.stderr, "!"));
        told.push_str(&ran.stdout);
    }
    insta::assert_snapshot!(told);
}

#[test]
fn wrong_words_are_told_before_anybody_is_asked() {
    let (gateway, blitz) = (gateway(), Blitz::new());
    let mut told = String::new();
    for line in [
        "tenants add Acme",
        "tenants remove acme",
        "tenants set acme",
        "tenants set acme --plan-until tomorrow",
        "keys add",
        "keys add --user ann --rate 5/s",
        "keys add --user ann --expires 0d",
        "keys lsit",
        "keys revoke",
        "keys revoke --user eve",
        "plans set team --jobs-per-hour many",
        "audit --since yesterday",
        "audit --last 0",
    ] {
        let ran = blitz.run(&gateway, line);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "blitz {line}: {ran:?}");
        told.push_str(&format!("$ blitz {line}\n{}", ran.stderr));
    }
    assert!(gateway.requests().is_empty(), "{:?}", gateway.requests());
    insta::assert_snapshot!(told);
}

#[test]
fn a_refusal_says_why_and_when_it_may_be_tried_again() {
    let quota = r#"{"error":"quota","reason":"tenant acme has had 100 of the 100 jobs that plan team gives in an hour"}"#;
    let gateway = Gateway::new(&["japan"])
        .answer_later("POST /v1/jobs", 429, quota, 705)
        .answer(
            "POST /v1/tenants",
            403,
            r#"{"error":"forbidden","reason":"this is for the operator"}"#,
        )
        .answer("GET /v1/usage", 429, r#"{"error":"too_often","reason":"slowly"}"#)
        .answer_later(
            "GET /v1/keys",
            503,
            r#"{"error":"keys_unavailable","reason":"the accounts are not known yet"}"#,
            2,
        )
        .answer(
            "GET /v1/plans",
            404,
            r#"{"error":"unknown_path","reason":"there is nothing at this path"}"#,
        );
    let blitz = Blitz::new();
    blitz.run(&gateway, "probe x").check(
        122,
        "",
        "blitz: tenant acme has had 100 of the 100 jobs that plan team gives in an hour; free again in 12 min\n",
    );
    blitz.run(&gateway, "tenants add acme").check(122, "", "blitz: this is for the operator\n");
    blitz.run(&gateway, "usage").check(122, "", "blitz: slowly\n");
    blitz.run(&gateway, "keys").check(
        125,
        "",
        "blitz: the accounts are not known yet; try again in 2 s\n",
    );
    blitz.run(&gateway, "plans").check(2, "", "blitz: there is nothing at this path\n");
    blitz.run_alone("keys").check(
        125,
        "",
        "blitz: blitz keys needs a gateway: start one with 'blitz up', name one with --host URL, or enter one with 'blitz \
         login'\n",
    );
}

#[test]
fn a_plugin_may_have_the_name_of_a_command() {
    let manifest = r#"{"name":"keys","version":"0.1.0","sha256":"00","manifest":{
        "name":"keys","version":"0.1.0","summary":"somebody's own","contract":"0.1.0","arguments":[]}}"#;
    let gateway = Gateway::new(&[]).answer("GET /v1/plugins/keys", 200, manifest).answer(
        "GET /v1/keys",
        200,
        r#"{"keys":[]}"#,
    );
    let blitz = Blitz::new();
    let ran = blitz.run(&gateway, "run keys --help");
    assert!(ran.stdout.starts_with("keys: somebody's own\n"), "{ran:?}");
    for line in ["help keys", "keys:help", "keys --help"] {
        let ran = blitz.run(&gateway, line);
        assert!(ran.stdout.contains("\nUsage: blitz keys "), "blitz {line}: {ran:?}");
    }
    blitz.run(&gateway, "run keys --detach");
    assert_eq!(gateway.submissions()[0]["plugin"], "keys");
    assert!(blitz.run(&gateway, "keys").stdout.starts_with("ID  TENANT"));
    let ran = blitz.run(&gateway, "kyes");
    assert!(ran.stderr.contains("did you mean keys?") || ran.code == Some(2), "{ran:?}");
}
