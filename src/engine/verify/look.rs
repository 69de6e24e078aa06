//! One record at one target: what each level looks at, and when a look is believed.

use std::sync::Arc;

use super::Verifier;
use crate::{
    digest::sha256,
    engine::{
        compare::{Verdict, compare},
        copy::look,
        layout::PART_BYTES,
    },
    ledger::Pair,
    model::{Key, TargetIndex, Token},
    plan::Level,
    report::DifferenceKind,
    store::{ByteRange, ErrorKind, Head, ObjectStore, StoreError, survive::Scope},
};

/// How often a record that changes while it is compared is looked at again.
const LOOKS_AGAIN: u32 = 3;

/// One record at one target, to be looked at.
pub(super) struct Look {
    pub(super) target: TargetIndex,
    pub(super) key: Key,
    pub(super) source: Token,
    pub(super) shown: Token,
    pub(super) pair: Option<Pair>,
}

pub(super) type Looked = (TargetIndex, Key, Result<Option<String>, StoreError>);

impl Verifier {
    /// Looks at one record on both sides, and again where it changed meanwhile.
    pub(super) async fn look(&self, mut look: Look) -> Looked {
        let mut answer = Ok(None);
        let mut differed = false;
        for _ in 0..LOOKS_AGAIN {
            answer = match self.level {
                Level::Bytes => self.bytes_differ(&look).await,
                _ => self.looks_differ(&look).await,
            };
            match &answer {
                Err(error) if error.kind() == ErrorKind::Changed => match self.refreshed(&look).await {
                    Ok(fresh) => look = fresh,
                    Err(error) => {
                        answer = Err(error);
                        break;
                    }
                },
                // A bit that flipped on the wire is no difference: only two looks in a row tell.
                Ok(Some(_)) if !differed => differed = true,
                _ => break,
            }
        }
        (look.target, look.key, answer)
    }

    /// The look with the versions that both sides show now.
    async fn refreshed(&self, look: &Look) -> Result<Look, StoreError> {
        let (source, target) = self.stores(look.target);
        let (lead, follower) = futures::join!(source.head(&look.key), target.head(&look.key));
        let gone = |store: &dyn ObjectStore| {
            StoreError::new(ErrorKind::NotFound, "look at", store.location(), "it vanished meanwhile").on(&look.key)
        };
        Ok(Look {
            target: look.target,
            key: look.key.clone(),
            source: lead?.ok_or_else(|| gone(&**source))?.token,
            shown: follower?.ok_or_else(|| gone(&**target))?.token,
            pair: look.pair.clone(),
        })
    }

    /// Level `checksum`: `None` where equal.
    async fn looks_differ(&self, look: &Look) -> Result<Option<String>, StoreError> {
        let scope = self.scope(look.target);
        let Some((lead, follower)) = self.heads(look, scope).await? else {
            return Ok(Some("it vanished while it was looked at".to_owned()));
        };
        match compare(&lead, &follower, scope) {
            Verdict::Equal => Ok(None),
            Verdict::Differs(detail) => Ok(Some(detail)),
            Verdict::Undecided => {
                let paired = look.pair.as_ref().is_some_and(|pair| {
                    pair.source.agrees_with(&lead.token) && pair.target.agrees_with(&follower.token)
                });
                if paired { Ok(None) } else { self.bytes_differ(look).await }
            }
        }
    }

    /// Level `bytes`: `None` where equal. Reads range by range, so that memory stays bounded.
    async fn bytes_differ(&self, look: &Look) -> Result<Option<String>, StoreError> {
        let (source, target) = self.stores(look.target);
        let size = look.source.size;
        if look.shown.size != size {
            return Ok(Some(format!("{} bytes instead of {size}", look.shown.size)));
        }
        // Always by range: a whole read would be refused where the bytes fail the checksum that the
        // store itself keeps, and then nobody would learn where they differ.
        let mut start = 0;
        while start < size && !self.shutdown.is_draining() {
            let range = ByteRange { start, end: size.min(start + PART_BYTES) };
            let _room = self.budget.bytes(2 * (range.end - range.start)).await;
            let (lead, follower) = futures::join!(
                source.read(&look.key, Some(range), Some(&look.source)),
                target.read(&look.key, Some(range), Some(&look.shown)),
            );
            let (lead, follower) = (lead?, follower?);
            if lead.bytes != follower.bytes {
                let same = lead.bytes.iter().zip(&follower.bytes).take_while(|(a, b)| a == b).count();
                return Ok(Some(format!(
                    "the bytes differ from offset {} on (SHA-256 {} instead of {})",
                    start + same as u64,
                    short(&follower.bytes),
                    short(&lead.bytes)
                )));
            }
            start = range.end;
        }
        self.properties_differ(look).await
    }

    async fn properties_differ(&self, look: &Look) -> Result<Option<String>, StoreError> {
        let scope = self.scope(look.target);
        if scope.is_empty() {
            return Ok(None);
        }
        let Some((lead, follower)) = self.heads(look, scope).await? else {
            return Ok(Some("it vanished while it was looked at".to_owned()));
        };
        Ok(scope.differs(&lead, &follower))
    }

    /// Both sides as a look shows them; `None` where one has gone.
    async fn heads(&self, record: &Look, scope: Scope) -> Result<Option<(Head, Head)>, StoreError> {
        let (source, target) = self.stores(record.target);
        let (lead, follower) = futures::join!(look(&**source, &record.key, scope), look(&**target, &record.key, scope));
        Ok(lead?.zip(follower?))
    }

    fn scope(&self, target: TargetIndex) -> Scope {
        Scope::new(&self.star.lead.capabilities(), self.star.waived[target.get()])
    }

    fn stores(&self, target: TargetIndex) -> (&Arc<dyn ObjectStore>, &Arc<dyn ObjectStore>) {
        (&self.star.lead, &self.star.followers[target.get()])
    }
}

fn short(bytes: &[u8]) -> String {
    sha256(bytes).to_string()[..12].to_owned()
}

/// Level `listing`: what two listings and the pair tell; `None` where both show the paired versions.
pub(super) fn listed_apart(source: &Token, shown: &Token, pair: Option<&Pair>) -> Option<(DifferenceKind, String)> {
    if source.size != shown.size {
        let detail = format!("{} bytes instead of {}", shown.size, source.size);
        return Some((DifferenceKind::Different, detail));
    }
    let Some(pair) = pair else {
        let detail = "nothing is recorded of it, and listings alone cannot decide: verify --level checksum or bytes";
        return Some((DifferenceKind::Unreadable, detail.to_owned()));
    };
    let (ours, theirs) = (pair.source.agrees_with(source), pair.target.agrees_with(shown));
    let detail = match (ours, theirs) {
        (true, true) => return None,
        (true, false) => "it was replaced at the target since it was copied",
        (false, true) => "it changed at the lead since it was copied",
        (false, false) => "it changed on both sides since it was copied",
    };
    Some((DifferenceKind::Different, detail.to_owned()))
}
