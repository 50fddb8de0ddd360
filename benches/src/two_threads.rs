//! One thread sends and another receives, both spinning, each on a core of its own: throughput, then latency, under
//! the same way of waiting.

use std::fmt;
use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::affinity::{Cores, Side};
use crate::ends::{EMIT, Ends, Pop, Push, RIVALS, RTRB_SLOT, Task, every};
use crate::harness::{Column, Contest, Mismatch, Pair, rounds};
use crate::options::Options;
use crate::report::{LatencyTable, Percentiles, Quartiles};
use crate::sample::{SAMPLES, Tally, samples};

/// For latency a message is due so often, far below what any column can move.
const EVERY: Duration = Duration::from_micros(1);
/// Whoever waits so long waits for something that was lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// Throughput and latency for each way of waiting.
pub(crate) fn contests(options: &Options, cores: &Cores) -> Vec<(Contest, Latencies)> {
    if !options.wants("threads") {
        return Vec::new();
    }
    // On one core, who spins keeps the other from running.
    let ways = [Wait::Busy, Wait::Pauses, Wait::Yield];
    let ways = ways.into_iter().filter(|wait| cores.are_two() || matches!(wait, Wait::Yield));
    ways.map(|wait| (throughput(options, cores, wait), latencies(options, cores, wait))).collect()
}

fn throughput(options: &Options, cores: &Cores, wait: Wait) -> Contest {
    let pair = |rival| match (wait, rival) {
        (Wait::Busy, RTRB_SLOT) => Pair::new(EMIT, rival).within(1.2),
        _ => Pair::new(EMIT, rival),
    };
    Contest {
        key: "threads",
        title: format!("two threads one way, 56 bytes, waiting: {wait}"),
        timed: "from the first send to the last receive, with sums",
        operations: options.operations(40_000, 4_000),
        columns: every!(emit_in_two_tasks, ends => OneWay(Threads { ends, wait, cores: cores.clone() })),
        pairs: RIVALS.map(pair).into(),
    }
}

/// What a side does when it cannot go on.
#[derive(Clone, Copy, Debug)]
enum Wait {
    Busy,
    Pauses,
    Yield,
}

impl Wait {
    #[inline]
    fn wait(self) {
        match self {
            Wait::Busy => spin_loop(),
            Wait::Pauses => (0..16).for_each(|_| spin_loop()),
            Wait::Yield => thread::yield_now(),
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wait::Busy => "busy (one pause)",
            Wait::Pauses => "16 pauses",
            Wait::Yield => "yield",
        })
    }
}

/// Both ends of a column, and how they are used.
struct Threads<P, Q> {
    ends: Ends<P, Q>,
    wait: Wait,
    cores: Cores,
}

/// Counts looks in vain and says when it has been too long.
#[derive(Default)]
struct Patience {
    looks: u32,
    since: Option<Instant>,
}

impl Patience {
    /// Waits; false if it is hopeless.
    #[inline]
    fn wait(&mut self, wait: Wait) -> bool {
        wait.wait();
        self.looks = self.looks.wrapping_add(1);
        !self.looks.is_multiple_of(1 << 16)
            || self.since.get_or_insert_with(Instant::now).elapsed() < PATIENCE
    }
}

impl<P: Task<End: Push>, Q: Task<End: Pop>> Threads<P, Q> {
    /// Runs `send` on this thread and `receive` on another one, both from the same moment on.
    fn run<S, R: Send>(
        &mut self,
        send: impl FnOnce(&mut P::End, Wait) -> S,
        receive: impl FnOnce(&mut Q::End, Wait) -> R + Send,
    ) -> (S, R) {
        let Threads { ends: Ends { sender, receiver, .. }, wait, cores } = self;
        let (wait, cores) = (*wait, &*cores);
        let ready = AtomicBool::new(false);
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                // Said at the start of the report if it is not granted.
                let _ = cores.pin(Side::Reader);
                ready.store(true, Ordering::Release);
                receiver.poll(|receiver| receive(receiver, wait))
            });
            while !ready.load(Ordering::Acquire) {
                thread::yield_now();
            }
            let sent = sender.poll(|sender| send(sender, wait));
            (sent, reader.join().expect("the reader's loop does not panic"))
        })
    }
}

#[inline(never)]
fn send_all<P: Push>(sender: &mut P, count: usize, wait: Wait) {
    let samples = samples();
    let mut patience = Patience::default();
    for number in 0..count {
        let sample = black_box(&samples[number % SAMPLES]);
        while !sender.push(sample) {
            if !patience.wait(wait) {
                return;
            }
        }
    }
}

#[inline(never)]
fn receive_all<Q: Pop>(receiver: &mut Q, count: usize, wait: Wait) -> Tally {
    let mut tally = Tally::default();
    let mut patience = Patience::default();
    while tally.count < count as u64 {
        if receiver.pop(|sample| tally.add(sample)).is_none() && !patience.wait(wait) {
            break;
        }
    }
    tally
}

