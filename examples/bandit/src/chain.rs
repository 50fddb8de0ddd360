//! Decodes logs of Uniswap V3 pools. A log is untrusted: [`classify`] never panics, checks the
//! number of topics and the length of the data before it decodes, refuses numbers that exceed their
//! type, and returns the kind of error.

use std::fmt;

use alloy_primitives::{B256, I256, hex};
use alloy_sol_types::{SolEvent, TopicList, sol};
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::rpc::parse_quantity;
pub use crate::rpc::{hex_address, parse_address};

/// The position of a log in the chain; logs are ordered by it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Key {
    /// The block's number.
    pub block: u64,
    /// The log's index in its block.
    pub log_index: u64,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.block, self.log_index)
    }
}

/// A log as a node sends it, with its hexadecimal decoded.
///
/// Missing topics and data are empty here, and [`classify`] rejects them. A log without a position
/// in the chain does not parse.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawLog {
    /// The contract that wrote it.
    #[serde(deserialize_with = "address")]
    pub address: [u8; 20],
    /// The signature's hash and the indexed values.
    #[serde(default, deserialize_with = "topics")]
    pub topics: Vec<[u8; 32]>,
    /// The other values.
    #[serde(default, deserialize_with = "data")]
    pub data: Vec<u8>,
    /// The block's number.
    #[serde(deserialize_with = "number")]
    pub block_number: u64,
    /// Unix time of the block in seconds, if the node sends it.
    #[serde(default, deserialize_with = "optional_number")]
    pub block_timestamp: Option<u64>,
    /// The log's index in its block.
    #[serde(deserialize_with = "number")]
    pub log_index: u64,
    /// Whether the chain removed the log.
    #[serde(default)]
    pub removed: bool,
}

impl RawLog {
    /// Its position in the chain.
    #[must_use]
    pub fn key(&self) -> Key {
        Key { block: self.block_number, log_index: self.log_index }
    }
}

/// A swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    /// The pool.
    pub pool: [u8; 20],
    /// Its position in the chain.
    pub key: Key,
    /// Unix time of the block in seconds, if the node sends it.
    pub timestamp: Option<u64>,
    /// The amount of token 0 that the pool received, in its smallest unit; negative if it paid.
    pub amount0: i128,
    /// The same for token 1.
    pub amount1: i128,
    /// The square root of the price after the swap, times 2^96; big-endian, never 0.
    pub sqrt_price_x96: [u8; 32],
    /// The liquidity in range after the swap.
    pub liquidity: u128,
    /// The tick after the swap.
    pub tick: i32,
}

/// The event of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A swap.
    Swap(Swap),
    /// Liquidity was added.
    Mint,
    /// Liquidity was removed.
    Burn,
    /// Fees or burnt liquidity were collected.
    Collect,
    /// The chain removed a log.
    Removed,
}

/// A log, or a text, was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Skip {
    /// The text is not JSON, or not a message of a node.
    #[error("malformed JSON")]
    MalformedJson,
    /// The message is well formed, the log in it is not.
    #[error("malformed log")]
    MalformedLog,
    /// Fewer topics than the event has.
    #[error("missing topics")]
    MissingTopics,
    /// Less data than the event has.
    #[error("short data")]
    ShortData,
    /// An event that is not known here.
    #[error("unknown event")]
    UnknownEvent,
    /// A number exceeds its type.
    #[error("number out of range")]
    NumberOutOfRange,
}

impl Skip {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::MalformedJson,
        Self::MalformedLog,
        Self::MissingTopics,
        Self::ShortData,
        Self::UnknownEvent,
        Self::NumberOutOfRange,
    ];
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

/// Decodes a log.
///
/// # Errors
/// If it is not a well-formed event of a pool; the caller counts the kind.
pub fn classify(log: &RawLog) -> Result<Event, Skip> {
    if log.removed {
        return Ok(Event::Removed);
    }
    let signature = B256::from(*log.topics.first().ok_or(Skip::MissingTopics)?);
    match signature {
        pool::Swap::SIGNATURE_HASH => swap(log).map(Event::Swap),
        pool::Mint::SIGNATURE_HASH => decode::<pool::Mint>(log, 4).map(|_| Event::Mint),
        pool::Burn::SIGNATURE_HASH => decode::<pool::Burn>(log, 3).map(|_| Event::Burn),
        pool::Collect::SIGNATURE_HASH => decode::<pool::Collect>(log, 3).map(|_| Event::Collect),
        _ => Err(Skip::UnknownEvent),
    }
}

