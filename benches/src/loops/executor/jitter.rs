//! How late a service that never sleeps is by its own clock, while other threads use the other
//! core.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use mycelium::Execution;
use mycelium_executor::Thread;

use super::host::{OnTokio, run_node};
use super::services::{FITS, METRONOME, Results, metronome};
use crate::affinity::{Cores, Side};
use crate::harness::{Column, Mismatch, Round};

/// Threads that keep the other core busy: more than one, so that the scheduler moves them.
const OTHERS: usize = 2;

/// A service on its own thread.
pub(crate) fn jitter(name: &'static str, pinned: bool, cores: Cores) -> Column {
    Column::new(name, move |operations| {
        let results = Arc::new(Results::default());
        let core = cores.of(Side::Reader).filter(|_| pinned);
        let execution = core.map_or_else(Execution::dedicated, |core| Execution::pinned([core]));
        let node = metronome(operations, &results).execution(METRONOME, execution);
        let node = node.build().expect(FITS);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..OTHERS {
                let (over, cores) = (&over, cores.of(Side::Writer).into_iter().collect());
                scope.spawn(move || {
                    let _ = Thread { cores, ..Thread::default() }.apply_to_current();
                    while !over.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            let ran = run_node::<OnTokio>(name, node);
            over.store(true, Ordering::Relaxed);
            ran
        })?;
        let found = results.found();
        if found.tally.count != operations as u64 {
            return Err(Mismatch::new(name, "the service did not finish"));
        }
        Ok(Round::Each(found.times))
    })
}
