//! Finds the swaps after which the prices of two pools of a pair differ by more than their fees.
//! Pure and idempotent: [`Detector::evaluate`] computes the outcome and [`Detector::commit`] stores
//! the swap. The caller emits the signal between the two. If it fails there, the same swap
//! evaluated again has the same outcome; once committed, it and all swaps before it are duplicates.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::chain::Key;

/// A swap as the detector needs it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PricedSwap {
    /// The pool.
    pub pool: [u8; 20],
    /// Its token of the lower address.
    pub token0: [u8; 20],
    /// Its other token.
    pub token1: [u8; 20],
    /// The fee of a swap, in millionths.
    pub fee_millionths: u32,
    /// The swap's position in the chain.
    pub key: Key,
    /// The price of token 0 in token 1 after the swap.
    pub price: f64,
}

/// The prices of two pools differ by more than their fees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Signal {
    /// The swap that caused it.
    pub key: Key,
    /// The two pools, the lower address first.
    pub pools: [[u8; 20]; 2],
    /// Their prices of token 0 in token 1, in the same order.
    pub prices: [f64; 2],
    /// The absolute value of the logarithm of the prices' ratio.
    pub gap: f64,
}

/// The outcome of a swap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// This swap or a later one was committed before.
    Duplicate,
    /// No signal.
    Quiet,
    /// A signal.
    Signal(Signal),
    /// The swap is invalid.
    Rejected(Reject),
}

/// A swap is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// The price is not a finite, normal number above 0.
    Price,
    /// The fee is a million millionths or more.
    Fee,
    /// The tokens are not in the order of their addresses.
    Tokens,
    /// The pool had another pair of tokens or another fee before.
    Pool,
}

/// The number of swaps by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Signals.
    pub signals: u64,
    /// Swaps without one.
    pub quiet: u64,
    /// Swaps committed before.
    pub duplicates: u64,
    /// Invalid swaps.
    pub rejected: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Quote {
    tokens: ([u8; 20], [u8; 20]),
    fee_millionths: u32,
    price: f64,
}

/// The latest price of every pool, and the position in the chain.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Detector {
    /// Ordered, so that the outcome does not depend on a hash.
    #[serde(with = "pairs")]
    quotes: BTreeMap<[u8; 20], Quote>,
    last: Option<Key>,
    tally: Tally,
}

impl Detector {
    /// A detector without prices.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The outcome of the swap; changes nothing.
    ///
    /// Of several other pools of the pair, the one that exceeds the fees most counts; if equal, the
    /// one with the lowest address.
    #[must_use]
    pub fn evaluate(&self, swap: &PricedSwap) -> Outcome {
        if self.last.is_some_and(|last| swap.key <= last) {
            return Outcome::Duplicate;
        }
        let quote = match self.quote(swap) {
            Ok(quote) => quote,
            Err(reject) => return Outcome::Rejected(reject),
        };
        let mut widest: Option<(f64, Signal)> = None;
        for (pool, other) in &self.quotes {
            if *pool == swap.pool || other.tokens != quote.tokens {
                continue;
            }
            let [first, second] = if *pool < swap.pool {
                [(pool, other), (&swap.pool, &quote)]
            } else {
                [(&swap.pool, &quote), (pool, other)]
            };
            let gap = (first.1.price / second.1.price).ln().abs();
            // Summed as integers, because 0.0005 + 0.003 is not exactly 0.0035.
            let fees = f64::from(quote.fee_millionths + other.fee_millionths) / 1e6;
            let beyond = gap - fees;
            if gap > fees && widest.is_none_or(|(widest, _)| beyond > widest) {
                let signal = Signal {
                    key: swap.key,
                    pools: [*first.0, *second.0],
                    prices: [first.1.price, second.1.price],
                    gap,
                };
                widest = Some((beyond, signal));
            }
        }
        widest.map_or(Outcome::Quiet, |(_, signal)| Outcome::Signal(signal))
    }

    /// Stores the swap and counts its outcome.
    pub fn commit(&mut self, swap: &PricedSwap) {
        match self.evaluate(swap) {
            Outcome::Duplicate => {
                self.tally.duplicates += 1;
                return;
            }
            Outcome::Rejected(_) => self.tally.rejected += 1,
            Outcome::Quiet => self.tally.quiet += 1,
            Outcome::Signal(_) => self.tally.signals += 1,
        }
        if let Ok(quote) = self.quote(swap) {
            self.quotes.insert(swap.pool, quote);
        }
        self.last = Some(swap.key);
    }

    /// Evaluates and commits at once.
    pub fn apply(&mut self, swap: &PricedSwap) -> Outcome {
        let outcome = self.evaluate(swap);
        self.commit(swap);
        outcome
    }

    /// The last swap committed.
    #[must_use]
    pub fn last(&self) -> Option<Key> {
        self.last
    }

