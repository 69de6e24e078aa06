//! The identities of one server, with their access keys and secrets.

use std::{collections::BTreeMap, fmt, io, sync::Arc};

use crate::{caller::Caller, identity::Identity};

/// All identities of a server, by access key.
#[derive(Clone)]
pub(crate) struct Identities {
    /// The account that owns all that the server holds.
    pub(crate) account: String,
    known: BTreeMap<String, (String, Arc<Caller>)>,
}

impl Identities {
    /// The root of an account, by its access key and secret, and other identities. Fails if an ARN is malformed, or
    /// two identities share an access key.
    pub(crate) fn of(account: &str, root: (&str, &str), others: &[Identity]) -> io::Result<Self> {
        let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
        let root = Identity::new(format!("arn:aws:iam::{account}:root"), root.0, root.1);
        let mut known = BTreeMap::new();
        for identity in std::iter::once(&root).chain(others) {
            let caller = Caller::parse(&identity.arn)
                .ok_or_else(|| invalid(format!("{} names no root, user or role of an account", identity.arn)))?;
            let secret = identity.secret_key.clone();
            if known.insert(identity.access_key.clone(), (secret, Arc::new(caller))).is_some() {
                return Err(invalid(format!("two identities have the access key {}", identity.access_key)));
            }
        }
        Ok(Self { account: account.to_owned(), known })
    }

    /// The identity with this access key.
    pub(crate) fn caller(&self, access_key: &str) -> Option<Arc<Caller>> {
        self.known.get(access_key).map(|(_, caller)| caller.clone())
    }

    /// The secret that belongs to this access key.
    pub(crate) fn secret(&self, access_key: &str) -> Option<&str> {
        self.known.get(access_key).map(|(secret, _)| &**secret)
    }

    /// Whether a policy may name a principal: one of the own account must exist; those of other accounts
    /// cannot be seen from here.
    pub(crate) fn may_name(&self, principal: &Caller) -> bool {
        principal.account != self.account || self.known.values().any(|(_, caller)| caller.arn == principal.arn)
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.known.iter().map(|(key, (_, caller))| (key, &caller.arn))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_that_cannot_be_told_apart_are_refused_and_secrets_stay_secret() {
        const ACCOUNT: &str = "111122223333";
        let of = |others: &[Identity]| Identities::of(ACCOUNT, ("AKIDROOT", "hush-hush"), others);
        let mover = Identity::new("arn:aws:iam::111122223333:user/mover", "AKIDMOVER", "hush-too");
        let known = of(std::slice::from_ref(&mover)).unwrap();
        assert!(known.caller("AKIDROOT").unwrap().is_root());
        assert_eq!(known.caller("AKIDMOVER").unwrap().arn, "arn:aws:iam::111122223333:user/mover");
        assert_eq!(known.caller("AKIDOTHER"), None);
        assert!(!format!("{known:?} {mover:?}").contains("hush"));
        let twin = Identity::new("arn:aws:iam::111122223333:user/twin", "AKIDMOVER", "x");
        assert_eq!(of(&[mover, twin]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let nameless = Identity::new("mover", "AKIDMOVER", "x");
        assert_eq!(of(&[nameless]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
