//! Who may write what: every cell of the matrix of roles, asked over HTTP by users with passwords and with tokens.
//!
//! On the embedded store always, and on the Apache CouchDB of `BLITZ_TEST_COUCHDB` too. [`server`] is either of them,
//! [`papers`] the documents that are written. [`tokens`] tells how an engine comes to its role, and
//! [`instances`] how an instance of EC2 does, and leaves.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails at once")]
#![expect(clippy::print_stdout, reason = "what a server cannot be asked is told")]

mod papers;
mod server;
mod tokens;
mod instances;

use blitz_jobs::region::DatabaseKind;
use blitz_jobs::roles::matrix::{MATRIX, May, Operation, Role, Row};
use blitz_jobs::roles::{self, engine_of};
use serde_json::{Value, json};

use papers::{Paper, run};
use server::{Proof, Server, User};

/// One region on one server, with a user of each role.
struct World {
    server: Server,
    region: String,
    users: Vec<(Role, User)>,
    /// Another engine of the region.
    neighbour: User,
    /// An engine of another region.
    stranger: User,
}

impl World {
    async fn new(server: Server) -> Self {
        let region = blitz_tests::region_name("roles");
        for kind in KINDS {
            let database = database(kind, &region);
            server.make(&database).await;
            let of = (kind != DatabaseKind::Control).then_some(&*region);
            let security = roles::security(kind, of);
            server.admin("PUT", &format!("/{database}/_security"), Some(&security), 200).await;
            let store = server.client(None);
            assert!(roles::install(&store.database(&database), kind).await.unwrap());
        }
        let mut users = Vec::new();
        for role in Role::ALL {
            let mut names = vec![role.name().to_owned()];
            if role == Role::Engine {
                names.push(engine_of(&region));
            }
            users.push((role, server.user(&format!("{}-{region}", role.name()), &names).await));
        }
        let engine = |region: &str| vec![roles::ENGINE.to_owned(), engine_of(region)];
        let neighbour = server.user(&format!("neighbour-{region}"), &engine(&region)).await;
        let stranger = server.user(&format!("stranger-{region}"), &engine("elsewhere")).await;
        Self { server, region, users, neighbour, stranger }
    }

    fn user(&self, role: Role) -> &User {
        &self.users.iter().find(|(one, _)| *one == role).unwrap().1
    }

    fn database(&self, kind: DatabaseKind) -> String {
        database(kind, &self.region)
    }

    /// Writes as this user what the paper says, over what it says stood there. True when it was taken.
    async fn tries(&self, kind: DatabaseKind, paper: &Paper, who: &User, proof: Proof) -> bool {
        let path = format!("/{}/{}", self.database(kind), paper.path());
        let mut after = paper.after.clone();
        if matches!(kind, DatabaseKind::Engines | DatabaseKind::Beats) {
            // Such documents have one place each, and an earlier cell may have filled it.
            self.server.clear(&path).await;
        }
        if let Some(before) = &paper.before {
            let stored = self.server.admin("PUT", &path, Some(before), 201).await;
            after["_rev"] = stored["rev"].clone();
        }
        let (status, said) = self.server.ask(Some((who, proof)), "PUT", &path, Some(&after)).await;
        match status {
            200..=202 => true,
            403 => {
                let reason = said["reason"].as_str().unwrap();
                let door = reason == "You are not allowed to access this db.";
                assert!(door || reason.contains("may not"), "{reason}");
                false
            }
            status => panic!("{} of {path}: {status} {said}", who.name),
        }
    }

    async fn end(self) {
        for kind in KINDS {
            let path = format!("/{}", self.database(kind));
            self.server.admin("DELETE", &path, None, 200).await;
        }
        for user in self.users.iter().map(|(_, user)| user).chain([&self.neighbour, &self.stranger])
        {
            self.server.forget(user).await;
        }
    }
}

const KINDS: [DatabaseKind; 7] = [
    DatabaseKind::Control,
    DatabaseKind::Jobs,
    DatabaseKind::Output,
    DatabaseKind::Engines,
    DatabaseKind::Beats,
    DatabaseKind::Accounts,
    DatabaseKind::Audit,
];

/// Databases of all regions are each world's own: stores that outlive a test are shared.
fn database(kind: DatabaseKind, region: &str) -> String {
    match kind {
        DatabaseKind::Control => format!("blitz-control-{region}"),
        DatabaseKind::Jobs => format!("blitz-jobs-{region}-1"),
        DatabaseKind::Output => format!("blitz-out-{region}-1"),
        DatabaseKind::Engines => format!("blitz-engines-{region}"),
        DatabaseKind::Beats => format!("blitz-beats-{region}"),
        DatabaseKind::Accounts => format!("blitz-accounts-{region}"),
        DatabaseKind::Audit => format!("blitz-audit-{region}"),
    }
}

