//! Open jobs are counted before a database goes, and none is missed.

use blitz_jobs::rotation::open_jobs;

use super::*;

/// Ended jobs in more than one page of a listing.
const ENDED: usize = 600;

fn run(run: Run) -> Value {
    serde_json::to_value(RunDocument::new(run)).unwrap()
}

fn expired() -> Value {
    run(Run::Expired { reason: "nobody".to_owned() })
}

#[tokio::test]
async fn a_database_is_empty_of_open_jobs_when_each_has_come_to_an_end() {
    let world = World::new().await;
    assert_eq!(open_jobs(&world.client.database("blitz-jobs-nowhere-1")).await.unwrap(), 0);
    assert_eq!(open_jobs(&world.jobs).await.unwrap(), 0);
    let mut jobs: Vec<JobId> = (0..ENDED).map(|_| JobId::new("japan", 1)).collect();
    jobs.sort();
    let mut documents = Vec::new();
    for job in &jobs {
        let with_id = |mut body: Value, id: DocumentId| {
            body["_id"] = json!(id.to_string());
            body
        };
        documents.push(with_id(json!({"kind": "spec"}), DocumentId::Spec(job.clone())));
        documents.push(with_id(expired(), DocumentId::Run(job.clone())));
    }
    // One more before all: a page ends between a run and its spec.
    let cancel = DocumentId::Cancel(jobs[0].clone()).to_string();
    documents.push(json!({"_id": cancel, "kind": "cancel"}));
    world.jobs.bulk(&documents).await.unwrap();
    assert_eq!(open_jobs(&world.jobs).await.unwrap(), 0);

    let last = JobId::new("japan", 1);
    world.put(&DocumentId::Spec(last.clone()), None, &json!({"kind": "spec"})).await;
    assert_eq!(open_jobs(&world.jobs).await.unwrap(), 1, "nobody has it");
    let claim = Claim::first(1, "e", Incarnation::from_random([2; 16]));
    let id = DocumentId::Run(last.clone());
    let mut over = None;
    for body in [
        run(Run::Claimed { claim: claim.clone() }),
        run(Run::Open { last: claim.clone(), reason: "drained".to_owned() }),
        json!({"kind": "run", "run": {"state": "a later version's"}}),
    ] {
        over = Some(world.put(&id, over.as_ref(), &body).await);
        assert_eq!(open_jobs(&world.jobs).await.unwrap(), 1, "{body}");
    }
    world.put(&id, over.as_ref(), &expired()).await;
    assert_eq!(open_jobs(&world.jobs).await.unwrap(), 0);

    // A run whose spec is still on its way.
    let early = DocumentId::Run(JobId::new("japan", 1));
    let over = world.put(&early, None, &run(Run::Claimed { claim: claim.clone() })).await;
    assert_eq!(open_jobs(&world.jobs).await.unwrap(), 1);
    world.put(&early, Some(&over), &expired()).await;
    assert_eq!(open_jobs(&world.jobs).await.unwrap(), 0);

    // Two leaves: an end, which counts, and a claim of a later epoch, which is the store's winner.
    let mut leaf = run(Run::Claimed { claim: Claim { epoch: 3, ..claim } });
    leaf["_id"] = json!(id.to_string());
    let ids: Vec<String> = (0..9).map(|digit: u8| digit.to_string().repeat(32)).collect();
    leaf["_revisions"] = json!({"start": ids.len(), "ids": ids});
    let leaf = serde_json::value::to_raw_value(&leaf).unwrap();
    assert_eq!(world.jobs.merge(&[leaf]).await.unwrap(), []);
    assert_eq!(open_jobs(&world.jobs).await.unwrap(), 0);
}
