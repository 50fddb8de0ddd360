//! Decodes logs of pools of Uniswap V3 and of pairs of Uniswap V2. A log is untrusted: [`swap`]
//! never panics, and refuses other events, too short data, and numbers that exceed their types.

use alloy_primitives::{Address, B256, Bytes, I256, U64, U512};
use alloy_sol_types::{SolEvent, TopicList, sol};
use mycelium::fields::{I128, U128, U256};
use serde::Deserialize;

use crate::messages::{Key, Swap};

/// A log as a node sends it. Missing topics and data are empty here, and [`swap`] refuses them. A
/// log without a position in the chain does not parse.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawLog {
    /// The contract that wrote it.
    pub address: Address,
    /// The signature's hash and the indexed values.
    #[serde(default)]
    pub topics: Vec<B256>,
    /// The values that are not indexed.
    #[serde(default)]
    pub data: Bytes,
    /// The block's number.
    pub block_number: U64,
    /// Unix time of the block in seconds, if the node sends it.
    #[serde(default)]
    pub block_timestamp: U64,
    /// The log's index in its block.
    pub log_index: U64,
    /// The hash of the block, if the node sends it.
    #[serde(default)]
    pub block_hash: Option<B256>,
    /// Whether the chain removed the log.
    #[serde(default)]
    pub removed: bool,
}

impl RawLog {
    /// Returns the position of the log in the chain.
    pub fn key(&self) -> Key {
        Key { block: self.block_number.to(), log_index: self.log_index.to() }
    }
}

/// A log was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Skip {
    /// The log is not an event of a pool.
    #[error("unknown event")]
    UnknownEvent,
    /// The log has less data than the event, or a number that exceeds its type.
    #[error("malformed event")]
    Malformed,
}

mod pool {
    //! The events of a Uniswap V3 pool, as its interface declares them.
    #![allow(missing_docs, reason = "the names are the interface's")]

    super::sol! {
        event Swap(
            address indexed sender, address indexed recipient, int256 amount0, int256 amount1,
            uint160 sqrtPriceX96, uint128 liquidity, int24 tick
        );
        event Mint(
            address sender, address indexed owner, int24 indexed tickLower,
            int24 indexed tickUpper, uint128 amount, uint256 amount0, uint256 amount1
        );
        event Burn(
            address indexed owner, int24 indexed tickLower, int24 indexed tickUpper,
            uint128 amount, uint256 amount0, uint256 amount1
        );
        event Collect(
            address indexed owner, address recipient, int24 indexed tickLower,
            int24 indexed tickUpper, uint128 amount0, uint128 amount1
        );
    }
}

pub(super) mod pair {
    //! The events of a Uniswap V2 pair, which is a token, too, as its interface declares them.
    #![allow(missing_docs, reason = "the names are the interface's")]

    super::sol! {
        event Sync(uint112 reserve0, uint112 reserve1);
        event Swap(
            address indexed sender, uint256 amount0In, uint256 amount1In, uint256 amount0Out,
            uint256 amount1Out, address indexed to
        );
        event Mint(address indexed sender, uint256 amount0, uint256 amount1);
        event Burn(
            address indexed sender, uint256 amount0, uint256 amount1, address indexed to
        );
        event Transfer(address indexed from, address indexed to, uint256 value);
        event Approval(address indexed owner, address indexed spender, uint256 value);
    }
}

/// The swap of a log; `None` if the log is of another event of a pool. A pair tells its reserves
/// after each of its events that changes them, so only `Sync` counts.
///
/// # Errors
/// If the log is not a well-formed event of a pool.
pub fn swap(log: &RawLog) -> Result<Option<Swap>, Skip> {
    match log.topics.first() {
        Some(&pool::Swap::SIGNATURE_HASH) => swap_of_pool(log).map(Some),
        Some(&pair::Sync::SIGNATURE_HASH) => swap_of_pair(log).map(Some),
        Some(
            &pool::Mint::SIGNATURE_HASH
            | &pool::Burn::SIGNATURE_HASH
            | &pool::Collect::SIGNATURE_HASH
            | &pair::Swap::SIGNATURE_HASH
            | &pair::Mint::SIGNATURE_HASH
            | &pair::Burn::SIGNATURE_HASH
            | &pair::Transfer::SIGNATURE_HASH
            | &pair::Approval::SIGNATURE_HASH,
        ) => Ok(None),
        _ => Err(Skip::UnknownEvent),
    }
}

fn swap_of_pool(log: &RawLog) -> Result<Swap, Skip> {
    let event: pool::Swap = decode(log)?;
    let amount = |amount: I256| i128::try_from(amount).map(I128::from).map_err(|_| Skip::Malformed);
    if event.sqrtPriceX96.is_zero() {
        return Err(Skip::Malformed);
    }
    Ok(Swap {
        amount0: amount(event.amount0)?,
        amount1: amount(event.amount1)?,
        tick: event.tick.as_i32(),
        ..at_price(log, event.sqrtPriceX96.to(), event.liquidity)
    })
}

fn swap_of_pair(log: &RawLog) -> Result<Swap, Skip> {
    let event: pair::Sync = decode(log)?;
    let [reserve0, reserve1] = [event.reserve0, event.reserve1].map(U512::from);
    if reserve0.is_zero() || reserve1.is_zero() {
        return Err(Skip::Malformed);
    }
    let (price, liquidity): (U512, U512) = ((reserve1 << 192) / reserve0, reserve0 * reserve1);
    Ok(at_price(log, price.root(2), liquidity.root(2).to()))
}

/// Decodes an event. One with the same name and types, but other indexed fields, is of another
/// contract.
fn decode<E: SolEvent>(log: &RawLog) -> Result<E, Skip> {
    if log.topics.len() != <E as SolEvent>::TopicList::COUNT {
        return Err(Skip::UnknownEvent);
    }
    let topics = log.topics.iter().copied();
    E::decode_raw_log_validate(topics, &log.data).map_err(|_| Skip::Malformed)
}

/// A swap with this price and liquidity, and no amounts.
fn at_price(log: &RawLog, sqrt_price: U512, liquidity: u128) -> Swap {
    let mut price = [0; 32];
    price.copy_from_slice(&sqrt_price.to_be_bytes::<64>()[32..]);
    let (price, pool) = (U256::from_be_bytes(price), log.address.into_array());
    Swap::new(log.key(), I128::ZERO, I128::ZERO, price, pool, 0, false, U128::new(liquidity))
}

#[cfg(test)]
mod tests;