    /// The number of swaps by outcome.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    fn quote(&self, swap: &PricedSwap) -> Result<Quote, Reject> {
        let quote = Quote {
            tokens: (swap.token0, swap.token1),
            fee_millionths: swap.fee_millionths,
            price: swap.price,
        };
        // A subnormal price has lost digits.
        if !swap.price.is_normal() || swap.price < 0.0 {
            return Err(Reject::Price);
        }
        if swap.fee_millionths >= 1_000_000 {
            return Err(Reject::Fee);
        }
        if swap.token0 >= swap.token1 {
            return Err(Reject::Tokens);
        }
        match self.quotes.get(&swap.pool) {
            Some(old)
                if (old.tokens, old.fee_millionths) != (quote.tokens, quote.fee_millionths) =>
            {
                Err(Reject::Pool)
            }
            _ => Ok(quote),
        }
    }
}

/// A map as a list of pairs, because the keys of JSON are texts.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::Quote;

    pub(super) fn serialize<S: Serializer>(
        quotes: &BTreeMap<[u8; 20], Quote>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(quotes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<[u8; 20], Quote>, D::Error> {
        Vec::deserialize(deserializer).map(|pairs| pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swap(pool: u8, log_index: u64, price: f64) -> PricedSwap {
        PricedSwap {
            pool: [pool; 20],
            token0: [1; 20],
            token1: [2; 20],
            fee_millionths: if pool == 1 { 500 } else { 3000 },
            key: Key { block: 9, log_index },
            price,
        }
    }

    fn is_signal(outcome: Outcome) -> bool {
        matches!(outcome, Outcome::Signal(_))
    }

    #[test]
    fn the_gap_must_exceed_the_fees() {
        let mut detector = Detector::new();
        assert_eq!(detector.apply(&swap(1, 0, 100.0)), Outcome::Quiet);
        assert_eq!(detector.apply(&swap(2, 1, 100.0 * 0.003_49_f64.exp())), Outcome::Quiet);
        let outcome = detector.apply(&swap(2, 2, 100.0 * 0.003_51_f64.exp()));
        let Outcome::Signal(signal) = outcome else { panic!("{outcome:?}") };
        assert_eq!(signal.pools, [[1; 20], [2; 20]]);
        assert_eq!(signal.prices[0], 100.0);
        assert!((signal.gap - 0.003_51).abs() < 1e-12);
        // Either pool may move, either way.
        assert!(!is_signal(detector.apply(&swap(1, 3, 100.3))));
        assert!(is_signal(detector.apply(&swap(1, 4, 101.0))));
        let tally = Tally { signals: 2, quiet: 3, ..Tally::default() };
        assert_eq!(detector.tally(), tally);
    }

    #[test]
    fn a_swap_evaluated_again_gives_the_same_until_committed() {
        let mut detector = Detector::new();
        detector.commit(&swap(1, 0, 100.0));
        let far = swap(2, 5, 200.0);
        let first = detector.evaluate(&far);
        assert!(is_signal(first));
        assert_eq!(detector.evaluate(&far), first);
        detector.commit(&far);
        let after = detector.clone();
        assert_eq!(detector.apply(&far), Outcome::Duplicate);
        assert_eq!(detector.apply(&swap(1, 4, 1.0)), Outcome::Duplicate);
        assert_eq!(detector.tally().duplicates, 2);
        assert_eq!((detector.quotes, detector.last), (after.quotes, after.last));
    }

    #[test]
    fn nonsense_is_rejected_and_leaves_no_price() {
        let mut detector = Detector::new();
        detector.commit(&swap(1, 0, 100.0));
        let mut index = 0;
        let mut rejected = |change: &dyn Fn(&mut PricedSwap)| {
            index += 1;
            let mut swap = swap(1, index, 50.0);
            change(&mut swap);
            match detector.apply(&swap) {
                Outcome::Rejected(reject) => reject,
                other => panic!("{other:?}"),
            }
        };
        for price in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE / 2.0] {
            assert_eq!(rejected(&|swap| swap.price = price), Reject::Price);
        }
        assert_eq!(rejected(&|swap| swap.fee_millionths = 1_000_000), Reject::Fee);
        assert_eq!(rejected(&|swap| swap.token1 = [1; 20]), Reject::Tokens);
        assert_eq!(rejected(&|swap| swap.token1 = [3; 20]), Reject::Pool);
        assert_eq!(rejected(&|swap| swap.fee_millionths = 1), Reject::Pool);
        assert_eq!(detector.tally().rejected, 9);
        // The price is still 100.
        assert_eq!(detector.apply(&swap(2, 99, 100.0)), Outcome::Quiet);
        assert_eq!(detector.quotes[&[1; 20]].price, 100.0);
    }

    #[test]
    fn pairs_keep_to_themselves_and_the_widest_counts() {
        let mut detector = Detector::new();
        let other_pair = PricedSwap { token1: [9; 20], ..swap(7, 0, 1.0) };
        detector.commit(&other_pair);
        assert_eq!(detector.apply(&swap(3, 1, 100.0)), Outcome::Quiet);
        assert!(is_signal(detector.apply(&swap(4, 2, 110.0))));
        let Outcome::Signal(signal) = detector.apply(&swap(2, 3, 120.0)) else { panic!("quiet") };
        assert_eq!(signal.pools, [[2; 20], [3; 20]]);
        assert_eq!(signal.prices, [120.0, 100.0]);
    }
}
