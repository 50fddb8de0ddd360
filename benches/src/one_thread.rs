//! What a message costs while nobody else is at work: emit, emit and receive, emit to many.

use std::hint::black_box;
use std::time::{Duration, Instant};

use mycelium_transports::local::Pulse;

use crate::ends::{self, EMIT, Ends, Pop, Push, RIVALS, RTRB_SLOT, Task, every};
use crate::harness::{Column, Contest, Mismatch, Pair};
use crate::options::Options;
use crate::sample::{SAMPLES, Sample, Tally, samples};

/// So many messages are sent before they are received, half of what a buffer holds.
const BATCH: usize = 512;

pub(crate) fn contests(options: &Options) -> Vec<Contest> {
    let all = [("emit", emit as fn(_) -> _), ("emit-receive", exchange), ("fan-out", fan_out)];
    let wanted = all.into_iter().filter(|(key, _)| options.wants(key));
    wanted.map(|(_, contest)| contest(options)).collect()
}

fn emit(options: &Options) -> Contest {
    let mut columns: Vec<Box<dyn Column>> = every!(emit_in_one_task, ends => Batches(ends));
    columns.push(Box::new(LoopAlone));
    Contest {
        key: "emit",
        title: "one thread, 56 bytes to one subscriber".into(),
        timed: "512 sends and the end of the poll; they are received between the timed parts",
        operations: options.operations(16 * BATCH, 4 * BATCH).next_multiple_of(BATCH),
        columns,
        pairs: against(RIVALS, |pair| match pair.rival {
            RTRB_SLOT => pair.within(1.5).guided(10.0),
            _ => pair,
        }),
    }
}

fn exchange(options: &Options) -> Contest {
    Contest {
        key: "emit-receive",
        title: "one thread, 56 bytes, each message received at once".into(),
        timed: "send, receive and sum of 512 messages one by one, and the end of the poll",
        operations: options.operations(8 * BATCH, 4 * BATCH).next_multiple_of(BATCH),
        columns: every!(emit_in_one_task, ends => OneByOne(ends)),
        pairs: against(RIVALS, |pair| pair),
    }
}

fn against<const N: usize>(rivals: [&'static str; N], goal: impl Fn(Pair) -> Pair) -> Vec<Pair> {
    rivals.into_iter().map(|rival| goal(Pair::new(EMIT, rival))).collect()
}

/// The loop of a sender. Not inlined, so that a profiler can tell it from the receiver's.
#[inline(never)]
fn send_batch<P: Task<End: Push>>(sender: &mut P, samples: &[Sample; SAMPLES]) -> usize {
    sender.poll(|sender| {
        let mut accepted = 0;
        for number in 0..BATCH {
            accepted += usize::from(sender.push(black_box(&samples[number % SAMPLES])));
        }
        accepted
    })
}

#[inline(never)]
fn receive_all<Q: Task<End: Pop>>(receiver: &mut Q, tally: &mut Tally) {
    receiver.poll(|receiver| while receiver.pop(|sample| tally.add(sample)).is_some() {});
}

/// Sends a batch, then receives it; only the sending is timed.
struct Batches<P, Q>(Ends<P, Q>);

impl<P: Task<End: Push>, Q: Task<End: Pop>> Column for Batches<P, Q> {
    fn name(&self) -> &'static str {
        self.0.name
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        let receivers = std::slice::from_mut(&mut self.0.receiver);
        round_of_batches(self.0.name, &mut self.0.sender, receivers, operations)
    }
}

