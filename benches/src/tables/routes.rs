//! `routes!` to one handler and to four, beside the same calls by hand. The goal is the number of
//! instructions (`--instructions`); the times are printed.

use std::hint::black_box;
use std::time::Instant;

use mycelium::{Handler, Out, Result, routes};

use crate::affinity::Cores;
use crate::goals::Pair;
use crate::harness::{Column, Contest, Mismatch, Round, Sweep};
use crate::options::Options;
use crate::sample::{SAMPLES, Sample, samples};
use crate::tables::rows::ROUTES;

const ONE: &str = "routes! to 1";
const FOUR: &str = "routes! to 4";
const ONE_BY_HAND: &str = "1 call by hand";
const FOUR_BY_HAND: &str = "4 calls by hand";

/// Columns of `routes!`, and the calls by hand beside each.
pub(crate) const PAIRS: [[&str; 2]; 2] = [[ONE, ONE_BY_HAND], [FOUR, FOUR_BY_HAND]];

pub(super) fn sweeps(options: &Options, _cores: &Cores) -> Vec<Sweep> {
    if !options.wants("routes") {
        return Vec::new();
    }
    let routed = 0x1000_0001;
    let by_hand = 0x1000_0002;
    let contest = Contest {
        timed: "the whole loop",
        operations: options.operations(65_536, 1_024),
        columns: vec![
            column(ONE, RouteOne::new(Seen::default()), routed),
            column(ONE_BY_HAND, OneByHand::default(), by_hand),
            column(
                FOUR,
                RouteFour::new(Seen::default(), Seen::default(), Seen::default(), Seen::default()),
                routed,
            ),
            column(FOUR_BY_HAND, FourByHand::default(), by_hand),
        ],
        pairs: PAIRS.map(|[routed, by_hand]| Pair::new(routed, by_hand)).into(),
        ..Contest::new("routes", ROUTES, "handlers that add up and may fail, called directly")
    };
    vec![contest.into()]
}

/// A handler. The number is another one by hand: the compiler may make one function of two equal
/// ones, and then nothing would be counted for one of them.
#[derive(Default)]
struct Seen<const NUMBER: u64> {
    sum: u64,
}

impl<const NUMBER: u64> Handler<Sample> for Seen<NUMBER> {
    #[inline]
    fn handle(&mut self, sample: &Sample, _: &mut Out<'_>) -> Result<()> {
        self.sum = (self.sum ^ sample.number).wrapping_add(NUMBER);
        if sample.venue == u32::MAX { Err(mycelium::Error::msg("no venue")) } else { Ok(()) }
    }
}

routes! {
    RouteOne: { Sample => [Seen<0x1000_0001> as first] }
}

routes! {
    RouteFour: {
        Sample => [
            Seen<0x1000_0001> as first,
            Seen<0x1000_0001> as second,
            Seen<0x1000_0001> as third,
            Seen<0x1000_0001> as fourth,
        ]
    }
}

#[derive(Default)]
struct OneByHand {
    first: Seen<0x1000_0002>,
}

#[derive(Default)]
struct FourByHand {
    first: Seen<0x1000_0002>,
    second: Seen<0x1000_0002>,
    third: Seen<0x1000_0002>,
    fourth: Seen<0x1000_0002>,
}

/// What a column calls for each sample.
trait Called: 'static {
    fn call(&mut self, sample: &Sample, out: &mut Out<'_>) -> Result<()>;

    /// The sums of its handlers.
    fn sums(&self) -> Vec<u64>;
}

impl Called for RouteOne {
    #[inline]
    fn call(&mut self, sample: &Sample, out: &mut Out<'_>) -> Result<()> {
        self.route_to(sample, out)
    }

    fn sums(&self) -> Vec<u64> {
        vec![self.first().sum]
    }
}

impl Called for OneByHand {
    #[inline]
    fn call(&mut self, sample: &Sample, out: &mut Out<'_>) -> Result<()> {
        self.first.handle(sample, out)
    }

    fn sums(&self) -> Vec<u64> {
        vec![self.first.sum]
    }
}

impl Called for RouteFour {
    #[inline]
    fn call(&mut self, sample: &Sample, out: &mut Out<'_>) -> Result<()> {
        self.route_to(sample, out)
    }

    fn sums(&self) -> Vec<u64> {
        vec![self.first().sum, self.second().sum, self.third().sum, self.fourth().sum]
    }
}

impl Called for FourByHand {
    #[inline]
    fn call(&mut self, sample: &Sample, out: &mut Out<'_>) -> Result<()> {
        self.first.handle(sample, out)?;
        self.second.handle(sample, out)?;
        self.third.handle(sample, out)?;
        self.fourth.handle(sample, out)
    }

    fn sums(&self) -> Vec<u64> {
        vec![self.first.sum, self.second.sum, self.third.sum, self.fourth.sum]
    }
}

/// The loop. Returns the number of errors.
#[inline(never)]
fn route_all<C: Called>(called: &mut C, samples: &[Sample; SAMPLES], count: usize) -> usize {
    let mut errors = 0;
    for number in 0..count {
        let sample = black_box(&samples[number % SAMPLES]);
        errors += usize::from(called.call(sample, &mut Out::none()).is_err());
    }
    errors
}

fn column<C: Called>(name: &'static str, mut called: C, number: u64) -> Column {
    let samples = Box::new(samples());
    let mut expected = 0;
    Column::new(name, move |operations| {
        let start = Instant::now();
        let errors = route_all(&mut called, &samples, operations);
        let took = start.elapsed();
        for sample in samples.iter().cycle().take(operations) {
            expected = (expected ^ sample.number).wrapping_add(number);
        }
        let sums = called.sums();
        if errors > 0 || sums.iter().any(|sum| *sum != expected) {
            let found = format!("expected {expected}, found {sums:?} and {errors} errors");
            return Err(Mismatch::new(name, found));
        }
        Ok(Round::Total(took))
    })
}
