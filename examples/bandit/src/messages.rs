//! The messages between the services.
//!
//! A chain may be reorganised: it replaces its last blocks. Then a message with `retracts` passes
//! the services in place of a swap, and takes back everything from its position on.

use mycelium::fields::{FixedVec, I128, U128, U256};
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

impl Key {
    /// The next position.
    pub fn after(self) -> Self {
        match self.log_index.checked_add(1) {
            Some(log_index) => Self { log_index, ..self },
            None => Self { block: self.block.saturating_add(1), log_index: 0 },
        }
    }

    /// The last position before this one; the first position of all is its own.
    pub fn before(self) -> Self {
        match self.log_index.checked_sub(1) {
            Some(log_index) => Self { log_index, ..self },
            None if self.block == 0 => self,
            None => Self { block: self.block - 1, log_index: u64::MAX },
        }
    }
}

/// A swap of a pool of Uniswap V3, or new reserves of a pair of Uniswap V2.
#[message(topic = "swaps", id = 1, pad)]
#[derive(Debug, PartialEq)]
pub struct Swap {
    /// The swap's position in the chain.
    pub key: Key,
    /// The amount of token 0 that the pool received, in its smallest unit; negative if it paid. 0
    /// for a pair: its event has only the new reserves.
    pub amount0: I128,
    /// The amount of token 1, likewise.
    pub amount1: I128,
    /// The square root of the price after the swap, times 2^96; never 0.
    pub sqrt_price_x96: U256,
    /// The pool.
    pub pool: [u8; 20],
    /// The tick after the swap; 0 in the swaps of a program that does not know it.
    #[message(default = 0)]
    pub tick: i32,
    /// Takes back the swaps from `key` on. The other fields have no meaning.
    #[message(default = false)]
    pub retracts: bool,
    /// The square root of the product of the (virtual) reserves at this price, in smallest units; 0
    /// in the swaps of a program that does not know it.
    #[message(default = U128::ZERO)]
    pub liquidity: U128,
}

impl Swap {
    /// Takes back the swaps from this position on.
    pub fn retraction(key: Key) -> Self {
        Self::new(key, I128::ZERO, I128::ZERO, U256::ZERO, [0; 20], 0, true, U128::ZERO)
    }
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
    /// Takes back the swaps from `key` on. The other fields have no meaning.
    #[message(default = false)]
    pub retracts: bool,
    /// The liquidity in whole tokens, as in [`Swap`]; 0 if it is unknown.
    #[message(default = 0.0)]
    pub liquidity: f64,
}

impl EnrichedSwap {
    /// Takes back the swaps from this position on.
    pub fn retraction(key: Key) -> Self {
        Self {
            key,
            price: 0.0,
            pool: [0; 20],
            token0: [0; 20],
            token1: [0; 20],
            fee_millionths: 0,
            symbol0: String::new(),
            symbol1: String::new(),
            retracts: true,
            liquidity: 0.0,
        }
    }
}

/// A pool that a signal leads through.
#[message]
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Leg {
    /// The price of token 0 in token 1.
    pub price: f64,
    /// The liquidity in whole tokens, as in [`Swap`]; 0 if it is unknown.
    pub liquidity: f64,
    /// The fee of a swap, in millionths.
    pub fee_millionths: u32,
    /// The pool.
    pub pool: [u8; 20],
    /// The token with the lower address.
    pub token0: [u8; 20],
    /// The token with the higher address.
    pub token1: [u8; 20],
}

impl Leg {
    /// The two tokens.
    pub fn tokens(&self) -> [[u8; 20]; 2] {
        [self.token0, self.token1]
    }

    /// The token that the pool gives for this one, if it has it.
    pub fn beside(&self, token: [u8; 20]) -> Option<[u8; 20]> {
        match self.tokens() {
            [first, second] if first == token => Some(second),
            [first, second] if second == token => Some(first),
            _ => None,
        }
    }
}

/// The prices of two pools of a pair, or of three pools that lead around three tokens, differ by
/// more than the fees of these pools together.
#[message(topic = "signals", id = 3, pad)]
#[derive(Debug, PartialEq)]
pub struct Signal {
    /// The swap that caused it.
    pub key: Key,
    /// The absolute value of the logarithm of what one unit becomes on the way around, before fees.
    pub gap: f64,
    /// The pools, the lowest address first.
    pub legs: FixedVec<Leg, 3>,
    /// Takes back the signals from `key` on. The other fields have no meaning.
    #[message(default = false)]
    pub retracts: bool,
}

impl Signal {
    /// Takes back the signals from this position on.
    pub fn retraction(key: Key) -> Self {
        Self::new(key, 0.0, FixedVec::new(), true)
    }
}
