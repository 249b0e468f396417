//! Mango queries as a client sees them: which index answers, in what order, and what is refused.

use crate::client::Server;
use serde_json::{Value, json};

async fn server() -> Server {
    let server = Server::with_database().await;
    let docs: Vec<Value> = (0..30)
        .map(|n| json!({"_id": format!("k{n:02}"), "n": n, "m": n % 3, "t": (["a", "B", "b"][n % 3])}))
        .collect();
    let body = json!({ "docs": docs }).to_string();
    assert_eq!(server.ask("POST /db/_bulk_docs", &body).await.status, 201);
    server
}

async fn index(server: &Server, asked: Value) -> Value {
    let answer = server.ask("POST /db/_index", &asked.to_string()).await;
    assert_eq!(answer.status, 200, "{:?}", answer.json());
    answer.json()
}

async fn find(server: &Server, query: &Value) -> Value {
    let answer = server.ask("POST /db/_find", &query.to_string()).await;
    assert_eq!(answer.status, 200, "{query}: {:?}", answer.json());
    answer.json()
}

/// The ids of an answer, without their `k`.
fn ids(answer: &Value) -> String {
    let docs = answer["docs"].as_array().unwrap().iter();
    let ids: Vec<&str> =
        docs.map(|doc| doc["_id"].as_str().unwrap().trim_start_matches('k')).collect();
    ids.join(" ")
}

#[tokio::test]
async fn an_index_decides_the_order_and_who_is_seen() {
    let server = server().await;
    let by_m = json!({"selector": {"m": {"$gte": 1}}, "limit": 4, "sort": [{"m": "desc"}]});
    let refused = server.ask("POST /db/_find", &by_m.to_string()).await;
    assert_eq!((refused.status, &refused.json()["error"]), (400, &json!("no_usable_index")));
    index(&server, json!({"index": {"fields": ["m"]}, "ddoc": "i", "name": "m"})).await;
    assert_eq!(ids(&find(&server, &by_m).await), "29 26 23 20");
    let upwards = json!({"selector": {"m": {"$gte": 1}}, "limit": 3});
    assert_eq!(ids(&find(&server, &upwards).await), "01 04 07");
    // Of texts that people read alike the small one comes first.
    index(&server, json!({"index": {"fields": ["t", "n"]}, "ddoc": "i", "name": "tn"})).await;
    let by_text =
        json!({"selector": {"t": {"$gt": "a"}}, "sort": ["t", "n"], "limit": 12, "skip": 8});
    assert_eq!(ids(&find(&server, &by_text).await), "26 29 01 04 07 10 13 16 19 22 25 28");
}

#[tokio::test]
async fn a_bookmark_goes_on_where_the_last_page_ended() {
    let server = server().await;
    index(&server, json!({"index": {"fields": ["m"]}})).await;
    for (query, wanted) in [
        (json!({"selector": {"m": 1, "n": {"$gt": 3}}, "limit": 4}), "04 07 10 13|16 19 22 25|28|"),
        (
            json!({"selector": {"m": {"$gt": 0}}, "sort": [{"m": "desc"}], "limit": 9}),
            "29 26 23 20 17 14 11 08 05|02 28 25 22 19 16 13 10 07|04 01|",
        ),
        (json!({"selector": {"_id": {"$gt": "k26"}}, "limit": 2}), "27 28|29|"),
        (
            json!({"selector": {"_id": {"$lt": "k03"}}, "sort": [{"_id": "desc"}], "limit": 2}),
            "02 01|00|",
        ),
    ] {
        let mut pages = Vec::new();
        let mut query = query;
        while pages.last().is_none_or(|page: &String| !page.is_empty()) {
            let answer = find(&server, &query).await;
            pages.push(ids(&answer));
            query["bookmark"] = answer["bookmark"].clone();
        }
        assert_eq!(pages.join("|"), wanted, "{query}");
    }
}

/// What Apache CouchDB 3.5.0 counted for the same documents and queries with `q=1`.
#[tokio::test]
async fn examined_documents_are_counted_as_in_couchdb() {
    let server = server().await;
    for name in ["a", "b"] {
        server.ask(&format!("PUT /db/_design/{name}"), "{}").await;
    }
    let count = async |selector: Value, limit: u64| {
        let query = json!({"selector": selector, "execution_stats": true, "limit": limit});
        let answer = find(&server, &query).await;
        let stats = &answer["execution_stats"];
        (stats["total_keys_examined"].as_u64(), stats["results_returned"].as_u64())
    };
    assert_eq!(count(json!({"m": 1}), 3).await.1, Some(3));
    assert_eq!(count(json!({"m": 7}), 25).await, (Some(32), Some(0)));
    index(&server, json!({"index": {"fields": ["n"]}})).await;
    for (limit, examined) in [(0, 2), (1, 5), (2, 8), (9, 27), (11, 27)] {
        let (keys, _) = count(json!({"n": {"$gt": 3}, "m": 1}), limit).await;
        assert_eq!(keys, Some(examined), "limit {limit}");
    }
}

