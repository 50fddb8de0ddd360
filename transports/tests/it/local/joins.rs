//! Subscriptions and publishers that come and go while messages are sent: each message of each
//! publisher has one outcome at each subscription, and the counters show it.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::task::{Context, Poll, Waker};

use mycelium_transports::conformance::Probe;
use mycelium_transports::counters::{Kind, Reading};
use mycelium_transports::local::{
    Delivery, LatestByKey, OnStall, Policy, Publisher, Start, SubscribeOptions, Subscription,
    TryRecv,
};
use proptest::prelude::ProptestConfig;

use super::LocalTopic;
use super::stall::LIMIT;

const FATES: [&str; 8] =
    ["taken", "overwritten", "skipped", "dropped", "sampled", "dead_lettered", "left", "unknown"];

/// A subscription, and the messages that it has received.
struct Reader {
    name: String,
    options: SubscribeOptions,
    subscription: Subscription<Probe>,
    /// Whether the publisher may overwrite messages that the reader has not taken, although it
    /// asked for retained messages.
    may_miss: bool,
    /// The next sequence of each publisher, if this reader gets all messages in order.
    next: BTreeMap<u64, u64>,
    in_flight: Vec<(u64, u64)>,
    /// Messages whose handling failed.
    failed: BTreeSet<(u64, u64)>,
    received: BTreeSet<(u64, u64)>,
}

impl Reader {
    fn settle(&mut self) {
        for message in self.in_flight.drain(..) {
            self.failed.remove(&message);
        }
    }

    fn receives_in_order(&self) -> bool {
        self.options.policy.keeps() || self.options.policy == Policy::DropOldest
    }

    fn receive(&mut self, delivery: Delivery<Probe>) {
        let (name, is_oldest) = (&self.name, self.options.start == Start::Oldest);
        let (publisher, sequence) = match delivery {
            Delivery::Msg(probe) => {
                let message @ (publisher, sequence) = (probe.publisher, probe.sequence());
                assert_eq!(probe.number, sequence, "{name}");
                assert_eq!(probe.redelivered(), self.failed.contains(&message), "{name}");
                let is_first = self.received.insert(message);
                assert!(is_first || probe.redelivered(), "{name} got {message:?} twice");
                if let Policy::Sample(every) = self.options.policy {
                    assert_eq!(sequence % u64::from(every.get()), 0, "{name}");
                }
                self.in_flight.push(message);
                (publisher, Ok(sequence))
            }
            Delivery::Gap(gap) => {
                assert!(gap.exact() && gap.count > 0, "{name}: {gap}");
                (gap.epoch, Err(gap.count))
            }
        };
        if !self.receives_in_order() {
            return;
        }
        // A reader that starts at the oldest message does not know that message's sequence.
        let unknown = if is_oldest { sequence.ok() } else { Some(0) };
        let Some(next) = self.next.get(&publisher).copied().or(unknown) else { return };
        let next = match sequence {
            Ok(sequence) => {
                assert_eq!(next, sequence, "{}: the order of {publisher}", self.name);
                next + 1
            }
            Err(missed) => next + missed,
        };
        self.next.insert(publisher, next);
    }

    fn fail(&mut self) {
        match self.subscription.fail() {
            None if self.options.policy.keeps() => {
                let is_second = matches!(&*self.in_flight, [it] if self.failed.contains(it));
                assert!(!is_second || self.may_miss, "{}: no dead letter", self.name);
                for (publisher, sequence) in self.in_flight.drain(..).rev() {
                    self.failed.insert((publisher, sequence));
                    self.next.insert(publisher, sequence);
                }
            }
            None => {}
            Some(letter) => {
                let message = (letter.epoch, letter.sequence);
                assert_eq!(self.in_flight, [message], "{}", self.name);
                assert!(self.failed.contains(&message), "{}: the first failure", self.name);
                self.settle();
            }
        }
    }
}

