//! The clusters file: its grammar, and who may read it. Every line is looked at; what is not known is refused with its line.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use blitz_couchdb::{Client, Config, Credentials};
use blitz_jobs::cluster::Cluster;
use blitz_jobs::region::is_name;
use toml::de::{DeTable, DeValue};
use url::Url;

use super::Error;

/// Bytes of a clusters file: a hundred clusters have 20 KB.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The keys of a cluster.
const KEYS: [&str; 6] = ["url", "user", "password", "password_file", "roots", "operator"];

/// What the file says, each line of it looked at.
#[derive(Debug, Default)]
pub(crate) struct ClustersFile {
    path: PathBuf,
    pub(super) own: Option<String>,
    pub(super) sections: BTreeMap<String, Section>,
}

/// What it says of one cluster.
#[derive(Clone, Default)]
pub(super) struct Section {
    pub(super) url: Option<String>,
    user: Option<String>,
    password: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    roots: Option<PathBuf>,
    pub(super) operator: bool,
}

impl fmt::Debug for Section {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Section");
        shown.field("url", &self.url).field("user", &self.user).field("operator", &self.operator);
        shown.finish_non_exhaustive()
    }
}

impl ClustersFile {
    /// Reads a file that is its owner's alone.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text = private(path)?;
        let read = if text.len() as u64 > FILE_BYTES_MAX {
            Err((1, format!("it has more than {FILE_BYTES_MAX} bytes")))
        } else {
            Self::parse(path, &text)
        };
        read.map_err(|(line, problem)| Error::Content { path: path.to_owned(), line, problem })
    }

    /// Takes the text apart, or says what is wrong in which line.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, (usize, String)> {
        let line = |at: usize| 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            // Of a text that is no TOML a line is not quoted: it may be the password's.
            (line(at), error.message().to_owned())
        })?;
        let mut file = Self { path: path.to_owned(), ..Self::default() };
        for (key, value) in table.get_ref() {
            let name: &str = key.get_ref();
            let refuse = |problem: String| (line(key.span().start), problem);
            match value.get_ref() {
                DeValue::String(own) if name == "own" => file.own = Some(own.to_string()),
                DeValue::Table(section) if is_name(name) => {
                    let section = Section::parse(section, path, &line)?;
                    file.sections.insert(name.to_owned(), section);
                }
                DeValue::Table(_) => {
                    return Err(refuse(format!(
                        "'{name}' is no cluster's name: a-z, 0-9 and -, a letter first, up to 32; not 'all' or 'any'"
                    )));
                }
                _ if name == "own" => {
                    return Err(refuse("own is the name of a cluster, in quotes".to_owned()));
                }
                _ => {
                    return Err(refuse(format!(
                        "unknown key '{name}'; at the top stands own = \"NAME\", and each cluster below its [NAME]"
                    )));
                }
            }
        }
        Ok(file)
    }

    /// The name of the near cluster.
    pub(super) fn own(&self, named: Option<&str>, has_store: bool) -> Result<String, Error> {
        let mut names = self.sections.keys();
        let only = match (names.next(), names.next()) {
            (Some(only), None) if !has_store => Some(only.as_str()),
            _ => None,
        };
        let own = named.or(self.own.as_deref()).or(only);
        let own =
            own.ok_or_else(|| Error::NoOwn { path: self.path.clone(), known: self.known() })?;
        Cluster::new(own, "", None)?;
        if !has_store && !self.sections.contains_key(own) {
            return Err(self.unknown(own));
        }
        Ok(own.to_owned())
    }

    fn known(&self) -> Vec<String> {
        self.sections.keys().cloned().collect()
    }

    pub(super) fn unknown(&self, name: &str) -> Error {
        Error::Unknown { path: self.path.clone(), name: name.to_owned(), known: self.known() }
    }

    pub(super) fn client(
        &self,
        name: &str,
        section: &Section,
        url: String,
    ) -> Result<Client, Error> {
        let mut config = Config::new(url);
        config.roots.clone_from(&section.roots);
        config.credentials = section.credentials()?;
        Client::with(config).map_err(|source| Error::Client { name: name.to_owned(), source })
    }
}

