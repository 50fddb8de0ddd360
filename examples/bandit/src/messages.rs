//! The messages between the services.

use mycelium::{FixedStr, I128, U256, message};

use crate::{
    arbitrage::{self, PricedSwap},
    chain::{self, Key},
    metadata::Pool,
};

/// A swap of a pool.
#[message(topic = "swaps", id = 1)]
#[derive(Debug, PartialEq)]
pub struct Swap {
    /// When the adapter emitted it, in nanoseconds of the node's time.
    pub emitted_at: u64,
    /// The block's number.
    pub block: u64,
    /// The log's index in its block.
    pub log_index: u64,
    /// Unix time of the block in seconds; 0 if the node does not send it.
    pub timestamp: u64,
    /// The amount of token 0 that the pool received, in its smallest unit.
    pub amount0: I128,
    /// The same for token 1.
    pub amount1: I128,
    /// The square root of the price after the swap, times 2^96.
    pub sqrt_price_x96: U256,
    /// The pool.
    pub pool: [u8; 20],
    /// The tick after the swap.
    pub tick: i32,
}

impl Swap {
    /// The message of a decoded swap.
    #[must_use]
    pub fn new(swap: &chain::Swap, emitted_at: u64) -> Self {
        Self {
            emitted_at,
            block: swap.key.block,
            log_index: swap.key.log_index,
            timestamp: swap.timestamp.unwrap_or(0),
            amount0: swap.amount0.into(),
            amount1: swap.amount1.into(),
            sqrt_price_x96: U256::from_be_bytes(swap.sqrt_price_x96),
            pool: swap.pool,
            tick: swap.tick,
        }
    }
}

/// A swap with the metadata of its pool.
#[message(topic = "enriched-swaps", id = 2)]
#[derive(Debug, PartialEq)]
pub struct EnrichedSwap {
    /// When the adapter emitted the swap, in nanoseconds of the node's time.
    pub emitted_at: u64,
    /// The block's number.
    pub block: u64,
    /// The log's index in its block.
    pub log_index: u64,
    /// The price of token 0 in units of token 1.
    pub price: f64,
    /// The pool.
    pub pool: [u8; 20],
    /// The token of the lower address.
    pub token0: [u8; 20],
    /// The other.
    pub token1: [u8; 20],
    /// The fee of a swap, in millionths.
    pub fee_millionths: u32,
    /// The symbol of token 0.
    pub symbol0: FixedStr<14>,
    /// The symbol of token 1.
    pub symbol1: FixedStr<14>,
}

impl EnrichedSwap {
    /// The swap with its pool's metadata. Symbols that are too long are cut.
    #[must_use]
    pub fn new(swap: &Swap, pool: &Pool) -> Self {
        let decimals = (pool.token0.decimals, pool.token1.decimals);
        let sqrt_price = swap.sqrt_price_x96.to_be_bytes();
        Self {
            emitted_at: swap.emitted_at,
            block: swap.block,
            log_index: swap.log_index,
            price: chain::price(&sqrt_price, decimals.0, decimals.1),
            pool: pool.address,
            token0: pool.token0.address,
            token1: pool.token1.address,
            fee_millionths: pool.fee_millionths,
            symbol0: symbol(&pool.token0.symbol),
            symbol1: symbol(&pool.token1.symbol),
        }
    }

    /// The part that the detector needs.
    #[must_use]
    pub fn priced(&self) -> PricedSwap {
        PricedSwap {
            pool: self.pool,
            token0: self.token0,
            token1: self.token1,
            fee_millionths: self.fee_millionths,
            key: Key { block: self.block, log_index: self.log_index },
            price: self.price,
        }
    }
}

fn symbol<const N: usize>(text: &str) -> FixedStr<N> {
    let mut end = text.len().min(N);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    FixedStr::try_from(&text[..end]).unwrap_or_default()
}

/// The prices of two pools differ by more than their fees.
#[message(topic = "signals", id = 3)]
#[derive(Debug, PartialEq)]
pub struct Signal {
    /// The block's number.
    pub block: u64,
    /// The index of the log of the swap that caused it.
    pub log_index: u64,
    /// The prices of the two pools.
    pub prices: [f64; 2],
    /// The absolute value of the logarithm of their ratio.
    pub gap: f64,
    /// The pools.
    pub pools: [[u8; 20]; 2],
}

impl From<arbitrage::Signal> for Signal {
    fn from(signal: arbitrage::Signal) -> Self {
        let arbitrage::Signal { key, pools, prices, gap } = signal;
        Self { block: key.block, log_index: key.log_index, prices, gap, pools }
    }
}

impl From<Signal> for arbitrage::Signal {
    fn from(signal: Signal) -> Self {
        let Signal { block, log_index, prices, gap, pools } = signal;
        Self { key: Key { block, log_index }, pools, prices, gap }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_cut_at_a_character() {
        assert_eq!(symbol::<14>("USDC").as_str(), "USDC");
        assert_eq!(symbol::<4>("aäää").as_str(), "aä");
    }
}
