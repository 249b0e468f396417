//! Paths and queries: bytes that are no text, ids that mean something in a URL, parameters of every wrong
//! type, methods that are none.

use super::{JSON, Row, check, send};
use crate::client::Server;
use blitz_embedded::{Admin, Options, Storage};

#[tokio::test]
async fn ids_of_every_kind() {
    let server = Server::with_database().await;
    let long = "x".repeat(8 << 10);
    let (put, get) = (format!("PUT /db/{long}"), format!("GET /db/{long}"));
    let posted = format!("{{\"_id\":\"{long}\"}}");
    check(
        &server,
        JSON,
        &[
            (b"PUT /db/a%2Fb", b"{}", 201, "", ""),
            (b"PUT /db/a%252Fb", b"{}", 201, "", ""),
            (b"PUT /db/a+b", b"{}", 201, "", ""),
            (b"PUT /db/a%20b", b"{}", 409, "conflict", ""),
            (b"PUT /db/a%2Bb", b"{}", 201, "", ""),
            (b"PUT /db/%00", b"{}", 201, "", ""),
            (b"PUT /db/%F0%9F%98%80", b"{}", 201, "", ""),
            // The same as bytes, as people type them.
            ("PUT /db/😀".as_bytes(), b"{}", 409, "conflict", ""),
            (b"PUT /db/%FF", b"{}", 400, "illegal_docid", ""),
            (b"PUT /db/\xff", b"{}", 400, "illegal_docid", ""),
            (b"PUT /db/%C3%28", b"{}", 400, "illegal_docid", ""),
            (b"PUT /db/_x", b"{}", 400, "illegal_docid", ""),
            (b"GET /db/_x", b"", 404, "not_found", ""),
            (put.as_bytes(), b"{}", 201, "", ""),
            (get.as_bytes(), b"", 200, "", ""),
            (b"POST /db", posted.as_bytes(), 409, "conflict", ""),
            (b"PUT /db/a/_x", b"{}", 400, "bad_request", ""),
            (b"PUT /A", b"", 400, "illegal_database_name", ""),
            (b"PUT /a%00b", b"", 400, "illegal_database_name", ""),
            (b"PUT /db%2F..%2F..%2Fx", b"", 400, "illegal_database_name", ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn parameters_of_every_wrong_type() {
    let server = Server::with_database().await;
    assert_eq!(server.ask("PUT /db/a", "{}").await.status, 201);
    let gigantic = format!("GET /db/_changes?since={}", "9".repeat(5000));
    let (bad, query) = ("bad_request", "query_parse_error");
    check(
        &server,
        "",
        &[
            (b"GET /db/_all_docs?limit=-1", b"", 400, query, ""),
            (b"GET /db/_all_docs?limit=x", b"", 400, query, ""),
            (b"GET /db/_all_docs?limit=1.5", b"", 400, query, ""),
            (b"GET /db/_all_docs?limit=", b"", 400, query, ""),
            (b"GET /db/_all_docs?skip=-1", b"", 400, query, ""),
            (b"GET /db/_all_docs?descending=x", b"", 400, query, ""),
            (b"GET /db/_all_docs?include_docs=x", b"", 400, query, ""),
            (b"GET /db/_all_docs?startkey=%7B", b"", 400, bad, ""),
            (b"GET /db/_all_docs?keys=5", b"", 400, bad, ""),
            (b"GET /db/_changes?limit=x", b"", 400, query, "500 badarg"),
            (b"GET /db/_changes?style=x", b"", 400, query, "500 function_clause"),
            (b"GET /db/_changes?feed=longpoll&timeout=x", b"", 400, query, "500 badarg"),
            (
                b"GET /db/_changes?feed=longpoll&timeout=-5",
                b"",
                400,
                query,
                "it cuts the connection",
            ),
            (b"GET /db/_changes?since=x", b"", 400, bad, ""),
            (b"GET /db/_changes?since=99999999999999999999", b"", 400, bad, ""),
            (gigantic.as_bytes(), b"", 400, bad, ""),
            (b"GET /db/_changes?filter=_nope", b"", 400, bad, ""),
            (b"GET /db/a?rev=x", b"", 400, bad, ""),
            (b"GET /db/a?rev=-1-a", b"", 400, bad, ""),
            (b"GET /db/a?open_revs=x", b"", 400, bad, ""),
            (b"GET /db/a?atts_since=x", b"", 400, bad, ""),
            (b"PUT /db/b?rev=x", b"{}", 400, bad, ""),
            (b"PUT /db/b?new_edits=false", b"{}", 400, bad, ""),
            (b"GET /db/a?nope=1&%FF=%FF&=&&", b"", 200, "", ""),
        ],
    )
    .await;
}

/// A method is a name, and its case counts.
#[tokio::test]
async fn methods_that_are_none() {
    let server = Server::with_database().await;
    assert_eq!(server.ask("PUT /db/a", "{}").await.status, 201);
    for method in ["get", "Get", "put", "FOO", "PATCH", "TRACE", "OPTIONS", "PROPFIND"] {
        for path in ["/", "/db", "/db/a", "/db/_all_docs", "/_all_dbs"] {
            let line = format!("{method} {path}");
            let row: Row<'_> = (line.as_bytes(), b"", 405, "method_not_allowed", "");
            check(&server, "", &[row]).await;
        }
    }
}

/// Escapes that are none, bytes that are no text, and slashes too many.
#[tokio::test]
async fn paths_of_every_wrong_kind() {
    let server = Server::with_database().await;
    assert_eq!(server.ask("PUT /db/a", r#"{"_attachments":{"x":{"data":""}}}"#).await.status, 201);
    let (bad, missing) = ("bad_request", "not_found");
    check(
        &server,
        JSON,
        &[
            (b"PUT /db/%zz", b"{}", 400, bad, ""),
            (b"PUT /db/%", b"{}", 400, bad, ""),
            (b"PUT /db/%2", b"{}", 400, bad, ""),
            (b"GET /%zz", b"", 400, bad, ""),
            (b"GET /db/a/%zz", b"", 400, bad, ""),
            (b"PUT /db/_local/%zz", b"{}", 400, bad, ""),
            (b"GET /db?%", b"", 400, bad, ""),
            (b"GET /db/_all_docs?nope=%zz", b"", 400, bad, ""),
            (b"GET /db/%FF", b"", 404, missing, ""),
            (b"DELETE /db/%FF", b"", 404, missing, ""),
            (b"GET /db/_design/%FF", b"", 404, missing, ""),
            (b"GET /db/_local/%FF", b"", 404, missing, ""),
            (b"PUT /db/_local/%FF", b"{}", 400, "illegal_docid", ""),
            (b"GET /db/a/%FF", b"", 404, missing, ""),
            (b"PUT /db/a/%FF", b"x", 400, bad, ""),
            (b"GET /none/%FF", b"", 404, missing, ""),
            (b"GET /%FF", b"", 404, missing, ""),
            (b"PUT /%FF", b"", 400, "illegal_database_name", ""),
            (b"GET //db//a", b"", 200, "", ""),
            (b"GET /db/a/", b"", 200, "", ""),
            (b"GET /db/a//", b"", 200, "", ""),
            (b"GET /db//a//x/", b"", 200, "", ""),
            (b"GET /db//", b"", 200, "", ""),
            (b"GET ///", b"", 200, "", ""),
            (b"GET /db/_all_docs/", b"", 200, "", ""),
            (b"GET /db//_changes/", b"", 200, "", ""),
            (b"GET //_up/", b"", 200, "", ""),
            (b"GET /db/_local/", b"", 400, bad, ""),
            (b"GET /db/_local//a", b"", 404, missing, ""),
            (b"GET /db/_design//a", b"", 404, missing, ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn parameters_of_lists_of_every_wrong_type() {
    let server = Server::with_database().await;
    let digits = "9".repeat(26);
    let skip = format!("GET /db/_all_docs?skip={digits}");
    let negative = format!("GET /db/_all_docs?skip=-{digits}");
    let level = format!("GET /db/_all_docs?group_level={digits}");
    let limit = format!("GET /db/_all_docs?limit={digits}");
    let local = format!("GET /db/_local_docs?skip={digits}");
    let all = format!("GET /_all_dbs?limit={digits}");
    let (bad, query) = ("bad_request", "query_parse_error");
    check(
        &server,
        JSON,
        &[
            (b"GET /db/_all_docs?reduce=true", b"", 400, query, ""),
            (b"GET /db/_all_docs?reduce=false", b"", 200, "", ""),
            (b"GET /db/_all_docs?group=true", b"", 400, query, ""),
            (level.as_bytes(), b"", 400, query, ""),
            (b"GET /db/_all_docs?stale=x", b"", 400, query, ""),
            (b"GET /db/_all_docs?stable=x", b"", 400, query, ""),
            (b"GET /db/_all_docs?update=x", b"", 400, query, ""),
            (b"GET /db/_all_docs?startkey=\"%FF\"", b"", 400, bad, ""),
            (b"GET /db/_all_docs?keys=[\"%FF\"]", b"", 400, bad, ""),
            (b"GET /db/_all_docs?startkey_docid=%FF", b"", 200, "", ""),
            (skip.as_bytes(), b"", 200, "", ""),
            (negative.as_bytes(), b"", 400, query, ""),
            (limit.as_bytes(), b"", 400, query, ""),
            (b"GET /db/_all_docs?limit=576460752303423487", b"", 200, "", ""),
            (b"GET /db/_all_docs?limit=576460752303423488", b"", 400, query, ""),
            (local.as_bytes(), b"", 200, "", ""),
            (all.as_bytes(), b"", 200, "", ""),
            (b"POST /db/_local_docs", b"{}", 200, "", ""),
            (b"POST /db/_local_docs", b"{\"keys\":[\"_local/x\"]}", 200, "", ""),
            (b"POST /db/_local_docs", b"{\"keys\":5}", 400, bad, ""),
            (b"POST /db/_local_docs", b"[]", 400, bad, ""),
            (b"PUT /db/_local_docs", b"{}", 405, "method_not_allowed", ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn parameters_of_changes_of_every_wrong_type() {
    let server = Server::with_database().await;
    let digits = "9".repeat(23);
    let of = |name: &str| format!("GET /db/_changes?{name}={digits}");
    let (limit, timeout, heartbeat) = (of("limit"), of("timeout"), of("heartbeat"));
    let interval = of("seq_interval");
    let negative = format!("GET /db/_changes?limit=-{digits}");
    let bad = "bad_request";
    check(
        &server,
        "",
        &[
            (limit.as_bytes(), b"", 200, "", ""),
            (negative.as_bytes(), b"", 200, "", ""),
            (timeout.as_bytes(), b"", 200, "", ""),
            (heartbeat.as_bytes(), b"", 200, "", ""),
            (interval.as_bytes(), b"", 200, "", ""),
            (b"GET /db/_changes?seq_interval=2", b"", 200, "", ""),
            (b"GET /db/_changes?seq_interval=x", b"", 400, bad, ""),
            (b"GET /db/_changes?seq_interval=", b"", 400, bad, ""),
            (b"GET /db/_changes?seq_interval=0", b"", 400, bad, ""),
            (b"GET /db/_changes?seq_interval=-1", b"", 400, bad, ""),
            (b"GET /db/_changes?filter=a/b/c", b"", 400, bad, ""),
            (b"GET /db/_changes?filter=a%2Fb%2Fc", b"", 400, bad, ""),
            (b"GET /db/_changes?filter=a/", b"", 400, bad, ""),
            (b"GET /db/_changes?filter=/b", b"", 400, bad, ""),
            (b"GET /db/_changes?filter=/", b"", 200, "", ""),
            (b"GET /db/_changes?filter=a/b", b"", 404, "not_found", ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn revisions_of_every_wrong_kind() {
    let server = Server::with_database().await;
    assert_eq!(server.ask("PUT /db/a", "{}").await.status, 201);
    let digits = "9".repeat(23);
    let of = |line: &str| format!("{line}?rev={digits}-a");
    let (get, plain) = (of("GET /db/a"), format!("GET /db/a?rev={digits}"));
    let (put, delete, get_attachment) = (of("PUT /db/a"), of("DELETE /db/a"), of("GET /db/a/x"));
    let (put_attachment, put_new) = (of("PUT /db/a/x"), of("PUT /db/b"));
    let stored = format!("{{\"_rev\":\"{digits}-a\"}}");
    let stored: &[u8] = stored.as_bytes();
    let limited = "201: CouchDB counts generations without a limit";
    let (bad, missing, conflict) = ("bad_request", "not_found", "conflict");
    check(
        &server,
        JSON,
        &[
            (b"GET /db/a?rev=1-", b"", 404, missing, ""),
            (b"GET /db/a/x?rev=1-", b"", 404, missing, ""),
            (b"PUT /db/a?rev=1-", b"{}", 409, conflict, ""),
            (b"DELETE /db/a?rev=1-", b"", 409, conflict, ""),
            (b"PUT /db/empty?new_edits=false", br#"{"_rev":"1-"}"#, 201, "", ""),
            (b"GET /db/empty?rev=1-", b"", 200, "", ""),
            (b"GET /db/a?open_revs=[\"1-\"]", b"", 200, "", ""),
            (b"POST /db/_revs_diff", br#"{"a":["1-"]}"#, 200, "", ""),
            (get.as_bytes(), b"", 404, missing, ""),
            (get_attachment.as_bytes(), b"", 404, missing, ""),
            (plain.as_bytes(), b"", 400, bad, ""),
            (put.as_bytes(), b"{}", 409, conflict, ""),
            (delete.as_bytes(), b"", 409, conflict, ""),
            (put_attachment.as_bytes(), b"x", 409, conflict, "409 not_found"),
            (put_new.as_bytes(), b"{}", 409, conflict, limited),
            (b"PUT /db/b", stored, 400, bad, limited),
            (b"PUT /db/b?new_edits=false", stored, 400, bad, limited),
            (b"GET /db/a?atts_since=[1]", b"", 400, bad, ""),
            (b"GET /db/a?atts_since=1", b"", 400, bad, ""),
            (b"GET /db/a?atts_since=null", b"", 400, bad, ""),
            (b"GET /db/a?atts_since={}", b"", 400, bad, ""),
            (b"GET /db/a?atts_since=[\"1-\"]", b"", 200, "", ""),
            (b"GET /db/a?atts_since=[]", b"", 200, "", ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn copies_to_every_wrong_place() {
    let server = Server::with_database().await;
    assert_eq!(server.ask("PUT /db/a", "{}").await.status, 201);
    let (bad, id, crashes) = ("bad_request", "illegal_docid", "500 badmatch");
    check(&server, "", &[(b"COPY /db/a", b"", 400, bad, "")]).await;
    check(&server, "", &[(b"COPY /db/_local/none", b"", 400, bad, "")]).await;
    for (destination, status, error, couchdb) in [
        ("", 400, id, ""),
        ("_x", 400, id, ""),
        ("%FF", 400, id, ""),
        ("http://other:1/db/b", 400, bad, ""),
        ("b?rev=x", 400, bad, ""),
        ("b?rev=", 400, bad, ""),
        ("b?", 400, bad, crashes),
        ("b?rev", 400, bad, crashes),
        ("b?rev=1-a", 409, "conflict", ""),
        ("b?rev=1-", 409, "conflict", ""),
        ("a", 409, "conflict", ""),
        ("%zz", 201, "", ""),
        ("/db/b", 201, "", ""),
    ] {
        let headers = format!("Destination: {destination}\r\n");
        check(&server, &headers, &[(b"COPY /db/a", b"", status, error, couchdb)]).await;
    }
    check(
        &server,
        "Destination: b\r\n",
        &[
            (b"COPY /db/none", b"", 404, "not_found", ""),
            (b"COPY /db/_local/none", b"", 404, "not_found", ""),
            (b"COPY /db/a?rev=1-x", b"", 404, "not_found", ""),
            (b"COPY /db/a?rev=x", b"", 400, bad, ""),
            (b"COPY /db/a/x", b"", 405, "method_not_allowed", ""),
            (b"COPY /db/_all_docs", b"", 405, "method_not_allowed", ""),
        ],
    )
    .await;
}

/// Rights that are asked for with rubbish are not given, and not an error of ours.
#[tokio::test]
async fn credentials_that_are_none() {
    let admins = vec![Admin { name: String::from("u"), password: String::from("p") }];
    let server = Server::start(Storage::Memory, Options { admins, ..Options::default() }).await;
    for (credentials, status, couchdb) in [
        (&b"Authorization: Basic %%%"[..], 400, ""),
        (b"Authorization: Basic \xff\xfe", 400, ""),
        (b"Authorization: Basic //4=", 401, ""),
        (b"Authorization: Basic YWJj", 401, ""),
        (b"Authorization: Basic dTpw x", 400, "500 case_clause"),
        // RFC 7235: the case of a scheme does not count.
        (b"Authorization: basic dTpw", 200, "401"),
        (b"Authorization: Nope x", 401, ""),
        (b"Authorization: Bearer a.b.c", 400, "401 unless it has keys for tokens"),
        (b"Authorization: Bearer \xff", 400, "401 unless it has keys for tokens"),
        (b"Authorization:", 401, ""),
        (b"Cookie: AuthSession=%%", 400, ""),
        (b"Cookie: AuthSession=xx%%", 400, ""),
        (b"Cookie: AuthSession=\xff", 401, ""),
        (b"Cookie: AuthSession=", 401, ""),
    ] {
        let mut head = b"GET /_all_dbs HTTP/1.1\r\nHost: test\r\n".to_vec();
        head.extend_from_slice(credentials);
        head.extend_from_slice(b"\r\n\r\n");
        let said = send(server.address, &head).await;
        let credentials = String::from_utf8_lossy(credentials);
        assert_eq!(said.status, Some(status), "{credentials}: {said:?}; CouchDB: {couchdb}");
    }
}