impl Section {
    fn parse(
        table: &DeTable<'_>,
        path: &Path,
        line: &impl Fn(usize) -> usize,
    ) -> Result<Self, (usize, String)> {
        let mut section = Self::default();
        let mut in_url = None;
        let beside = |file: &str| path.parent().unwrap_or(Path::new("")).join(file);
        for (key, value) in table {
            let name: &str = key.get_ref();
            let at = line(key.span().start);
            match (name, value.get_ref()) {
                ("url", DeValue::String(text)) => {
                    let (url, credentials) = without_credentials(text).map_err(|p| (at, p))?;
                    section.url = Some(url);
                    in_url = credentials;
                }
                ("user", DeValue::String(user)) => section.user = Some(user.to_string()),
                ("password", DeValue::String(text)) => section.password = Some(text.to_string()),
                ("password_file", DeValue::String(file)) => {
                    section.password_file = Some(beside(file));
                }
                ("roots", DeValue::String(file)) => section.roots = Some(beside(file)),
                ("operator", DeValue::Boolean(operator)) => section.operator = *operator,
                ("operator", _) => return Err((at, "operator is true or false".to_owned())),
                (name, _) if KEYS.contains(&name) => {
                    return Err((at, format!("{name} is a text, in quotes")));
                }
                (name, _) => {
                    let known = KEYS.join(", ");
                    return Err((at, format!("unknown key '{name}'; a cluster has {known}")));
                }
            }
        }
        let first = table.keys().next().map_or(0, |key| key.span().start);
        let problem = match &section {
            Self { user, password, password_file, .. }
                if in_url.is_some()
                    && (user.is_some() || password.is_some() || password_file.is_some()) =>
            {
                "name and password stand in url and beside it: give them once"
            }
            Self { password: Some(_), password_file: Some(_), .. } => {
                "password and password_file: give one of them"
            }
            Self { user: None, password, password_file, .. }
                if password.is_some() || password_file.is_some() =>
            {
                "a password without a user"
            }
            Self { user: Some(_), password: None, password_file: None, .. } => {
                "a user without password or password_file"
            }
            _ => {
                // An address is shown, and documents have it: what is secret in it goes its own way.
                if let Some(Credentials { name, password }) = in_url {
                    (section.user, section.password) = (Some(name), Some(password));
                }
                return Ok(section);
            }
        };
        Err((line(first), problem.to_owned()))
    }

    pub(super) fn credentials(&self) -> Result<Option<Credentials>, Error> {
        let Some(name) = self.user.clone() else { return Ok(None) };
        let password = match (&self.password, &self.password_file) {
            (Some(password), _) => password.clone(),
            (None, Some(path)) => private(path)?.trim_end_matches(['\r', '\n']).to_owned(),
            (None, None) => String::new(),
        };
        Ok(Some(Credentials { name, password }))
    }
}

/// The text of a file that nobody but its owner may read, up to a byte more than such a file may have.
fn private(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::OpenToOthers { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// An address without name and password, and these.
pub(crate) fn without_credentials(text: &str) -> Result<(String, Option<Credentials>), String> {
    let form = "an address is http://HOST:PORT or https://HOST:PORT";
    let mut url = Url::parse(text).map_err(|cause| format!("{cause}: {form}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(form.to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("{form}, without ? and #"));
    }
    let decode = |text: &str| {
        let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
        decoded.map(String::from).map_err(|_| "the name or password in it is not UTF-8".to_owned())
    };
    let (user, password) = (decode(url.username())?, url.password().map(decode).transpose()?);
    let credentials = (!user.is_empty() || password.is_some())
        .then(|| Credentials { name: user, password: password.unwrap_or_default() });
    // Neither fails for a URL that has a host.
    url.set_username("").unwrap_or_default();
    url.set_password(None).unwrap_or_default();
    Ok((url.as_str().trim_end_matches('/').to_owned(), credentials))
}
