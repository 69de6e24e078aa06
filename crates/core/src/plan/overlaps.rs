//! Finds the places that overlap with one, without a look at all of them: plans may have many thousand datasets.

use std::collections::BTreeMap;

use crate::plan::location::Place;

/// Places, each with a number; found again by where they lie.
#[derive(Debug, Default)]
pub(super) struct Overlaps {
    /// The numbers of the places at each trail, ascending.
    numbers: BTreeMap<String, Vec<usize>>,
}

impl Overlaps {
    /// Adds a place.
    pub(super) fn add(&mut self, place: &Place, number: usize) {
        let numbers = self.numbers.entry(place.trail()).or_default();
        // One dataset may have two targets in one place.
        if numbers.last() != Some(&number) {
            numbers.push(number);
        }
    }

    /// The numbers of the places that overlap with this one, ascending, each once.
    pub(super) fn with(&self, place: &Place) -> Vec<usize> {
        let mut found: Vec<_> = self.at(place).flatten().copied().collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The smallest number but this one of the places that overlap with `place`.
    pub(super) fn first_with(&self, place: &Place, but: Option<usize>) -> Option<usize> {
        self.at(place).filter_map(|numbers| numbers.iter().copied().find(|number| Some(*number) != but)).min()
    }

    fn at(&self, place: &Place) -> impl Iterator<Item = &Vec<usize>> {
        let trail = place.trail();
        // What holds the place: its trail is the beginning of this one, and ends as a folder does.
        let ends = trail.match_indices(['/', '\0']).map(|(at, end)| at + end.len()).filter(|end| *end < trail.len());
        let around: Vec<_> = ends.filter_map(|end| self.numbers.get(&trail[..end])).collect();
        // What lies in the place: this trail is the beginning of its own.
        let inside = self.numbers.range(trail.clone()..).take_while(move |(other, _)| other.starts_with(&trail));
        around.into_iter().chain(inside.map(|(_, numbers)| numbers))
    }
}
