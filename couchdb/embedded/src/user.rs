//! Who asks: a name, its roles, and how it was proved.

use serde_json::{Value, json};
use std::time::Duration;

/// The role of server administrators.
pub(crate) const ADMIN_ROLE: &str = "_admin";

/// The one who makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    /// None: nobody in particular.
    pub(crate) name: Option<String>,
    pub(crate) roles: Vec<String>,
    /// What proved it, in CouchDB's words (`default`, `cookie`, `jwt`); None when nothing did.
    pub(crate) proof: Option<&'static str>,
    /// How long that is so.
    pub(crate) holds: Holds,
}

/// How long a proof is good for one who goes on and on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// As long as the connection.
    Always,
    /// Until a token is over, since 1970.
    Until(Duration),
    /// As long as the name is known with these roles and this salt, which changes with the password.
    WhileKnown { salt: String },
}

impl User {
    /// Somebody who has not said a name.
    pub(crate) fn anonymous() -> User {
        User { name: None, roles: Vec::new(), proof: None, holds: Holds::Always }
    }

    /// Everybody, on a server without administrators.
    pub(crate) fn anybody_as_admin() -> User {
        User {
            name: None,
            roles: vec![String::from(ADMIN_ROLE)],
            proof: None,
            holds: Holds::Always,
        }
    }

    /// Whether it administers the server.
    pub(crate) fn is_admin(&self) -> bool {
        self.roles.iter().any(|role| role == ADMIN_ROLE)
    }

    /// The `userCtx` that functions of design documents get.
    pub(crate) fn context(&self, database: &str) -> Value {
        json!({"db": database, "name": self.name, "roles": self.roles})
    }
}