/// One test for each story and server.
macro_rules! stories {
    ($($story:ident),* $(,)?) => {
        mod on_the_embedded_store {
            $(#[tokio::test]
            async fn $story() {
                super::$story(super::World::new(super::Server::embedded().await).await).await;
            })*
        }
        mod on_apache_couchdb {
            $(#[tokio::test]
            async fn $story() {
                if let Some(server) = super::Server::apache().await {
                    super::$story(super::World::new(server).await).await;
                }
            })*
        }
    };
}

stories!(
    every_cell_of_the_matrix_holds,
    a_run_is_written_by_who_has_it,
    nobody_comes_in_who_is_not_of_the_region,
    a_batch_of_a_replication_is_taken_but_for_what_is_forbidden,
    an_older_validation_is_replaced_and_a_newer_one_stays,
);

async fn every_cell_of_the_matrix_holds(world: World) {
    let mut cells = 0;
    for row in MATRIX {
        for role in Role::ALL {
            for operation in Operation::ALL {
                for &proof in world.server.proofs() {
                    holds(&world, row, role, operation, proof).await;
                    cells += 1;
                }
            }
        }
    }
    assert_eq!(cells, MATRIX.len() * 6 * 3 * world.server.proofs().len());
    world.end().await;
}

/// One cell: what is one's own, and what is another's.
async fn holds(world: &World, row: &Row, role: Role, operation: Operation, proof: Proof) {
    let user = world.user(role);
    let may = row.may(role, operation);
    let (own, others) = papers::of(row.kind, operation, &world.region, user, &world.neighbour);
    let told = format!("{} {operation:?} {} by {proof:?}", role.name(), row.kind);
    let took_own = world.tries(row.database, &own, user, proof).await;
    assert_eq!(took_own, may != May::No, "{told}: its own");
    for other in others {
        let took = world.tries(row.database, &other, user, proof).await;
        assert_eq!(took, may == May::Yes, "{told}: {} over {:?}", other.after, other.before);
    }
}

async fn a_run_is_written_by_who_has_it(world: World) {
    let (me, other) = (&world.user(Role::Engine).name, &world.neighbour.name);
    let nothing = || None;
    for (before, after, may) in [
        (nothing(), run("claimed", me, 1), true),
        (nothing(), run("claimed", other, 1), false),
        (nothing(), run("done", me, 1), false),
        (nothing(), run("open", me, 1), false),
        (nothing(), json!({"state": "expired", "reason": "r"}), false),
        (nothing(), json!({"state": "cancelled"}), false),
        (Some(run("claimed", me, 1)), run("done", me, 1), true),
        (Some(run("claimed", me, 1)), run("failed", me, 1), true),
        (Some(run("claimed", me, 1)), run("cancelled", me, 1), true),
        (Some(run("claimed", me, 1)), json!({"state": "cancelled"}), false),
        (Some(run("claimed", me, 1)), run("open", me, 1), true),
        (Some(run("claimed", me, 1)), run("claimed", other, 2), false),
        (Some(run("open", me, 1)), run("claimed", me, 2), true),
        (Some(run("open", other, 1)), run("claimed", me, 2), true),
        (Some(run("open", other, 1)), run("claimed", other, 2), false),
        // A watcher's verdict, and a takeover.
        (Some(run("claimed", other, 1)), run("open", other, 1), true),
        (Some(run("claimed", other, 1)), run("open", me, 1), false),
        (Some(run("claimed", other, 1)), run("lost", other, 1), true),
        (Some(run("claimed", other, 1)), run("poison", other, 1), true),
        (Some(run("claimed", other, 1)), run("claimed", me, 2), true),
        (Some(run("claimed", other, 1)), run("done", other, 1), false),
        // An end counts more than a claim, whoever made it meanwhile.
        (Some(run("claimed", other, 2)), run("done", me, 1), true),
        // An end stays.
        (Some(run("done", other, 1)), run("claimed", me, 2), false),
        (Some(run("done", me, 1)), run("claimed", me, 2), false),
        (Some(run("lost", other, 1)), run("done", me, 1), false),
        (Some(json!({"state": "expired", "reason": "r"})), run("claimed", me, 1), false),
        // What cannot be read is the keeper's.
        (Some(json!({"state": "sideways"})), run("claimed", me, 1), false),
        (Some(json!(7)), run("claimed", me, 1), false),
        (Some(run("claimed", me, 1)), json!({"state": "sideways"}), false),
        (Some(run("claimed", me, 1)), json!(null), false),
    ] {
        let paper = Paper::run(&world.region, before.as_ref(), &after);
        let took = world
            .tries(DatabaseKind::Jobs, &paper, world.user(Role::Engine), world.server.proof())
            .await;
        assert_eq!(took, may, "{after} over {before:?}");
        let (paper, keeper) = (paper.again(), world.user(Role::Keeper));
        let took = world.tries(DatabaseKind::Jobs, &paper, keeper, world.server.proof()).await;
        assert!(took, "the keeper: {after} over {before:?}");
    }
    // Of its region, by id as well as by the door.
    let elsewhere = Paper::run("elsewhere", None, &run("claimed", me, 1));
    let engine = world.user(Role::Engine);
    assert!(!world.tries(DatabaseKind::Jobs, &elsewhere, engine, world.server.proof()).await);
    world.end().await;
}

