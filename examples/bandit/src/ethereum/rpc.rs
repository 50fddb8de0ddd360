//! The JSON-RPC 2.0 messages between a node and its client, as far as they are needed here.

use std::fmt;

use alloy_primitives::{Address, U64};
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The most characters of a text that a node chooses.
pub(super) const LONGEST_TEXT: usize = 200;

/// The most logs of an answer. Public nodes send some ten thousand at most.
const MOST_LOGS: usize = 1 << 17;

/// A request.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    #[serde(skip_deserializing)]
    jsonrpc: &'static str,
    /// The number of the request, which the answer has, too.
    pub id: u64,
    /// What the request asks for.
    #[serde(flatten)]
    pub call: Call,
}

/// A call of a client.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", content = "params")]
pub enum Call {
    /// The number of the newest block.
    #[serde(rename = "eth_blockNumber")]
    BlockNumber([(); 0]),
    /// A subscription to future `logs` of these addresses.
    #[serde(rename = "eth_subscribe")]
    Subscribe(String, Filter),
    /// The logs of these addresses from a block on, inclusive.
    #[serde(rename = "eth_getLogs")]
    Logs([Range; 1]),
}

/// Selects logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// The contracts that wrote them.
    pub address: Vec<Address>,
}

/// Selects logs of blocks.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Range {
    /// The first block.
    pub from_block: U64,
    /// The contracts that wrote them.
    #[serde(flatten)]
    pub filter: Filter,
}

impl Request {
    /// The text of a request.
    ///
    /// # Panics
    /// Never: these types are JSON.
    pub fn text(id: u64, call: Call) -> String {
        serde_json::to_string(&Self { jsonrpc: "2.0", id, call }).expect("JSON")
    }
}

/// A text of a node: an answer, or a notification of a subscription.
#[derive(Debug, Deserialize)]
pub struct Incoming<'a> {
    /// The number of the request.
    pub id: Option<u64>,
    /// The answer.
    #[serde(borrow)]
    pub result: Option<&'a RawValue>,
    /// The answer to a request that the node refuses.
    pub error: Option<Fault>,
    /// The notification.
    #[serde(borrow)]
    pub params: Option<Notification<'a>>,
}

/// The logs of an answer, each still JSON. More than 131,072 are an error.
pub struct Logs<'a>(pub Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Logs<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Array;

        impl<'de> Visitor<'de> for Array {
            type Value = Vec<&'de RawValue>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an array of at most {MOST_LOGS} logs")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
                let mut logs = Vec::new();
                while let Some(log) = array.next_element()? {
                    if logs.len() == MOST_LOGS {
                        return Err(A::Error::invalid_length(MOST_LOGS + 1, &self));
                    }
                    logs.push(log);
                }
                Ok(logs)
            }
        }

        from.deserialize_seq(Array).map(Logs)
    }
}

/// A log of a subscription.
#[derive(Debug, Deserialize)]
pub struct Notification<'a> {
    /// The subscription.
    pub subscription: &'a str,
    /// The log.
    #[serde(borrow)]
    pub result: &'a RawValue,
}

/// The reason of a node that refuses a request. Its text is cut and escaped.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, thiserror::Error)]
#[error("{} ({code})", shown(message))]
pub struct Fault {
    code: i64,
    message: String,
}

/// A text that the node chooses, for a terminal.
fn shown(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).flat_map(char::escape_debug).collect()
}

/// The text of an answer; `result` is JSON.
pub fn answer(id: u64, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

/// The text of a notification; `log` is JSON.
pub fn notification(subscription: &str, log: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"eth_subscription","params":{{"subscription":"{subscription}","result":{log}}}}}"#
    )
}
