//! What cannot be: refused, or told, with the thing, the limit and the next step.

use blitz_couchdb::PutOptions;

use super::*;

fn wish(aliases: &[&str], hubs: &[&str]) -> Wish {
    let words = |words: &[&str]| Some(words.iter().map(|&word| word.to_owned()).collect());
    Wish { aliases: words(aliases), hubs: words(hubs), ..Wish::default() }
}

#[tokio::test]
async fn a_region_that_cannot_be() {
    let site = Site::start(&["tokyo", "virginia"]).await;
    let operators = added(&site).await;
    regions::add(&operators, "japan", Some("tokyo"), &hubs(&["virginia"])).await.unwrap();
    let before = sequences(&site).await;
    let add = async |name: &str, home: Option<&str>, wish: Wish| {
        regions::add(&operators, name, home, &wish).await.unwrap_err().to_string()
    };
    let told = [
        add("Japan", Some("tokyo"), Wish::default()).await,
        add("oregon", None, Wish::default()).await,
        add("oregon", Some("atlantis"), Wish::default()).await,
        add("oregon", Some("tokyo"), wish(&[], &["atlantis"])).await,
        add("oregon", Some("tokyo"), wish(&[], &["virginia", "tokyo"])).await,
        add("oregon", Some("tokyo"), wish(&["nrt"], &[])).await,
        add("oregon", Some("tokyo"), wish(&["japan"], &[])).await,
        add("oregon", Some("tokyo"), wish(&["a b"], &[])).await,
        add("nrt", Some("tokyo"), Wish::default()).await,
        add("japan", Some("virginia"), wish(&["jp"], &[])).await,
        regions::set(&operators, "oregon", &Wish::default()).await.unwrap_err().to_string(),
        regions::move_to(&operators, "japan", "oregon").await.unwrap_err().to_string(),
        regions::move_to(&operators, "oregon", "tokyo").await.unwrap_err().to_string(),
    ];
    assert_eq!(
        told,
        [
            "\"Japan\" is not a region name (a-z, 0-9 and -, a letter first, up to 32; not 'all' or 'any')",
            "region 'oregon' needs a home: give --home CLUSTER; known: tokyo, virginia",
            "no cluster 'atlantis'; known: tokyo, virginia; add it with 'blitz cluster add atlantis --url URL'",
            "no cluster 'atlantis'; known: tokyo, virginia; add it with 'blitz cluster add atlantis --url URL'",
            "region 'oregon': cluster 'tokyo' is its home and cannot be its hub, too: leave it out of --hub",
            "region 'oregon': the word 'nrt' means region 'japan' already; leave it out, or take it from there first",
            "region 'oregon': the word 'japan' means region 'japan' already; leave it out, or take it from there first",
            "\"a b\" is not another word for a region (a-z, 0-9 and -, a letter first, up to 32)",
            "region 'nrt': the word 'nrt' means region 'japan' already; leave it out, or take it from there first",
            "region 'japan' is there already, with another home, hub, alias; change it with 'blitz region set japan', or its \
             home with 'blitz region move japan --to CLUSTER'",
            "no region 'oregon'; known: japan; make it with 'blitz region add oregon --home CLUSTER'",
            "no cluster 'oregon'; known: tokyo, virginia; add it with 'blitz cluster add oregon --url URL'",
            "no region 'oregon'; known: japan; make it with 'blitz region add oregon --home CLUSTER'",
        ]
    );
    // Nothing of it was begun.
    assert_eq!(sequences(&site).await, before);
}

