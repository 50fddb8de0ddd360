//! Types of the values that set how a subscription reads, what happens when it stalls, and what is
//! retained for later ones, with the errors of invalid values.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

use mycelium_transports::local::{OnStall, Policy, Start, WhenFull};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use crate::topology::keys::values::{FromText, Span, Text, Written, choice};

/// The largest number of keys that a subscription may have.
const MOST_KEYS: u32 = 1 << 24;

/// Reads the name of a policy; `sample(1/10)` has a number.
impl FromText for Policy {
    fn from_text(text: &str) -> Result<Policy, String> {
        if let Some(number) = text.strip_prefix("sample") {
            let number = number.strip_prefix("(1/").and_then(|number| number.strip_suffix(')'));
            let every = number.and_then(|number| number.parse().ok());
            return every.map(Policy::Sample).ok_or_else(|| {
                format!(
                    "invalid policy `{text}`: expected a sample of one message in a number, such \
                     as `sample(1/10)`"
                )
            });
        }
        let name = |policy: Policy| match policy {
            Policy::Sample(_) => "sample(1/10)",
            other => other.name(),
        };
        choice("policy", text, &Policy::all().map(|it| (name(it), it)).collect::<Vec<_>>())
    }
}

impl FromText for Start {
    fn from_text(text: &str) -> Result<Start, String> {
        let position = text.strip_prefix("position ").and_then(|it| it.parse().ok());
        if let Some(position) = position {
            return Ok(Start::Position(position));
        }
        if let Ok(time) = humantime::parse_rfc3339(text) {
            return Ok(Start::Since(time));
        }
        let names = [("next", Start::Next), ("oldest", Start::Oldest)];
        choice("start", text, &names).map_err(|problem| {
            let of_stream =
                "` (of a stream also a time such as `2026-01-31T08:00:00Z`, or `position 4711`): ";
            problem.replacen("`: ", of_stream, 1)
        })
    }
}

/// A number of keys, at least 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys(pub(crate) NonZeroU32);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Keys, D::Error> {
        let number = i64::deserialize(deserializer)?;
        within_most("number of keys", number).map(Keys).map_err(D::Error::custom)
    }
}

/// Checks the value of a key called `what`: a number from 1 to the most keys.
fn within_most(what: &str, number: i64) -> Result<NonZeroU32, String> {
    let count = u32::try_from(number).ok().filter(|count| *count <= MOST_KEYS);
    count
        .and_then(NonZeroU32::new)
        .ok_or_else(|| format!("invalid {what} {number}: expected a number from 1 to {MOST_KEYS}"))
}

/// The number of keys of a subscription or of a topic, if the file sets none.
pub(crate) const KEYS: NonZeroU32 = NonZeroU32::new(1024).unwrap();

/// What each publisher of a topic retains: a number of messages, or the last one of each key, as in
/// `{ key = "symbol", keys = 1000, when_full = "forget-oldest" }`.
#[derive(Clone, Debug)]
pub(crate) enum Retention {
    Last(NonZeroU32),
    ByKey { key: String, keys: NonZeroU32, when_full: WhenFull },
}

impl FromText for WhenFull {
    fn from_text(text: &str) -> Result<WhenFull, String> {
        let known = [("refuse", WhenFull::Refuse), ("forget-oldest", WhenFull::ForgetOldest)];
        choice("when_full", text, &known)
    }
}

/// What a topic may retain, for errors.
const RETENTION: &str = "a number of messages, such as 100, or { key = \"symbol\" } with `keys` and \
                         `when_full` if they differ from 1024 and \"refuse\"";

/// Reads the table where it is in the file, so that each mistake in it has its place.
impl<'de> Deserialize<'de> for Retention {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Retention, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            key: Option<String>,
            keys: Option<Keys>,
            when_full: Option<Text<WhenFull>>,
        }
        struct Raw;
        impl<'de> Visitor<'de> for Raw {
            type Value = Retention;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(RETENTION)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Retention, E> {
                within_most("retain", number).map(Retention::Last).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Retention, A::Error> {
                let Table { key, keys, when_full } =
                    Table::deserialize(MapAccessDeserializer::new(map))?;
                let missing = || A::Error::custom(format!("invalid retain: expected {RETENTION}"));
                Ok(Retention::ByKey {
                    key: key.ok_or_else(missing)?,
                    keys: keys.map_or(KEYS, |Keys(keys)| keys),
                    when_full: when_full.map_or_else(WhenFull::default, |Text(it)| it),
                })
            }
        }
        deserializer.deserialize_any(Raw)
    }
}

/// What happens to readers that stall: `"block"`, or `{ evict_after = "5s" }`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StallRule(pub(crate) OnStall);

impl<'de> Deserialize<'de> for StallRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StallRule, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Text(String),
            Table(BTreeMap<String, Written>),
        }
        let expected = "expected \"block\" or { evict_after = \"5s\" }";
        let rule = match Raw::deserialize(deserializer) {
            Ok(Raw::Text(text)) if text == "block" => OnStall::Block,
            Ok(Raw::Text(text)) => {
                return Err(D::Error::custom(format!("invalid on_stall `{text}`: {expected}")));
            }
            Ok(Raw::Table(mut table)) => {
                let time = table.remove("evict_after");
                let (Some(time), None) = (time, table.keys().next()) else {
                    return Err(D::Error::custom(format!("invalid on_stall: {expected}")));
                };
                let Span(time) = Span::of(time).map_err(D::Error::custom)?;
                if time.is_zero() {
                    return Err(D::Error::custom("invalid evict_after: expected more than 0 s"));
                }
                OnStall::EvictAfter(time)
            }
            Err(_) => return Err(D::Error::custom(format!("invalid on_stall: {expected}"))),
        };
        Ok(StallRule(rule))
    }
}
