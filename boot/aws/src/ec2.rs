//! EC2 as a provider of machines: one fleet's instances in one AWS region.
//!
//! *Invariant:* a list is whole. It is paged by hand: the paginator of the SDK takes a page that names itself as the next one
//! for the end.

use std::collections::BTreeMap;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::interceptors::InterceptorContext;
use aws_sdk_ec2::config::retry::{ClassifyRetry, RetryAction};
use aws_sdk_ec2::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_ec2::operation::run_instances::RunInstancesError;
use aws_sdk_ec2::types::{
    self, Filter, InstanceLifecycleType, InstanceMarketOptionsRequest, InstanceStateName,
    LaunchTemplateSpecification, MarketType, ResourceType, ShutdownBehavior, Tag, TagSpecification,
};
use blitz_boot_core::fleet::Fleet;
use blitz_boot_core::instance::{
    Instance, InstanceId, InstanceState, TAG_FLEET, TAG_LAUNCH, TAG_REGION,
};
use blitz_boot_core::provider::{LaunchRequest, Provider, ProviderError};

use crate::access::Access;
use crate::refusals::{Asked, is_no_capacity, refusal};

/// Instances of one page: as many as `DescribeInstances` gives.
pub const PAGE_INSTANCES: i32 = 1000;

/// Pages of one list, 100,000 instances: one that does not end is an error, and not a list.
pub const LIST_PAGES_MAX: usize = 100;

/// Machines of one call: AWS advises to divide what is larger, and who asks for more gets this many now and the others in
/// the next round, with another token.
pub const LAUNCH_COUNT_MAX: u32 = 100;

/// Characters of EC2's client token.
pub const TOKEN_CHARS_MAX: usize = 64;

/// The version of a launch template that is launched: the newest. `$Default` stays where it was when CloudFormation makes a new
/// version, so that no update of the stack would ever reach a machine.
const TEMPLATE_VERSION: &str = "$Latest";

/// One fleet's instances in one AWS region.
#[derive(Debug, Clone)]
pub struct Ec2 {
    client: Client,
    place: String,
    fleet: String,
    /// The launch template of each blitz region that is here.
    templates: BTreeMap<String, Option<String>>,
}

impl Ec2 {
    /// Makes the provider of the fleet's regions that have their machines in `place`, an AWS region. Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Invalid`]: no region of the fleet is in `place`; and as [`Access::config`].
    pub async fn new(access: &Access, fleet: &Fleet, place: &str) -> Result<Self, ProviderError> {
        let here = fleet.regions.iter().filter(|region| region.place == place);
        let templates: BTreeMap<_, _> =
            here.map(|region| (region.name.clone(), region.launch_template.clone())).collect();
        if templates.is_empty() {
            let fleet = &fleet.name;
            return Err(ProviderError::Invalid(format!(
                "fleet \"{fleet}\" has no region with the place {place}"
            )));
        }
        let config = access.config(Some(place)).await?;
        let config =
            aws_sdk_ec2::config::Builder::from(&config).retry_classifier(NoRoomIsAnAnswer).build();
        Ok(Self {
            client: Client::from_conf(config),
            place: place.to_owned(),
            fleet: fleet.name.clone(),
            templates,
        })
    }

