//! Looks at both sides before anything moves, and tells what a run would do.
//!
//! A survey lists every side once, in shards, joins the listings with the ledger's pairs, and counts. It
//! writes nothing but the scratch key of a probe, and nothing at all if `probe` is off.
//!
//! [`Bindings`] holds what a saved plan is bound to, and finds what of it has changed.

mod bindings;
mod count;
mod judge;
mod listed;
mod preview;
mod route;
mod saved;
mod surveyor;
mod table_preview;
mod tables;
mod total;

pub use bindings::{
    Bindings, Changed, CutoverBinding, DatasetBinding, LeadBinding, PhaseBinding, PlaceBinding, PlaceRole,
    PolicyBinding, RouteBinding, SiteBinding,
};
pub use listed::{Does, LISTED_WAITING_MAX, Listed};
pub use preview::{CutoverPreview, DatasetPreview, PhasePreview, Preview, TargetPreview, TotalPreview};
pub use surveyor::SurveyOptions;
pub use table_preview::{StreamPreview, StructureDifference, TablePreview, TableTargetPreview};
