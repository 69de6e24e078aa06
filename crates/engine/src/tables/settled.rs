//! [`Settled`]: how a part of the work on a table ended.

/// How a part of the work ended, if it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// At its end, for all followers that take part.
    Done,
    /// Before its end: the run is to stop.
    Stopped,
}

impl Settled {
    /// How two parts ended together.
    pub(crate) fn and(self, other: Self) -> Self {
        if self == Self::Stopped { self } else { other }
    }
}
