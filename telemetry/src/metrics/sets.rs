//! Values by their labels.

use std::collections::HashMap;

use super::family::{Labels, SampleValue};

/// Values by their labels, in the order of the first ones.
pub(super) struct Sets<V> {
    sets: Vec<(Labels, V)>,
    places: HashMap<Labels, usize>,
}

impl<V> Default for Sets<V> {
    fn default() -> Sets<V> {
        Sets { sets: Vec::new(), places: HashMap::new() }
    }
}

impl<V: Add> Sets<V> {
    /// Adds a value to the one with the same labels.
    pub(super) fn add(&mut self, labels: Labels, value: V) {
        match self.places.get(&labels) {
            Some(place) => self.sets[*place].1.add(&value),
            None => {
                self.places.insert(labels.clone(), self.sets.len());
                self.sets.push((labels, value));
            }
        }
    }

    /// The values, in the order of the first ones.
    pub(super) fn into_sets(self) -> Vec<(Labels, V)> {
        self.sets
    }
}

/// Values that can be added up.
pub(super) trait Add {
    fn add(&mut self, other: &Self);
}

impl Add for SampleValue {
    fn add(&mut self, other: &SampleValue) {
        SampleValue::add(self, other);
    }
}