#[tokio::test]
async fn indexes_are_design_documents_that_come_and_go() {
    let server = server().await;
    let asked = json!({"index": {"fields": ["n"], "partial_filter_selector": {"m": {"$gt": 1}}},
        "ddoc": "p", "name": "one"});
    assert_eq!(index(&server, asked.clone()).await["result"], "created");
    assert_eq!(index(&server, asked).await["result"], "exists");
    index(&server, json!({"index": {"fields": ["n", "m"]}, "ddoc": "p", "name": "two"})).await;
    let design = server.ask("GET /db/_design/p", "").await.json();
    assert_eq!(design["views"]["one"]["map"]["partial_filter_selector"], json!({"m": {"$gt": 1}}));
    let list = server.ask("GET /db/_index", "").await.json();
    assert_eq!((&list["total_rows"], &list["indexes"][1]["name"]), (&json!(3), &json!("one")));
    // One with a filter is used by those who name it.
    let query = json!({"selector": {"n": {"$gt": 20}}, "use_index": ["p", "one"]});
    assert_eq!(ids(&find(&server, &query).await), "23 26 29");
    for line in ["DELETE /db/_index/p/json/one", "DELETE /db/_index/_design/p/json/two"] {
        assert_eq!(server.ask(line, "").await.status, 200);
    }
    assert_eq!(server.ask("GET /db/_design/p", "").await.json()["reason"], "deleted");
    assert_eq!(server.ask("DELETE /db/_index/p/json/one", "").await.status, 404);
    for kind in ["text", "nouveau"] {
        let body = json!({"index": {"fields": []}, "type": kind}).to_string();
        assert_eq!(server.ask("POST /db/_index", &body).await.status, 501);
    }
}

/// A sort that would need more memory than it may have is refused, with what to do.
#[tokio::test]
async fn a_sort_of_too_much_is_refused_and_a_page_of_it_is_not() {
    let server = Server::with_database().await;
    index(&server, json!({"index": {"fields": ["n"]}})).await;
    let large = "x".repeat(1 << 20);
    for n in 0..35 {
        let body = json!({"n": n, "large": large}).to_string();
        assert_eq!(server.ask(&format!("PUT /db/k{n:02}"), &body).await.status, 201);
    }
    let query = |limit: u64, fields: Value| json!({"selector": {"n": {"$gte": 0}}, "sort": [{"n": "desc"}], "limit": limit, "fields": fields});
    let refused = server.ask("POST /db/_find", &query(35, json!([])).to_string()).await;
    assert_eq!((refused.status, &refused.json()["error"]), (400, &json!("sort_too_large")));
    assert_eq!(ids(&find(&server, &query(2, json!([]))).await), "34 33");
    assert_eq!(ids(&find(&server, &query(35, json!(["_id"]))).await).len(), 35 * 3 - 1);
}

#[tokio::test]
async fn local_documents_are_listed_as_any_others() {
    let server = Server::with_database().await;
    for id in ["a", "b", "c"] {
        assert_eq!(server.ask(&format!("PUT /db/_local/{id}"), "{}").await.status, 201);
    }
    let listed = async |line: &str, body: &str| {
        let rows = server.ask(line, body).await.json()["rows"].clone();
        let key = |row: &Value| {
            let error = row.get("error").map_or("", |_| "!");
            format!("{}{error}", row["key"].as_str().unwrap().trim_start_matches("_local/"))
        };
        rows.as_array().unwrap().iter().map(key).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(listed("GET /db/_local_docs?limit=1&skip=1", "").await, "b");
    assert_eq!(listed("GET /db/_local_docs?descending=true", "").await, "c b a");
    assert_eq!(listed("GET /db/_local_docs?startkey=\"_local/b\"", "").await, "b c");
    let keys = r#"{"keys":["_local/c","_local/x","_local/a"]}"#;
    assert_eq!(listed("POST /db/_local_docs", keys).await, "c x! a");
    let queries = r#"{"queries":[{"limit":1},{"key":"_local/c"}]}"#;
    let answer = server.ask("POST /db/_local_docs/queries", queries).await.json();
    assert_eq!(answer["results"][1]["rows"][0]["id"], "_local/c");
}