    fn asked(&self, action: &'static str, what: String) -> Asked<'_> {
        Asked { action, what, resource: None, place: &self.place }
    }

    fn asked_of(&self, action: &'static str, id: &InstanceId) -> Asked<'_> {
        let resource = format!("arn:aws:ec2:{}:*:instance/{id}", self.place);
        Asked { action, what: id.to_string(), resource: Some(resource), place: &self.place }
    }

    fn template(&self, region: &str) -> Result<&str, ProviderError> {
        let fleet = &self.fleet;
        match self.templates.get(region) {
            Some(Some(name)) => Ok(name),
            Some(None) => Err(ProviderError::Invalid(format!(
                "launch machines of region \"{region}\": fleet \"{fleet}\" names no launch template for it: set launch-template"
            ))),
            None => Err(ProviderError::Invalid(format!(
                "launch machines of region \"{region}\": fleet \"{fleet}\" has no such region in {}",
                self.place
            ))),
        }
    }
}

impl Provider for Ec2 {
    fn names(&self, engine: &str) -> bool {
        // The older ids have 8 digits.
        let digits = engine.strip_prefix("i-").filter(|digits| matches!(digits.len(), 8 | 17));
        digits.is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
    }

    /// At most one call per [`PAGE_INSTANCES`] instances, and one more where their number is a multiple of it.
    async fn list(&self) -> Result<Vec<Instance>, ProviderError> {
        let asked = self.asked("ec2:DescribeInstances", format!("fleet \"{}\"", self.fleet));
        let of_fleet =
            Filter::builder().name(format!("tag:{TAG_FLEET}")).values(&self.fleet).build();
        // By id: an instance that moves from one page to the next is still one.
        let mut instances = BTreeMap::new();
        let mut token: Option<String> = None;
        for _ in 0..LIST_PAGES_MAX {
            let page = self
                .client
                .describe_instances()
                .filters(of_fleet.clone())
                .max_results(PAGE_INSTANCES)
                .set_next_token(token.clone())
                .send()
                .await
                .map_err(|error| refusal(&error, &asked))?;
            for told in page.reservations().iter().flat_map(types::Reservation::instances) {
                let instance = instance(told).map_err(|missing| {
                    ProviderError::Unknown(format!("{asked}: an instance without {missing}"))
                })?;
                // A filter that was not obeyed must not make others' machines ours.
                if instance.tag(TAG_FLEET) == Some(self.fleet.as_str()) {
                    instances.insert(instance.id.clone(), instance);
                }
            }
            match page.next_token().filter(|next| !next.is_empty()) {
                None => return Ok(instances.into_values().collect()),
                Some(next) if token.as_deref() == Some(next) => {
                    return Err(ProviderError::Unknown(format!(
                        "{asked}: a page that names itself as the next one: the list is not whole"
                    )));
                }
                Some(next) => token = Some(next.to_owned()),
            }
        }
        Err(ProviderError::Unknown(format!(
            "{asked}: more than {LIST_PAGES_MAX} pages: the list is not whole"
        )))
    }

    /// Between one machine and `count`, or [`LAUNCH_COUNT_MAX`] where that is less: EC2 launches as many as it has room for.
    /// All or none would be none wherever one is missing.
    async fn launch(&self, request: &LaunchRequest) -> Result<Vec<InstanceId>, ProviderError> {
        let LaunchRequest { token, region, count, is_spot } = request;
        if *count == 0 {
            return Ok(Vec::new());
        }
        if token.is_empty() || token.len() > TOKEN_CHARS_MAX || !token.is_ascii() {
            return Err(ProviderError::Invalid(format!(
                "launch machines of region \"{region}\": a token has 1 to {TOKEN_CHARS_MAX} characters of ASCII: {token:?}"
            )));
        }
        let name = self.template(region)?;
        let asked = self.asked("ec2:RunInstances", format!("launch template \"{name}\""));
        let tags = [(TAG_FLEET, &self.fleet), (TAG_REGION, region), (TAG_LAUNCH, token)]
            .map(|(name, value)| Tag::builder().key(name).value(value).build());
        let tagged = [ResourceType::Instance, ResourceType::Volume].map(|resource| {
            let tags = Some(tags.to_vec());
            TagSpecification::builder().resource_type(resource).set_tags(tags).build()
        });
        let template = LaunchTemplateSpecification::builder()
            .launch_template_name(name)
            .version(TEMPLATE_VERSION);
        let spot = is_spot
            .then(|| InstanceMarketOptionsRequest::builder().market_type(MarketType::Spot).build());
        let launched = self
            .client
            .run_instances()
            .client_token(token)
            .launch_template(template.build())
            .min_count(1)
            .max_count(i32::try_from((*count).min(LAUNCH_COUNT_MAX)).unwrap_or(1))
            .set_instance_market_options(spot)
            .set_tag_specifications(Some(tagged.to_vec()))
            // Also where the template says nothing of it: a machine that powers itself off is gone, and costs nothing.
            .instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate)
            .send()
            .await
            .map_err(|error| refusal(&error, &asked))?;
        let ids = launched.instances().iter().map(types::Instance::instance_id);
        let ids: Option<Vec<_>> = ids.map(|id| id.map(|id| InstanceId(id.to_owned()))).collect();
        match ids {
            Some(ids) if !ids.is_empty() => Ok(ids),
            _ => Err(ProviderError::Unknown(format!("{asked}: an answer without instance ids"))),
        }
    }

    /// An instance that EC2 does not know is [`ProviderError::Unknown`]: it may be too new to be known everywhere.
    async fn tag(
        &self,
        id: &InstanceId,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), ProviderError> {
        let tag = Tag::builder().key(name);
        match value {
            Some(value) => {
                let asked = self.asked_of("ec2:CreateTags", id);
                let tag = tag.value(value).build();
                let sent = self.client.create_tags().resources(&id.0).tags(tag).send().await;
                sent.map(drop).map_err(|error| of_tag(&error, &asked))
            }
            None => {
                let asked = self.asked_of("ec2:DeleteTags", id);
                let tag = tag.build();
                let sent = self.client.delete_tags().resources(&id.0).tags(tag).send().await;
                sent.map(drop).map_err(|error| of_tag(&error, &asked))
            }
        }
    }

    async fn terminate(&self, id: &InstanceId) -> Result<(), ProviderError> {
        let asked = self.asked_of("ec2:TerminateInstances", id);
        match self.client.terminate_instances().instance_ids(&id.0).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some(NOT_FOUND) => Ok(()),
            Err(error) => Err(refusal(&error, &asked)),
        }
    }
}

