//! Parses the texts of a node; [`crate::session`] decides what to do with them. A text is an
//! answer, a notification, or malformed, which is counted by kind. No text causes a panic, and a
//! malformed log affects neither other logs nor the connection.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    chain::{Key, RawLog, Skip},
    rpc::{Fault, parse_quantity},
};

/// A text of a node, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The answer to a request.
    Answer {
        /// The id of the request.
        id: u64,
        /// The answer.
        result: Result<Answer, Fault>,
    },
    /// A notification of a subscription.
    Notification {
        /// The subscription.
        subscription: String,
        /// The log, or why it is malformed.
        log: Result<RawLog, Skip>,
    },
    /// Neither of them.
    Malformed(Skip),
}

/// An answer, parsed by its shape. Its meaning depends on the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A text: the name of a subscription, or a quantity.
    Text(String),
    /// Logs, or why each is malformed.
    Logs(Vec<Result<RawLog, Skip>>),
    /// Something else.
    Other,
}

impl Answer {
    /// The answer to `eth_blockNumber`.
    #[must_use]
    pub fn block_number(&self) -> Option<u64> {
        match self {
            Self::Text(text) => parse_quantity(text),
            Self::Logs(_) | Self::Other => None,
        }
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    id: Option<u64>,
    method: Option<String>,
    #[serde(borrow)]
    params: Option<Params<'a>>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct Params<'a> {
    subscription: String,
    #[serde(borrow)]
    result: &'a RawValue,
}

/// Parses a text of a node.
#[must_use]
pub fn parse(text: &str) -> Incoming {
    let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(text) else {
        return Incoming::Malformed(Skip::MalformedJson);
    };
    match envelope {
        Envelope { method: Some(method), params: Some(params), .. }
            if method == "eth_subscription" =>
        {
            Incoming::Notification {
                subscription: params.subscription,
                log: parse_log(params.result),
            }
        }
        Envelope { id: Some(id), error: Some(fault), .. } => {
            Incoming::Answer { id, result: Err(fault) }
        }
        Envelope { id: Some(id), result, method: None, .. } => {
            Incoming::Answer { id, result: Ok(result.map_or(Answer::Other, parse_answer)) }
        }
        _ => Incoming::Malformed(Skip::MalformedJson),
    }
}

fn parse_answer(result: &RawValue) -> Answer {
    let json = result.get();
    if json.starts_with('[') {
        match serde_json::from_str::<Vec<&RawValue>>(json) {
            Ok(logs) => Answer::Logs(logs.into_iter().map(parse_log).collect()),
            Err(_) => Answer::Other,
        }
    } else {
        serde_json::from_str(json).map_or(Answer::Other, Answer::Text)
    }
}

fn parse_log(json: &RawValue) -> Result<RawLog, Skip> {
    // serde would accept an array for a struct.
    if !json.get().starts_with('{') {
        return Err(Skip::MalformedLog);
    }
    serde_json::from_str(json.get()).map_err(|_| Skip::MalformedLog)
}

/// The position of a client: its start block and the last log that it accepted.
///
/// Small, so that it can be saved after each log. A client that resumes at the saved cursor misses
/// no log and accepts none twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    start: Option<u64>,
    last: Option<Key>,
}

impl Cursor {
    /// Starts at the newest block of the node, inclusive.
    pub const HEAD: Self = Self { start: None, last: None };

    /// Starts at a block, inclusive, instead of the newest block.
    #[must_use]
    pub fn starting_at(block: u64) -> Self {
        Self { start: Some(block), last: None }
    }

    /// Accepts a log if it is later than all accepted before.
    pub fn accept(&mut self, key: Key) -> bool {
        let new = self.last.is_none_or(|last| last < key);
        if new {
            self.last = Some(key);
        }
        new
    }

    /// The last log accepted.
    #[must_use]
    pub fn last(&self) -> Option<Key> {
        self.last
    }

    /// The block from which logs may be missing, inclusive; `None` if the start block is unknown.
    #[must_use]
    pub fn resume_from(&self) -> Option<u64> {
        self.last.map(|last| last.block).or(self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc;

    const LOG: &str = r#"{"address":"0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640","blockNumber":"0x1","logIndex":"0x2"}"#;

    #[test]
    fn answers_and_notifications_are_told_apart() {
        let text = Answer::Text("0x1f".into());
        assert_eq!(text.block_number(), Some(31));
        assert_eq!(
            parse(&rpc::answer("4", "\"0x1f\"")),
            Incoming::Answer { id: 4, result: Ok(text) }
        );
        let fault = Fault::new(Fault::METHOD, "no such method");
        assert_eq!(
            parse(&rpc::refusal("5", &fault)),
            Incoming::Answer { id: 5, result: Err(fault) }
        );
        let Incoming::Notification { subscription, log } = parse(&rpc::notification("0xa", LOG))
        else {
            panic!("a notification")
        };
        assert_eq!((subscription.as_str(), log.unwrap().key().log_index), ("0xa", 2));
    }

    #[test]
    fn one_bad_log_spoils_no_other() {
        let text = rpc::answer("1", &format!("[{LOG},[],{{}},7,{LOG}]"));
        let Incoming::Answer { result: Ok(Answer::Logs(logs)), .. } = parse(&text) else {
            panic!("logs")
        };
        let good: Vec<_> = logs.iter().map(Result::is_ok).collect();
        assert_eq!(good, [true, false, false, false, true]);
        let bad = parse(&rpc::notification("0xa", "null"));
        assert!(matches!(bad, Incoming::Notification { log: Err(Skip::MalformedLog), .. }));
    }

    #[test]
    fn nonsense_is_malformed() {
        for text in [
            "",
            "{",
            "null",
            "[]",
            "{}",
            "\u{0}",
            r#"{"id":"one","result":1}"#,
            r#"{"method":"eth_subscription"}"#,
            r#"{"method":"eth_subscription","params":{"subscription":1,"result":{}}}"#,
            r#"{"method":"other","params":{"subscription":"1","result":{}}}"#,
            r#"{"id":null,"error":{"code":-32700,"message":"parse error"}}"#,
        ] {
            assert_eq!(parse(text), Incoming::Malformed(Skip::MalformedJson), "{text}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(parse(&deep), Incoming::Malformed(Skip::MalformedJson));
    }

    #[test]
    fn a_cursor_takes_each_log_once_and_in_order() {
        let key = |block, log_index| Key { block, log_index };
        let mut cursor = Cursor::starting_at(3);
        assert_eq!(cursor.resume_from(), Some(3));
        assert!(cursor.accept(key(5, 7)));
        assert!(!cursor.accept(key(5, 7)));
        assert!(!cursor.accept(key(5, 6)));
        assert!(!cursor.accept(key(4, 9)));
        assert!(cursor.accept(key(5, 8)));
        assert!(cursor.accept(key(6, 0)));
        assert_eq!(cursor.resume_from(), Some(6));
    }
}
