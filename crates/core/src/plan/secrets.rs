//! Texts that look like a secret. A plan is committed, mailed and pasted: it must contain no secret.
//!
//! No rule can tell a secret from a text with certainty; these rules catch the ones that people paste: keys by
//! their names, AWS access keys by their form, secret keys in the place of credentials, passwords and signatures in
//! URLs.

/// The prefixes of AWS access key ids, long-lived and temporary.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids>
const ACCESS_KEY_PREFIXES: [&str; 2] = ["AKIA", "ASIA"];

/// Whether a key's name says that its value is a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    ["accesskey", "secret", "password", "passwd", "passphrase", "token", "apikey", "privatekey"]
        .iter()
        .any(|word| plain.contains(word))
}

/// The kind of secret that a text looks like, if it looks like one.
pub(super) fn in_text(text: &str) -> Option<&'static str> {
    if has_access_key(text) {
        return Some("an AWS access key");
    }
    if text.contains("PRIVATE KEY-----") {
        return Some("a private key");
    }
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    if authority.contains('@') {
        return Some("a user or password in a URL");
    }
    let signed = ["X-Amz-Signature=", "X-Amz-Security-Token=", "Signature="].iter().any(|word| rest.contains(word));
    signed.then_some("a signed URL")
}

/// The kind of secret that the value of a credentials key looks like, if it looks like one.
pub(super) fn in_credentials(text: &str) -> Option<&'static str> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '+' | '=');
    in_text(text).or_else(|| (text.len() == 40 && text.chars().all(legal)).then_some("a secret access key"))
}

/// Whether a line that could not be parsed may hold a secret, so that it is better not shown.
pub(super) fn line_may_hold_one(line: &str) -> bool {
    let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-')));
    has_access_key(line) || in_text(line).is_some() || words.into_iter().any(is_secret_name)
}

fn has_access_key(text: &str) -> bool {
    ACCESS_KEY_PREFIXES.iter().flat_map(|prefix| text.match_indices(prefix)).any(|(at, _)| {
        let starts_a_word = !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
        let word =
            text[at..].find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit())).unwrap_or(text.len() - at);
        starts_a_word && word >= 16
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_recognised() {
        for name in ["access_key", "aws_secret_access_key", "Secret-Key", "password", "sessionToken", "api_key"] {
            assert!(is_secret_name(name), "{name}");
        }
        for text in [
            "AKIAIOSFODNN7EXAMPLE",
            "key=ASIAIOSFODNN7EXAMPLE;",
            "https://minio:minio123@s3.example.com",
            "https://b.s3.amazonaws.com/k?X-Amz-Signature=abc",
            "-----BEGIN RSA PRIVATE KEY-----",
        ] {
            assert!(in_text(text).is_some(), "{text}");
        }
        assert!(in_credentials("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY").is_some());
    }

    #[test]
    fn ordinary_values_are_not_secrets() {
        for name in ["key", "kms_key", "redact_keys", "path_style", "credentials", "env", "external_id"] {
            assert!(!is_secret_name(name), "{name}");
        }
        for text in ["BEIJING", "s3://a/b/user@example.com/x", "MALAKIA1234567890123", "https://a.example/@x", "ASIA"] {
            assert_eq!(in_credentials(text), None, "{text}");
        }
    }
}
