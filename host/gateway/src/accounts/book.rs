//! Everything of `blitz-accounts` that says whom to let in, in memory. Pure but for the clock of how fresh it is: [`super::feed`]
//! tells it what the store has.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use blitz_jobs::accounts::{Key, Plan, Revoked, Secret, Subject, Tenant, UNLIMITED};
use blitz_jobs::clock::now_ms;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::caller::Member;

/// Compared with when there is no key of an id, so that it takes as long as one that is there.
const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What was opened with a key is looked at this often, beside whenever something is taken back.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Shared by all who serve requests.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    inner: Arc<RwLock<Inner>>,
    /// Something was taken back, or is not there any more.
    lessened: Arc<watch::Sender<()>>,
    /// Under which keys are stored; absent: this gateway serves none.
    pepper: Option<Arc<[u8; 32]>>,
    /// After so long without a word of the near cluster nobody is let in by a key.
    stale_after: Duration,
}

#[derive(Debug)]
struct Inner {
    pages: Pages,
    /// Never forgotten: deny wins.
    revoked: HashMap<Subject, Revoked>,
    state: State,
}

/// What the database has.
#[derive(Debug, Default)]
pub(super) struct Pages {
    pub(super) keys: HashMap<String, Arc<Key>>,
    pub(super) tenants: BTreeMap<String, Tenant>,
    pub(super) plans: BTreeMap<String, Plan>,
}

/// How much the book may be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It was never read.
    Unread,
    /// The near cluster has no such database.
    Missing,
    /// Everything is heard as it happens.
    Heard,
    /// Nothing was heard since then.
    Silent(Instant),
}

/// Why a key lets nobody in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// This gateway was started without what keys are stored under.
    NotServed,
    /// The near cluster has no accounts.
    NoAccounts,
    /// The near cluster has not told its accounts yet.
    Unread,
    /// Nothing was heard of the near cluster for so long.
    Stale(Duration),
    /// There is no such key, or the secret is another.
    Unknown,
    /// It was right until then.
    Expired {
        /// The key.
        id: String,
    },
    /// It was right until it was taken back.
    Revoked {
        /// What: the key, its user or its tenant.
        what: Subject,
        /// Why, as whoever did it said.
        reason: String,
    },
    /// Its tenant has no document.
    NoTenant {
        /// The tenant.
        tenant: String,
    },
}

impl Book {
    pub(crate) fn new(pepper: Option<[u8; 32]>, stale_after: Duration) -> Self {
        let (pages, revoked) = (Pages::default(), HashMap::new());
        let inner = Inner { pages, revoked, state: State::Unread };
        let (inner, lessened) = (Arc::new(RwLock::new(inner)), Arc::new(watch::Sender::new(())));
        Self { inner, lessened, pepper: pepper.map(Arc::new), stale_after }
    }

