//! What the audit is told of a submission: its command line without secrets, and where it goes.

use blitz_contract::Arguments;
use blitz_contract::arguments::{all_masked, masked};
use blitz_jobs::accounts::audit::{Deed, words};

use super::consent::host_and_port;
use super::{Accepted, Request};
use crate::audit::Line;
use crate::caller::Caller;
use crate::catalog::Catalog;

/// A command line, as the audit has it.
#[derive(Debug)]
pub(crate) struct Submission {
    line: Line,
    targets: Vec<String>,
}

impl Submission {
    /// That of a request, whatever becomes of it. Of a plugin that the caller does not see nobody knows where secrets stand.
    pub(crate) fn of(request: &Request, catalog: &Catalog, caller: &Caller) -> Self {
        let plugin = catalog.plugin(&request.plugin, request.version.as_deref(), &[], caller).ok();
        let (args, targets) = match &plugin {
            None => (all_masked(&request.args), Vec::new()),
            Some(plugin) => {
                let arguments = Arguments::parse(&plugin.manifest, &request.args).ok();
                let targets = arguments.iter().flat_map(|given| given.targets(&plugin.manifest));
                let places = targets.map(place);
                (masked(&plugin.manifest, &request.args), places.collect())
            }
        };
        let args: Vec<String> = args.iter().map(|word| without_userinfo(word)).collect();
        let line = Line {
            plugin: blitz_jobs::accounts::audit::text(&request.plugin),
            regions: words(request.regions.iter().map(String::as_str)),
            args: words(args.iter().map(String::as_str)),
        };
        Self { line, targets: words(targets.iter().map(String::as_str)) }
    }

    /// It was admitted.
    pub(crate) fn accepted(self, accepted: &Accepted) -> Deed {
        let Accepted { run, plugin, version, jobs, .. } = accepted;
        let mut regions: Vec<&str> = jobs.iter().map(|job| job.region.as_str()).collect();
        regions.dedup();
        Deed::Submit {
            run: run.clone(),
            jobs: jobs.iter().map(|job| job.id.to_string()).collect(),
            plugin: plugin.clone(),
            version: version.clone(),
            regions: words(regions),
            args: self.line.args,
            targets: self.targets,
        }
    }

    /// It was refused.
    pub(crate) fn refused(self) -> Line {
        self.line
    }
}

/// Where a value goes: a host that says no more is shown as it is, for not every command goes to a port.
fn place(target: &str) -> String {
    let (host, port) = host_and_port(target);
    match host.contains(':') {
        _ if host == target => host.to_owned(),
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// A word without the name and password that stand in a URL.
fn without_userinfo(word: &str) -> String {
    let Some((before, rest)) = word.split_once("://") else { return word.to_owned() };
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{before}://***{}", &rest[at..]),
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_loses_its_name_and_password() {
        for (word, shown) in [
            ("http://me:pw@x.test/a@b", "http://***@x.test/a@b"),
            ("http://me@pw@x.test", "http://***@x.test"),
            ("http://x.test/?u=me@y", "http://x.test/?u=me@y"),
            ("me@x.test", "me@x.test"),
            ("--url=https://me:pw@x.test", "--url=https://***@x.test"),
        ] {
            assert_eq!(without_userinfo(word), shown);
        }
    }
}
