//! Two writers and two readers without pauses: a run that a queue with a livelock does not finish.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use mycelium_core::ring::{Consumer, PopError, Producer, PushError};

use crate::kinds::{Kind, Mpmc};
use crate::options::Options;
use crate::probes::{Faulty, LOSES, STOPS};
use crate::{round, watchdog};

const CAPACITY: usize = 64;
const SIDES: usize = 2;
/// The shift of the writer in an item.
const WRITER: u32 = 56;

type Run = fn(&Options) -> Result<(), String>;

const KINDS: &[(&str, Run)] = &[
    (Mpmc::NAME, race::<Mpmc>),
    (Faulty::<LOSES>::NAME, race::<Faulty<LOSES>>),
    (Faulty::<STOPS>::NAME, race::<Faulty<STOPS>>),
];

pub(crate) fn run(options: &Options) -> Result<(), String> {
    let name = if options.ring.is_empty() { Mpmc::NAME } else { &options.ring };
    let chosen = KINDS.iter().find(|(kind, _)| *kind == name);
    let (_, race) =
        chosen.ok_or_else(|| format!("`{name}` is not a ring for many writers and readers"))?;
    let timeout = if name == Faulty::<STOPS>::NAME { 2 } else { 30 };
    watchdog::start(Duration::from_secs(timeout), || "two by two".into());
    race(options)
}

/// The progress of each thread: writers, then readers, each on its own cache lines.
#[derive(Default)]
#[repr(align(128))]
struct Done(AtomicU64);

fn race<K: Kind>(options: &Options) -> Result<(), String> {
    let ring = K::ring::<u64>(CAPACITY);
    let done: [Done; 2 * SIDES] = Default::default();
    let over = AtomicBool::new(false);
    let each = options.count / SIDES as u64;
    let began = Instant::now();
    let sums = thread::scope(|scope| {
        let mut reading = Vec::new();
        for done in &done[SIDES..] {
            let mut end = K::reader(&ring).ok_or("no end for a reader")?;
            reading.push(scope.spawn(move || read::<K>(&mut end, done, options)));
        }
        let mut writing = Vec::new();
        for (index, done) in done[..SIDES].iter().enumerate() {
            let mut end = K::writer(&ring).ok_or("no end for a writer")?;
            writing.push(scope.spawn(move || write::<K>(&mut end, index, each, done, options)));
        }
        let reporter = scope.spawn(|| report(K::NAME, &done, &over));
        for writer in writing {
            writer.join().expect("a writer panicked");
        }
        K::close(&ring);
        let mut sums = [(0, 0_u64); SIDES];
        for reader in reading {
            for (sum, more) in sums.iter_mut().zip(reader.join().expect("a reader panicked")) {
                *sum = (sum.0 + more.0, sum.1.wrapping_add(more.1));
            }
        }
        over.store(true, Relaxed);
        reporter.thread().unpark();
        Ok::<_, String>(sums)
    })?;
    let took = began.elapsed();
    for (writer, (count, sum)) in sums.into_iter().enumerate() {
        if (count, sum) != (each, each.wrapping_mul(each.wrapping_sub(1)) / 2) {
            return Err(format!("of {each} items of writer {writer}, {count} came, or others"));
        }
    }
    let count = each * SIDES as u64;
    println!(
        "stress: two by two, {}: {count} items in {:.1} s, {:.1} million a second, each once and in order",
        K::NAME,
        took.as_secs_f64(),
        count as f64 / took.as_secs_f64() / 1e6
    );
    Ok(())
}

fn write<K: Kind>(
    end: &mut K::Writer<u64>,
    index: usize,
    each: u64,
    done: &Done,
    options: &Options,
) {
    for number in 0..each {
        while let Err(refused) = end.try_push((index as u64) << WRITER | number) {
            assert!(matches!(refused, PushError::Full(_)), "the ring is open");
            options.wait.wait();
        }
        made_way(done, number + 1);
    }
}

/// Returns how many items of each writer arrived, and their sum.
fn read<K: Kind>(end: &mut K::Reader<u64>, done: &Done, options: &Options) -> [(u64, u64); SIDES] {
    let mut sums = [(0, 0_u64); SIDES];
    let mut expected = [0; SIDES];
    let mut taken = 0;
    loop {
        match end.try_pop() {
            Ok(item) => {
                let (writer, number) = ((item >> WRITER) as usize, item & ((1 << WRITER) - 1));
                if number < expected[writer] {
                    round::broken("two by two: out of order");
                }
                expected[writer] = number + 1;
                sums[writer] = (sums[writer].0 + 1, sums[writer].1.wrapping_add(number));
                taken += 1;
                made_way(done, taken);
            }
            Err(PopError::Empty) => options.wait.wait(),
            Err(PopError::Closed) => return sums,
        }
    }
}

fn made_way(done: &Done, count: u64) {
    if count.is_multiple_of(1024) {
        done.0.store(count, Relaxed);
        watchdog::step();
    }
}

/// Prints a line each second: the number of items, and the share of the slowest thread compared
/// with a fair one.
fn report(name: &str, done: &[Done; 2 * SIDES], over: &AtomicBool) {
    let mut before = [0; 2 * SIDES];
    let mut last = Instant::now();
    while !over.load(Relaxed) {
        thread::park_timeout(Duration::from_secs(1).saturating_sub(last.elapsed()));
        if last.elapsed() < Duration::from_secs(1) {
            continue;
        }
        let now: [u64; 2 * SIDES] = std::array::from_fn(|index| done[index].0.load(Relaxed));
        let part: [u64; 2 * SIDES] = std::array::from_fn(|index| now[index] - before[index]);
        let share = |side: &[u64]| {
            let slowest = side.iter().min().copied().unwrap_or_default();
            slowest * SIDES as u64 * 100 / side.iter().sum::<u64>().max(1)
        };
        println!(
            "{name}: {} items, {:.1} million a second; the slowest writer had {} % of its share, the slowest reader {} %",
            now[SIDES..].iter().sum::<u64>(),
            part[SIDES..].iter().sum::<u64>() as f64 / last.elapsed().as_secs_f64() / 1e6,
            share(&part[..SIDES]),
            share(&part[SIDES..]),
        );
        (before, last) = (now, Instant::now());
    }
}
