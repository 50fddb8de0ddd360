//! Panics on purpose, to show that they do not change the outcome. Each service calls
//! [`Faults::point`] before and after its emit, with a message in flight. Seeded calls panic, and
//! the supervision restarts the service.

use std::collections::BTreeSet;

use mycelium::supervision::Kept;

/// The number of faults of a service.
const COUNT: usize = 20;

/// The seeded faults of one service. Clones share one count, so it continues after a panic.
#[derive(Clone, Debug, Default)]
pub struct Faults(Kept<Schedule>);

#[derive(Debug, Default)]
struct Schedule {
    calls: u64,
    due: BTreeSet<u64>,
}

impl Faults {
    /// Creates twenty faults among the first `calls` calls. `calls` must be at least twenty.
    pub fn seeded(seed: u64, calls: u64) -> Self {
        let (mut random, mut due) = (fastrand::Rng::with_seed(seed), BTreeSet::new());
        while due.len() < COUNT {
            due.insert(random.u64(..calls));
        }
        Self(Kept::new(Schedule { calls: 0, due }))
    }

    /// A point where the service may panic. A redelivered message is `spared`, because it would be
    /// dead-lettered: the fault waits for the next message.
    ///
    /// # Panics
    /// If a fault is due.
    pub fn point(&self, place: &str, spared: bool) {
        let panics = self.0.commit(|Schedule { calls, due }| {
            *calls += 1;
            let is_due = !spared && due.first().is_some_and(|call| *call < *calls);
            is_due && due.pop_first().is_some()
        });
        assert!(!panics, "a fault on purpose, {place}");
    }
}
