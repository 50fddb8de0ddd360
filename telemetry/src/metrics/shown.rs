//! The counters of one family that were shown: none of them goes back.

use std::collections::HashMap;

use super::family::{Labels, Sample, SampleValue};

/// The counters of one family that were shown.
///
/// They are in the order in which they were seen first, which is most often that of the next
/// snapshot: then they are read from the first to the last, without the map. If each was searched
/// there, ten times as many counters took 17 times as long.
#[derive(Debug, Default)]
pub(super) struct Shown {
    counters: Vec<Counter>,
    places: HashMap<Key, usize>,
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
}

impl Shown {
    /// A counter that has lost a line stays where it was, and counts on from there.
    pub(super) fn keep(&mut self, samples: &mut [Sample]) {
        let mut next = 0;
        for sample in samples {
            let SampleValue::Counter(count) = &mut sample.value else { continue };
            let place = self.place(next, &sample.labels, sample.fixed);
            let counter = &mut self.counters[place];
            counter.lost = counter.lost.wrapping_add(counter.counted.saturating_sub(*count));
            counter.counted = *count;
            *count = count.wrapping_add(counter.lost);
            next = place + 1;
        }
    }

    /// The place of a counter, which is most often `likely`.
    fn place(
        &mut self,
        likely: usize,
        labels: &Labels,
        fixed: Option<(&'static str, &'static str)>,
    ) -> usize {
        let Shown { counters, places } = self;
        let is_there =
            |counter: &Counter| counter.key.labels == *labels && counter.key.fixed == fixed;
        if counters.get(likely).is_some_and(is_there) {
            return likely;
        }
        let key = Key { labels: labels.clone(), fixed };
        *places.entry(key).or_insert_with_key(|key| {
            counters.push(Counter { key: key.clone(), counted: 0, lost: 0 });
            counters.len() - 1
        })
    }
}
