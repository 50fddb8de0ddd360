//! Messages that are timed one by one, between two threads: one due at fixed times.

use std::hint::{black_box, spin_loop};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::ends::{Pop, Push, Task};
use crate::harness::{Column, Mismatch, rounds};
use crate::loops::one_way::Threads;
use crate::options::Options;
use crate::report::{LatencyTable, Percentiles, histogram};
use crate::sample::{SAMPLES, Sample, Tally, samples};
use crate::wait::SpinWait;

/// For latency a message is due so often, far below what any column can move.
pub(crate) const EVERY: Duration = Duration::from_micros(1);

/// Columns whose messages are timed one by one.
pub(crate) struct Latencies {
    pub(crate) key: &'static str,
    pub(crate) point: &'static str,
    pub(crate) title: String,
    pub(crate) operations: usize,
    /// Ours is the first.
    pub(crate) columns: Vec<Box<dyn Timed>>,
}

/// One implementation, with the times of its messages.
pub(crate) trait Timed {
    fn name(&self) -> &'static str;

    /// Sends `operations` messages and says how long each took.
    fn times(&mut self, operations: usize) -> Result<Histogram<u64>, Mismatch>;
}

impl Timed for Box<dyn Timed> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn times(&mut self, operations: usize) -> Result<Histogram<u64>, Mismatch> {
        (**self).times(operations)
    }
}

/// The median of a round as what an operation takes: single messages over sockets have a long tail, which is the
/// system's, and a mean says little.
pub(crate) struct Median<T>(pub(crate) T);

impl<T: Timed> Column for Median<T> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        let median = self.0.times(operations)?.value_at_quantile(0.5);
        Ok(Duration::from_nanos(median * operations as u64))
    }
}

impl Latencies {
    pub(crate) fn measure(mut self, options: &Options) -> Result<LatencyTable, Mismatch> {
        self.columns.retain(|column| options.wants_column(column.name()));
        let times = rounds(options, self.columns.len(), |column| {
            self.columns[column].times(self.operations)
        })?;
        let rows = self.columns.iter().zip(&times).enumerate().map(|(index, (column, rounds))| {
            let ours = (index > 0).then(|| times[0].as_slice());
            Percentiles::of(column.name(), rounds, ours)
        });
        Ok(LatencyTable {
            key: self.key,
            point: self.point,
            rows: rows.collect(),
            title: self.title,
            operations: self.operations,
            rounds: options.rounds(),
        })
    }
}

/// One message whenever it is due. A sender that is late sends at once, and its lateness counts: the time is taken
/// from when the message was due.
pub(crate) struct Paced<P, Q>(pub(crate) Threads<P, Q>);

impl<P, Q> Timed for Paced<P, Q>
where
    P: Task<End: Push<Item = Sample>>,
    Q: Task<End: Pop<Item = Sample>>,
{
    fn name(&self) -> &'static str {
        self.0.ends.name
    }

    fn times(&mut self, operations: usize) -> Result<Histogram<u64>, Mismatch> {
        let name = self.name();
        let epoch = Instant::now();
        let since = move || epoch.elapsed().as_nanos() as u64;
        let send = |sender: &mut P::End, mut patience: SpinWait| {
            let samples = samples();
            let start = since();
            for number in 0..operations {
                let due = start + number as u64 * EVERY.as_nanos() as u64;
                while since() < due {
                    spin_loop();
                }
                let mut sample = samples[number % SAMPLES];
                sample.number = due;
                while !sender.push(black_box(&sample)) {
                    if !patience.wait() {
                        return;
                    }
                }
            }
        };
        let receive = |receiver: &mut Q::End, mut patience: SpinWait| {
            let (mut tally, mut times) = (Tally::default(), histogram());
            while tally.count < operations as u64 {
                let due = receiver.pop(|sample| {
                    tally.add_stamped(sample);
                    sample.number
                });
                match due {
                    // Fails only where the histogram does not grow, and this one does.
                    Some(due) => _ = times.record(since().saturating_sub(due)),
                    None if !patience.wait() => break,
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
