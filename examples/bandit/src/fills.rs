//! What signals would have earned, after gas. Pure, and idempotent like
//! [`arbitrage`](crate::arbitrage): [`Ledger::weigh`] computes, [`Ledger::commit`] stores.
//!
//! A fill sends wrapped ether around the pools of its signal, as much as earns most, in one
//! transaction. It is an estimate, and a high one: nobody else is faster, and a pool of Uniswap V3
//! has the liquidity of its last swap at all prices that the fill passes. The recorded chain does
//! not know the fill. So the difference that it takes stays there: later signals of the same pools
//! are of the same difference for five minutes.

use std::collections::VecDeque;

use alloy_primitives::{Address, address};
use serde::{Deserialize, Serialize};

use crate::ethereum::session::DEPTH;
use crate::messages::{Key, Leg, Signal};

/// Wrapped ether, which pays for gas.
const ETHER: Address = address!("c02aaa39b223fe8d0a0e5c4f27ead9083c756cc2");
/// The gas of a transaction, and of each swap in it.
const GAS: [u64; 2] = [21_000, 100_000];
/// The blocks after a fill, five minutes, in which signals of its pools are of the same difference.
const SAME_WITHIN: u64 = 25;
const GWEI: f64 = 1e9;

/// Whether a signal is filled.
#[derive(Clone, Debug, PartialEq)]
pub enum Weighed {
    /// This signal, or a later one, was committed before.
    Seen,
    /// It is filled.
    Fill(Fill),
    /// The gas would cost as much as it earns, or more.
    TooSmall,
    /// An earlier fill of the same pools has taken the difference.
    AlreadyFilled,
    /// No pool has ether, or the liquidity of one is unknown.
    Unknown,
    /// Takes back the fills from its position on.
    Retraction,
}

/// A simulated fill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fill {
    /// The swap that caused the signal.
    pub key: Key,
    /// The pools.
    pub pools: Vec<Address>,
    /// What is left after gas, in gwei.
    pub left: u64,
    /// What the gas costs, in gwei.
    pub gas: u64,
}

/// The fills so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// The number of fills.
    pub fills: u64,
    /// What is left of them after gas, in gwei.
    pub left: u64,
    /// What their gas costs, in gwei.
    pub gas: u64,
    last: Option<Key>,
    /// The fills that the chain may take back, and those that later signals may repeat after that.
    recent: VecDeque<Fill>,
}

impl Ledger {
    /// What becomes of a signal, if a unit of gas costs this many gwei; changes nothing.
    pub fn weigh(&self, signal: &Signal, gas_price: u32) -> Weighed {
        let &Signal { key, legs, retracts, .. } = signal;
        match (retracts, self.last.is_some_and(|last| key <= last)) {
            (true, true) => return Weighed::Retraction,
            (true, false) | (false, true) => return Weighed::Seen,
            (false, false) => {}
        }
        let legs: Vec<Leg> = legs.iter().collect();
        let pools: Vec<Address> = legs.iter().map(|leg| leg.pool.into()).collect();
        let is_same = |fill: &Fill| {
            fill.pools == pools && fill.key.block.saturating_add(SAME_WITHIN) >= key.block
        };
        if self.recent.iter().any(is_same) {
            return Weighed::AlreadyFilled;
        }
        let Some(earns) = most(&legs) else { return Weighed::Unknown };
        let [transaction, swap] = GAS;
        let gas = (transaction + swap * legs.len() as u64) * u64::from(gas_price);
        match ((earns * GWEI) as u64).checked_sub(gas) {
            Some(left @ 1..) => Weighed::Fill(Fill { key, pools, left, gas }),
            _ => Weighed::TooSmall,
        }
    }

    /// Stores what became of a signal.
    pub fn commit(&mut self, key: Key, weighed: &Weighed) {
        let is_final =
            |fill: &mut Fill| fill.key.block.saturating_add(DEPTH + SAME_WITHIN) < key.block;
        while self.recent.pop_front_if(is_final).is_some() {}
        self.last = match weighed {
            Weighed::Seen => return,
            Weighed::Retraction => {
                while let Some(fill) = self.recent.pop_back_if(|fill| fill.key >= key) {
                    self.fills -= 1;
                    // Sums that had reached the greatest number are no longer exact.
                    self.left = self.left.saturating_sub(fill.left);
                    self.gas = self.gas.saturating_sub(fill.gas);
                }
                Some(key.before())
            }
            Weighed::Fill(fill) => {
                self.fills += 1;
                self.left = self.left.saturating_add(fill.left);
                self.gas = self.gas.saturating_add(fill.gas);
                self.recent.push_back(fill.clone());
                Some(key)
            }
            _ => Some(key),
        };
    }
}

