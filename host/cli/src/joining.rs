//! Tokens on the command line: how `blitz engine` joins, and how `blitz gateway` issues.

use std::fs;
use std::io;
use std::path::PathBuf;

use blitz_couchdb::{Bearer, Client, Config};
use blitz_engine::imds::{self, Imds, Instance};
use blitz_engine::token::{Joining, Membership, NoToken, Proof};
use blitz_gateway::issuer::{BadEc2, BadKey, Ec2, Issuer, Keys};
use blitz_jobs::sealing::RegionKeys;
use blitz_runtime::Endpoint;
use clap::Args;

use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::key_file::{self, BadKeyFile};

/// Flags of `blitz engine`.
#[derive(Debug, Default, Args)]
pub(crate) struct JoinArgs {
    /// A gateway that gives this engine its tokens, instead of a name and password in --store; repeat for others
    #[arg(long, value_name = "URL")]
    join: Vec<String>,
    /// A file with the one-time join token of 'blitz region token' [default: BLITZ_JOIN_TOKEN]
    #[arg(long, value_name = "FILE", requires = "join")]
    join_token_file: Option<PathBuf>,
    /// The identity document of this EC2 instance, to join without a join token and without --imds; --id is the instance's id
    /// then
    #[arg(
        long,
        value_name = "FILE",
        requires = "ec2_signature",
        conflicts_with_all = ["join_token_file", "imds"]
    )]
    ec2_document: Option<PathBuf>,
    /// The signature of the identity document
    #[arg(long, value_name = "FILE", requires = "ec2_document")]
    ec2_signature: Option<PathBuf>,
    /// Where the current token is kept, so that the engine may be restarted
    #[arg(long, value_name = "FILE", requires = "join")]
    keep_token: Option<PathBuf>,
    /// This is an EC2 instance: its metadata [default URL: http://169.254.169.254] tells the engine's id, the proof to join
    /// where no join token is given, and when the machine is taken away, so that the engine drains before
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = imds::ADDRESS)]
    imds: Option<String>,
}

/// The instance that an engine is on, and who tells of it.
#[derive(Debug)]
pub(crate) struct OnInstance {
    pub(crate) imds: Imds,
    pub(crate) instance: Instance,
}

impl OnInstance {
    /// No job may reach the metadata: who reads it is the instance.
    pub(crate) fn protected(&self) -> impl Iterator<Item = Endpoint> {
        let given = std::iter::once(self.imds.host_and_port());
        let all = given.chain(imds::ENDPOINTS);
        all.map(|(host, port)| Endpoint::new("the instance's metadata", host, port))
    }
}

/// Flags of `blitz gateway`.
#[derive(Debug, Default, Args)]
pub(crate) struct IssuerArgs {
    /// A key to sign tokens of engines with, a private key of P-256 or a secret; the first one signs, others still hold
    #[arg(long, value_name = "FILE")]
    issuer_key: Vec<PathBuf>,
    /// The store's address as engines reach it [default: that of --store]
    #[arg(long, value_name = "URL", requires = "issuer_key")]
    engine_store: Option<String>,
    /// A file with private keys of regions ('blitz region key'), which engines get with their tokens
    #[arg(long, value_name = "FILE", requires = "issuer_key")]
    region_keys: Option<PathBuf>,
    /// A certificate or public key with which AWS signs identity documents; repeat for other regions of AWS
    #[arg(long, value_name = "FILE", requires = "issuer_key", requires = "ec2_account")]
    ec2_certificate: Vec<PathBuf>,
    /// An AWS account whose instances may join; repeat or use commas
    #[arg(long, value_name = "ID", value_delimiter = ',', requires = "ec2_certificate")]
    ec2_account: Vec<String>,
    /// A region of AWS whose instances may join; repeat or use commas [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "ec2_certificate")]
    ec2_region: Vec<String>,
}

