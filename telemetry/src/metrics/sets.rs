//! Values by their labels.

use std::collections::{HashMap, HashSet};

use super::family::{Labels, SampleValue};

/// Values by their labels, in the order in which the labels were first added.
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
    /// Adds a value, to the existing value if the labels are known.
    pub(super) fn add(&mut self, labels: Labels, value: V) {
        match self.places.get(&labels) {
            Some(place) => self.sets[*place].1.add(&value),
            None => {
                self.places.insert(labels.clone(), self.sets.len());
                self.sets.push((labels, value));
            }
        }
    }

    /// Returns the values, in the order in which their labels were first added.
    pub(super) fn into_sets(self) -> Vec<(Labels, V)> {
        self.sets
    }
}

/// Chooses the rest for a set of labels over the limit. The first topics have a rest each, and all
/// other topics share one. A rest of links keeps the label `role`.
#[derive(Debug)]
pub(super) struct Others {
    pub(super) most: usize,
    pub(super) topics: HashSet<String>,
}

impl Others {
    /// Returns the labels of the rest for this set of labels: the same at every call.
    pub(super) fn of(&mut self, labels: &Labels) -> Labels {
        match labels.pairs.first() {
            Some((key, topic)) if key == "topic" => {
                if !self.topics.contains(topic) {
                    if self.topics.len() >= self.most {
                        return labels.other("");
                    }
                    self.topics.insert(topic.clone());
                }
                labels.other("topic")
            }
            Some((key, _)) if key == "peer" => labels.other("role"),
            _ => labels.other(""),
        }
    }
}

/// Values of the same kind, which can be added up.
pub(super) trait Add {
    fn add(&mut self, other: &Self);
}

impl Add for SampleValue {
    fn add(&mut self, other: &SampleValue) {
        match (self, other) {
            (SampleValue::Counter(count), SampleValue::Counter(other)) => {
                *count = count.wrapping_add(*other);
            }
            (SampleValue::Gauge(value), SampleValue::Gauge(other)) => {
                *value = value.saturating_add(*other);
            }
            (SampleValue::Histogram(all), SampleValue::Histogram(other)) => all.add(other),
            (
                SampleValue::Counter(_) | SampleValue::Gauge(_) | SampleValue::Histogram(_),
                SampleValue::Counter(_) | SampleValue::Gauge(_) | SampleValue::Histogram(_),
            ) => {}
        }
    }
}

impl<const N: usize> Add for [SampleValue; N] {
    fn add(&mut self, other: &[SampleValue; N]) {
        self.iter_mut().zip(other).for_each(|(value, other)| value.add(other));
    }
}
