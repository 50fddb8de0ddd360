//! Decodes logs of Uniswap V3 pools. A log is untrusted: [`swap`] never panics, and refuses what is
//! no event of a pool, is too short, or has a number that exceeds its type.

use alloy_primitives::{Address, B256, Bytes, I256, U64};
use alloy_sol_types::{SolEvent, TopicList, sol};
use mycelium::fields::{I128, U256};
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

/// The swap of a log; `None` if the log is of another event of a pool.
///
/// # Errors
/// If the log is not a well-formed event of a pool.
pub fn swap(log: &RawLog) -> Result<Option<Swap>, Skip> {
    match log.topics.first() {
        Some(&pool::Swap::SIGNATURE_HASH) => {}
        Some(
            &pool::Mint::SIGNATURE_HASH
            | &pool::Burn::SIGNATURE_HASH
            | &pool::Collect::SIGNATURE_HASH,
        ) => return Ok(None),
        _ => return Err(Skip::UnknownEvent),
    }
    // An event with the same name and types, but other indexed fields, is of another contract.
    if log.topics.len() != <pool::Swap as SolEvent>::TopicList::COUNT {
        return Err(Skip::UnknownEvent);
    }
    let event = pool::Swap::decode_raw_log_validate(log.topics.iter().copied(), &log.data)
        .map_err(|_| Skip::Malformed)?;
    let amount = |amount: I256| i128::try_from(amount).map(I128::from).map_err(|_| Skip::Malformed);
    if event.sqrtPriceX96.is_zero() {
        return Err(Skip::Malformed);
    }
    let mut sqrt_price = [0; 32];
    sqrt_price[12..].copy_from_slice(&event.sqrtPriceX96.to_be_bytes::<20>());
    Ok(Some(Swap::new(
        log.key(),
        amount(event.amount0)?,
        amount(event.amount1)?,
        U256::from_be_bytes(sqrt_price),
        log.address.into_array(),
        event.tick.as_i32(),
        false,
    )))
}

#[cfg(test)]
mod tests;
