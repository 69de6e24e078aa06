//! A line of the block: pieces with a meaning, measured in columns of the terminal.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::palette::{Palette, Tone};

/// How many columns a text takes.
pub(in crate::cli) fn width(text: &str) -> usize {
    text.width()
}

/// A text of at most so many columns: what is cut off leaves a sign.
pub(in crate::cli) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut left = columns.saturating_sub(1);
    let kept = text.chars().take_while(|c| {
        let taken = c.width().unwrap_or(0);
        let fits = taken <= left;
        left = left.saturating_sub(taken);
        fits
    });
    let mut kept: String = kept.collect();
    if columns > 0 {
        kept.push('…');
    }
    kept
}

/// A text with spaces up to so many columns.
pub(in crate::cli) fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// The same with the spaces before it.
pub(in crate::cli) fn pad_left(text: &str, columns: usize) -> String {
    format!("{}{text}", " ".repeat(columns.saturating_sub(width(text))))
}

/// A line of pieces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct Line(Vec<(Tone, String)>);

impl Line {
    /// Adds a piece. Control characters would move the cursor, so they become spaces.
    #[must_use]
    pub(in crate::cli) fn with(mut self, tone: Tone, text: impl AsRef<str>) -> Self {
        let text = text.as_ref().replace(char::is_control, " ");
        if !text.is_empty() {
            self.0.push((tone, text));
        }
        self
    }

    /// Adds a piece after a gap, or at the begin without one; nothing is added for no text.
    #[must_use]
    pub(super) fn then(self, tone: Tone, text: &str) -> Self {
        let gap = if self.0.is_empty() || text.is_empty() { "" } else { "  " };
        self.with(Tone::Plain, gap).with(tone, text)
    }

    /// Adds the pieces of another line.
    #[must_use]
    pub(super) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    pub(super) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| width(text)).sum()
    }

    /// The line with another at the end of so many columns.
    #[must_use]
    pub(super) fn and_right(self, right: Self, columns: usize) -> Self {
        let between = columns.saturating_sub(self.width() + right.width()).max(2);
        self.with(Tone::Plain, " ".repeat(between)).and(right)
    }

    /// The line as text of at most so many columns.
    pub(in crate::cli) fn shown(&self, columns: usize, palette: Palette) -> String {
        let mut left = columns;
        let mut text = String::new();
        for (number, (tone, piece)) in self.0.iter().enumerate() {
            let is_last = number + 1 == self.0.len();
            // The sign needs a column of its own if anything follows that does not fit.
            let rest: usize = self.0[number + 1..].iter().map(|(_, text)| width(text)).sum();
            let fits = width(piece) + rest <= left || (width(piece) < left && !is_last);
            let kept = if fits { piece.clone() } else { cut(&format!("{piece}{}", " ".repeat(rest.min(1))), left) };
            left = left.saturating_sub(width(&kept));
            text.push_str(&palette.paint(*tone, &kept));
            if !fits {
                break;
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: Palette = Palette { is_on: false };

    #[test]
    fn what_is_cut_leaves_a_sign_and_no_half_of_a_wide_character() {
        assert_eq!(cut("catalogue", 9), "catalogue");
        assert_eq!(cut("catalogue", 4), "cat…");
        assert_eq!(cut("東京都", 4), "東…");
        assert_eq!((cut("東京都", 1).as_str(), cut("東京都", 0).as_str()), ("…", ""));
    }

    #[test]
    fn a_line_never_exceeds_its_columns() {
        let line = Line::default().with(Tone::Bold, "catalogue").with(Tone::Plain, "  of ").with(Tone::Done, "東京都");
        for columns in 0..30 {
            let shown = line.shown(columns, BARE);
            assert!(width(&shown) <= columns, "{columns}: {shown}");
            assert_eq!(shown.ends_with('…'), (1..line.width()).contains(&columns), "{columns}: {shown}");
        }
        assert_eq!(line.shown(20, BARE), "catalogue  of 東京都");
        assert_eq!(Line::default().with(Tone::Plain, "a\nb\x1b[J").shown(9, BARE), "a b [J");
    }
}
