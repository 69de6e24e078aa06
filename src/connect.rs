//! Connects to the real places of a plan.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use tokio::sync::Mutex;

use migrate_aws::{
    AwsCredentials,
    s3::{S3Client, S3Config, S3Endpoint},
};
use migrate_core::{
    model::SiteName,
    plan::{Credentials, Location, Plan, Scheme, Site},
};
use migrate_engine::{
    EngineError, Sites,
    sites::{Connect, Opened, Role},
};
use migrate_store::retry::RetryPolicy;

/// The real places: one client for each site.
#[derive(Debug, Default)]
pub struct Real {
    clients: Mutex<BTreeMap<SiteName, S3Client>>,
}

/// The real sites of a plan.
pub fn sites() -> Sites {
    Sites::new(Arc::new(Real::default()), RetryPolicy::default())
}

impl Real {
    async fn client(&self, plan: &Plan, site: &Site) -> Result<S3Client, EngineError> {
        let mut clients = self.clients.lock().await;
        if let Some(client) = clients.get(&site.name) {
            return Ok(client.clone());
        }
        let client = S3Client::connect(s3_config(plan, site)?).await?;
        clients.insert(site.name.clone(), client.clone());
        Ok(client)
    }
}

#[async_trait]
impl Connect for Real {
    async fn open(
        &self,
        plan: &Plan,
        site: &Site,
        at: &Location,
        _role: Role,
        migration: Option<&str>,
    ) -> Result<Opened, EngineError> {
        match at.scheme {
            Scheme::File => Ok(Opened::Directory),
            Scheme::S3 => {
                let store = self.client(plan, site).await?.store(&at.container, &at.prefix);
                // A look has a scratch key of its own: a run may be under way beside it.
                Ok(Opened::Store(Arc::new(match migration {
                    Some(migration) => store.probing_for(migration),
                    None => store,
                })))
            }
            Scheme::DynamoDb => Err(EngineError::Site {
                site: site.name.to_string(),
                detail: "tables are not supported yet".to_owned(),
            }),
        }
    }
}

fn s3_config(plan: &Plan, site: &Site) -> Result<S3Config, EngineError> {
    let wrong = |detail: String| EngineError::Site { site: site.name.to_string(), detail };
    let endpoint = site.s3.as_ref().map(|endpoint| {
        let ca_pem = endpoint.ca_file.as_ref().map(|file| {
            let path = plan.resolve(file);
            std::fs::read(&path).map_err(|error| wrong(format!("failed to read ca_file {}: {error}", path.display())))
        });
        Ok::<_, EngineError>(S3Endpoint {
            url: endpoint.url.clone(),
            path_style: endpoint.path_style,
            ca_pem: ca_pem.transpose()?,
        })
    });
    let region = site.s3.as_ref().map(|endpoint| endpoint.region.clone()).or_else(|| site.region.clone());
    Ok(S3Config {
        site: site.name.to_string(),
        region: region.ok_or_else(|| wrong("it has neither a region nor an s3 endpoint".to_owned()))?,
        endpoint: endpoint.transpose()?,
        credentials: aws_credentials(&site.credentials).map_err(wrong)?,
        expected_bucket_owner: site.expected_bucket_owner.clone(),
    })
}

/// Reads the keys of `credentials = { env = ... }`; an error names what is missing, never a value.
fn aws_credentials(credentials: &Credentials) -> Result<AwsCredentials, String> {
    Ok(match credentials {
        Credentials::Ambient => AwsCredentials::Ambient,
        Credentials::Profile { name } => AwsCredentials::Profile(name.clone()),
        Credentials::Role { arn, external_id } => {
            AwsCredentials::Role { arn: arn.clone(), external_id: external_id.clone() }
        }
        Credentials::Env { prefix } => {
            let get = |suffix: &str| std::env::var(format!("{prefix}_{suffix}")).ok().filter(|value| !value.is_empty());
            let must = |suffix: &str| {
                get(suffix).ok_or_else(|| format!("set the environment variable {prefix}_{suffix} (credentials)"))
            };
            AwsCredentials::Keys {
                id: must("ACCESS_KEY_ID")?,
                secret: must("SECRET_ACCESS_KEY")?,
                session_token: get("SESSION_TOKEN"),
            }
        }
    })
}
