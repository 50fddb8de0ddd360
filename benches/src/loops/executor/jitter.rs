//! How late a service that never sleeps is by its own clock, while other threads want the other core.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use hdrhistogram::Histogram;
use mycelium::Execution;
use mycelium_executor::Thread;

use super::host::{OnTokio, inside};
use super::services::{Board, FITS, METRONOME, metronome};
use crate::affinity::{Cores, Side};
use crate::harness::Mismatch;
use crate::loops::latency::Timed;
use crate::report::histogram;

/// A service on a thread of its own.
pub(crate) struct Jitter {
    pub(crate) name: &'static str,
    pub(crate) pinned: bool,
    pub(crate) cores: Cores,
}

/// So many threads keep the other core busy: more than one, so that they are moved to where there is room.
const OTHERS: usize = 2;

impl Timed for Jitter {
    fn name(&self) -> &'static str {
        self.name
    }

    fn times(&mut self, operations: usize) -> Result<Histogram<u64>, Mismatch> {
        let board = Arc::new(Board::default());
        let core = self.cores.of(Side::Reader).filter(|_| self.pinned);
        let execution = core.map_or_else(Execution::dedicated, |core| Execution::pinned([core]));
        let node = metronome(operations, &board).execution(METRONOME, execution);
        let node = node.build().expect(FITS);
        let over = AtomicBool::new(false);
        let ran = thread::scope(|scope| {
            for _ in 0..OTHERS {
                let (over, cores) = (&over, self.cores.of(Side::Writer).into_iter().collect());
                scope.spawn(move || {
                    let _ = Thread { cores, ..Thread::default() }.apply_to_current();
                    while !over.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            let ran = inside::<OnTokio, _>(async move |executor| {
                node.start(executor).expect("it has all it needs").join().await.is_ok()
            });
            over.store(true, Ordering::Relaxed);
            ran
        });
        let found = board.found();
        if ran != Some(true) || found.tally.count != operations as u64 {
            return Err(Mismatch::new(self.name, "the node failed"));
        }
        Ok(found.times.unwrap_or_else(histogram))
    }
}
