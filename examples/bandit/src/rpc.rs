//! The JSON-RPC 2.0 messages of a node and its client: requests, answers, notifications and errors,
//! and Ethereum's hexadecimal quantities and addresses. Input is untrusted: parsing never panics,
//! and an invalid request gets the error code of the standard.

use alloy_primitives::hex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// JSON-RPC's number for the kind of error.
    pub code: i64,
    /// A description.
    pub message: String,
}

impl Fault {
    /// The text is not JSON.
    pub const PARSE: i64 = -32700;
    /// The JSON is not a request.
    pub const REQUEST: i64 = -32600;
    /// The method does not exist.
    pub const METHOD: i64 = -32601;
    /// The parameters are invalid.
    pub const PARAMS: i64 = -32602;
    /// A limit of the node is exceeded.
    pub const LIMIT: i64 = -32005;

    /// An error answer.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Selects logs by address; an empty list selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The addresses.
    pub addresses: Vec<[u8; 20]>,
}

impl Filter {
    /// Whether it selects logs of this address.
    #[must_use]
    pub fn matches(&self, address: &[u8; 20]) -> bool {
        self.addresses.is_empty() || self.addresses.contains(address)
    }
}

/// One end of a range of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockTag {
    /// The first block.
    Earliest,
    /// The newest block.
    Latest,
    /// This block.
    Number(u64),
}

/// A call of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// `eth_subscribe("logs", filter)`.
    Subscribe(Filter),
    /// `eth_unsubscribe(id)`.
    Unsubscribe(String),
    /// `eth_blockNumber`.
    BlockNumber,
    /// `eth_chainId`.
    ChainId,
    /// `eth_getLogs`, both ends inclusive.
    Logs {
        /// The first block.
        from: BlockTag,
        /// The last block.
        to: BlockTag,
        /// The addresses.
        filter: Filter,
    },
}

/// A request: its id, to be echoed, and its call or an error.
#[derive(Debug)]
pub struct Request<'a> {
    /// The id as JSON; `null` if missing.
    pub id: &'a str,
    /// The call.
    pub call: Result<Call, Fault>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    method: Option<String>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FilterParams {
    address: Option<OneOrMany>,
    topics: Option<Vec<Value>>,
    from_block: Option<String>,
    to_block: Option<String>,
    block_hash: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Parses a text of a client.
#[must_use]
pub fn parse_request(text: &str) -> Request<'_> {
    let refuse = |fault| Request { id: "null", call: Err(fault) };
    let envelope: Envelope<'_> = match serde_json::from_str(text) {
        // serde also accepts an array for a struct; in JSON-RPC an array is a batch.
        Ok(_) if !text.trim_start().starts_with('{') => {
            return refuse(Fault::new(Fault::REQUEST, "batches are not supported"));
        }
        Ok(envelope) => envelope,
        Err(error) if error.is_data() => {
            return refuse(Fault::new(Fault::REQUEST, "not a request"));
        }
        Err(_) => return refuse(Fault::new(Fault::PARSE, "not JSON")),
    };
    let id = envelope.id.map_or("null", RawValue::get);
    if id.starts_with(['{', '[']) {
        return refuse(Fault::new(Fault::REQUEST, "an id must be a number or a string"));
    }
    let call = match envelope.method.as_deref() {
        Some(method) => parse_call(method, envelope.params.map_or("[]", RawValue::get)),
        None => Err(Fault::new(Fault::REQUEST, "the method is missing")),
    };
    Request { id, call }
}

