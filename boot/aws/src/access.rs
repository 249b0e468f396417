//! How AWS is reached: with whose credentials, at which end point, and how long and how often it is asked.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ec2::config::{Credentials, SharedHttpClient};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, Connector};
use blitz_boot_core::provider::ProviderError;

/// How one answer of EC2 may take, unless [`Access::answer`] says otherwise: a page of a thousand instances comes in five
/// seconds.
pub const ANSWER: Duration = Duration::from_secs(30);

/// Attempts of one request. Each of ours may be repeated: a launch has its token, a tag is the same tag, and who ends twice
/// ends once. What is not over after three is for the next round, which decides anew.
pub const ATTEMPTS_MAX: u32 = 3;

/// The first wait between attempts, doubled with each and with jitter.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);

/// The longest wait between attempts: a round is not longer than the next one is away.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// How long a connection may take: farther than the other side of the earth none is.
const CONNECT: Duration = Duration::from_secs(5);

/// Who asks, and where.
#[derive(Debug, Clone)]
pub struct Access {
    /// The end point of all services, where it is not AWS: a test server, another S3.
    pub endpoint_url: Option<String>,
    /// The profile of AWS's configuration files; otherwise as `AWS_PROFILE` says.
    pub profile: Option<String>,
    /// The credentials themselves; otherwise they are found as by all tools of AWS: environment, profile, the machine's role.
    pub credentials: Option<Credentials>,
    /// How long one answer of EC2 may take.
    pub answer: Duration,
}

impl Default for Access {
    fn default() -> Self {
        Self { endpoint_url: None, profile: None, credentials: None, answer: ANSWER }
    }
}

impl Access {
    /// What the clients of one region are made of. Without `place` it is the region of the environment or the profile.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Invalid`]: nobody says which region, or the end point is not a URL.
    pub async fn config(&self, place: Option<&str>) -> Result<SdkConfig, ProviderError> {
        let retries = RetryConfig::standard()
            .with_max_attempts(ATTEMPTS_MAX)
            .with_initial_backoff(BACKOFF_FIRST)
            .with_max_backoff(BACKOFF_MAX);
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(self.answer)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http_client())
            .retry_config(retries)
            .timeout_config(timeouts);
        if let Some(place) = place {
            loader = loader.region(Region::new(place.to_owned()));
        }
        if let Some(url) = &self.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(credentials) = &self.credentials {
            loader = loader.credentials_provider(credentials.clone());
        }
        let config = loader.load().await;
        if config.region().is_none() {
            return Err(ProviderError::Invalid(
                "find the AWS region: set AWS_REGION, give the profile one, or name it".to_owned(),
            ));
        }
        // Also of AWS_ENDPOINT_URL and the profile. The SDK says it too, but of a request, and with all that is in it.
        let url = config.endpoint_url().map(|text| (text, url::Url::parse(text)));
        match url {
            Some((_, Ok(url))) if ["http", "https"].contains(&url.scheme()) && url.has_host() => {}
            None => {}
            Some((text, _)) => {
                return Err(ProviderError::Invalid(format!(
                    "find the end point {text:?}: it is no URL as http://HOST:PORT"
                )));
            }
        }
        Ok(config)
    }
}

/// The SDK's own HTTP client, with `ring`, which the rest of blitz has, where its default is `aws-lc-rs`; with the proxies
/// of the environment, as the default has them.
fn http_client() -> SharedHttpClient {
    Builder::new().build_with_connector_fn(|settings, components| {
        let mut connector = Connector::builder().proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        connector.tls_provider(Provider::Rustls(CryptoMode::Ring)).build()
    })
}