struct Model {
    random: fastrand::Rng,
    local: LocalTopic,
    evicts: bool,
    /// The most publishers at the same time.
    most: usize,
    publishers: Vec<(u64, Publisher<Probe>)>,
    readers: Vec<Reader>,
    /// How many messages each publisher has sent.
    sent: BTreeMap<u64, u64>,
    readers_made: usize,
}

impl Model {
    fn new(seed: u64, most: usize) -> Model {
        let mut random = fastrand::Rng::with_seed(seed);
        let local = LocalTopic::open(1 << random.u32(1..6)).clocked();
        let evicts = random.bool();
        if evicts {
            local.topic.set_on_stall(OnStall::EvictAfter(LIMIT));
        }
        let mut model = Model {
            random,
            local,
            evicts,
            most,
            publishers: Vec::new(),
            readers: Vec::new(),
            sent: BTreeMap::new(),
            readers_made: 0,
        };
        (0..most / 3).for_each(|_| model.join());
        model
    }

    fn join(&mut self) {
        let epoch = self.sent.len() as u64;
        self.publishers.push((epoch, self.local.topic.publisher("publisher", epoch).unwrap()));
        self.sent.insert(epoch, 0);
        self.readers.iter_mut().for_each(|reader| _ = reader.next.insert(epoch, 0));
    }

    fn step(&mut self) {
        let (publishers, readers) = (self.publishers.len(), self.readers.len());
        match self.random.u32(..100) {
            0..4 if publishers < self.most => self.join(),
            4..6 if publishers > 1 => {
                _ = self.publishers.swap_remove(self.random.usize(..publishers));
            }
            6..10 if readers < 6 => self.subscribe(),
            10..12 if readers > 1 => {
                let Reader { name, subscription, .. } =
                    self.readers.swap_remove(self.random.usize(..readers));
                drop(subscription);
                self.check([(&*name, 0)]);
            }
            12..60 if publishers > 0 => self.emit(),
            60..92 if readers > 0 => self.receive(),
            92..96 if readers > 0 => self.readers[self.random.usize(..readers)].fail(),
            96..98 if readers > 0 => {
                let reader = &mut self.readers[self.random.usize(..readers)];
                reader.subscription.done();
                reader.settle();
            }
            // Half of the time after which a stalled reader is evicted.
            98..100 => self.local.time.advance(LIMIT / 2),
            _ => {}
        }
        // Checks are rare because counters take long to read; a wrong sum stays wrong.
        if self.random.usize(..8 + self.most) > 0 {
            return;
        }
        let depth = |reader: &Reader| reader.subscription.depth() as u64;
        self.check(self.readers.iter().map(|reader| (&*reader.name, depth(reader))));
    }

    fn subscribe(&mut self) {
        let some = NonZeroU32::new(self.random.u32(1..6)).unwrap();
        let field = if self.random.bool() { "number" } else { "publisher" };
        let by_key = Policy::LatestByKey(LatestByKey::of::<Probe>(field, some).unwrap());
        let policies: Vec<_> = Policy::all().chain([Policy::Sample(some), by_key]).collect();
        let policy = policies[self.random.usize(..policies.len())];
        let start = if self.random.u8(..3) == 0 { Start::Oldest } else { Start::Next };
        let options = SubscribeOptions::new(policy, start);
        let name = self.readers_made.to_string();
        self.readers_made += 1;
        let next = match start {
            Start::Oldest => BTreeMap::new(),
            _ => self.publishers.iter().map(|(epoch, it)| (*epoch, it.sent())).collect(),
        };
        self.readers.push(Reader {
            subscription: self.local.subscribe(&name, options),
            name,
            options,
            may_miss: self.evicts || start == Start::Oldest,
            next,
            in_flight: Vec::new(),
            failed: BTreeSet::new(),
            received: BTreeSet::new(),
        });
    }