fn round_of_batches<P: Task<End: Push>, Q: Task<End: Pop>>(
    name: &'static str,
    sender: &mut P,
    receivers: &mut [Q],
    operations: usize,
) -> Result<Duration, Mismatch> {
    let samples = samples();
    let mut tallies = vec![Tally::default(); receivers.len()];
    let mut took = Duration::ZERO;
    for _ in 0..operations / BATCH {
        let start = Instant::now();
        let accepted = send_batch(sender, &samples);
        took += start.elapsed();
        if accepted != BATCH {
            return Err(Mismatch::new(name, format!("it took {accepted} of {BATCH} messages")));
        }
        for (receiver, tally) in receivers.iter_mut().zip(&mut tallies) {
            receive_all(receiver, tally);
        }
    }
    let expected = Tally::expected(operations, Tally::add);
    tallies.into_iter().try_for_each(|found| Mismatch::check(name, expected, found))?;
    Ok(took)
}

/// What the loop costs without anything in it.
struct LoopAlone;

impl Column for LoopAlone {
    fn name(&self) -> &'static str {
        "the loop alone"
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        let samples = samples();
        let mut took = Duration::ZERO;
        for _ in 0..operations / BATCH {
            let start = Instant::now();
            black_box(send_batch(&mut ends::nothing(), &samples));
            took += start.elapsed();
        }
        Ok(took)
    }
}

/// Receives each message before the next is sent.
struct OneByOne<P, Q>(Ends<P, Q>);

#[inline(never)]
fn exchange_batch<P: Task<End: Push>, Q: Task<End: Pop>>(
    ends: &mut Ends<P, Q>,
    samples: &[Sample; SAMPLES],
    tally: &mut Tally,
) {
    let Ends { sender, receiver, .. } = ends;
    sender.poll(|sender| {
        receiver.poll(|receiver| {
            for number in 0..BATCH {
                if sender.push(black_box(&samples[number % SAMPLES])) {
                    receiver.pop(|sample| tally.add(sample));
                }
            }
        });
    });
}

impl<P: Task<End: Push>, Q: Task<End: Pop>> Column for OneByOne<P, Q> {
    fn name(&self) -> &'static str {
        self.0.name
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        let samples = samples();
        let mut tally = Tally::default();
        let start = Instant::now();
        for _ in 0..operations / BATCH {
            exchange_batch(&mut self.0, &samples, &mut tally);
        }
        let took = start.elapsed();
        Mismatch::check(self.0.name, Tally::expected(operations, Tally::add), tally)?;
        Ok(took)
    }
}

/// Our subscriptions and tokio's receivers, by their number.
const FAN: [(usize, &str, &str); 4] = [
    (1, "emit to 1", "tokio broadcast to 1"),
    (4, "emit to 4", "tokio broadcast to 4"),
    (16, "emit to 16", "tokio broadcast to 16"),
    (64, "emit to 64", "tokio broadcast to 64"),
];

fn fan_out(options: &Options) -> Contest {
    let mut columns: Vec<Box<dyn Column>> = Vec::new();
    let mut pairs = Vec::new();
    for (readers, emit, tokio) in FAN {
        let ours = ends::ours(Pulse::new(), (0..readers).map(|_| Pulse::new()));
        columns.push(Box::new(Fan::new(emit, ours)));
        columns.push(Box::new(Fan::new(tokio, ends::tokio(readers))));
        if readers > 1 {
            pairs.push(Pair::new(emit, FAN[0].1));
        }
        pairs.push(Pair::new(emit, tokio));
    }
    Contest {
        key: "fan-out",
        title: "one thread, 56 bytes to many gating subscribers, the publisher's cost".into(),
        timed: "512 sends and the end of the poll; they are received between the timed parts",
        operations: options.operations(4 * BATCH, BATCH).next_multiple_of(BATCH),
        columns,
        pairs,
    }
}

struct Fan<P, Q> {
    name: &'static str,
    sender: P,
    receivers: Vec<Q>,
}

impl<P, Q> Fan<P, Q> {
    fn new(name: &'static str, (sender, receivers): (P, Vec<Q>)) -> Fan<P, Q> {
        Fan { name, sender, receivers }
    }
}

impl<P: Task<End: Push>, Q: Task<End: Pop>> Column for Fan<P, Q> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        round_of_batches(self.name, &mut self.sender, &mut self.receivers, operations)
    }
}
