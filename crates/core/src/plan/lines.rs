//! Lines and columns of a text.

/// Where the lines of a text begin.
#[derive(Debug)]
pub(super) struct Lines<'t> {
    text: &'t str,
    /// Byte offsets, ascending; the first is 0.
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    /// The lines of a text.
    pub(super) fn of(text: &'t str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(ends).collect() }
    }

    /// The offset, or the next one before it at which a character begins.
    pub(super) fn boundary(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }

    /// The number of the line of an offset, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    /// The line of an offset: where it begins, and its text without its end.
    pub(super) fn at(&self, offset: usize) -> (usize, &'t str) {
        let start = self.starts[self.line(offset) - 1];
        (start, self.text[start..].lines().next().unwrap_or_default())
    }

    /// Line and column of an offset, from 1; the column counts characters.
    pub(super) fn position(&self, offset: usize) -> (usize, usize) {
        let offset = self.boundary(offset);
        let (start, _) = self.at(offset);
        (self.line(offset), self.text[start..offset].chars().count() + 1)
    }

    /// The text.
    pub(super) fn text(&self) -> &'t str {
        self.text
    }
}
