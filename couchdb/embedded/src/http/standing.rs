//! Whether one who follows may go on: a feed outlives the moment in which its user was let in.
//!
//! Its right ends when its token is over, when its user is deleted or gets another password or other roles, and when
//! `_security` does not name it any more. CouchDB looks at none of it once a feed is open.

use super::{auth, call::Server, changes::Ask, security};
use crate::{
    feed::hub::Committed,
    store::database::Database,
    user::{Holds, User},
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{sync::watch, time::sleep};

/// The longest that a token is slept on: clocks are set while feeds are open.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// The right of one feed.
#[derive(Debug)]
pub(crate) struct Standing<'a> {
    server: &'a Server,
    database: &'a Database,
    user: &'a User,
    /// The commits of the users' database, where the user is kept there.
    users: Option<watch::Receiver<Committed>>,
    /// `_security`, as it was looked at last.
    security: Option<Arc<str>>,
    /// It ended, and does not come back.
    is_over: bool,
}

impl<'a> Standing<'a> {
    pub(crate) fn new(ask: &'a Ask) -> Standing<'a> {
        let Ask { server, database, user, .. } = ask;
        let users = match user.holds {
            Holds::WhileKnown { .. } => server.store.catalog().get(auth::USERS),
            Holds::Always | Holds::Until(_) => None,
        };
        let mut users = users.map(|users| users.feed.follow());
        // What was committed since the user was let in.
        users.iter_mut().for_each(watch::Receiver::mark_changed);
        let security = database.state().security;
        Standing { server, database, user, users, security, is_over: false }
    }

    /// Waits until it must be looked at whether it [holds](Self::holds).
    pub(crate) async fn shaken(&mut self) {
        if self.is_over {
            return;
        }
        let over = async {
            match self.user.holds {
                Holds::Until(until) => {
                    sleep(until.saturating_sub(since_1970()).min(LOOK_AGAIN)).await;
                }
                Holds::Always | Holds::WhileKnown { .. } => std::future::pending().await,
            }
        };
        let changed = async {
            match &mut self.users {
                Some(users) => {
                    // It counts as seen when it was looked at. A database that is gone has no more commits.
                    if users.changed().await.is_ok() {
                        users.mark_changed();
                    }
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = over => {}
            () = changed => {}
        }
    }

    /// Whether the feed may go on.
    pub(crate) async fn holds(&mut self) -> bool {
        let holds = !self.is_over && self.is_in_time() && self.is_known().await && self.is_member();
        self.is_over = !holds;
        holds
    }

    fn is_in_time(&self) -> bool {
        match self.user.holds {
            Holds::Until(until) => since_1970() < until,
            Holds::Always | Holds::WhileKnown { .. } => true,
        }
    }

    async fn is_known(&mut self) -> bool {
        let (Holds::WhileKnown { salt }, Some(name)) = (&self.user.holds, &self.user.name) else {
            return true;
        };
        let Some(users) = &mut self.users else { return true };
        match users.has_changed() {
            Ok(false) => return true,
            Ok(true) => drop(users.borrow_and_update()),
            Err(_) => self.users = None,
        }
        // What cannot be read lets nobody on, as it lets nobody in.
        let profile = self.server.auth.profile(self.server, name).await;
        let same = |roles: &[String], now: &str| roles == self.user.roles && now == salt;
        profile.is_ok_and(|found| found.is_some_and(|found| same(&found.roles, &found.salt)))
    }

    fn is_member(&mut self) -> bool {
        let now = self.database.state().security;
        let is_same = match (&self.security, &now) {
            (Some(then), Some(now)) => Arc::ptr_eq(then, now),
            (None, None) => true,
            _ => false,
        };
        self.security = now;
        is_same || self.user.is_admin() || security::is_member(self.user, self.database)
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