/// Why an engine cannot join, or a gateway cannot issue.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file.
    #[error("cannot read '{}': {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// The address of a gateway or of the store.
    #[error("failed to {0}")]
    Address(#[from] blitz_couchdb::Error),
    /// No token.
    #[error("failed to {0}")]
    NoToken(#[from] NoToken),
    /// The issuer's key.
    #[error(transparent)]
    Key(#[from] BadKey),
    /// The keys of regions.
    #[error(transparent)]
    RegionKeys(#[from] BadKeyFile),
    /// The identities.
    #[error(transparent)]
    Ec2(#[from] BadEc2),
    /// The metadata of the instance.
    #[error(transparent)]
    Imds(#[from] imds::Error),
}

impl Error {
    /// The row of the exit code table.
    pub(crate) fn code(&self) -> ExitCode {
        match self {
            Self::NoToken(NoToken::NothingToShow(_))
            | Self::File { .. }
            | Self::Address(_)
            | Self::Key(_)
            | Self::RegionKeys(_)
            | Self::Ec2(_)
            | Self::Imds(imds::Error::BadUrl(_)) => ExitCode::USAGE,
            Self::NoToken(NoToken::Unreachable { .. }) | Self::Imds(imds::Error::Absent { .. }) => {
                ExitCode::UNREACHABLE
            }
            Self::NoToken(NoToken::Refused { .. } | NoToken::File { .. } | NoToken::Random)
            | Self::Imds(imds::Error::NeedsTokens { .. } | imds::Error::Wrong { .. }) => {
                ExitCode::FAILURE
            }
        }
    }
}

impl JoinArgs {
    /// Whether the engine joins by a gateway.
    pub(crate) fn is_given(&self) -> bool {
        !self.join.is_empty()
    }

    /// The instance that the engine is on, if its metadata is to be asked.
    pub(crate) async fn instance(&self) -> Result<Option<OnInstance>, Error> {
        let Some(url) = &self.imds else { return Ok(None) };
        let mut imds = Imds::new(url)?;
        let instance = imds.instance().await?;
        Ok(Some(OnInstance { imds, instance }))
    }

    /// Who wants to join, and with which proof.
    pub(crate) async fn joining(
        &self,
        region: &str,
        engine: &str,
        region_keys: RegionKeys,
        on: Option<&mut OnInstance>,
        environment: &Environment,
    ) -> Result<Joining, Error> {
        let issuers = self.join.iter().map(Client::new).collect::<Result<Vec<_>, _>>()?;
        let proof = match (self.proof(environment)?, on) {
            (None, Some(on)) => Some(on.imds.proof().await?),
            (given, _) => given,
        };
        Ok(Joining {
            issuers,
            region: region.to_owned(),
            engine: engine.to_owned(),
            proof,
            file: self.keep_token.clone(),
            region_keys,
        })
    }

    /// Joins, and gives a client of the store whose token is renewed as long as the membership is kept.
    pub(crate) async fn enter(
        joining: Joining,
        store: Option<String>,
    ) -> Result<(Client, Membership), Error> {
        let bearer = Bearer::default();
        let membership = Membership::join(joining, bearer.clone()).await?;
        let url = store.unwrap_or_else(|| membership.store.clone());
        let client = Client::with(Config { bearer: Some(bearer), ..Config::new(url) })?;
        Ok((client, membership))
    }

    fn proof(&self, environment: &Environment) -> Result<Option<Proof>, Error> {
        if let (Some(document), Some(signature)) = (&self.ec2_document, &self.ec2_signature) {
            let (document, signature) = (read(document)?, read(signature)?);
            return Ok(Some(Proof::Ec2 { document, signature }));
        }
        let token = match &self.join_token_file {
            Some(path) => Some(read(path)?.trim().to_owned()),
            None => environment.join_token.clone(),
        };
        Ok(token.map(Proof::JoinToken))
    }
}

impl IssuerArgs {
    /// The issuer beside this store, if there is to be one.
    pub(crate) fn issuer(&self, store: &Client) -> Result<Option<Issuer>, Error> {
        if self.issuer_key.is_empty() {
            return Ok(None);
        }
        let keys = Keys::read(&self.issuer_key)?;
        let ec2 = match self.ec2_certificate.is_empty() {
            true => None,
            false => Some(Ec2::read(
                &self.ec2_certificate,
                self.ec2_account.clone(),
                self.ec2_region.clone(),
            )?),
        };
        let store = self.engine_store.clone().unwrap_or_else(|| store.address().to_owned());
        let region_keys = self.region_keys.as_deref().map(key_file::read).transpose()?;
        let region_keys = region_keys.unwrap_or_default();
        Ok(Some(Issuer { keys, store, region_keys, ec2 }))
    }
}

fn read(path: &PathBuf) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::File { path: path.clone(), source })
}