/// As fast as it goes.
struct OneWay<P, Q>(Threads<P, Q>);

impl<P: Task<End: Push>, Q: Task<End: Pop>> Column for OneWay<P, Q> {
    fn name(&self) -> &'static str {
        self.0.ends.name
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        let name = self.name();
        let (start, (end, tally)) = self.0.run(
            |sender, wait| {
                let start = Instant::now();
                send_all(sender, operations, wait);
                start
            },
            |receiver, wait| {
                let tally = receive_all(receiver, operations, wait);
                let end = Instant::now();
                // Nothing may come after the last message, and the last one may not stay in hand.
                let more = receiver.pop(|_| ()).is_some();
                (end, Tally { count: tally.count + u64::from(more), ..tally })
            },
        );
        Mismatch::check(name, Tally::expected(operations, Tally::add), tally)?;
        Ok(end - start)
    }
}

/// Columns whose messages are timed one by one.
pub(crate) struct Latencies {
    title: String,
    operations: usize,
    columns: Vec<Box<dyn Timed>>,
}

trait Timed {
    fn name(&self) -> &'static str;
    fn round(&mut self, operations: usize) -> Result<Histogram<u64>, Mismatch>;
}

fn latencies(options: &Options, cores: &Cores, wait: Wait) -> Latencies {
    Latencies {
        title: format!(
            "two threads one way, 56 bytes, one message due every {} ns, from due to received, waiting: {wait}",
            EVERY.as_nanos()
        ),
        operations: options.operations(4_000, 1_000),
        columns: every!(emit_in_two_tasks, ends => Paced(Threads { ends, wait, cores: cores.clone() })),
    }
}

impl Latencies {
    pub(crate) fn measure(mut self, options: &Options) -> Result<LatencyTable, Mismatch> {
        self.columns.retain(|column| options.wants_column(column.name()));
        let histograms = rounds(options, self.columns.len(), |column| {
            self.columns[column].round(self.operations)
        })?;
        let p50 = |histogram: &Histogram<u64>| histogram.value_at_quantile(0.5) as f64;
        let rows =
            self.columns.iter().zip(&histograms).enumerate().map(|(index, (column, rounds))| {
                let mut all = histogram();
                rounds.iter().for_each(|round| all += round);
                let pairs = histograms[0].iter().zip(rounds);
                Percentiles {
                    name: column.name(),
                    p50: all.value_at_quantile(0.5),
                    p99: all.value_at_quantile(0.99),
                    p999: all.value_at_quantile(0.999),
                    max: all.max(),
                    ratio: (index > 0)
                        .then(|| Quartiles::of(pairs.map(|(ours, rival)| p50(ours) / p50(rival)))),
                }
            });
        Ok(LatencyTable {
            rows: rows.collect(),
            title: self.title,
            operations: self.operations,
            rounds: options.rounds(),
        })
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are allowed")
}

/// One message whenever it is due. A sender that is late sends at once, and its lateness counts: the time is taken
/// from when the message was due.
struct Paced<P, Q>(Threads<P, Q>);

impl<P: Task<End: Push>, Q: Task<End: Pop>> Timed for Paced<P, Q> {
    fn name(&self) -> &'static str {
        self.0.ends.name
    }

    fn round(&mut self, operations: usize) -> Result<Histogram<u64>, Mismatch> {
        let name = self.name();
        let epoch = Instant::now();
        let since = move || epoch.elapsed().as_nanos() as u64;
        let send = |sender: &mut P::End, wait| {
            let samples = samples();
            let mut patience = Patience::default();
            let start = since();
            for number in 0..operations {
                let due = start + number as u64 * EVERY.as_nanos() as u64;
                while since() < due {
                    spin_loop();
                }
                let mut sample = samples[number % SAMPLES];
                sample.number = due;
                while !sender.push(black_box(&sample)) {
                    if !patience.wait(wait) {
                        return;
                    }
                }
            }
        };
        let receive = |receiver: &mut Q::End, wait| {
            let (mut tally, mut times) = (Tally::default(), histogram());
            let mut patience = Patience::default();
            while tally.count < operations as u64 {
                let due = receiver.pop(|sample| {
                    tally.add_stamped(sample);
                    sample.number
                });
                match due {
                    // Fails only where the histogram does not grow, and this one does.
                    Some(due) => _ = times.record(since().saturating_sub(due)),
                    None if !patience.wait(wait) => break,
                    None => {}
                }
            }
            // The last message may not stay in hand.
            receiver.pop(|sample| tally.add(sample));
            (tally, times)
        };
        let ((), (tally, times)) = self.0.run(send, receive);
        Mismatch::check(name, Tally::expected(operations, Tally::add_stamped), tally)?;
        Ok(times)
    }
}
