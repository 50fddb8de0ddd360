//! Adds logs of three pairs of Uniswap V2 to the recorded day, which does not have them. They are
//! made, not recorded: at the end of each block the traders of a pair bring its price to that of
//! the market, if the difference is worth it. The market of ether is the busier one of the recorded
//! pools; that of DAI goes up and down, within half a percent of a dollar.

use alloy_primitives::{Address, Bytes, U64, address, aliases::U112};
use alloy_sol_types::SolEvent;
use serde_json::json;

use crate::ethereum::{
    chain::{self, pair::Sync},
    day::Line,
};
use crate::metadata::price;

/// The recorded pool whose price is that of the market.
const MARKET: Address = address!("88e6a0c2ddd26feeb64f039a2c41296fcb3f5640");
/// The index of the first log of a pair in its block, above those of the recorded logs.
const FIRST_INDEX: u64 = 100_000;
/// The blocks in which the price of DAI goes up and down once, and how far from a dollar.
const WAVE: u64 = 2000;
const HEIGHT: f64 = 0.005;
/// 10^(18 − 6): ether and DAI have 18 decimals, USDC has 6.
const FINER: f64 = 1e12;

/// A pair; amounts are in smallest units.
struct Pair {
    address: Address,
    /// The square root of the product of its reserves.
    liquidity: f64,
    /// The difference, as a part of the price, at which a trade is worth it.
    worth: f64,
    /// The price of token 0 in token 1; 0 before the first trade.
    price: f64,
}

/// Returns a day with the logs of the pairs.
pub(super) fn made_from(day: Vec<Line>) -> Vec<Line> {
    let pair = |address, liquidity, worth| Pair { address, liquidity, worth, price: 0.0 };
    let mut pairs = [
        pair(address!("b4e16d0168e52d35cacd2c6185b44281ec28c9dc"), 5.2e17, 0.0045),
        pair(address!("a478c2975ab1ea89e8196811f51a7b7ade33eb11"), 1.7e23, 0.008),
        pair(address!("ae461ca67b15dc8dc81ce7615e0320da1a9ab8d5"), 1e19, 0.004),
    ];
    let (mut whole, mut market) = (Vec::new(), None);
    let mut day = day.into_iter().peekable();
    while let Some(line) = day.next() {
        let log = line.log.clone();
        whole.push(line);
        if log.address == MARKET
            && let Ok(Some(swap)) = chain::swap(&log)
        {
            market = Some(price(&swap.sqrt_price_x96.to_be_bytes(), [0, 0]));
        }
        let ends_block = day.peek().is_none_or(|next| next.log.block_number != log.block_number);
        if let (true, Some(market)) = (ends_block, market) {
            let dai = dollars_of_dai(log.block_number.to());
            let markets = [market, market * dai / FINER, dai / FINER];
            let traded = pairs.iter_mut().zip(markets).filter_map(|(pair, market)| {
                let differs = (market / pair.price - 1.0).abs() > pair.worth;
                pair.price = if differs { market } else { pair.price };
                differs.then(|| (pair.address, pair.reserves()))
            });
            whole.extend((FIRST_INDEX..).zip(traded).map(|(index, (address, reserves))| {
                let log = json!({
                    "address": address,
                    "topics": [Sync::SIGNATURE_HASH],
                    "data": Bytes::from(reserves.encode_data()),
                    "blockNumber": log.block_number,
                    "blockTimestamp": log.block_timestamp,
                    "logIndex": U64::from(index),
                    "removed": false,
                });
                Line::of(log.to_string())
            }));
        }
    }
    whole
}

impl Pair {
    fn reserves(&self) -> Sync {
        let root = self.price.sqrt();
        let [reserve0, reserve1] = [self.liquidity / root, self.liquidity * root]
            .map(|reserve| U112::from(reserve as u128));
        Sync { reserve0, reserve1 }
    }
}

/// The price of DAI in a block: from the least to the most and back.
fn dollars_of_dai(block: u64) -> f64 {
    let phase = (block % WAVE) as f64 / WAVE as f64;
    1.0 + HEIGHT * (1.0 - 4.0 * (phase - 0.5).abs())
}
