//! The publisher's cost of a message to readers in other processes.

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use mycelium_core::ring::broadcast::{BroadcastHandle, Claim, Peek, ProxyReader};
use mycelium_core::ring::region::{ForeignCursors, Import};
use mycelium_transports::memory::Mapping;

use super::ring::{OwnRing, layout, positions, read};
use crate::affinity::Cores;
use crate::harness::{Column, Mismatch, Round};
use crate::processes::{Parent, Talk, Worker};
use crate::wait::{DEADLINE, Idle, Retry};

/// Words of a message.
const WORDS: usize = 6;
/// Messages of a batch; the readers take them after it.
const BATCH: usize = 512;

/// Reads as many messages as each line says.
pub(super) fn serve(parent: &mut Parent) {
    let (mut reader, _file) = read(parent, layout::<WORDS>());
    let mut message = [0; WORDS];
    let mut expected = 0;
    while let Some(line) = parent.hear() {
        let count: usize = line.trim().parse().expect("a number");
        let mut retry = Retry::new(Idle::Mixed, DEADLINE);
        for _ in 0..count {
            while !matches!(reader.peek(&mut message), Peek::Message { .. }) {
                assert!(retry.wait(), "a message was lost");
            }
            assert_eq!(message, [expected; WORDS], "a message was changed");
            expected += 1;
            reader.advance();
        }
        reader.flush();
    }
}

/// The positions of all processes.
#[derive(Clone, Default)]
struct All(Arc<RwLock<Vec<Process>>>);

/// A process that reads, and its positions.
type Process = (Claim, ForeignCursors<Mapping>);

impl Import for All {
    fn refresh(&self, exact: bool, import: &mut dyn FnMut(Claim, Option<usize>)) {
        let all = self.0.read().expect("nothing panics");
        all.iter().for_each(|(claim, cursors)| import(*claim, cursors.position(exact)));
    }
}

/// A column with this number of reading processes. Sending is timed; the messages are received
/// between the timed parts.
pub(crate) fn fan_out(name: &'static str, processes: usize, cores: &Cores) -> Column {
    let (mut made, cores, mut number) = (None, cores.clone(), 0);
    Column::new(name, move |operations| {
        let (offer, proxies, workers) = made.get_or_insert_with(|| {
            let all = All::default();
            let offer = OwnRing::new(layout::<WORDS>(), processes, all.clone());
            let (mut proxies, mut workers) = (Vec::new(), Vec::new());
            for _ in 0..processes {
                let mut worker = Worker::start(&cores, "fan-out");
                let proxy = offer.tell(&mut worker);
                let cursors = positions(&mut worker, layout::<WORDS>());
                all.0.write().expect("nothing panics").push((proxy.claim(), cursors));
                proxies.push((proxy, all.clone()));
                workers.push(worker);
            }
            (offer, proxies, workers)
        });
        let mut took = Duration::ZERO;
        let mut left = operations;
        while left > 0 {
            let count = left.min(BATCH);
            let start = Instant::now();
            for _ in 0..count {
                let message = [number; WORDS];
                if offer.writer.try_push(&message, size_of_val(&message)).is_err() {
                    return Err(Mismatch::new(name, "the readers are a lap behind"));
                }
                number += 1;
            }
            took += start.elapsed();
            workers.iter_mut().for_each(|worker| worker.say(&count));
            let mut retry = Retry::new(Idle::Yield, DEADLINE);
            while proxies.iter().any(|(proxy, all)| behind(proxy, all)) {
                if !retry.wait() {
                    return Err(Mismatch::new(name, "the readers did not take all messages"));
                }
            }
            left -= count;
        }
        Ok(Round::Total(took))
    })
}

/// Whether a process has still to read.
fn behind<H: BroadcastHandle>(proxy: &ProxyReader<H>, all: &All) -> bool {
    let all = all.0.read().expect("nothing panics");
    if let Some((_, cursors)) = all.iter().find(|(claim, _)| *claim == proxy.claim()) {
        proxy.import(|| cursors.position(true));
    }
    proxy.depth() > 0
}