fn parse_call(method: &str, params: &str) -> Result<Call, Fault> {
    let bad = |reason: &str| Fault::new(Fault::PARAMS, reason);
    match method {
        "eth_subscribe" => {
            let (topic, filter) = match serde_json::from_str::<(String, FilterParams)>(params) {
                Ok((topic, filter)) => (topic, filter_of(&filter)?),
                Err(_) => match serde_json::from_str::<(String,)>(params) {
                    Ok((topic,)) => (topic, Filter::default()),
                    Err(_) => return Err(bad("expected [\"logs\", filter]")),
                },
            };
            match topic.as_str() {
                "logs" => Ok(Call::Subscribe(filter)),
                _ => Err(bad("only subscriptions to logs are supported")),
            }
        }
        "eth_unsubscribe" => serde_json::from_str::<(String,)>(params)
            .map(|(id,)| Call::Unsubscribe(id))
            .map_err(|_| bad("expected [subscription]")),
        "eth_blockNumber" => Ok(Call::BlockNumber),
        "eth_chainId" => Ok(Call::ChainId),
        "eth_getLogs" => {
            let (filter,) = serde_json::from_str::<(FilterParams,)>(params)
                .map_err(|_| bad("expected [filter]"))?;
            if filter.block_hash.is_some() {
                return Err(bad("block hashes are not supported"));
            }
            let from = parse_tag(filter.from_block.as_deref())?;
            let to = parse_tag(filter.to_block.as_deref())?;
            match (from, to) {
                (BlockTag::Number(from), BlockTag::Number(to)) if from > to => {
                    Err(bad("the last block is before the first"))
                }
                _ => Ok(Call::Logs { from, to, filter: filter_of(&filter)? }),
            }
        }
        _ => Err(Fault::new(Fault::METHOD, format!("the method {method:.40} does not exist"))),
    }
}

fn filter_of(params: &FilterParams) -> Result<Filter, Fault> {
    let topics = params.topics.iter().flatten();
    if topics.into_iter().any(|topic| !topic.is_null()) {
        return Err(Fault::new(Fault::PARAMS, "filters by topic are not supported"));
    }
    let texts = match &params.address {
        None => &[],
        Some(OneOrMany::One(one)) => std::slice::from_ref(one),
        Some(OneOrMany::Many(many)) => many.as_slice(),
    };
    let addresses: Option<_> = texts.iter().map(|text| parse_address(text)).collect();
    match addresses {
        Some(addresses) => Ok(Filter { addresses }),
        None => {
            Err(Fault::new(Fault::PARAMS, "invalid address: expected 0x and 40 hexadecimal digits"))
        }
    }
}

fn parse_tag(text: Option<&str>) -> Result<BlockTag, Fault> {
    match text {
        None | Some("latest" | "pending") => Ok(BlockTag::Latest),
        Some("earliest") => Ok(BlockTag::Earliest),
        Some(number) => parse_quantity(number).map(BlockTag::Number).ok_or_else(|| {
            Fault::new(Fault::PARAMS, "invalid block: expected a quantity, earliest or latest")
        }),
    }
}

/// Parses a quantity: `0x` and one to sixteen hexadecimal digits.
#[must_use]
pub fn parse_quantity(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x")?;
    // `from_str_radix` would accept a sign.
    if digits.len() > 16 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

/// An address as nodes write it: `0x` and 40 hexadecimal digits, lower case.
#[must_use]
pub fn hex_address(address: &[u8; 20]) -> String {
    hex::encode_prefixed(address)
}

/// Parses an address.
#[must_use]
pub fn parse_address(text: &str) -> Option<[u8; 20]> {
    // Checked here, because the decoder would accept a second prefix.
    if text.len() != 42 || !text.starts_with("0x") {
        return None;
    }
    hex::decode_to_array(text).ok()
}

/// The answer to a request; `result` is JSON.
#[must_use]
pub fn answer(id: &str, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

/// The error answer to a request.
#[must_use]
pub fn refusal(id: &str, fault: &Fault) -> String {
    let message = Value::from(fault.message.as_str());
    let code = fault.code;
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":{message}}}}}"#)
}

/// A notification of a subscription; `result` is JSON.
#[must_use]
pub fn notification(subscription: &str, result: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"eth_subscription","params":{{"subscription":"{subscription}","result":{result}}}}}"#
    )
}

/// A request for the number of the newest block.
#[must_use]
pub fn block_number_request(id: u64) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"eth_blockNumber","params":[]}}"#)
}

/// A subscription to future logs of these addresses.
#[must_use]
pub fn subscribe_request(id: u64, addresses: &[[u8; 20]]) -> String {
    let addresses = address_list(addresses);
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"eth_subscribe","params":["logs",{{"address":{addresses}}}]}}"#
    )
}

