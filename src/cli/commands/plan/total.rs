//! The last line of a preview: what a run would do in all.

use std::{fmt::Write as _, time::Duration};

use crate::cli::render::{self, Grouped};
use migrate_core::model::ByteCount;
use migrate_engine::survey::TotalPreview;

/// The line. What is estimated is marked "about"; what is not known is not said.
pub(super) fn line(total: &TotalPreview, done: bool) -> String {
    if done {
        return "Plan: nothing to do: every target holds what its source shows, and it is proved".to_owned();
    }
    let so_far = if total.complete { "" } else { ", as far as it was looked at" };
    let mut text = format!("Plan{so_far}: ");
    let _ = write!(
        text,
        "{} to create, {} to replace, {} to delete",
        Grouped(total.create),
        Grouped(total.replace),
        Grouped(total.delete)
    );
    if total.compare > 0 {
        let _ = write!(text, ", {} to compare first", Grouped(total.compare));
    }
    let at_most = if total.compare > 0 { "at most " } else { "" };
    let _ = write!(text, "; {at_most}{}", ByteCount(total.bytes));
    if total.requests > 0 {
        let _ = write!(text, "; about {}", render::count(total.requests, "request", "requests"));
    }
    if let Some(seconds) = total.seconds_min.filter(|seconds| *seconds > 0) {
        let _ = write!(text, "; at least {} by the limits", render::duration(Duration::from_secs(seconds)));
    }
    if total.tables > 0 {
        let tables = render::count(total.tables, "table", "tables");
        let _ = write!(text, "; and {tables}, not counted item by item");
    }
    if total.moves > 0 {
        let _ = write!(text, "; then {} to move, once approved", render::count(total.moves, "lead", "leads"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_says_what_is_known_and_marks_what_is_estimated() {
        let mut total =
            TotalPreview { create: 36, bytes: 30_310, requests: 12, complete: true, ..TotalPreview::default() };
        let known = "Plan: 36 to create, 0 to replace, 0 to delete; 29.6 KiB; about 12 requests";
        assert_eq!(line(&total, false), known);
        total.seconds_min = Some(60);
        assert_eq!(line(&total, false), format!("{known}; at least 1 min 0 s by the limits"));
        let total = TotalPreview { compare: 1200, bytes: 1, tables: 1, moves: 2, ..TotalPreview::default() };
        assert_eq!(
            line(&total, false),
            "Plan, as far as it was looked at: 0 to create, 0 to replace, 0 to delete, 1,200 to compare first; at most \
             1 B; and 1 table, not counted item by item; then 2 leads to move, once approved"
        );
        assert!(line(&TotalPreview::default(), true).contains("nothing to do"));
    }
}
