//! Finds the swaps after which the prices of two pools of a pair, or of three pools that lead
//! around three tokens, differ by more than their fees together.
//!
//! Pure and idempotent: [`Detector::evaluate`] computes the outcome and [`Detector::commit`] stores
//! the swap. The caller emits the signal between the two. If it fails there, the same swap
//! evaluated again has the same outcome; once committed, it and all swaps before it are duplicates.
//! A retraction brings back the prices before its position, for as many blocks as the chain may
//! replace.

use std::collections::{BTreeMap, VecDeque};

use alloy_primitives::Address;
use mycelium::fields::FixedVec;
use serde::{Deserialize, Serialize};

use crate::ethereum::session::DEPTH;
use crate::messages::{EnrichedSwap, Key, Leg, Signal};

/// The outcome of a swap.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// This swap or a later one was committed before.
    Duplicate,
    /// No signal.
    Quiet,
    /// A signal.
    Signal(Signal),
    /// Takes back signals, if there were any.
    Retraction(Signal),
    /// The swap is invalid.
    Rejected,
}

/// The latest price of every pool, and the position in the chain.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Detector {
    /// Ordered, so that the outcome does not depend on a hash.
    quotes: BTreeMap<Address, Leg>,
    last: Option<Key>,
    /// What the swaps of the last blocks have changed, in their order.
    changes: VecDeque<Change>,
}

/// The change of a swap.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Change {
    key: Key,
    pool: Address,
    /// The price and the liquidity before it, unless it was the first one of the pool.
    before: Option<(f64, f64)>,
}

impl Detector {
    /// The outcome of the swap; changes nothing.
    ///
    /// Of several other pools of the pair, and of the triangles that its pool closes with two other
    /// pools, the one that exceeds the fees most counts; if equal, the first one by addresses.
    pub fn evaluate(&self, swap: &EnrichedSwap) -> Outcome {
        let is_known = self.last.is_some_and(|last| swap.key <= last);
        match (swap.retracts, is_known) {
            (true, true) => return Outcome::Retraction(Signal::retraction(swap.key)),
            (true, false) | (false, true) => return Outcome::Duplicate,
            (false, false) => {}
        }
        let Some(own) = self.quote(swap) else { return Outcome::Rejected };
        let mut widest: Option<(f64, Signal)> = None;
        let mut weigh = |legs: &mut [Leg]| {
            legs.sort_by_key(|leg| leg.pool);
            let (gap, fees) = (gap(legs), fees(legs));
            let beyond = gap - fees;
            if gap.is_finite()
                && beyond > widest.as_ref().map_or(0.0, |(widest, _)| *widest)
                && let Ok(legs) = FixedVec::from_slice(legs)
            {
                widest = Some((beyond, Signal::new(swap.key, gap, legs, false)));
            }
        };
        let others = || self.quotes.values().filter(|leg| leg.pool != own.pool);
        // The pools that close a triangle, by their third token.
        let mut closing = BTreeMap::<_, Vec<&Leg>>::new();
        for leg in others() {
            if let Some(third) = leg.beside(own.token0) {
                closing.entry(third).or_default().push(leg);
            }
        }
        for other in others() {
            match other.beside(own.token1) {
                None => {}
                Some(token) if token == own.token0 => weigh(&mut [own, *other]),
                Some(third) => {
                    for last in closing.get(&third).into_iter().flatten() {
                        weigh(&mut [own, *other, **last]);
                    }
                }
            }
        }
        widest.map_or(Outcome::Quiet, |(_, signal)| Outcome::Signal(signal))
    }

    /// Stores the swap, or takes back those that it retracts.
    pub fn commit(&mut self, swap: &EnrichedSwap) {
        match (swap.retracts, self.last.is_some_and(|last| swap.key <= last)) {
            (true, true) => return self.retract(swap.key),
            (true, false) | (false, true) => return,
            (false, false) => {}
        }
        if let Some(quote) = self.quote(swap) {
            let pool = swap.pool.into();
            let before = self.quotes.insert(pool, quote);
            let before = before.map(|quote| (quote.price, quote.liquidity));
            self.changes.push_back(Change { key: swap.key, pool, before });
        }
        self.last = Some(swap.key);
        let is_final =
            |change: &mut Change| change.key.block.saturating_add(DEPTH) < swap.key.block;
        while self.changes.pop_front_if(is_final).is_some() {}
    }

    fn retract(&mut self, key: Key) {
        while let Some(change) = self.changes.pop_back_if(|change| change.key >= key) {
            match (change.before, self.quotes.get_mut(&change.pool)) {
                (Some(before), Some(quote)) => (quote.price, quote.liquidity) = before,
                _ => drop(self.quotes.remove(&change.pool)),
            }
        }
        self.last = Some(key.before());
    }

