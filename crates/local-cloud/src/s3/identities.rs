//! The identities of one server, with their access keys and secrets.

use std::{collections::BTreeMap, fmt, io, sync::Arc};

use hyper::StatusCode;
use s3s::{
    S3Result,
    auth::{S3Auth, SecretKey},
};

use super::{caller::Caller, config::S3ServerConfig, errors::custom_error, identity::Identity};

/// All identities of a server, by access key.
#[derive(Clone)]
pub(super) struct Identities {
    /// The account that owns the buckets.
    pub(super) account: String,
    known: BTreeMap<String, (SecretKey, Arc<Caller>)>,
}

impl Identities {
    /// Fails if an ARN is malformed, or two identities share an access key.
    pub(super) fn of(config: &S3ServerConfig) -> io::Result<Self> {
        let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
        let root = format!("arn:aws:iam::{}:root", config.account_id);
        let root = Identity::new(root, &config.access_key, &config.secret_key);
        let mut known = BTreeMap::new();
        for identity in std::iter::once(&root).chain(&config.identities) {
            let caller = Caller::parse(&identity.arn)
                .ok_or_else(|| invalid(format!("{} names no root, user or role of an account", identity.arn)))?;
            let secret = SecretKey::from(identity.secret_key.clone());
            if known.insert(identity.access_key.clone(), (secret, Arc::new(caller))).is_some() {
                return Err(invalid(format!("two identities have the access key {}", identity.access_key)));
            }
        }
        Ok(Self { account: config.account_id.clone(), known })
    }

    /// The identity with this access key.
    pub(super) fn caller(&self, access_key: &str) -> Option<Arc<Caller>> {
        self.known.get(access_key).map(|(_, caller)| caller.clone())
    }

    /// Whether a policy may name a principal: one of the own account must exist; those of other accounts
    /// cannot be seen from here.
    pub(super) fn may_name(&self, principal: &Caller) -> bool {
        principal.account != self.account || self.known.values().any(|(_, caller)| caller.arn == principal.arn)
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.known.iter().map(|(key, (_, caller))| (key, &caller.arn))).finish()
    }
}

#[async_trait::async_trait]
impl S3Auth for Identities {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if let Some((secret, _)) = self.known.get(access_key) {
            return Ok(secret.clone());
        }
        let text = "The AWS Access Key Id you provided does not exist in our records.";
        Err(custom_error(StatusCode::FORBIDDEN, "InvalidAccessKeyId", text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_that_cannot_be_told_apart_are_refused_and_secrets_stay_secret() {
        let mut config = S3ServerConfig::new("AKIDROOT", "hush-hush").with_user("mover", "AKIDMOVER", "hush-too");
        let known = Identities::of(&config).unwrap();
        assert!(known.caller("AKIDROOT").unwrap().is_root());
        assert_eq!(known.caller("AKIDMOVER").unwrap().arn, "arn:aws:iam::111122223333:user/mover");
        assert_eq!(known.caller("AKIDOTHER"), None);
        assert!(!format!("{known:?} {config:?}").contains("hush"));
        config.identities.push(Identity::new("arn:aws:iam::111122223333:user/twin", "AKIDMOVER", "x"));
        assert_eq!(Identities::of(&config).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        config.identities = vec![Identity::new("mover", "AKIDMOVER", "x")];
        assert_eq!(Identities::of(&config).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
