//! The caller of a request, as policies name it.

/// The principal that sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) arn: String,
    /// Twelve digits.
    pub(crate) account: String,
}

impl Caller {
    /// Reads an identity's ARN; `None` unless it is that of a root, a user or a role.
    pub(crate) fn parse(arn: &str) -> Option<Self> {
        let (account, name) = arn.strip_prefix("arn:aws:iam::")?.split_once(':')?;
        let named = ["user/", "role/"].iter().any(|kind| name.strip_prefix(kind).is_some_and(|rest| !rest.is_empty()));
        let is_plain = !arn.contains(['*', '?', '$']);
        (is_account(account) && is_plain && (name == "root" || named))
            .then(|| Self { arn: arn.to_owned(), account: account.to_owned() })
    }

    pub(crate) fn is_root(&self) -> bool {
        self.arn.ends_with(":root")
    }
}

/// Whether a text is the number of an account.
pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
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
}
