//! Which keys are held under their own name.
//!
//! One key with every shape and the greatest length, and one with a leading slash, suffice for a server that bends
//! nothing. Only if one of them does not come back are the shapes tested one by one.

use super::ask::{Probe, plain};
use crate::patience::{REFUSALS_MIN, patiently};
use crate::s3::wire::{bucket::How, plain::Guard};
use migrate_core::{capability::KEY_BYTES_MAX, model::Key};
use migrate_store::{ErrorKind, KeyRules, KeyShape, MetadataForm, Result};

/// Segments of long keys are shorter than this.
const SEGMENT_BYTES: usize = 200;

impl Probe<'_> {
    pub(super) async fn keys(&self) -> Result<KeyRules> {
        let mut rules = KeyRules::ALL;
        let name = self.key.as_str();
        let (every_shape, slash) = (self.of_every_shape(), KeyShape::LeadingSlash.example(name));
        let is_taken = self.takes(&every_shape).await?;
        // No two writes at once: if one fails, the next one tells whether the key is the reason.
        let is_shown = async { Ok(is_taken && self.shows(&every_shape).await?) };
        let (is_shown, slash_is_taken) = tokio::join!(is_shown, self.takes(&slash));
        let is_shown = is_shown?;
        let slash_is_held = slash_is_taken? && self.shows(&slash).await?;
        for (shape, refused) in KeyShape::ALL.into_iter().zip(&mut rules.refused) {
            if shape == KeyShape::LeadingSlash {
                *refused = !slash_is_held;
            } else if !is_shown {
                *refused = !self.holds(&shape.example(name)).await?;
            }
        }
        if !is_shown {
            rules.bytes_max = self.longest().await?;
        }
        Ok(rules)
    }

    /// A key of every shape except a leading slash, as long as a key may be.
    fn of_every_shape(&self) -> String {
        let name = self.key.as_str();
        let long = "s".repeat(256);
        let mut key = format!("{name}//./d/../{name} a+%41&?#\\\u{1}\u{e9}e\u{301}/{long}/");
        self.lengthen(&mut key, KEY_BYTES_MAX - 1);
        key.push('/');
        key
    }

    /// The greatest length of a full key that is held, if [`KEY_BYTES_MAX`] is too much.
    async fn longest(&self) -> Result<usize> {
        let of = |bytes| {
            let mut key = format!("{}/", self.key.as_str());
            self.lengthen(&mut key, bytes);
            key
        };
        if self.holds(&of(KEY_BYTES_MAX)).await? {
            return Ok(KEY_BYTES_MAX);
        }
        // The length of the scratch key itself is held, because it was written before.
        let (mut held, mut refused) = (self.wire.full_key(&self.key).len() + 1, KEY_BYTES_MAX);
        while held + 1 < refused {
            let middle = held.midpoint(refused);
            if self.holds(&of(middle)).await? {
                held = middle;
            } else {
                refused = middle;
            }
        }
        Ok(held)
    }

    /// Appends short segments until the full key has this many bytes.
    fn lengthen(&self, key: &mut String, bytes: usize) {
        let mut segment = 0;
        while key.len() + self.wire.prefix.len() < bytes {
            let last = key.len() + self.wire.prefix.len() + 1 == bytes;
            segment = if segment == SEGMENT_BYTES && !last { 0 } else { segment + 1 };
            key.push(if segment == 0 { '/' } else { 'k' });
        }
    }

    /// Whether an object under this key is accepted, and listed under it.
    async fn holds(&self, key: &str) -> Result<bool> {
        Ok(self.takes(key).await? && self.shows(key).await?)
    }

    /// Whether an object is listed under this key.
    async fn shows(&self, key: &str) -> Result<bool> {
        let full_key = format!("{}{key}", self.wire.prefix);
        let slash = if key.starts_with('/') { "/" } else { "" };
        // A listing may be a moment behind.
        for _ in 0..REFUSALS_MIN {
            if self.list(slash).await?.contains(&full_key) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a write under this key is accepted. An endpoint that fails each time for this key only refuses it
    /// (seen: 503 for every key above 511 bytes). One that fails for other keys too says nothing.
    async fn takes(&self, key: &str) -> Result<bool> {
        let key = Key::new(key);
        let full_key = self.wire.full_key(&key);
        self.traces.keep(full_key.clone(), false);
        let how = How { with_crc: false, metadata: MetadataForm::Ascii };
        let answers = [
            ErrorKind::KeyUnholdable,
            ErrorKind::Other,
            ErrorKind::Unsupported,
            ErrorKind::Denied,
            ErrorKind::Credentials,
            ErrorKind::NotFound,
        ];
        let plain = plain();
        for _ in 0..REFUSALS_MIN {
            match patiently(&answers, || self.wire.put(&key, &self.body, &plain, Guard::default(), how)).await {
                Ok(_) => {
                    self.traces.keep(full_key, true);
                    return Ok(true);
                }
                Err(error) if matches!(error.kind(), ErrorKind::NoContainer | ErrorKind::Unreachable) => {
                    return Err(error);
                }
                Err(_) => {}
            }
        }
        self.write(&self.body, &plain, Guard::default(), false, &[]).await?;
        Ok(false)
    }
}