#[tokio::test]
async fn a_cluster_that_cannot_be() {
    let mut site = Site::start(&["tokyo", "virginia"]).await;
    let operators = added(&site).await;
    regions::add(&operators, "japan", Some("tokyo"), &hubs(&["virginia"])).await.unwrap();
    let urls = site.urls();
    // The same server under a second name.
    let twin = cluster::client(&urls["tokyo"]);
    let clusters = blitz_jobs::cluster::Clusters::new(
        "virginia",
        site.client("virginia"),
        [("tokyo".to_owned(), site.client("tokyo")), ("osaka".to_owned(), twin)].into(),
    );
    let names = ["osaka", "tokyo", "virginia"].map(str::to_owned).into();
    let operators = Operators { clusters, names };
    let error = clusters::add(&operators, "osaka", &urls["tokyo"], false).await.unwrap_err();
    assert!(
        error.to_string().starts_with("clusters 'osaka' and 'tokyo' are the same server"),
        "{error}"
    );
    // Nobody knows how to enter it, or not well enough.
    let error = clusters::add(&operators, "kyoto", "http://h", false).await.unwrap_err();
    assert!(error.to_string().contains("write [kyoto] with its url"), "{error}");
    let few = Operators { names: ["virginia".to_owned()].into(), ..operators.clone() };
    let error = clusters::add(&few, "tokyo", &urls["tokyo"], false).await.unwrap_err();
    assert!(error.to_string().contains("operator = true"), "{error}");
    let alone = blitz_jobs::cluster::Clusters::alone(site.client("tokyo"));
    let alone = Operators { clusters: alone, names: ["tokyo".to_owned()].into() };
    let error = clusters::add(&alone, "tokyo", &urls["tokyo"], false).await.unwrap_err();
    assert!(error.to_string().contains("--cluster NAME"), "{error}");
    let error = regions::set(&alone, "japan", &Wish::default()).await.unwrap_err();
    assert!(error.to_string().contains("--cluster NAME"), "{error}");
    // It can be looked at all the same.
    assert_eq!(Known::read(&alone).await.unwrap().region_names(), "japan");

    // Another n than it was added with.
    let control = site.client("virginia").database("blitz");
    let document = control.get::<Value>("cluster:tokyo").await.unwrap().unwrap();
    let mut body = document.body.clone();
    body["copies"] = 3.into();
    let put = control.put("cluster:tokyo", Some(&document.revision), &body, PutOptions::default());
    assert!(matches!(put.await, Ok(blitz_couchdb::Put::Created(_))));
    for error in [
        clusters::add(&operators, "tokyo", &urls["tokyo"], false).await.unwrap_err(),
        regions::set(&operators, "japan", &Wish::default()).await.unwrap_err(),
    ] {
        assert!(
            error
                .to_string()
                .contains("keeps 1 copies of each document (n), and the cluster was added with 3"),
            "{error}"
        );
    }
    clusters::add(&operators, "tokyo", &urls["tokyo"], true).await.unwrap();

    // Somebody replicates beats.
    let replicator = site.client("tokyo").database("_replicator");
    let body =
        json!({"source": "http://h/blitz-beats-japan", "target": "http://h2/blitz-beats-japan/"});
    let put = replicator.put("mine", None, &body, PutOptions::default()).await;
    assert!(matches!(put, Ok(blitz_couchdb::Put::Created(_))), "{put:?}");
    let error = regions::set(&operators, "japan", &Wish::default()).await.unwrap_err();
    assert!(error.to_string().contains("replicates beats by its document 'mine'"), "{error}");
    let mine = replicator.get::<Value>("mine").await.unwrap().unwrap();
    assert!(replicator.delete("mine", &mine.revision).await.is_ok());

    // A hub that does not answer is told, a home is needed.
    site.stop("virginia").await;
    let operators = site.operators_near("tokyo");
    let outcome = regions::set(&operators, "japan", &Wish::default()).await.unwrap();
    assert!(
        outcome.applied.warnings[0].starts_with("cluster 'virginia' does not answer"),
        "{outcome:?}"
    );
    site.resume("virginia").await;
    site.stop("tokyo").await;
    let operators = site.operators_near("virginia");
    let error = regions::set(&operators, "japan", &Wish::default()).await.unwrap_err();
    assert!(error.to_string().starts_with("cluster 'tokyo' does not answer"), "{error}");
}

#[tokio::test]
async fn a_security_that_was_changed_is_set_again() {
    let site = Site::start(&["tokyo"]).await;
    let operators = added(&site).await;
    regions::add(&operators, "japan", Some("tokyo"), &Wish::default()).await.unwrap();
    let jobs = site.client("tokyo").database("blitz-jobs-japan-1");
    jobs.put_security(&json!({})).await.unwrap();
    let outcome = regions::set(&operators, "japan", &Wish::default()).await.unwrap();
    let done: Vec<String> = outcome.applied.steps.iter().map(ToString::to_string).collect();
    assert_eq!(done, ["tokyo: set who may enter blitz-jobs-japan-1"]);
    assert_eq!(outcome.applied.warnings, Vec::<String>::new());
}
