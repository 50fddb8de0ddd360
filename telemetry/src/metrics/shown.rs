//! The counters of one family that were shown: none of them goes back or vanishes.

use std::collections::HashMap;
use std::sync::Arc;

use super::family::{Family, Labels, Sample, SampleValue};

/// The counters of one family that were shown.
///
/// They are in the order in which they were seen first, which is most often that of the next
/// snapshot: then they are read from the first to the last, without the map. If each was searched
/// there, ten times as many counters took 17 times as long.
#[derive(Debug)]
pub(super) struct Shown {
    /// The family, without samples.
    family: Family,
    counters: Vec<Counter>,
    places: HashMap<Key, usize>,
    /// The number of the last snapshot.
    snapshots: u64,
}

/// A counter among those of its family.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    labels: Labels,
    fixed: Option<(&'static str, &'static str)>,
}

#[derive(Debug)]
struct Counter {
    key: Key,
    /// Its last value.
    counted: u64,
    /// The number that is added, because lines have got lost.
    lost: u64,
    /// The last snapshot that had it.
    snapshot: u64,
}

impl Shown {
    /// Of a family of which nothing was shown.
    pub(super) fn of(family: &Family) -> Shown {
        let &Family { ref name, ref help, kind, unit, .. } = family;
        let (name, help) = (name.clone(), help.clone());
        let family = Family { name, help, kind, unit, samples: Vec::new() };
        Shown { family, counters: Vec::new(), places: HashMap::new(), snapshots: 0 }
    }

    /// The family, if a snapshot has nothing of it.
    pub(super) fn absent(&mut self, node: &Arc<str>) -> Family {
        let mut samples = Vec::new();
        self.keep(node, &mut samples);
        Family { samples, ..self.family.clone() }
    }

    /// A counter that has lost a line stays where it was, and counts on from there. One that has
    /// lost all of its lines is added to the samples, of this node.
    pub(super) fn keep(&mut self, node: &Arc<str>, samples: &mut Vec<Sample>) {
        self.snapshots += 1;
        let (mut next, before) = (0, samples.len());
        for sample in samples.iter_mut() {
            let SampleValue::Counter(count) = &mut sample.value else { continue };
            let place = self.place(next, &sample.labels, sample.fixed);
            let counter = &mut self.counters[place];
            counter.snapshot = self.snapshots;
            counter.lost = counter.lost.wrapping_add(counter.counted.saturating_sub(*count));
            counter.counted = *count;
            *count = count.wrapping_add(counter.lost);
            next = place + 1;
        }
        if self.counters.len() == before {
            return;
        }
        let snapshot = self.snapshots;
        let absent = self.counters.iter_mut().filter(|counter| counter.snapshot != snapshot);
        samples.extend(absent.map(|counter| {
            counter.lost = counter.lost.wrapping_add(std::mem::take(&mut counter.counted));
            let Key { labels, fixed } = counter.key.clone();
            Sample { node: node.clone(), labels, fixed, value: SampleValue::Counter(counter.lost) }
        }));
    }

    /// The place of a counter, which is most often `likely`.
    fn place(
        &mut self,
        likely: usize,
        labels: &Labels,
        fixed: Option<(&'static str, &'static str)>,
    ) -> usize {
        let Shown { counters, places, .. } = self;
        let is_there =
            |counter: &Counter| counter.key.labels == *labels && counter.key.fixed == fixed;
        if counters.get(likely).is_some_and(is_there) {
            return likely;
        }
        let key = Key { labels: labels.clone(), fixed };
        *places.entry(key).or_insert_with_key(|key| {
            counters.push(Counter { key: key.clone(), counted: 0, lost: 0, snapshot: 0 });
            counters.len() - 1
        })
    }
}
