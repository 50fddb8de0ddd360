//! Types of the values that set how a subscription reads and what happens when it stalls, with the
//! errors of invalid ones.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use mycelium_transports::local::{OnStall, Policy, Start};
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use crate::topology::keys::values::{FromText, Span, Written, choice};

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
        choice("start", text, &Start::all().map(|it| (it.name(), it)).collect::<Vec<_>>())
    }
}

/// A number of keys, at least 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys(pub(crate) NonZeroU32);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Keys, D::Error> {
        let number = i64::deserialize(deserializer)?;
        let keys = u32::try_from(number).ok().filter(|keys| *keys <= MOST_KEYS);
        keys.and_then(NonZeroU32::new).map(Keys).ok_or_else(|| {
            D::Error::custom(format!(
                "invalid number of keys {number}: expected a number from 1 to {MOST_KEYS}"
            ))
        })
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