/// EC2's code for an instance that it does not know, any more or yet.
const NOT_FOUND: &str = "InvalidInstanceID.NotFound";

fn of_tag<E>(error: &SdkError<E>, asked: &Asked<'_>) -> ProviderError
where
    E: std::error::Error + aws_sdk_ec2::error::ProvideErrorMetadata + 'static,
{
    if error.code() == Some(NOT_FOUND) {
        return ProviderError::Unknown(format!(
            "{asked}: EC2 does not know this instance: it is gone, or too new to be known everywhere"
        ));
    }
    refusal(error, asked)
}

/// What EC2 tells of an instance in our words, or what is missing in it. A launch time that is not told is not guessed:
/// what looks old is ended.
fn instance(told: &types::Instance) -> Result<Instance, &'static str> {
    let id = told.instance_id().ok_or("an id")?;
    let launched = told.launch_time().ok_or("a launch time")?;
    let launched_ms = launched.to_millis().ok().and_then(|ms| u64::try_from(ms).ok());
    let state = told.state().and_then(types::InstanceState::name).ok_or("a state")?;
    let tags = told.tags().iter();
    Ok(Instance {
        id: InstanceId(id.to_owned()),
        state: state_of(state),
        launched_ms: launched_ms.ok_or("a launch time that is a time")?,
        is_spot: told.instance_lifecycle() == Some(&InstanceLifecycleType::Spot),
        tags: tags
            .filter_map(|tag| {
                Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()))
            })
            .collect(),
    })
}

fn state_of(name: &InstanceStateName) -> InstanceState {
    match name {
        InstanceStateName::Pending => InstanceState::Pending,
        InstanceStateName::Running => InstanceState::Running,
        InstanceStateName::Stopped => InstanceState::Stopped,
        InstanceStateName::Terminated => InstanceState::Gone,
        // Also a state that is new to us: neither counted on nor forgotten.
        _ => InstanceState::Stopping,
    }
}

/// Keeps the SDK from repeating at once a launch for which there is no room: EC2 gives it status 500, which is otherwise
/// worth another attempt.
#[derive(Debug)]
struct NoRoomIsAnAnswer;

impl ClassifyRetry for NoRoomIsAnAnswer {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let Some(Err(error)) = context.output_or_error() else {
            return RetryAction::NoActionIndicated;
        };
        let code = error
            .as_operation_error()
            .and_then(|error| error.downcast_ref::<RunInstancesError>())
            .and_then(|error| error.code());
        if code.is_some_and(is_no_capacity) {
            RetryAction::RetryForbidden
        } else {
            RetryAction::NoActionIndicated
        }
    }

    fn name(&self) -> &'static str {
        "No room is an answer"
    }
}
