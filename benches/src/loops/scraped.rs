//! Scrapes of a node's counters, and a publisher of that node meanwhile.

use std::hint::black_box;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::affinity::Cores;
use crate::ends::{Pop, Push, Task};
use crate::harness::{Column, Mismatch, Round};
use crate::loops::one_thread::BATCH;
use crate::ours::scrape::Scraper;
use crate::ours::topic::{Among, among};
use crate::sample::{Sample, Tally, samples};
use crate::stats::Times;
use crate::threads;

/// Scrapes of a node with this number of lines. One operation is a line of counters: half of them
/// are of publishers, half of subscriptions.
pub(crate) fn scrapes(name: &'static str, lines: usize) -> Column {
    let Among { topics, counters, .. } = among(lines as u64 / 2, 2);
    let mut scraper = Scraper::new(topics, counters);
    Column::new(name, move |operations| {
        let (mut took, mut found) = (Duration::ZERO, 0);
        let scrapes = operations.div_ceil(lines);
        for _ in 0..scrapes {
            let start = Instant::now();
            let text = scraper.scrape();
            took += start.elapsed();
            let series = ["mycelium_messages_sent_total{", "mycelium_messages_received_total{"];
            found += series.map(|name| text.matches(name).count()).iter().sum::<usize>();
        }
        if found != scrapes * lines {
            let what = format!("{scrapes} scrapes of {lines} lines have {found} of them");
            return Err(Mismatch::new(name, what));
        }
        // The time of the lines that the round has.
        Ok(Round::Total(took.mul_f64(operations as f64 / (scrapes * lines) as f64)))
    })
}

/// The work of the other core while a publisher emits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Beside {
    Nothing,
    /// It writes numbers as text, and touches nothing of the publisher.
    OtherWork,
    /// It scrapes, with these pauses.
    Scraper(Duration),
}

/// Emits to one of 500 topics; each emit is timed, and the slowest hundredth counts.
pub(crate) fn emits(name: &'static str, beside: Beside, cores: Cores) -> Column {
    let Among { mut sender, mut receiver, topics, counters } = among(500, 2 * BATCH);
    let mut scraper = Scraper::new(topics, counters);
    Column::new(name, move |operations| {
        let (end, is_over) = channel::<()>();
        let (samples, mut times, mut tally) = (samples(), Times::default(), Tally::default());
        let emit = || {
            for batch in 0..operations / BATCH {
                sender.poll(|sender| {
                    for number in batch * BATCH..(batch + 1) * BATCH {
                        let sample = &samples[number % samples.len()];
                        let start = Instant::now();
                        let is_accepted = sender.push(black_box(sample));
                        times.record(start.elapsed());
                        debug_assert!(is_accepted);
                    }
                });
                receiver.poll(|end| while end.pop(|it: &Sample| tally.add(it)).is_some() {});
            }
            drop(end);
        };
        let scraper = &mut scraper;
        let work = move || {
            let pause = match beside {
                Beside::Nothing => {
                    let _ = is_over.recv();
                    return;
                }
                Beside::OtherWork => Duration::ZERO,
                Beside::Scraper(pause) => pause,
            };
            loop {
                match beside {
                    Beside::Nothing | Beside::OtherWork => _ = black_box(other_work()),
                    Beside::Scraper(_) => _ = black_box(scraper.scrape()),
                }
                if is_over.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        threads::both(&cores, emit, work);
        Mismatch::check(name, Tally::expected(operations, Tally::add), tally)?;
        Ok(Round::Tail(times))
    })
}

/// About as long as a scrape, and as much memory.
fn other_work() -> String {
    let mut text = String::new();
    for number in 0..50_000_u64 {
        text.push_str(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_string());
    }
    text
}