    /// Returns the quote of a swap, if the swap is valid: it has a normal positive price, a finite
    /// liquidity, a fee below 1, and tokens in their order; and the pool, if known, has the same
    /// tokens and fee.
    fn quote(&self, swap: &EnrichedSwap) -> Option<Leg> {
        let &EnrichedSwap { token0, token1, fee_millionths, price, liquidity, pool, .. } = swap;
        let quote = Leg { price, liquidity, fee_millionths, pool, token0, token1 };
        let has_depth = liquidity.is_finite() && liquidity >= 0.0;
        let has_price = price.is_normal() && price > 0.0;
        let is_valid = has_price && has_depth && fee_millionths < 1_000_000 && token0 < token1;
        let is_of =
            |old: &Leg| (old.tokens(), old.fee_millionths) == (quote.tokens(), fee_millionths);
        let is_same = self.quotes.get(&Address::from(pool)).is_none_or(is_of);
        (is_valid && is_same).then_some(quote)
    }
}

/// The absolute value of the logarithm of what one unit becomes on the way around, without fees.
/// The way begins with the first pool, from token 0 to token 1.
fn gap(legs: &[Leg]) -> f64 {
    let [mut along, mut against] = [1.0; 2];
    for (place, leg) in legs.iter().enumerate() {
        let is_along = place == 0 || leg.token0 == legs[0].token1 || leg.token1 == legs[0].token0;
        *(if is_along { &mut along } else { &mut against }) *= leg.price;
    }
    (along / against).ln().abs()
}

