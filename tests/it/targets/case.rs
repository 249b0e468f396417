//! One case of the matrix: a command line, and what must come of it.

use std::net::IpAddr;

use blitz_tests::Outcome;

/// What must come of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Want {
    /// Exit 122, with a text that names the address, what it is (these words), and the policy.
    Refused { address: IpAddr, class: &'static str },
    /// The same, or no URL at all: a spelling that one need not understand.
    RefusedOrMalformed { address: IpAddr },
    /// Any failure that comes before a connection, or the answer of one of these addresses: a text that parsers
    /// read differently.
    Harmless { public: Vec<IpAddr> },
    /// Exit 0, with the answer of this address and nobody else's.
    Reached(IpAddr),
    /// As [`Self::Reached`], and the `Host` that was sent.
    ReachedAs(IpAddr, &'static str),
}

/// One case.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// How the address comes to the engine: `literal`, `DNS`, `redirect` ...
    pub(crate) channel: &'static str,
    /// Behind `blitz curl -r REGION`.
    pub(crate) args: Vec<String>,
    pub(crate) want: Want,
    /// A name that is asked for once, of one family.
    pub(crate) asked_once: Option<String>,
}

/// Exit codes that say: this is no URL, no name, no option's value, no message; nothing was connected to.
const BEFORE_CONNECTING: [i32; 7] = [1, 2, 3, 6, 49, 55, 122];

/// As curl's own: the URL is malformed, the name does not resolve, the protocol is another, or not built in.
const MALFORMED: [i32; 5] = [1, 2, 3, 4, 6];

const REFUSED: i32 = 122;

impl Case {
    pub(crate) fn new(
        channel: &'static str,
        args: impl IntoIterator<Item = impl Into<String>>,
        want: Want,
    ) -> Self {
        let args = args.into_iter().map(Into::into).collect();
        Self { channel, args, want, asked_once: None }
    }

    /// What is wrong with this outcome; `None` when nothing is.
    pub(crate) fn judge(&self, outcome: &Outcome) -> Option<String> {
        let code = outcome.code.unwrap_or(-1);
        let right = match &self.want {
            Want::Refused { address, class } => {
                code == REFUSED && names(&outcome.stderr, *address, class)
            }
            Want::RefusedOrMalformed { address } => {
                MALFORMED.contains(&code)
                    || (code == REFUSED && names(&outcome.stderr, *address, ""))
            }
            Want::Harmless { public } => {
                let reached = public.iter().any(|address| reached(&outcome.stdout, *address));
                BEFORE_CONNECTING.contains(&code) || (code == 0 && reached)
            }
            Want::Reached(address) => code == 0 && reached(&outcome.stdout, *address),
            Want::ReachedAs(address, host) => {
                let said = outcome.stdout.contains(&format!(" host {host}\n"));
                code == 0 && said && reached(&outcome.stdout, *address)
            }
        };
        (!right).then(|| {
            let (said, told) = (outcome.stdout.trim(), outcome.stderr.trim());
            let (channel, args, want) = (self.channel, self.args.join(" "), &self.want);
            format!("{channel}: curl {args}\n    want {want:?}\n    got  {code} {said:?} {told:?}")
        })
    }
}

/// Whether a refusal names the address, what it is, and why that is refused: `10.0.0.1 is private (policy
/// public-only)`, `168.63.129.16 port 80 is instance metadata, which is never a target`.
pub(super) fn names(stderr: &str, address: IpAddr, class: &str) -> bool {
    let address = format!(" {address} ");
    stderr.lines().any(|line| {
        let said = line.split_once(&address).map_or("", |(_, said)| said);
        let why = ["(policy public-only)", "never a target", "only the policy any", "by the rule"];
        said.contains(class) && why.iter().any(|why| said.contains(why))
    })
}

fn reached(stdout: &str, address: IpAddr) -> bool {
    stdout.starts_with(&format!("reached {} ", address.to_canonical()))
}
