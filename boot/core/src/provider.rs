//! Who launches and ends machines. Implementations: [processes](crate::process) and
//! [namespaces](crate::netns) of this machine, and EC2 in `boot/aws`.

use std::future::Future;

use crate::instance::{Instance, InstanceId};

/// A launch of one or several machines that are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchRequest {
    /// The same for each repetition of this launch, and for no other: who asks twice gets the same machines. Up to 64
    /// characters of ASCII (EC2's client token).
    pub token: String,
    /// The blitz region that they work for.
    pub region: String,
    /// How many.
    pub count: u32,
    /// Whether the provider may take them back.
    pub is_spot: bool,
}

/// Why a provider did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// There is no room for such a machine now: try later, another type, or not spot.
    #[error("{0}")]
    NoCapacity(String),
    /// A quota of the account is used up; the text names it.
    #[error("{0}")]
    Quota(String),
    /// Asked too often: try again later.
    #[error("{0}")]
    Throttled(String),
    /// Not allowed; the text names the action and what would allow it.
    #[error("{0}")]
    Denied(String),
    /// It may have been done, and may not: ask again with the same token.
    #[error("{0}")]
    Unknown(String),
    /// What was asked for cannot be had, whoever asks: a mistake in the fleet's configuration.
    #[error("{0}")]
    Invalid(String),
}

impl ProviderError {
    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::NoCapacity(_) | Self::Quota(_) | Self::Throttled(_) | Self::Unknown(_))
    }
}

/// One fleet's machines at one place of a provider.
pub trait Provider: Send + Sync {
    /// All instances with the fleet's tag, in whatever state the provider still shows. It is the whole list or an error,
    /// never a part.
    fn list(&self) -> impl Future<Output = Result<Vec<Instance>, ProviderError>> + Send;

    /// Whether an id has the form of this provider's: engines with others, on an operator's own machines, are nobody's to end.
    fn names(&self, engine: &str) -> bool;

    /// Launches machines; repeated with the same token it launches no others. It may launch fewer than asked for.
    fn launch(
        &self,
        request: &LaunchRequest,
    ) -> impl Future<Output = Result<Vec<InstanceId>, ProviderError>> + Send;

    /// Sets a tag on an instance, or takes it off where there is no value.
    fn tag(
        &self,
        id: &InstanceId,
        name: &str,
        value: Option<&str>,
    ) -> impl Future<Output = Result<(), ProviderError>> + Send;

    /// Ends an instance. One that is not there any more is an instance that has ended.
    fn terminate(&self, id: &InstanceId) -> impl Future<Output = Result<(), ProviderError>> + Send;
}