    fn read<T>(&self, look: impl FnOnce(&Inner) -> T) -> T {
        look(&self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        change(&mut self.inner.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whom a key lets in at this moment. `now_ms` is milliseconds since 1970.
    ///
    /// A wrong key learns nothing, and takes as long whether its id is there or not.
    pub(crate) fn admit(&self, shown: &Secret, now_ms: u64) -> Result<Member, Refused> {
        let pepper = self.pepper.as_deref().ok_or(Refused::NotServed)?;
        self.read(|inner| {
            inner.may_be_believed(self.stale_after)?;
            let key = inner.pages.keys.get(shown.id());
            let nobody = nobody(shown.id());
            let is_right = shown.is(key.map_or(&nobody, |key| key), pepper);
            let key = key.filter(|_| is_right).ok_or(Refused::Unknown)?;
            inner.refuse_revoked(key)?;
            if key.is_over(now_ms) {
                return Err(Refused::Expired { id: key.id.clone() });
            }
            let tenant = inner.pages.tenants.get(&key.tenant);
            let tenant = tenant.ok_or_else(|| Refused::NoTenant { tenant: key.tenant.clone() })?;
            Ok(Member { key: Key::clone(key), plan: inner.pages.plan_of(tenant, now_ms) })
        })
    }

    /// Waits until a key that has let somebody in does so no more: what was opened with it ends then.
    pub(crate) async fn until_refused(&self, key: &Key) {
        let mut lessened = self.lessened.subscribe();
        while self.stands(key, now_ms()).is_ok() {
            // It may be over, or not be believed any more, without a word.
            let _ = timeout(LOOK_AGAIN, lessened.changed()).await;
        }
    }

    fn stands(&self, key: &Key, now_ms: u64) -> Result<(), Refused> {
        self.read(|inner| {
            inner.may_be_believed(self.stale_after)?;
            inner.refuse_revoked(key)?;
            match inner.pages.keys.get(&key.id) {
                Some(known) if known.is_over(now_ms) => {
                    Err(Refused::Expired { id: key.id.clone() })
                }
                Some(_) => Ok(()),
                None => Err(Refused::Unknown),
            }
        })
    }

    /// What keys are stored under.
    pub(crate) fn pepper(&self) -> Option<&[u8; 32]> {
        self.pepper.as_deref()
    }

    /// Whether accounts can be read and written here.
    pub(crate) fn may_be_believed(&self) -> Result<(), Refused> {
        self.read(|inner| inner.may_be_believed(self.stale_after))
    }

    /// All tenants, and whether each was taken back.
    pub(crate) fn tenants(&self) -> Vec<(Tenant, Option<Revoked>)> {
        self.read(|inner| {
            let tenants = inner.pages.tenants.values();
            tenants.map(|tenant| (tenant.clone(), inner.tenant_revoked(&tenant.name))).collect()
        })
    }

    /// One tenant, and whether it was taken back.
    pub(crate) fn tenant(&self, name: &str) -> Option<(Tenant, Option<Revoked>)> {
        self.read(|inner| {
            let tenant = inner.pages.tenants.get(name)?.clone();
            Some((tenant, inner.tenant_revoked(name)))
        })
    }

    /// The plan of a tenant as it stands at this moment; one that allows nothing for a tenant that is not there.
    pub(crate) fn plan_of(&self, tenant: &str, now_ms: u64) -> Plan {
        self.read(|inner| match inner.pages.tenants.get(tenant) {
            Some(tenant) => inner.pages.plan_of(tenant, now_ms),
            None => Plan::nothing(tenant),
        })
    }

    /// A plan by its name, as it stands.
    pub(crate) fn plan(&self, name: &str) -> Option<Plan> {
        self.read(|inner| inner.pages.plan(name))
    }

    /// All plans that have a document.
    pub(crate) fn plans(&self) -> Vec<Plan> {
        self.read(|inner| inner.pages.plans.values().cloned().collect())
    }

    /// The keys that are asked for, and whether each was taken back: itself, its user or its tenant. By their ids.
    pub(crate) fn keys(&self, which: impl Fn(&Key) -> bool) -> Vec<(Arc<Key>, Option<Revoked>)> {
        self.read(|inner| {
            let keys = inner.pages.keys.values().filter(|key| which(key));
            let mut keys: Vec<_> =
                keys.map(|key| (Arc::clone(key), inner.revoked_of(key))).collect();
            keys.sort_by(|(a, _), (b, _)| {
                (&a.tenant, &a.user, &a.id).cmp(&(&b.tenant, &b.user, &b.id))
            });
            keys
        })
    }

    /// One key by its id.
    pub(crate) fn key(&self, id: &str) -> Option<Arc<Key>> {
        self.read(|inner| inner.pages.keys.get(id).cloned())
    }

    /// Whether something was taken back.
    pub(crate) fn revoked(&self, what: &Subject) -> Option<Revoked> {
        self.read(|inner| inner.revoked.get(what).cloned())
    }

    /// Everything that was taken back, as far as it is known.
    pub(super) fn all_revoked(&self) -> Vec<(Subject, Revoked)> {
        self.read(|inner| {
            inner.revoked.iter().map(|(what, why)| (what.clone(), why.clone())).collect()
        })
    }

    pub(crate) fn hear_revoked(&self, what: Subject, why: Revoked) {
        self.write(|inner| {
            inner.revoked.entry(what).or_insert(why);
        });
        self.lessened.send_replace(());
    }

    pub(crate) fn hear_key(&self, key: Key) {
        self.write(|inner| inner.pages.hear_key(key));
    }

    pub(crate) fn hear_tenant(&self, tenant: Tenant) {
        self.write(|inner| inner.pages.tenants.insert(tenant.name.clone(), tenant));
    }

    pub(crate) fn hear_plan(&self, plan: Plan) {
        self.write(|inner| inner.pages.plans.insert(plan.name.clone(), plan));
    }

    /// A document is gone. What takes a right away stays.
    pub(crate) fn forget(&self, id: &str) {
        let Some((kind, name)) = id.split_once(':') else { return };
        self.write(|inner| match kind {
            "key" => drop(inner.pages.keys.remove(name)),
            "tenant" => drop(inner.pages.tenants.remove(name)),
            "plan" => drop(inner.pages.plans.remove(name)),
            _ => {}
        });
    }

    /// The database was read as a whole: what is not in it is gone.
    pub(super) fn replace(&self, pages: Pages) {
        self.write(|inner| inner.pages = pages);
        self.lessened.send_replace(());
    }

    /// From now on everything is heard as it happens.
    pub(super) fn begin(&self) {
        self.write(|inner| inner.state = State::Heard);
    }

    /// Nothing is heard any more, and was not for so long already.
    pub(super) fn silent(&self, already: Duration) {
        self.write(|inner| {
            if inner.state == State::Heard {
                let now = Instant::now();
                inner.state = State::Silent(now.checked_sub(already).unwrap_or(now));
            }
        });
    }

    /// There is no such database.
    pub(super) fn missing(&self) {
        self.write(|inner| {
            inner.pages = Pages::default();
            inner.state = State::Missing;
        });
        self.lessened.send_replace(());
    }
}

impl Inner {
    fn may_be_believed(&self, stale_after: Duration) -> Result<(), Refused> {
        match self.state {
            State::Heard => Ok(()),
            State::Unread => Err(Refused::Unread),
            State::Missing => Err(Refused::NoAccounts),
            State::Silent(since) if since.elapsed() <= stale_after => Ok(()),
            State::Silent(since) => Err(Refused::Stale(since.elapsed())),
        }
    }

    fn refuse_revoked(&self, key: &Key) -> Result<(), Refused> {
        match subjects(key).into_iter().find_map(|what| {
            let why = self.revoked.get(&what)?;
            Some((what, why.reason.clone()))
        }) {
            Some((what, reason)) => Err(Refused::Revoked { what, reason }),
            None => Ok(()),
        }
    }

    fn revoked_of(&self, key: &Key) -> Option<Revoked> {
        subjects(key).iter().find_map(|what| self.revoked.get(what)).cloned()
    }

    fn tenant_revoked(&self, name: &str) -> Option<Revoked> {
        self.revoked.get(&Subject::Tenant(name.to_owned())).cloned()
    }
}

impl Pages {
    pub(super) fn hear_key(&mut self, key: Key) {
        self.keys.insert(key.id.clone(), Arc::new(key));
    }

    /// The plan as it is named; the one without limits needs no document.
    fn plan(&self, name: &str) -> Option<Plan> {
        let known = self.plans.get(name).cloned();
        known.or_else(|| (name == UNLIMITED).then(|| Plan::unlimited(name)))
    }

    /// What a tenant may use: its plan's limits, and those of every plan that another edit of its document names. One that is
    /// over has given way to the next; one that is not known allows nothing.
    fn plan_of(&self, tenant: &Tenant, now_ms: u64) -> Plan {
        let is_over = tenant.plan_until_ms.is_some_and(|until| until <= now_ms);
        let of = |name: &String| {
            let plan = self.plan(name).unwrap_or_else(|| Plan::nothing(name));
            if !is_over {
                return plan;
            }
            let then = plan.then.as_ref().and_then(|then| self.plan(then));
            then.unwrap_or_else(|| Plan::nothing(name))
        };
        let named = of(&tenant.plan);
        let name = named.name.clone();
        let all: Vec<Plan> =
            std::iter::once(named).chain(tenant.contested.iter().map(of)).collect();
        Plan { name, ..Plan::merged(&all).unwrap_or_else(|| Plan::nothing(&tenant.plan)) }
    }
}

/// What a key hangs on: each of these may be taken back.
fn subjects(key: &Key) -> [Subject; 3] {
    let (tenant, user) = (key.tenant.clone(), key.user.clone());
    [Subject::Tenant(tenant.clone()), Subject::User { tenant, user }, Subject::Key(key.id.clone())]
}

/// A key that nobody has the secret of.
fn nobody(id: &str) -> Key {
    Key {
        kind: blitz_jobs::accounts::KeyKind::Key,
        blitz: String::new(),
        id: id.to_owned(),
        tenant: String::new(),
        user: String::new(),
        label: String::new(),
        hash: NO_HASH.to_owned(),
        scopes: blitz_jobs::accounts::Scopes::default(),
        created_at_ms: 0,
        expires_at_ms: None,
    }
}

#[cfg(test)]
mod tests;