fn swap(log: &RawLog) -> Result<Swap, Skip> {
    let event = decode::<pool::Swap>(log, 5)?;
    let amount = |amount: I256| i128::try_from(amount).map_err(|_| Skip::NumberOutOfRange);
    let sqrt_price_x96 = {
        let mut word = [0; 32];
        word[12..].copy_from_slice(&event.sqrtPriceX96.to_be_bytes::<20>());
        word
    };
    if event.sqrtPriceX96.is_zero() {
        return Err(Skip::NumberOutOfRange);
    }
    Ok(Swap {
        pool: log.address,
        key: log.key(),
        timestamp: log.block_timestamp,
        amount0: amount(event.amount0)?,
        amount1: amount(event.amount1)?,
        sqrt_price_x96,
        liquidity: event.liquidity,
        tick: event.tick.as_i32(),
    })
}

fn decode<E: SolEvent>(log: &RawLog, words: usize) -> Result<E, Skip> {
    let topics = E::TopicList::COUNT;
    match log.topics.len() {
        found if found < topics => return Err(Skip::MissingTopics),
        // The same name and types with other indexed fields: an event of another contract.
        found if found > topics => return Err(Skip::UnknownEvent),
        _ => {}
    }
    if log.data.len() < words * 32 {
        return Err(Skip::ShortData);
    }
    // The shape is checked, so the only error left is a word that exceeds its type.
    E::decode_raw_log_validate(log.topics.iter().map(B256::from), &log.data[..words * 32])
        .map_err(|_| Skip::NumberOutOfRange)
}

/// The price of token 0 in token 1, in whole tokens.
///
/// `sqrt_price_x96` is the square root of the price in smallest units times 2^96, big-endian. The
/// result is finite and positive for every price of a valid pool. The caller checks others: zero
/// gives zero, and extreme decimals may exceed the range of `f64`.
#[must_use]
pub fn price(sqrt_price_x96: &[u8; 32], decimals0: u8, decimals1: u8) -> f64 {
    let (high, low) = sqrt_price_x96.split_at(16);
    let word = |bytes: &[u8]| bytes.iter().fold(0_u128, |word, byte| word << 8 | u128::from(*byte));
    // Each half is rounded once; scaling by powers of two is exact.
    const TWO_64: f64 = (1_u128 << 64) as f64;
    const TWO_96: f64 = (1_u128 << 96) as f64;
    let sqrt = (word(high) as f64 * TWO_64 * TWO_64 + word(low) as f64) / TWO_96;
    let shift = |digits: u8| (0..digits).fold(1.0_f64, |power, _| power * 10.0);
    let raw = sqrt * sqrt;
    if decimals0 >= decimals1 {
        raw * shift(decimals0 - decimals1)
    } else {
        raw / shift(decimals1 - decimals0)
    }
}

fn address<'de, D: Deserializer<'de>>(input: D) -> Result<[u8; 20], D::Error> {
    let text = <std::borrow::Cow<'de, str>>::deserialize(input)?;
    parse_address(&text).ok_or_else(|| D::Error::custom("invalid address"))
}

fn topics<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<[u8; 32]>, D::Error> {
    let texts = <Vec<String>>::deserialize(input)?;
    texts
        .iter()
        .map(|text| hex::decode_to_array(text).map_err(|_| D::Error::custom("invalid topic")))
        .collect()
}

fn data<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<u8>, D::Error> {
    let text = <std::borrow::Cow<'de, str>>::deserialize(input)?;
    hex::decode(text.as_bytes()).map_err(|_| D::Error::custom("data is not hexadecimal"))
}

fn number<'de, D: Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
    let text = <std::borrow::Cow<'de, str>>::deserialize(input)?;
    parse_quantity(&text).ok_or_else(|| D::Error::custom("invalid quantity"))
}

fn optional_number<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    let text = <Option<String>>::deserialize(input)?;
    text.map(|text| parse_quantity(&text).ok_or_else(|| D::Error::custom("invalid quantity")))
        .transpose()
}

#[cfg(test)]
mod tests;
