//! Whom a key lets in, and when not.

use std::time::Duration;

use blitz_jobs::accounts::{Key, KeyKind, Plan, Revoked, Scopes, Secret, Subject, Tenant};

use super::{Book, Refused};

const PEPPER: [u8; 32] = [7; 32];

const STALE: Duration = Duration::from_secs(300);

/// Of `ann` at `acme`.
fn key(secret: &Secret) -> Key {
    Key {
        kind: KeyKind::Key,
        blitz: String::new(),
        id: secret.id().to_owned(),
        tenant: "acme".to_owned(),
        user: "ann".to_owned(),
        label: String::new(),
        hash: secret.hash(&PEPPER),
        scopes: Scopes::default(),
        created_at_ms: 0,
        expires_at_ms: Some(100),
    }
}

fn made() -> (Book, Secret) {
    let book = Book::new(Some(PEPPER), STALE);
    let secret = Secret::new([1; 48]);
    book.hear_key(key(&secret));
    book.hear_tenant(Tenant { plan_until_ms: Some(50), ..Tenant::new("acme", "paid", 0) });
    book.hear_plan(Plan {
        jobs_per_hour: Some(9),
        then: Some("free".to_owned()),
        ..Plan::unlimited("paid")
    });
    book.hear_plan(Plan { jobs_per_hour: Some(1), ..Plan::unlimited("free") });
    book.begin();
    (book, secret)
}

fn plan(book: &Book, secret: &Secret, now_ms: u64) -> (String, Option<u64>) {
    let plan = book.admit(secret, now_ms).unwrap().plan;
    (plan.name, plan.jobs_per_hour)
}

#[test]
fn a_key_lets_in_until_it_is_over_and_a_plan_gives_way_to_the_next() {
    let (book, secret) = made();
    assert_eq!(plan(&book, &secret, 49), ("paid".to_owned(), Some(9)));
    assert_eq!(plan(&book, &secret, 50), ("free".to_owned(), Some(1)));
    let over = Refused::Expired { id: secret.id().to_owned() };
    assert_eq!(book.admit(&secret, 100).unwrap_err(), over);
    book.forget("plan:free");
    assert_eq!(plan(&book, &secret, 50), ("paid".to_owned(), Some(0)), "nothing comes after it");
    book.forget("plan:paid");
    assert_eq!(plan(&book, &secret, 49), ("paid".to_owned(), Some(0)), "not known");
    book.hear_tenant(Tenant::new("acme", "unlimited", 0));
    assert_eq!(plan(&book, &secret, 50), ("unlimited".to_owned(), None));
}

#[test]
fn of_two_edits_of_a_tenant_the_stricter_limits_count() {
    let (book, secret) = made();
    let edits = [Tenant::new("acme", "paid", 0), Tenant::new("acme", "free", 0)];
    for edits in [edits.clone(), [edits[1].clone(), edits[0].clone()]] {
        book.hear_tenant(Tenant::merged(&edits).unwrap());
        assert_eq!(plan(&book, &secret, 0), ("free".to_owned(), Some(1)));
    }
}

#[test]
fn who_has_no_right_key_learns_nothing() {
    let (book, secret) = made();
    let other = Secret::new([2; 48]);
    let with = |id: &str| Secret::read(&other.text().replace(other.id(), id)).unwrap();
    for wrong in [other.clone(), with(secret.id())] {
        assert_eq!(book.admit(&wrong, 0).unwrap_err(), Refused::Unknown);
        book.hear_revoked(Subject::Key(wrong.id().to_owned()), Revoked::new("", "", 0));
        assert_eq!(book.admit(&wrong, 0).unwrap_err(), Refused::Unknown, "revoked, and not told");
    }
    // A document that nobody's key fits, whatever is shown.
    book.hear_key(Key { hash: String::new(), ..key(&other) });
    assert_eq!(book.admit(&other, 0).unwrap_err(), Refused::Unknown);
    let without = Book::new(None, STALE);
    assert_eq!(without.admit(&secret, 0).unwrap_err(), Refused::NotServed);
}

#[test]
fn what_was_taken_back_stays_so() {
    let (tenant, user) = ("acme".to_owned(), "ann".to_owned());
    let (_, secret) = made();
    for what in [
        Subject::Key(secret.id().to_owned()),
        Subject::User { tenant: tenant.clone(), user },
        Subject::Tenant(tenant),
    ] {
        let (book, secret) = made();
        book.hear_revoked(what.clone(), Revoked::new("lost", "operator", 3));
        let refused = Refused::Revoked { what: what.clone(), reason: "lost".to_owned() };
        assert_eq!(book.admit(&secret, 0).unwrap_err(), refused);
        book.forget(&what.document_id());
        let now = key(&secret);
        book.replace(super::Pages::default());
        book.hear_key(now);
        book.hear_tenant(Tenant::new("acme", "unlimited", 0));
        assert_eq!(book.admit(&secret, 0).unwrap_err(), refused, "the database was made anew");
        assert_eq!(book.keys(|_| true)[0].1.as_ref().map(|why| why.at_ms), Some(3));
    }
    let (book, secret) = made();
    book.forget("tenant:acme");
    let refused = Refused::NoTenant { tenant: "acme".to_owned() };
    assert_eq!(book.admit(&secret, 0).unwrap_err(), refused);
}

#[tokio::test(start_paused = true)]
async fn a_book_of_which_nothing_was_heard_is_believed_for_a_while() {
    let (book, secret) = made();
    let is_in = || book.admit(&secret, 0).is_ok();
    tokio::time::advance(STALE * 2).await;
    assert!(is_in(), "the feed stands");
    book.silent(Duration::from_secs(30));
    tokio::time::advance(STALE - Duration::from_secs(31)).await;
    // Said again with every try.
    book.silent(Duration::ZERO);
    assert!(is_in());
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(book.admit(&secret, 0).unwrap_err(), Refused::Stale(STALE + Duration::from_secs(1)));
    book.begin();
    assert!(is_in(), "it is heard again");
    book.missing();
    assert_eq!(book.admit(&secret, 0).unwrap_err(), Refused::NoAccounts);
    let unread = Book::new(Some(PEPPER), STALE);
    unread.silent(Duration::ZERO);
    assert_eq!(unread.admit(&secret, 0).unwrap_err(), Refused::Unread);
}
