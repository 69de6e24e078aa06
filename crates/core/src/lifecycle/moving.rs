//! [`Moving`]: which move of a dataset's lead is open, and which of its steps stand.

use crate::{
    lifecycle::event::{Lead, Mark, MoveId, StepName},
    model::SiteName,
};

/// The move of a lead.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Moving {
    /// No move is open.
    #[default]
    AtRest,
    /// A move is open, before its switch: its steps can be taken back.
    Open(OpenMove),
    /// The route is being switched; only the route itself shows whether it was.
    Switching {
        /// The move.
        open: OpenMove,
        /// The future lead.
        lead: Lead,
        /// Name of the attempt.
        attempt: String,
        /// The route and the place of its site.
        route: String,
        /// Seconds until every client has read the route again.
        max_age_s: u64,
    },
    /// The route shows the new lead; clients may still act on the older one.
    Watching {
        /// The move.
        id: MoveId,
        /// Seconds until every client has read the route again.
        max_age_s: u64,
    },
}

/// A move that has begun and whose switch has not happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenMove {
    /// The move's name.
    pub id: MoveId,
    /// The site that is to lead.
    pub to: SiteName,
    /// The steps that stand, in the order in which they began: intended, perhaps applied, and not undone.
    pub steps: Vec<(StepName, Mark)>,
}

impl Moving {
    /// Whether no move is open: the followers may be copied to.
    pub fn is_at_rest(&self) -> bool {
        *self == Self::AtRest
    }

    /// The move that is open before its switch, unless the switch has begun.
    pub fn open(&self) -> Option<&OpenMove> {
        if let Self::Open(open) = self { Some(open) } else { None }
    }

    /// The name of the move that is open.
    pub fn id(&self) -> Option<&MoveId> {
        match self {
            Self::AtRest => None,
            Self::Open(open) | Self::Switching { open, .. } => Some(&open.id),
            Self::Watching { id, .. } => Some(id),
        }
    }
}

impl OpenMove {
    /// The same move after a mark of a step; `None` if the mark does not follow from the step's last one. A step is
    /// intended once, after all before it in the order of steps; and taken back before those before it.
    pub(super) fn marked(&self, step: StepName, mark: Mark) -> Option<Self> {
        let mut steps = self.steps.clone();
        let last = steps.last().copied();
        match (mark, last) {
            (Mark::Intended, None) => steps.push((step, mark)),
            (Mark::Intended, Some((before, Mark::Applied))) if before < step => steps.push((step, mark)),
            (Mark::Applied, Some((standing, Mark::Intended))) if standing == step => steps.last_mut()?.1 = mark,
            (Mark::Undone, Some((standing, _))) if standing == step => _ = steps.pop(),
            _ => return None,
        }
        Some(Self { steps, ..self.clone() })
    }
}