    fn emit(&mut self) {
        let index = self.random.usize(..self.publishers.len());
        let (epoch, publisher) = &mut self.publishers[index];
        let first = self.sent[epoch];
        let count = self.random.u64(..2 * self.local.topic.capacity() as u64 + 3);
        let probe = |number| Probe { publisher: *epoch, number };
        let probes: Vec<Probe> = (first..first + count).map(probe).collect();
        let sent = match self.random.u8(..3) {
            0 => probes.iter().take_while(|it| publisher.try_emit(**it).is_ok()).count(),
            1 => publisher.try_emit_batch(&probes).map_or_else(|it| it.sent, |()| probes.len()),
            _ => {
                let (context, mut sent) = (Context::from_waker(Waker::noop()), 0);
                _ = publisher.poll_emit_batch(&context, &probes, &mut sent);
                sent
            }
        };
        self.sent.insert(*epoch, first + sent as u64);
        assert_eq!(publisher.sent(), self.sent[epoch]);
    }

    fn receive(&mut self) {
        let index = self.random.usize(..self.readers.len());
        let (most, reader) = (self.random.usize(1..40), &mut self.readers[index]);
        if self.random.bool() {
            for _ in 0..most {
                reader.settle();
                let TryRecv::Delivery(delivery) = reader.subscription.try_recv() else { return };
                reader.receive(delivery);
            }
        } else {
            reader.settle();
            let (context, mut batch) = (Context::from_waker(Waker::noop()), Vec::new());
            let poll = reader.subscription.poll_recv_many(&context, &mut batch, most);
            assert_eq!(poll, if batch.is_empty() { poll } else { Poll::Ready(batch.len()) });
            let again = |it: &Delivery<Probe>| matches!(it, Delivery::Msg(it) if it.redelivered());
            assert!(batch.len() <= most && (batch.len() <= 1 || !batch.iter().any(again)));
            batch.into_iter().for_each(|delivery| reader.receive(delivery));
        }
    }

    /// Checks for each reader, over all publishers, that the messages sent since it joined have an
    /// outcome or are in its depth.
    fn check<'a>(&self, depths: impl IntoIterator<Item = (&'a str, u64)>) {
        let lines = self.local.counters.read();
        for (name, depth) in depths {
            let is_of = |it: &&Reading| it.kind == Kind::Edge && it.label("reader") == name;
            let (mut sent, mut fates) = (0, depth);
            for line in lines.iter().filter(is_of) {
                let epoch = u64::from_str_radix(line.label("epoch"), 16).unwrap();
                sent += self.sent[&epoch] - line.value("joined_at");
                fates += FATES.map(|fate| line.value(fate)).iter().sum::<u64>();
            }
            assert_eq!(sent, fates, "{name}");
        }
    }

    fn end(mut self) {
        self.publishers.clear();
        for mut reader in std::mem::take(&mut self.readers) {
            loop {
                reader.settle();
                match reader.subscription.try_recv() {
                    TryRecv::Delivery(delivery) => reader.receive(delivery),
                    TryRecv::Empty if self.sent.is_empty() || reader.next.is_empty() => break,
                    TryRecv::Empty => panic!("{}: no end", reader.name),
                    TryRecv::Closed => break,
                }
            }
            if reader.receives_in_order() {
                for (epoch, next) in &reader.next {
                    assert_eq!(*next, self.sent[epoch], "{}: all of {epoch}", reader.name);
                }
            }
            drop(reader.subscription);
            self.check([(&*reader.name, 0)]);
        }
    }
}

#[expect(clippy::print_stdout, reason = "the seed is what one needs to see it again")]
#[test]
fn every_message_has_one_fate_at_readers_that_come_and_go() {
    // 32 seeds, unless `PROPTEST_CASES` asks for more.
    let seeds = u64::from(ProptestConfig::default().cases / 8).max(2);
    let crowd = if cfg!(miri) { (2, 60, 12) } else { (seeds / 2, 1_500, 150) };
    for (seeds, steps, most) in [if cfg!(miri) { (2, 60, 6) } else { (seeds, 400, 6) }, crowd] {
        for seed in 0..seeds {
            let seed = fastrand::u64(..u64::MAX - seed);
            println!("seed {seed}, {most} publishers");
            let mut model = Model::new(seed, most);
            (0..steps).for_each(|_| model.step());
            model.end();
        }
    }
}