/// Returns what the best amount of ether earns on the better way around the pools, before gas;
/// `None` if no way begins and ends with ether.
fn most(legs: &[Leg]) -> Option<f64> {
    let ways = (0..legs.len()).flat_map(|first| {
        let mut way = legs.to_vec();
        way.rotate_left(first);
        let mut back = way.clone();
        back.reverse();
        [way, back]
    });
    ways.filter_map(|way| earns(&way)).max_by(f64::total_cmp)
}

/// Returns what the best amount of ether earns on this way; `None` if the way does not begin and
/// end with ether.
///
/// Each pool gives `out * x / (in + x)` for `x` after its fee, and so do several in a row, with
/// other constants: `gives * x / (holds + takes * x)`. This is most above `x` where both have the
/// same slope.
fn earns(way: &[Leg]) -> Option<f64> {
    let mut token = ETHER.into_array();
    let [mut gives, mut holds, mut takes] = [1.0, 1.0, 0.0];
    for leg in way {
        let root = leg.price.sqrt();
        let reserves = [leg.liquidity / root, leg.liquidity * root];
        let [enters, leaves] = match leg.tokens() {
            [first, second] if first == token => {
                token = second;
                reserves
            }
            [first, second] if second == token => {
                token = first;
                [reserves[1], reserves[0]]
            }
            _ => return None,
        };
        let after_fee = 1.0 - f64::from(leg.fee_millionths) / 1e6;
        takes = enters * takes + after_fee * gives;
        gives *= after_fee * leaves;
        holds *= enters;
    }
    let earns = if gives > holds { (gives.sqrt() - holds.sqrt()).powi(2) / takes } else { 0.0 };
    // Without liquidity it is 0 / 0.
    let is_known = gives.is_normal() && holds.is_normal() && takes.is_normal();
    (token == ETHER.into_array() && is_known && earns.is_finite()).then_some(earns)
}

#[cfg(test)]
mod tests {
    use mycelium::fields::FixedVec;

    use super::*;

    const DOLLAR: [u8; 20] = [0xa0; 20];
    const OTHER: [u8; 20] = [0x6b; 20];

    /// A pool with these whole tokens.
    fn leg(pool: u8, tokens: [[u8; 20]; 2], reserves: [f64; 2]) -> Leg {
        Leg {
            price: reserves[1] / reserves[0],
            liquidity: (reserves[0] * reserves[1]).sqrt(),
            fee_millionths: 3000,
            pool: [pool; 20],
            token0: tokens[0],
            token1: tokens[1],
        }
    }

    fn ether() -> [u8; 20] {
        ETHER.into_array()
    }

    /// Ether is cheaper in the first pool.
    fn pools() -> [Leg; 2] {
        [
            leg(1, [DOLLAR, ether()], [2_000_000.0, 1000.0]),
            leg(2, [DOLLAR, ether()], [2_100_000.0, 1000.0]),
        ]
    }

    fn signal(block: u64, legs: &[Leg]) -> Signal {
        Signal::new(Key { block, log_index: 1 }, 0.0, FixedVec::from_slice(legs).unwrap(), false)
    }

    /// What this amount of ether becomes, pool by pool as their contracts compute it.
    fn swapped(way: &[Leg], amount: f64) -> f64 {
        let mut token = ether();
        way.iter().fold(amount, |amount, leg| {
            let [reserve0, reserve1] =
                [leg.liquidity / leg.price.sqrt(), leg.liquidity * leg.price.sqrt()];
            let (enters, leaves, next) = match token == leg.token0 {
                true => (reserve0, reserve1, leg.token1),
                false => (reserve1, reserve0, leg.token0),
            };
            token = next;
            let amount = amount * 0.997;
            leaves * amount / (enters + amount)
        })
    }

    #[test]
    fn no_amount_earns_more() {
        // The better way around is the one, or the other.
        let triangle = |reserve| {
            vec![
                leg(1, [DOLLAR, ether()], [2_000_000.0, 1000.0]),
                leg(2, [OTHER, DOLLAR], [500_000.0, 510_000.0]),
                leg(3, [OTHER, ether()], [reserve, 1000.0]),
            ]
        };
        for legs in [pools().to_vec(), triangle(1_900_000.0), triangle(2_030_000.0)] {
            let expected = most(&legs).unwrap();
            // The pools of ether are at the ends.
            let mut ways = [legs.clone(), legs.clone()];
            ways[1].reverse();
            let amounts = || (1..100_000).map(|step| f64::from(step) / 1000.0);
            let found = ways
                .iter()
                .flat_map(|way| amounts().map(move |amount| swapped(way, amount) - amount))
                .max_by(f64::total_cmp)
                .unwrap();
            assert!(expected > 0.01 && (expected - found).abs() < 1e-6, "{expected} {found}");
        }
    }

