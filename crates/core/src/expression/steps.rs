//! [`Steps`]: the bound of one evaluation.

use crate::expression::failed::Failed;

/// Most steps of one evaluation. A step is a term, an element of a macro or a comparison, or 64 bytes; that many take a
/// few milliseconds.
const STEPS_MAX: u32 = 100_000;

/// The steps that an evaluation has left.
pub(super) struct Steps(u32);

impl Steps {
    /// Those of a whole evaluation.
    pub(super) fn all() -> Self {
        Self(STEPS_MAX)
    }

    /// Takes some of them, or fails if there are not enough.
    pub(super) fn take(&mut self, steps: usize) -> Result<(), Failed> {
        let left = u32::try_from(steps).ok().and_then(|steps| self.0.checked_sub(steps));
        self.0 = left.ok_or(Failed::TooLong(STEPS_MAX))?;
        Ok(())
    }
}
