//! Work queues: whatever happens on the way to the queue, each message is finished by one of the
//! processes that read it.
#![cfg(feature = "metrics")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use mycelium_transports::conformance::{NoTasks, Probe};
use mycelium_transports::engine::{Finished, Outgoing, OutgoingPacket, Worker};
use mycelium_transports::local::{Delivery, Policy, Subscription, TryRecv, WorkQueue};
use mycelium_transports::seam::{Control, Ends};
use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::local::{LocalTopic, cases};

/// A process that takes messages.
struct Process {
    worker: Worker<(u64, u64)>,
    reader: Subscription<Probe>,
    /// The packets that it was given, by epoch and sequence.
    _topic: LocalTopic,
}

impl Process {
    fn new() -> Process {
        let topic = LocalTopic::open(8);
        let reader = topic.topic.subscribe("Reader", Policy::Block).unwrap();
        let worker = Worker::new(topic.topic.clone(), "queue", 1).unwrap();
        Process { worker, reader, _topic: topic }
    }

    fn take(&mut self, key: (u64, u64), packet: &[u8]) -> bool {
        let taken = self.worker.take(packet, false, || key, Duration::ZERO, Waker::noop());
        let is_taken = taken.is_ready();
        assert!(!matches!(taken, Poll::Ready(Err(_))));
        is_taken
    }

    /// Receives a message, and finishes the one before. Returns whether there was one.
    fn receive(&mut self) -> Option<Probe> {
        match self.reader.try_recv() {
            TryRecv::Delivery(Delivery::Msg(probe)) => Some(*probe),
            TryRecv::Delivery(Delivery::Gap(gap)) => panic!("{gap}"),
            TryRecv::Empty | TryRecv::Closed => None,
        }
    }

    fn finished(&mut self) -> Vec<(u64, u64)> {
        let mut finished = Vec::new();
        while let Poll::Ready(Finished { of, is_dead }) =
            self.worker.finished(Duration::ZERO, Waker::noop())
        {
            assert!(!is_dead);
            finished.push(of);
        }
        finished
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A publisher emits.
    Emit(bool),
    /// A packet on its way is stored, and perhaps confirmed.
    Store(Index, bool),
    Lose(Index),
    /// A process gets a packet that is stored.
    Give(Index, bool),
    /// A process receives a message.
    Receive(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any::<bool>().prop_map(Step::Emit),
        3 => (any::<Index>(), weighted(0.8)).prop_map(|(index, is_told)| Step::Store(index, is_told)),
        1 => any::<Index>().prop_map(Step::Lose),
        3 => (any::<Index>(), any::<bool>()).prop_map(|(index, to)| Step::Give(index, to)),
        3 => any::<bool>().prop_map(Step::Receive),
    ]
}

proptest! {
    #![proptest_config(cases(4))]

    #[test]
    fn each_message_is_finished_by_one_process(steps in vec(step(), 0..300)) {
        let topic = LocalTopic::open(16);
        topic.topic.set_work_queue(WorkQueue::default());
        let control = Arc::<Control>::default();
        let ends =
            Ends::new("main", vec![topic.topic.clone()], Vec::new(), Arc::new(NoTasks), &control);
        let mut outgoing = Outgoing::confirmed(&ends, "queue").unwrap();
        let mut publishers = [1, 2].map(|epoch| topic.topic.publisher("Clock", epoch).unwrap());
        let mut processes = [Process::new(), Process::new()];
        let (mut flying, mut emitted) = (Vec::<OutgoingPacket>::new(), [0; 2]);
        // The queue stores a message once. `None` when it is given to a process.
        let mut queue = BTreeMap::<(u64, u64), Option<Vec<u8>>>::new();
        let mut finished = BTreeSet::new();
        let mut settle = |processes: &mut [Process; 2]| {
            for key in processes.iter_mut().flat_map(Process::finished) {
                assert!(finished.insert(key), "{key:?} was finished before");
            }
        };
        for step in steps {
            outgoing.poll(Waker::noop(), Duration::ZERO, false, |packet| flying.push(packet));
            match step {
                Step::Emit(of) => {
                    let of = usize::from(of);
                    let probe = Probe { publisher: of as u64, number: emitted[of] };
                    emitted[of] += u64::from(publishers[of].try_emit(probe).is_ok());
                    publishers[of].flush();
                }
                Step::Store(index, is_told) if !flying.is_empty() => {
                    let OutgoingPacket { topic, epoch, number, first, bytes } =
                        flying.remove(index.index(flying.len()));
                    queue.entry((epoch, first)).or_insert(Some(bytes));
                    let position = queue.len() as u64;
                    match is_told {
                        true => outgoing.confirm(topic, epoch, number, position),
                        false => outgoing.repeat(topic, epoch, number),
                    }
                }
                Step::Lose(index) if !flying.is_empty() => {
                    let lost = flying.remove(index.index(flying.len()));
                    outgoing.repeat(lost.topic, lost.epoch, lost.number);
                }
                Step::Give(index, to) => {
                    let mut stored: Vec<_> =
                        queue.iter_mut().filter(|(_, packet)| packet.is_some()).collect();
                    if !stored.is_empty() {
                        let (key, packet) = stored.swap_remove(index.index(stored.len()));
                        let bytes = packet.clone().unwrap_or_default();
                        if processes[usize::from(to)].take(*key, &bytes) {
                            *packet = None;
                        }
                    }
                }
                Step::Receive(of) => _ = processes[usize::from(of)].receive(),
                Step::Store(..) | Step::Lose(_) => {}
            }
            settle(&mut processes);
        }
        drop(publishers);
        let poll = |outgoing: &mut Outgoing, flying: &mut Vec<OutgoingPacket>| {
            outgoing.poll(Waker::noop(), Duration::ZERO, true, |packet| flying.push(packet)).is_over
        };
        while !poll(&mut outgoing, &mut flying) {
            for OutgoingPacket { topic, epoch, number, first, bytes } in std::mem::take(&mut flying) {
                queue.entry((epoch, first)).or_insert(Some(bytes));
                outgoing.confirm(topic, epoch, number, queue.len() as u64);
            }
        }
        prop_assert_eq!(queue.len() as u64, emitted.iter().sum::<u64>());
        for (key, packet) in &queue {
            while let Some(packet) = packet && !processes[0].take(*key, packet) {
                processes[0].receive();
                settle(&mut processes);
            }
        }
        for index in [0, 1] {
            while processes[index].receive().is_some() {}
            processes[index].reader.done();
        }
        settle(&mut processes);
        prop_assert_eq!(finished.len(), queue.len());
    }
}