    #[test]
    fn gas_decides_and_a_difference_is_taken_once() {
        let ledger = &mut Ledger::default();
        let mut commit = |signal: &Signal, gas_price| {
            let weighed = ledger.weigh(signal, gas_price);
            assert_eq!(ledger.weigh(signal, gas_price), weighed);
            ledger.commit(signal.key, &weighed);
            (weighed, [ledger.fills, ledger.left, ledger.gas])
        };
        let earns = (most(&pools()).unwrap() * GWEI) as u64;
        let gas = earns.div_ceil(221_000);
        let (weighed, totals) = commit(&signal(1, &pools()), gas as u32);
        assert_eq!(weighed, Weighed::TooSmall);
        assert_eq!(totals, [0; 3]);
        let (weighed, totals) = commit(&signal(2, &pools()), 20);
        assert!(matches!(weighed, Weighed::Fill(_)));
        assert_eq!(totals, [1, earns - 4_420_000, 4_420_000]);
        assert_eq!(commit(&signal(2, &pools()), 20), (Weighed::Seen, totals));
        assert_eq!(commit(&signal(27, &pools()), 20), (Weighed::AlreadyFilled, totals));
        let (_, twice) = commit(&signal(28, &pools()), 20);
        assert_eq!(twice, totals.map(|total| 2 * total));
        // The chain takes back the second fill, and both again.
        for (block, expected) in [(28, totals), (1, [0; 3])] {
            let retraction = Signal::retraction(Key { block, log_index: 0 });
            assert_eq!(commit(&retraction, 20), (Weighed::Retraction, expected));
            assert_eq!(commit(&retraction, 20), (Weighed::Seen, expected));
        }
    }

    #[test]
    fn a_fill_before_what_is_taken_back_still_counts() {
        let ledger = &mut Ledger::default();
        let mut commit = |signal: Signal| {
            let weighed = ledger.weigh(&signal, 20);
            ledger.commit(signal.key, &weighed);
            weighed
        };
        let [first, second] = pools();
        let others = [first, Leg { pool: [3; 20], ..second }];
        assert!(matches!(commit(signal(100, &pools())), Weighed::Fill(_)));
        assert!(matches!(commit(signal(125 + DEPTH, &others)), Weighed::Fill(_)));
        commit(Signal::retraction(Key { block: 125, log_index: 0 }));
        assert_eq!(commit(signal(125, &pools())), Weighed::AlreadyFilled);
        assert!(matches!(commit(signal(126, &pools())), Weighed::Fill(_)));
    }

    #[test]
    fn more_than_there_is_can_be_taken_back() {
        let ledger = &mut Ledger::default();
        let huge = |block: u64| {
            let legs = pools().map(|leg| Leg { liquidity: leg.liquidity * 1e30, ..leg });
            signal(block, &legs)
        };
        for block in [1, 30] {
            let signal = huge(block);
            let weighed = ledger.weigh(&signal, 1);
            ledger.commit(signal.key, &weighed);
        }
        assert_eq!((ledger.fills, ledger.left), (2, u64::MAX));
        ledger.commit(Key { block: 0, log_index: 0 }, &Weighed::Retraction);
        assert_eq!((ledger.fills, ledger.left), (0, 0));
    }

    #[test]
    fn what_cannot_be_valued_is_not_filled() {
        let [first, second] = pools();
        let no_ether = pools().map(|leg| Leg { token1: [0xff; 20], ..leg });
        let nonsense = [
            Leg { liquidity: 0.0, ..first },
            Leg { liquidity: f64::NAN, ..first },
            Leg { liquidity: f64::INFINITY, ..first },
            Leg { price: -1.0, ..first },
        ];
        for legs in nonsense.map(|leg| vec![leg, second]).into_iter().chain([no_ether.to_vec()]) {
            let weighed = Ledger::default().weigh(&signal(1, &legs), 20);
            assert_eq!(weighed, Weighed::Unknown, "{legs:?}");
        }
        // Nothing is left after the fees.
        let weighed =
            Ledger::default().weigh(&signal(1, &[first, Leg { pool: [2; 20], ..first }]), 1);
        assert_eq!(weighed, Weighed::TooSmall);
    }
}
