//! Connects to the real places of a plan.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use tokio::sync::Mutex;

use migrate_aws::{
    AwsCredentials,
    dynamodb::{DynamoClient, DynamoConfig, DynamoEndpoint},
    s3::{S3Client, S3Config, S3Endpoint},
};
use migrate_core::{
    model::SiteName,
    plan::{Credentials, Endpoint, Location, Plan, Scheme, Site},
};
use migrate_engine::{
    EngineError, Sites,
    sites::{Connect, Opened, Role},
};
use migrate_store::retry::RetryPolicy;

/// The real places: for each site one client for its objects, and one for its tables.
#[derive(Debug, Default)]
pub struct Real {
    objects: Mutex<BTreeMap<SiteName, S3Client>>,
    tables: Mutex<BTreeMap<SiteName, DynamoClient>>,
}

/// The real sites of a plan.
pub fn sites() -> Sites {
    Sites::new(Arc::new(Real::default()), RetryPolicy::default())
}

impl Real {
    async fn objects(&self, plan: &Plan, site: &Site) -> Result<S3Client, EngineError> {
        let mut clients = self.objects.lock().await;
        if let Some(client) = clients.get(&site.name) {
            return Ok(client.clone());
        }
        let client = S3Client::connect(s3_config(plan, site)?).await?;
        clients.insert(site.name.clone(), client.clone());
        Ok(client)
    }

    async fn tables(&self, plan: &Plan, site: &Site) -> Result<DynamoClient, EngineError> {
        let mut clients = self.tables.lock().await;
        if let Some(client) = clients.get(&site.name) {
            return Ok(client.clone());
        }
        let client = DynamoClient::connect(dynamo_config(plan, site)?).await?;
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
                let store = self.objects(plan, site).await?.store(&at.container, &at.prefix);
                // A look has a scratch key of its own: a run may be under way beside it.
                Ok(Opened::Store(Arc::new(match migration {
                    Some(migration) => store.probing_for(migration),
                    None => store,
                })))
            }
            Scheme::DynamoDb => {
                let table = self.tables(plan, site).await?.table(&at.container);
                // As with buckets: a look has scratch tables of its own.
                Ok(Opened::Table(Arc::new(match migration {
                    Some(migration) => table.probing_for(migration),
                    None => table,
                })))
            }
        }
    }
}

fn s3_config(plan: &Plan, site: &Site) -> Result<S3Config, EngineError> {
    let endpoint = site.s3.as_ref().map(|server| {
        let ca_pem = ca_pem(plan, site, server)?;
        Ok::<_, EngineError>(S3Endpoint { url: server.url.clone(), path_style: server.path_style, ca_pem })
    });
    Ok(S3Config {
        site: site.name.to_string(),
        region: region(site, site.s3.as_ref(), "s3")?,
        endpoint: endpoint.transpose()?,
        credentials: aws_credentials(site)?,
        expected_bucket_owner: site.expected_bucket_owner.clone(),
    })
}

fn dynamo_config(plan: &Plan, site: &Site) -> Result<DynamoConfig, EngineError> {
    let endpoint = site.dynamodb.as_ref().map(|server| {
        let ca_pem = ca_pem(plan, site, server)?;
        Ok::<_, EngineError>(DynamoEndpoint { url: server.url.clone(), ca_pem })
    });
    Ok(DynamoConfig {
        site: site.name.to_string(),
        region: region(site, site.dynamodb.as_ref(), "dynamodb")?,
        endpoint: endpoint.transpose()?,
        credentials: aws_credentials(site)?,
    })
}

fn wrong(site: &Site, detail: String) -> EngineError {
    EngineError::Site { site: site.name.to_string(), detail }
}

/// The region of a site's own server for a protocol, or else of the site.
fn region(site: &Site, server: Option<&Endpoint>, protocol: &str) -> Result<String, EngineError> {
    let region = server.map(|server| server.region.clone()).or_else(|| site.region.clone());
    region.ok_or_else(|| {
        wrong(site, format!("it has neither a region nor {protocol} = {{ endpoint = ..., region = ... }}"))
    })
}

fn ca_pem(plan: &Plan, site: &Site, server: &Endpoint) -> Result<Option<Vec<u8>>, EngineError> {
    let Some(file) = &server.ca_file else { return Ok(None) };
    let path = plan.resolve(file);
    let read = std::fs::read(&path);
    read.map(Some).map_err(|error| wrong(site, format!("failed to read ca_file {}: {error}", path.display())))
}

/// Reads the keys of `credentials = { env = ... }`; an error names what is missing, never a value.
fn aws_credentials(site: &Site) -> Result<AwsCredentials, EngineError> {
    Ok(match &site.credentials {
        Credentials::Ambient => AwsCredentials::Ambient,
        Credentials::Profile { name } => AwsCredentials::Profile(name.clone()),
        Credentials::Role { arn, external_id } => {
            AwsCredentials::Role { arn: arn.clone(), external_id: external_id.clone() }
        }
        Credentials::Env { prefix } => {
            let get = |suffix: &str| std::env::var(format!("{prefix}_{suffix}")).ok().filter(|value| !value.is_empty());
            match (get("ACCESS_KEY_ID"), get("SECRET_ACCESS_KEY")) {
                (Some(id), Some(secret)) => AwsCredentials::Keys { id, secret, session_token: get("SESSION_TOKEN") },
                (id, secret) => {
                    let given = [("ACCESS_KEY_ID", id), ("SECRET_ACCESS_KEY", secret)];
                    let missing = given.iter().filter(|(_, value)| value.is_none());
                    let missing: Vec<_> = missing.map(|(suffix, _)| format!("{prefix}_{suffix}")).collect();
                    return Err(wrong(site, format!("no credentials: set {}", missing.join(" and "))));
                }
            }
        }
    })
}
