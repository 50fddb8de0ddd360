//! Panics on purpose, to show that they change nothing. Each service calls [`Faults::point`] before
//! and after its emit, with its message in hand; at seeded calls that panics, and supervision has
//! to put the service together again.

use std::collections::BTreeSet;

use mycelium::Kept;

/// The seeded faults of one service. Clones share one count, so it goes on after a panic.
#[derive(Clone, Debug, Default)]
pub struct Faults(Kept<Schedule>);

#[derive(Debug, Default)]
struct Schedule {
    calls: u64,
    due: BTreeSet<u64>,
    happened: u64,
}

impl Faults {
    /// None.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// So many faults among the first `calls` calls.
    #[must_use]
    pub fn seeded(seed: u64, count: usize, calls: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut due = BTreeSet::new();
        while due.len() < count.min(usize::try_from(calls).unwrap_or(usize::MAX)) {
            due.insert(random.u64(..calls));
        }
        Self(Kept::new(Schedule { due, ..Schedule::default() }))
    }

    /// How many happened.
    #[must_use]
    pub fn happened(&self) -> u64 {
        self.0.read(|schedule| schedule.happened)
    }

    /// A place where the service may panic. A message that is delivered again is spared, since it
    /// would be given up: the fault waits for the next one.
    ///
    /// # Panics
    /// That is what it is for.
    pub fn point(&self, place: &str, spared: bool) {
        let panics = self.0.commit(|schedule| {
            schedule.calls += 1;
            let due = schedule.due.first().is_some_and(|call| *call < schedule.calls);
            if due && !spared {
                schedule.due.pop_first();
                schedule.happened += 1;
                return true;
            }
            false
        });
        assert!(!panics, "a fault on purpose, {place}");
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    fn panics(faults: &Faults, spared: bool) -> bool {
        catch_unwind(|| faults.point("here", spared)).is_err()
    }

    #[test]
    fn faults_happen_as_often_as_seeded_and_spare_what_they_must() {
        let faults = Faults::seeded(7, 20, 100);
        let happened = (0..100).filter(|_| panics(&faults, false)).count();
        assert_eq!((happened, faults.happened()), (20, 20));
        let faults = Faults::seeded(7, 1, 1);
        assert!(!panics(&faults, true));
        assert!(panics(&faults, false), "it waits");
        assert!(!panics(&faults, false));
        assert!(!(0..100).any(|_| panics(&Faults::none(), false)));
    }
}
