//! Who may sign requests: the owning account's root, and others with their own keys and names.

use std::{collections::BTreeMap, fmt, io, sync::Arc};

use hyper::StatusCode;
use s3s::{
    S3Request, S3Result,
    auth::{S3Auth, SecretKey},
};

use super::{config::S3ServerConfig, gate::custom_error};

/// A key pair and whose it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The access key.
    pub access_key: String,
    /// Its secret; never shown by `Debug`.
    pub secret_key: String,
    /// Whose it is, as policies name it: `arn:aws:iam::111122223333:user/NAME`.
    pub arn: String,
}

impl Identity {
    /// An identity of any account.
    pub fn new(arn: impl Into<String>, access_key: impl Into<String>, secret_key: impl Into<String>) -> Self {
        Self { access_key: access_key.into(), secret_key: secret_key.into(), arn: arn.into() }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("access_key", &self.access_key).field("arn", &self.arn).finish_non_exhaustive()
    }
}

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) arn: String,
    /// Twelve digits.
    pub(super) account: String,
}

impl Caller {
    /// Reads an identity's ARN; `None` where it is none of a root, a user or a role.
    pub(super) fn parse(arn: &str) -> Option<Self> {
        let (account, name) = arn.strip_prefix("arn:aws:iam::")?.split_once(':')?;
        let named = ["user/", "role/"].iter().any(|kind| name.strip_prefix(kind).is_some_and(|rest| !rest.is_empty()));
        let is_plain = !arn.contains(['*', '?', '$']);
        (is_account(account) && is_plain && (name == "root" || named))
            .then(|| Self { arn: arn.to_owned(), account: account.to_owned() })
    }

    /// Who sent a request; the gate says it of each.
    pub(super) fn of<T>(request: &S3Request<T>) -> Arc<Self> {
        request.extensions.get::<Arc<Self>>().expect("the gate adds it to every request").clone()
    }

    pub(super) fn is_root(&self) -> bool {
        self.arn.ends_with(":root")
    }
}

/// Whether a text is the number of an account.
pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// All identities of a server, by access key.
#[derive(Clone)]
pub(super) struct Identities {
    /// The account that owns the buckets.
    pub(super) account: String,
    known: BTreeMap<String, (SecretKey, Arc<Caller>)>,
}

impl Identities {
    /// Fails where an ARN is none, or two identities share an access key.
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

    /// Who has this access key.
    pub(super) fn caller(&self, access_key: &str) -> Option<Arc<Caller>> {
        self.known.get(access_key).map(|(_, caller)| caller.clone())
    }

    /// Whether a principal may be named: one of the own account must exist, and what other accounts
    /// hold cannot be seen from here.
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
    fn only_roots_users_and_roles_are_callers() {
        let parsed = |arn: &str| Caller::parse(arn).map(|caller| (caller.account.clone(), caller.is_root()));
        let account = || "111122223333".to_owned();
        assert_eq!(parsed("arn:aws:iam::111122223333:root"), Some((account(), true)));
        assert_eq!(parsed("arn:aws:iam::111122223333:user/a/b"), Some((account(), false)));
        assert_eq!(parsed("arn:aws:iam::111122223333:role/r"), Some((account(), false)));
        for wrong in [
            "",
            "111122223333",
            "arn:aws:iam::1111:user/a",
            "arn:aws:iam::111122223333:user/",
            "arn:aws:iam::111122223333:group/g",
            "arn:aws:iam::111122223333:user/*",
            "arn:aws:sts::111122223333:assumed-role/r/s",
        ] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

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