/// The fees together. Summed as integers, because 0.0005 + 0.003 is not exactly 0.0035.
fn fees(legs: &[Leg]) -> f64 {
    f64::from(legs.iter().map(|leg| leg.fee_millionths).sum::<u32>()) / 1e6
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn swap(pool: u8, log_index: u64, price: f64) -> EnrichedSwap {
        EnrichedSwap {
            key: Key { block: 9, log_index },
            price,
            pool: [pool; 20],
            token0: [1; 20],
            token1: [2; 20],
            fee_millionths: if pool == 1 { 500 } else { 3000 },
            symbol0: Default::default(),
            symbol1: Default::default(),
            retracts: false,
            liquidity: 1.0,
        }
    }

    /// Evaluates and commits at once.
    fn apply(detector: &mut Detector, swap: &EnrichedSwap) -> Outcome {
        let outcome = detector.evaluate(swap);
        assert_eq!(detector.evaluate(swap), outcome);
        detector.commit(swap);
        assert_eq!(detector.evaluate(swap), Outcome::Duplicate);
        outcome
    }

    /// The pools of a signal, with their prices.
    fn legs(signal: &Signal) -> Vec<(u8, f64)> {
        signal.legs.iter().map(|leg| (leg.pool[0], leg.price)).collect()
    }

    #[test]
    fn the_gap_must_exceed_the_fees() {
        let detector = &mut Detector::default();
        assert_eq!(apply(detector, &swap(1, 0, 100.0)), Outcome::Quiet);
        assert_eq!(apply(detector, &swap(2, 1, 100.0 * 0.003_49_f64.exp())), Outcome::Quiet);
        let outcome = apply(detector, &swap(2, 2, 100.0 * 0.003_51_f64.exp()));
        let Outcome::Signal(signal) = outcome else { panic!("{outcome:?}") };
        assert_eq!(legs(&signal)[0], (1, 100.0));
        assert!((signal.gap - 0.003_51).abs() < 1e-12);
        // Either pool may move, either way.
        assert_eq!(apply(detector, &swap(1, 3, 100.3)), Outcome::Quiet);
        assert!(matches!(apply(detector, &swap(1, 4, 101.0)), Outcome::Signal(_)));
        assert_eq!(apply(detector, &swap(1, 3, 1.0)), Outcome::Duplicate);
    }

    #[test]
    fn a_retraction_brings_back_the_prices_before_it() {
        let detector = &mut Detector::default();
        detector.commit(&swap(1, 0, 100.0));
        let before = detector.clone();
        for (index, price) in [(5, 110.0), (6, 120.0)] {
            detector.commit(&EnrichedSwap { liquidity: price, ..swap(1, index, price) });
            detector.commit(&swap(2, index + 10, price));
        }
        let retraction = EnrichedSwap::retraction(swap(1, 5, 0.0).key);
        let outcome = detector.evaluate(&retraction);
        assert_eq!(outcome, Outcome::Retraction(Signal::retraction(retraction.key)));
        detector.commit(&retraction);
        assert_eq!((&detector.quotes, &detector.changes), (&before.quotes, &before.changes));
        assert_eq!(detector.evaluate(&retraction), Outcome::Duplicate);
        // The prices differ by more than numbers can say.
        let mut end = detector.clone();
        end.commit(&swap(1, 7, 1e300));
        assert_eq!(end.evaluate(&swap(2, 8, 1e-300)), Outcome::Quiet);
        // The other swap at the same position counts.
        assert_eq!(apply(detector, &swap(2, 5, 100.0)), Outcome::Quiet);
        // The last block that there may be.
        let mut last = swap(1, 0, 100.0);
        last.key.block = u64::MAX;
        let mut end = detector.clone();
        end.commit(&last);
        assert_eq!(end.changes.len(), 1);
        end.commit(&EnrichedSwap { key: last.key.after(), ..last });
        // What the chain no longer replaces is forgotten.
        let mut late = swap(1, 0, 100.0);
        late.key.block += DEPTH + 1;
        detector.commit(&late);
        assert_eq!(detector.changes.len(), 1);
    }

    #[test]
    fn nonsense_is_rejected_and_leaves_no_price() {
        let detector = &mut Detector::default();
        detector.commit(&swap(1, 0, 100.0));
        let changes: [fn(&mut EnrichedSwap); 11] = [
            |swap| swap.liquidity = f64::NAN,
            |swap| swap.liquidity = -1.0,
            |swap| swap.price = 0.0,
            |swap| swap.price = -1.0,
            |swap| swap.price = f64::NAN,
            |swap| swap.price = f64::INFINITY,
            |swap| swap.price = f64::MIN_POSITIVE / 2.0,
            |swap| swap.fee_millionths = 1_000_000,
            |swap| swap.token1 = [1; 20],
            |swap| swap.token1 = [3; 20],
            |swap| swap.fee_millionths = 1,
        ];
        for (index, change) in (1..).zip(changes) {
            let mut swap = swap(1, index, 50.0);
            change(&mut swap);
            assert_eq!(apply(detector, &swap), Outcome::Rejected, "{index}");
        }
        // The price is still 100.
        assert_eq!(apply(detector, &swap(2, 99, 100.0)), Outcome::Quiet);
    }

    #[test]
    fn pairs_keep_to_themselves_and_the_widest_counts() {
        let detector = &mut Detector::default();
        let other_pair = EnrichedSwap { token1: [9; 20], ..swap(7, 0, 1.0) };
        detector.commit(&other_pair);
        assert_eq!(apply(detector, &swap(3, 1, 100.0)), Outcome::Quiet);
        assert!(matches!(apply(detector, &swap(4, 2, 110.0)), Outcome::Signal(_)));
        let Outcome::Signal(signal) = apply(detector, &swap(2, 3, 120.0)) else { panic!("quiet") };
        assert_eq!(legs(&signal), [(2, 120.0), (3, 100.0)]);
    }

    #[test]
    fn three_pools_around_three_tokens_make_a_signal() {
        // 1 for 2 at 100, 2 for 3 at 5, and so 1 for 3 at 500, in any order of arrival.
        let ways = |[one, two, three]: [u8; 3]| {
            [(one, [1, 2], 100.0), (two, [2, 3], 5.0), (three, [1, 3], 500.0)]
        };
        let fees: f64 = 0.000_5 + 2.0 * 0.003;
        let moves = [(0, 1.0_f64), (1, 1.0), (2, 1.0), (0, -1.0), (1, -1.0), (2, -1.0)];
        // Any of them may have the lowest address.
        let pools = [[1, 7, 8], [7, 8, 1], [8, 1, 7]];
        for ((first, moves), pools) in
            moves.into_iter().flat_map(|it| pools.map(|pools| (it, pools)))
        {
            let ways = ways(pools);
            for (beyond, expected) in [(-1e-5, 0), (1e-5, 3)] {
                let detector = &mut Detector::default();
                let mut last = Outcome::Quiet;
                for place in 0..3 {
                    let (pool, [token0, token1], price) = ways[(first + place) % 3];
                    let factor = if place == 2 { (moves * (fees + beyond)).exp() } else { 1.0 };
                    let swap = swap(pool, place as u64, price * factor);
                    let tokens = [[token0; 20], [token1; 20]];
                    let [token0, token1] = tokens;
                    last = apply(detector, &EnrichedSwap { token0, token1, ..swap });
                }
                let Outcome::Signal(signal) = last else {
                    assert_eq!((last, expected), (Outcome::Quiet, 0));
                    continue;
                };
                let pools: Vec<_> = legs(&signal).into_iter().map(|(pool, _)| pool).collect();
                assert_eq!((pools.len(), pools), (expected, vec![1, 7, 8]));
            }
        }
    }
}
