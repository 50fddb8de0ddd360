//! The messages between the services.

use mycelium::fields::{I128, U256};
use mycelium::message;
use serde::{Deserialize, Serialize};

/// The position of a log in the chain; logs are ordered by it.
#[message]
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// The block's number.
    pub block: u64,
    /// The log's index in its block.
    pub log_index: u64,
}

/// A swap of a pool.
#[message(topic = "swaps", id = 1)]
#[derive(Debug, PartialEq)]
pub struct Swap {
    /// The swap's position in the chain.
    pub key: Key,
    /// The amount of token 0 that the pool received, in its smallest unit; negative if it paid.
    pub amount0: I128,
    /// The amount of token 1 that the pool received, in its smallest unit; negative if it paid.
    pub amount1: I128,
    /// The square root of the price after the swap, times 2^96; never 0.
    pub sqrt_price_x96: U256,
    /// The pool.
    pub pool: [u8; 20],
    /// The tick after the swap; 0 in the swaps of a program that does not know it.
    #[message(default = 0)]
    pub tick: i32,
}

/// A swap with the metadata of its pool.
#[message(topic = "enriched-swaps", id = 2)]
#[derive(Debug, PartialEq)]
pub struct EnrichedSwap {
    /// The swap's position in the chain.
    pub key: Key,
    /// The price of token 0 in units of token 1.
    pub price: f64,
    /// The pool.
    pub pool: [u8; 20],
    /// The token with the lower address.
    pub token0: [u8; 20],
    /// The token with the higher address.
    pub token1: [u8; 20],
    /// The fee of a swap, in millionths.
    pub fee_millionths: u32,
    /// The symbol of token 0.
    pub symbol0: String,
    /// The symbol of token 1.
    pub symbol1: String,
}

/// The prices of two pools differ by more than their fees.
#[message(topic = "signals", id = 3)]
#[derive(Debug, PartialEq)]
pub struct Signal {
    /// The swap that caused it.
    pub key: Key,
    /// The prices of token 0 in token 1 of the two pools.
    pub prices: [f64; 2],
    /// The absolute value of the logarithm of the ratio of the prices.
    pub gap: f64,
    /// The pools, the lower address first.
    pub pools: [[u8; 20]; 2],
}
