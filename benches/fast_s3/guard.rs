//! Conditions of requests.

use hyper::{HeaderMap, header};

use crate::{answer::Failure, object::Object};

/// The conditions of one request, as they were sent.
#[derive(Default)]
pub(crate) struct Guard {
    pub(crate) if_match: Option<String>,
    pub(crate) if_none_match: Option<String>,
}

impl Guard {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let text = |name| Some(headers.get(name)?.to_str().ok()?.to_owned());
        Self { if_match: text(header::IF_MATCH), if_none_match: text(header::IF_NONE_MATCH) }
    }

    /// Whether a write or a delete may be carried out over what is there.
    pub(crate) fn check_write(&self, there: Option<&Object>) -> Result<(), Failure> {
        if let Some(wanted) = &self.if_match {
            let there = there.ok_or(Failure::NO_KEY)?;
            if !matches(wanted, there) {
                return Err(Failure::PRECONDITION);
            }
        }
        match (&self.if_none_match, there) {
            (Some(unwanted), Some(there)) if matches(unwanted, there) => Err(Failure::PRECONDITION),
            _ => Ok(()),
        }
    }

    /// Whether an object may be shown.
    pub(crate) fn check_read(&self, there: &Object) -> Result<(), Failure> {
        if self.if_match.as_ref().is_some_and(|wanted| !matches(wanted, there)) {
            return Err(Failure::PRECONDITION);
        }
        if self.if_none_match.as_ref().is_some_and(|unwanted| matches(unwanted, there)) {
            return Err(Failure::NOT_MODIFIED);
        }
        Ok(())
    }
}

fn matches(condition: &str, object: &Object) -> bool {
    condition == "*" || condition.trim_matches('"') == &*object.tag
}
