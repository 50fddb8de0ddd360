//! The counters of one family that were shown, none of which may decrease or vanish. A counter here
//! is one series of the family. Its value is the sum of one or several *lines*, the entries of a
//! node's counters.

use std::collections::HashMap;
use std::sync::Arc;

use super::family::{Family, Labels, Sample, SampleValue};
use super::names::RECONNECTS;
use super::sets::Others;

/// The counters of one family that were shown.
///
/// They are in the order in which they were first seen, most often also the order of the next
/// snapshot, which is then read without a search in the map. With a search for each counter, ten
/// times as many counters take 17 times as long.
#[derive(Debug)]
pub(super) struct Shown {
    /// The family, without samples.
    family: Family,
    counters: Vec<Counter>,
    places: HashMap<Key, usize>,
    /// The number of snapshots until now.
    snapshots: u64,
}

/// Identifies a counter in its family.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    labels: Labels,
    fixed: Option<(&'static str, &'static str)>,
}

#[derive(Debug)]
struct Counter {
    key: Key,
    /// Whether this counter is a rest, which sums up the sets over the limit.
    is_rest: bool,
    /// The sum of the lines of this counter in the last snapshot.
    counted: u64,
    /// The number to add to `counted`, for lost lines.
    lost: u64,
    /// The number to subtract from `counted`: counts of replaced lines that other series still
    /// show.
    moved: u64,
    /// The value that was shown last.
    shown: u64,
    /// The number of the last snapshot with this counter.
    snapshot: u64,
}

impl Counter {
    /// Updates the shown value. Returns how much the lines of this counter have lost since the last
    /// snapshot.
    fn renew(&mut self) -> u64 {
        let sum = |one, other| u128::from(one) + u128::from(other);
        let missing = sum(self.moved, self.shown).saturating_sub(sum(self.counted, self.lost));
        let missing = missing as u64;
        self.lost = self.lost.wrapping_add(missing);
        self.shown = self.counted.wrapping_add(self.lost).wrapping_sub(self.moved);
        missing
    }
}

impl Shown {
    /// Creates the counters of a family, with none shown yet.
    pub(super) fn of(family: &Family) -> Shown {
        let &Family { ref name, ref help, kind, unit, .. } = family;
        let (name, help) = (name.clone(), help.clone());
        let family = Family { name, help, kind, unit, samples: Vec::new() };
        Shown { family, counters: Vec::new(), places: HashMap::new(), snapshots: 0 }
    }

    /// Returns the family for a snapshot that has none of its counters.
    pub(super) fn absent(&mut self, node: &Arc<str>, others: &mut Others) -> Family {
        let mut samples = Vec::new();
        self.keep(node, &mut samples, others);
        Family { samples, ..self.family.clone() }
    }

    /// Corrects the samples of a snapshot. A counter that has lost a line keeps its value and
    /// counts on from there. A counter that has lost all of its lines is added to the samples, with
    /// this node. The values of a lost line are now in the total of replaced lines, in the rest, so
    /// the part of them that is still shown is subtracted there.
    pub(super) fn keep(&mut self, node: &Arc<str>, samples: &mut Vec<Sample>, others: &mut Others) {
        self.snapshots += 1;
        let snapshot = self.snapshots;
        let mut places = Vec::with_capacity(samples.len());
        for sample in &*samples {
            let SampleValue::Counter(counted) = sample.value else { continue };
            let likely = places.last().map_or(0, |place| place + 1);
            let place = self.place(likely, &sample.labels, sample.fixed, others);
            let counter = &mut self.counters[place];
            (counter.counted, counter.snapshot) = (counted, snapshot);
            places.push(place);
        }
        // The values of lost lines are in the rest, except reconnects: there, the connections of a
        // lost peer count as first connections of other peers.
        let is_in_rest = self.family.name != RECONNECTS.family;
        for place in 0..self.counters.len() {
            let counter = &mut self.counters[place];
            if counter.snapshot != snapshot {
                counter.counted = 0;
            }
            if counter.is_rest {
                continue;
            }
            let lost = counter.renew();
            if lost > 0 && is_in_rest {
                let Key { labels, fixed } = &counter.key;
                let (labels, fixed) = (others.of(labels), *fixed);
                let rest = self.place(place, &labels, fixed, others);
                self.counters[rest].moved = self.counters[rest].moved.wrapping_add(lost);
            }
        }
        for counter in self.counters.iter_mut().filter(|counter| counter.is_rest) {
            counter.renew();
        }
        let counts = samples.iter_mut().filter_map(|sample| match &mut sample.value {
            SampleValue::Counter(count) => Some(count),
            SampleValue::Gauge(_) | SampleValue::Histogram(_) => None,
        });
        for (count, place) in counts.zip(&places) {
            *count = self.counters[*place].shown;
        }
        if self.counters.len() == places.len() {
            return;
        }
        let absent = self.counters.iter().filter(|counter| counter.snapshot != snapshot);
        samples.extend(absent.map(|counter| {
            let Key { labels, fixed } = counter.key.clone();
            Sample { node: node.clone(), labels, fixed, value: SampleValue::Counter(counter.shown) }
        }));
    }

    /// Returns the index of a counter, which is most often `likely`.
    fn place(
        &mut self,
        likely: usize,
        labels: &Labels,
        fixed: Option<(&'static str, &'static str)>,
        others: &mut Others,
    ) -> usize {
        let Shown { counters, places, .. } = self;
        let is_there =
            |counter: &Counter| counter.key.labels == *labels && counter.key.fixed == fixed;
        if counters.get(likely).is_some_and(is_there) {
            return likely;
        }
        let key = Key { labels: labels.clone(), fixed };
        *places.entry(key).or_insert_with_key(|key| {
            let (key, is_rest) = (key.clone(), others.of(&key.labels) == key.labels);
            let (counted, lost, moved, shown, snapshot) = (0, 0, 0, 0, 0);
            counters.push(Counter { key, is_rest, counted, lost, moved, shown, snapshot });
            counters.len() - 1
        })
    }
}
