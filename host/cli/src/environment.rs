//! The process's environment, read once. Everything else takes it as a value.
//!
//! | variable | meaning |
//! |---|---|
//! | `BLITZ_HOST`, `BLITZ_TOKEN` | the gateway and the right to use it: its token, or an API key |
//! | `BLITZ_STORE` | the store of `blitz engine` and `blitz gateway`, with its name and password |
//! | `BLITZ_JOIN_TOKEN` | the one-time token with which `blitz engine --join` joins |
//! | `BLITZ_CLUSTERS` | the file with the clusters that can be entered |
//! | `BLITZ_COUCHDB_ADMIN` | an administrator of `blitz couchdb`, as NAME:PASSWORD |
//! | `BLITZ_STATE` | the state file of `blitz up` |
//! | `BLITZ_PLUGIN_KEY` | the file with the publisher's secret key |
//! | `BLITZ_LOG` | `error`, `warn` (default), `info`, `debug` or `trace` on stderr |
//! | `NO_COLOR` | no colours |
//! | `XDG_STATE_HOME`, `XDG_DATA_HOME`, `XDG_CACHE_HOME`, `XDG_CONFIG_HOME`, `HOME` | where files are kept |

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// What the environment says.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    pub(crate) host: Option<String>,
    pub(crate) token: Option<String>,
    /// The one-time join token of an engine.
    pub(crate) join_token: Option<String>,
    pub(crate) store: Option<String>,
    pub(crate) clusters_file: Option<PathBuf>,
    pub(crate) couchdb_admin: Option<String>,
    pub(crate) log: Option<String>,
    pub(crate) no_color: bool,
    /// The state file of `blitz up`; `None` when neither variable nor home directory is there.
    pub(crate) state_file: Option<PathBuf>,
    /// What `blitz login` keeps.
    pub(crate) credentials_file: Option<PathBuf>,
    /// Where the store of `blitz up` is by default.
    pub(crate) data_directory: Option<PathBuf>,
    /// Where is kept what can be made again.
    pub(crate) cache_directory: Option<PathBuf>,
    /// The publisher's secret key.
    pub(crate) plugin_key: Option<PathBuf>,
    /// The keys of publishers that engines of this machine believe.
    pub(crate) trust_file: Option<PathBuf>,
}

impl Environment {
    /// Where compiled plugins are kept: apart from all else, as nobody but their owner may look into it.
    pub(crate) fn compiled_directory(&self) -> Option<PathBuf> {
        Some(self.cache_directory.as_ref()?.join("compiled"))
    }
}

impl fmt::Debug for Environment {
    /// Without the token, and without the store, whose URL has a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("host", &self.host)
            .field("token", &self.token.as_ref().map(|_| Hidden))
            .field("store", &self.store.as_ref().map(|_| Hidden))
            .field("state_file", &self.state_file)
            .field("data_directory", &self.data_directory)
            .field("cache_directory", &self.cache_directory)
            .finish_non_exhaustive()
    }
}

/// What stands for a secret in a `Debug` text: that there is one, and no more.
pub(crate) struct Hidden;

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Environment {
    /// Reads it.
    pub(crate) fn read() -> Self {
        Self::from(|name| std::env::var_os(name))
    }

    fn from(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name: &str| variable(name).filter(|v| !v.is_empty());
        let text = |name: &str| set(name).and_then(|v| v.into_string().ok());
        let home = set("HOME").map(PathBuf::from);
        // XDG Base Directory Specification 0.8: relative paths are invalid and are passed over.
        let base = |name: &str, below_home: &str| {
            set(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
                .or_else(|| Some(home.as_ref()?.join(below_home)))
        };
        let state = base("XDG_STATE_HOME", ".local/state");
        let config = base("XDG_CONFIG_HOME", ".config").map(|d| d.join("blitz"));
        Self {
            host: text("BLITZ_HOST"),
            token: text("BLITZ_TOKEN"),
            join_token: text("BLITZ_JOIN_TOKEN"),
            store: text("BLITZ_STORE"),
            clusters_file: set("BLITZ_CLUSTERS").map(PathBuf::from),
            // One that is set and empty is a secret that got lost, and not the wish for a server without one.
            couchdb_admin: variable("BLITZ_COUCHDB_ADMIN")
                .map(|v| v.into_string().unwrap_or_default()),
            log: text("BLITZ_LOG"),
            no_color: set("NO_COLOR").is_some(),
            state_file: set("BLITZ_STATE")
                .map(PathBuf::from)
                .or_else(|| Some(state?.join("blitz/up.json"))),
            credentials_file: config.as_ref().map(|d| d.join("credentials.toml")),
            data_directory: base("XDG_DATA_HOME", ".local/share").map(|d| d.join("blitz")),
            cache_directory: base("XDG_CACHE_HOME", ".cache").map(|d| d.join("blitz")),
            plugin_key: set("BLITZ_PLUGIN_KEY")
                .map(PathBuf::from)
                .or_else(|| Some(config.as_ref()?.join("plugin.key"))),
            trust_file: config.map(|directory| directory.join("trusted-keys")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn directories_follow_the_xdg_specification() {
        let with = |set: &[(&str, &str)]| {
            let set: Vec<(String, OsString)> =
                set.iter().map(|(n, v)| ((*n).to_owned(), OsString::from(v))).collect();
            Environment::from(move |name| {
                set.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone())
            })
        };
        for (set, state_file) in [
            (&[("HOME", "/h")][..], Some("/h/.local/state/blitz/up.json")),
            (&[("HOME", "/h"), ("XDG_STATE_HOME", "/s")], Some("/s/blitz/up.json")),
            (&[("HOME", "/h"), ("XDG_STATE_HOME", "s")], Some("/h/.local/state/blitz/up.json")),
            (&[("HOME", "/h"), ("BLITZ_STATE", "x.json")], Some("x.json")),
            (&[("BLITZ_STATE", "")], None),
        ] {
            assert_eq!(with(set).state_file.as_deref(), state_file.map(Path::new), "{set:?}");
        }
        let environment = with(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/c"), ("BLITZ_HOST", "")]);
        assert_eq!(environment.data_directory.as_deref(), Some(Path::new("/h/.local/share/blitz")));
        assert_eq!(environment.cache_directory.as_deref(), Some(Path::new("/c/blitz")));
        assert_eq!(environment.host, None);
        let credentials = environment.credentials_file.unwrap();
        assert_eq!(credentials, Path::new("/h/.config/blitz/credentials.toml"));
    }

    #[test]
    fn secrets_stay_out_of_logs() {
        let environment = Environment::from(|name| match name {
            "BLITZ_TOKEN" | "BLITZ_STORE" => Some("hidden".into()),
            _ => None,
        });
        assert_eq!(environment.token.as_deref(), Some("hidden"));
        let text = format!("{environment:?}");
        assert!(text.contains("token: Some(***)") && !text.contains("hidden"), "{text}");
    }
}