async fn nobody_comes_in_who_is_not_of_the_region(world: World) {
    for kind in KINDS {
        let path = format!("/{}", world.database(kind));
        for &proof in world.server.proofs() {
            let (status, said) =
                world.server.ask(Some((&world.stranger, proof)), "GET", &path, None).await;
            let wanted = if kind == DatabaseKind::Control { 200 } else { 403 };
            assert_eq!(status, wanted, "{kind:?}: {said}");
            for role in Role::ALL {
                let who = Some((world.user(role), proof));
                let (status, said) = world.server.ask(who, "GET", &path, None).await;
                let is_out = match kind {
                    DatabaseKind::Beats => role == Role::Replicator,
                    DatabaseKind::Accounts => matches!(role, Role::Engine | Role::Scaler),
                    DatabaseKind::Audit => role == Role::Engine,
                    DatabaseKind::Output => role == Role::Scaler,
                    _ => false,
                };
                assert_eq!(status, if is_out { 403 } else { 200 }, "{kind:?} {role:?}: {said}");
            }
        }
        let (status, _) = world.server.ask(None, "GET", &path, None).await;
        assert_eq!(status, 401, "{kind:?}");
        let (status, _) =
            world.server.ask(None, "PUT", &format!("{path}/x"), Some(&json!({}))).await;
        assert_eq!(status, 401, "{kind:?}");
        // Design documents are the administrators', whatever role somebody has.
        for role in Role::ALL {
            let who = Some((world.user(role), world.server.proof()));
            let design = json!({"language": "javascript"});
            let path = format!("{path}/_design/mine");
            let (status, said) = world.server.ask(who, "PUT", &path, Some(&design)).await;
            assert_eq!(status, 403, "{kind:?} {role:?}: {said}");
        }
    }
    world.end().await;
}

async fn a_batch_of_a_replication_is_taken_but_for_what_is_forbidden(world: World) {
    let (engine, replicator) = (world.user(Role::Engine), world.user(Role::Replicator));
    let fine = Paper::run(&world.region, None, &run("claimed", &engine.name, 1));
    let (spec, _) = papers::of("spec", Operation::Create, &world.region, engine, engine);
    let unknown = json!({"kind": "sideways"});
    let wrong = json!({"kind": "run"});
    let job = spec.id.split(':').next().unwrap();
    let carried = |id: &str, body: &Value, deleted: bool| {
        let mut document = body.clone();
        document["_id"] = json!(id);
        document["_rev"] = json!("1-0123456789abcdef0123456789abcdef");
        if deleted {
            document["_deleted"] = json!(true);
        }
        document
    };
    let documents = [
        carried(&fine.id, &fine.after, false),
        carried(&format!("{job}:sideways"), &unknown, false),
        carried(&format!("{job}:go"), &wrong, false),
        carried(&spec.id, &spec.after, false),
        // A fence is never taken away, not even before it has come.
        carried(&format!("{job}:start"), &json!({"kind": "start"}), true),
    ];
    let path = format!("/{}/_bulk_docs", world.database(DatabaseKind::Jobs));
    let batch = json!({"new_edits": false, "docs": documents});
    let (status, rows) =
        world.server.ask(Some((replicator, Proof::Password)), "POST", &path, Some(&batch)).await;
    assert_eq!(status, 201, "{rows}");
    let mut refused: Vec<_> = rows.as_array().unwrap().iter().map(|row| &row["id"]).collect();
    refused.sort_by_key(|id| id.to_string());
    let mut wanted =
        [format!("{job}:go"), format!("{job}:sideways"), format!("{job}:start")].map(Value::from);
    wanted.sort_by_key(ToString::to_string);
    assert_eq!(refused, wanted.iter().collect::<Vec<_>>(), "{rows}");
    for id in [&fine.id, &spec.id] {
        let path = format!("/{}/{id}", world.database(DatabaseKind::Jobs));
        world.server.admin("GET", &path, None, 200).await;
    }
    world.end().await;
}

async fn an_older_validation_is_replaced_and_a_newer_one_stays(world: World) {
    let database = world.database(DatabaseKind::Beats);
    let store = world.server.client(None).database(&database);
    let strict = json!({"language": "javascript",
        "validate_doc_update": "function () { throw {forbidden: 'never'}; }"});
    let (own, _) = roles::validation(DatabaseKind::Beats);
    let older = format!("/{database}/_design/blitz-auth-0");
    world.server.admin("PUT", &older, Some(&strict), 201).await;
    assert!(roles::install(&store, DatabaseKind::Beats).await.unwrap());
    world.server.admin("GET", &older, None, 404).await;
    world.server.admin("GET", &format!("/{database}/{own}"), None, 200).await;
    let newer = format!("/{database}/_design/blitz-auth-{}", roles::VALIDATION + 1);
    world.server.admin("PUT", &newer, Some(&strict), 201).await;
    assert!(!roles::install(&store, DatabaseKind::Beats).await.unwrap());
    world.server.admin("GET", &newer, None, 200).await;
    world.end().await;
}
