//! [`Next`]: what is next, at the end of an answer.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::Value;

/// What is next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// This command.
    Command {
        /// What to correct first; until then the command would end as the last one did.
        mend: Option<String>,
        /// As an operator types it.
        command: String,
    },
    /// Nothing, and perhaps the reason.
    Nothing(Option<String>),
}

impl Next {
    /// The command, unless nothing is left to do.
    pub(super) fn command(&self) -> Option<&str> {
        match self {
            Self::Command { command, .. } => Some(command),
            Self::Nothing(_) => None,
        }
    }

    /// What to correct first.
    pub(super) fn mend(&self) -> Option<&str> {
        match self {
            Self::Command { mend, .. } => mend.as_deref(),
            Self::Nothing(_) => None,
        }
    }

    /// Adds it to a document.
    pub(super) fn add_to(&self, document: &mut Value) {
        document["mend"] = self.mend().into();
        document["next"] = self.command().into();
    }
}

/// The end of an answer for people.
impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command { mend: Some(mend), command } => write!(f, "help: {mend}\nnext: {command}"),
            Self::Command { mend: None, command } => write!(f, "next: {command}"),
            Self::Nothing(Some(why)) => write!(f, "next: nothing is left to do; {why}"),
            Self::Nothing(None) => f.write_str("next: nothing is left to do"),
        }
    }
}

/// The fields `next` and `mend`, to be flattened into a document.
impl Serialize for Next {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_map(Some(2))?;
        fields.serialize_entry("mend", &self.mend())?;
        fields.serialize_entry("next", &self.command())?;
        fields.end()
    }
}
