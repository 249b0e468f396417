//! What admission costs: bursts of jobs to a gateway that is a process of its own, beside a store that is one.
//!
//!     cargo run --release -p blitz-tests --bin bench -- gateway
//!
//! The same bursts with the operator's token, for whom nothing is counted, and with a tenant's key: the key is looked up, the plan
//! has every limit, the policy is asked and the audit written. There is no engine: jobs wait.

mod bursts;

use std::process::ExitCode;

use tokio::runtime::Builder;

use crate::parts;

pub(crate) fn run(asked: &[String]) -> ExitCode {
    if let Some(refused) = parts::unknown("gateway", &[], asked) {
        return refused;
    }
    parts::block_on(&mut Builder::new_multi_thread(), bursts::measure())
}
