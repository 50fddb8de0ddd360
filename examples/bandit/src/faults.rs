//! Panics on purpose, to show that they do not change the outcome. Each service calls
//! [`Faults::point`] before and after its emit, with a message in flight. Seeded calls panic, and
//! the supervision restarts the service.

use std::collections::BTreeSet;

use mycelium::Kept;

/// The seeded faults of one service. Clones share one count, so it continues after a panic.
#[derive(Clone, Debug, Default)]
pub struct Faults(Kept<Schedule>);

#[derive(Debug, Default)]
struct Schedule {
    calls: u64,
    due: BTreeSet<u64>,
    happened: u64,
}

impl Faults {
    /// No faults.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// `count` faults among the first `calls` calls.
    #[must_use]
    pub fn seeded(seed: u64, count: usize, calls: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut due = BTreeSet::new();
        while due.len() < count.min(usize::try_from(calls).unwrap_or(usize::MAX)) {
            due.insert(random.u64(..calls));
        }
        Self(Kept::new(Schedule { due, ..Schedule::default() }))
    }

    /// The number of faults that happened.
    #[must_use]
    pub fn happened(&self) -> u64 {
        self.0.read(|schedule| schedule.happened)
    }

    /// A point where the service may panic. A redelivered message is `spared`, because it would be
    /// dead-lettered: the fault waits for the next message.
    ///
    /// # Panics
    /// If a fault is due.
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