/// A request for the logs of these addresses from a block, inclusive, to the newest.
#[must_use]
pub fn logs_request(id: u64, from: u64, addresses: &[[u8; 20]]) -> String {
    let addresses = address_list(addresses);
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"eth_getLogs","params":[{{"fromBlock":"{from:#x}","toBlock":"latest","address":{addresses}}}]}}"#
    )
}

fn address_list(addresses: &[[u8; 20]]) -> Value {
    addresses.iter().map(hex_address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, params: &str) -> Result<Call, Fault> {
        let text = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"{method}","params":{params}}}"#);
        let request = parse_request(&text);
        assert_eq!(request.id, "7");
        request.call
    }

    #[test]
    fn quantities_are_strict() {
        assert_eq!(parse_quantity("0x0"), Some(0));
        assert_eq!(parse_quantity("0xffffffffffffffff"), Some(u64::MAX));
        for bad in ["", "0x", "12", "0x-1", "0x+1", "0xg", "0x10000000000000000", "0X1", "0xé"] {
            assert_eq!(parse_quantity(bad), None, "{bad}");
        }
    }

    #[test]
    fn requests_built_here_are_read_here() {
        let addresses = [[1; 20], [0xab; 20]];
        let filter = Filter { addresses: addresses.to_vec() };
        let text = subscribe_request(1, &addresses);
        assert_eq!(parse_request(&text).call, Ok(Call::Subscribe(filter.clone())));
        let text = logs_request(2, 500, &addresses);
        let (from, to) = (BlockTag::Number(500), BlockTag::Latest);
        assert_eq!(parse_request(&text).call, Ok(Call::Logs { from, to, filter }));
        assert_eq!(parse_request(&block_number_request(3)).call, Ok(Call::BlockNumber));
    }

    #[test]
    fn what_cannot_be_served_is_refused_by_its_code() {
        for (text, code) in [
            ("", Fault::PARSE),
            ("{", Fault::PARSE),
            ("hello", Fault::PARSE),
            ("3", Fault::REQUEST),
            ("[]", Fault::REQUEST),
            (r#"[1,"eth_blockNumber",[]]"#, Fault::REQUEST),
            ("{}", Fault::REQUEST),
            (r#"{"id":1,"method":5}"#, Fault::REQUEST),
            (r#"{"id":{},"method":"eth_blockNumber"}"#, Fault::REQUEST),
            (r#"{"id":1,"method":"eth_mine"}"#, Fault::METHOD),
        ] {
            assert_eq!(parse_request(text).call.unwrap_err().code, code, "{text}");
        }
        for (method, params) in [
            ("eth_subscribe", "[]"),
            ("eth_subscribe", r#"["newHeads"]"#),
            ("eth_subscribe", r#"["logs",{"address":"0x12"}]"#),
            ("eth_subscribe", r#"["logs",{"topics":["0x12"]}]"#),
            ("eth_subscribe", r#"["logs",5]"#),
            ("eth_unsubscribe", "[1]"),
            ("eth_getLogs", "[]"),
            ("eth_getLogs", r#"[{"fromBlock":"5"}]"#),
            ("eth_getLogs", r#"[{"fromBlock":"0x5","toBlock":"0x4"}]"#),
            ("eth_getLogs", r#"[{"blockHash":"0x00"}]"#),
        ] {
            assert_eq!(call(method, params).unwrap_err().code, Fault::PARAMS, "{method} {params}");
        }
    }

    #[test]
    fn ids_are_echoed_as_they_came() {
        let request = parse_request(r#"{"id":"a\"b","method":"eth_chainId"}"#);
        assert_eq!(request.id, r#""a\"b""#);
        assert_eq!(parse_request(r#"{"method":"eth_chainId"}"#).id, "null");
        let refused = refusal("1", &Fault::new(Fault::METHOD, "no \"x\""));
        let value: Value = serde_json::from_str(&refused).unwrap();
        assert_eq!(value["error"]["message"], "no \"x\"");
    }
}
