//! [`EndpointId`]: which server a store is at, and as whom this process speaks to it.

use std::fmt;

use migrate_core::digest;

/// What answers for a store. What a probe has found at one endpoint says nothing of another, nor of the same server
/// for another identity: that may have other rights.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EndpointId {
    /// A server, which is spoken to as somebody.
    Server {
        /// Its address, or the region of a cloud.
        at: Box<str>,
        /// The identity that signs the requests.
        identity: Identity,
    },
    /// The file systems of this machine.
    Files,
    /// This process.
    Memory,
}

/// The fingerprint of an identity: tells identities apart, and gives none away. It covers no secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity(Box<str>);

impl Identity {
    /// The fingerprint of an identity of this kind that these parts name: a key's id, a role's name.
    pub fn of<'a>(kind: &str, names: impl IntoIterator<Item = &'a str>) -> Self {
        let bytes: Vec<u8> = names.into_iter().flat_map(|name| [name.as_bytes(), b"\0"].concat()).collect();
        Self(format!("{kind} {}", hex::encode(&digest::sha256(&bytes).0[..8])).into())
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server { at, identity } => write!(f, "{at} as {}", identity.0),
            Self::Files => f.write_str("files"),
            Self::Memory => f.write_str("memory"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_tells_identities_apart_and_gives_none_away() {
        let server = |identity| EndpointId::Server { at: "https://a.example.com".into(), identity };
        let one = server(Identity::of("keys", ["AKIA1"]));
        assert_eq!(one, server(Identity::of("keys", ["AKIA1"])));
        for other in
            [Identity::of("keys", ["AKIA2"]), Identity::of("role", ["AKIA1"]), Identity::of("keys", ["AKIA", "1"])]
        {
            assert_ne!(one, server(other));
        }
        let shown = format!("{one} {one:?}");
        assert!(shown.contains("https://a.example.com as keys ") && !shown.contains("AKIA1"), "{shown}");
    }
}
