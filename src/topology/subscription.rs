//! The section of a subscription: its policy, the key of `latest`, and where it starts.

use std::num::NonZeroU32;

use mycelium_transports::local::{LatestByKey, Policy, Schema, Start, SubscribeOptions};
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use toml::Spanned;

use super::Topology;
use super::error::{Problem, TopologyError};
use crate::names::expected_instead_of;

/// The number of keys of `latest`, if nothing else sets one.
const KEYS: NonZeroU32 = NonZeroU32::new(1024).unwrap();
/// The largest number of keys.
const MOST_KEYS: u32 = 1 << 24;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SubscriptionSection {
    policy: Option<PolicyName>,
    key: Option<Spanned<String>>,
    keys: Option<Spanned<Keys>>,
    start: Option<StartName>,
}

impl Topology {
    /// The options of a subscription: `key` is the name of its port, or its topic. Keys of the file
    /// take precedence over those that the program has set.
    pub(crate) fn subscription(
        &self,
        service: &str,
        key: &str,
        schema: &Schema,
        coded: SubscribeOptions,
    ) -> Result<SubscribeOptions, TopologyError> {
        let section = self.sections.subscription.get(format!("{service}.{key}").as_str());
        let Some(section) = section else { return Ok(coded) };
        let start = section.start.map_or(coded.start, |start| start.0);
        let policy = section.policy.map_or(coded.policy, |policy| policy.0);
        Ok(SubscribeOptions::new(self.by_key(section, policy, coded.policy, schema)?, start))
    }

    /// Adds the key to the policy, if there is one.
    fn by_key(
        &self,
        section: &SubscriptionSection,
        policy: Policy,
        coded: Policy,
        schema: &Schema,
    ) -> Result<Policy, TopologyError> {
        let coded = match (policy, coded) {
            (Policy::LatestByKey(coded), _) | (Policy::Latest, Policy::LatestByKey(coded)) => {
                Some(coded)
            }
            _ => None,
        };
        let is_latest = policy == Policy::Latest || coded.is_some();
        let keys = section.keys.as_ref();
        if let Some(place) = section.key.as_ref().map(Spanned::span).filter(|_| !is_latest) {
            let policy = policy.to_string();
            return Err(self.file.error(place, Problem::KeyOfPolicy { key: "key", policy }));
        }
        if let Some(place) = keys.map(Spanned::span)
            && section.key.is_none()
            && coded.is_none()
        {
            let policy = policy.to_string();
            return Err(self.file.error(place, Problem::KeyOfPolicy { key: "keys", policy }));
        }
        let number = keys.map(|keys| keys.as_ref().0);
        match (&section.key, coded) {
            (Some(key), coded) => {
                let number = number.or(coded.map(|coded| coded.keys())).unwrap_or(KEYS);
                let by_key = LatestByKey::in_schema(schema, key.as_ref(), number);
                let invalid = |error| self.file.error(key.span(), Problem::Key { error });
                by_key.map(Policy::LatestByKey).map_err(invalid)
            }
            (None, Some(coded)) => {
                Ok(Policy::LatestByKey(coded.with_keys(number.unwrap_or(coded.keys()))))
            }
            (None, None) => Ok(policy),
        }
    }
}

/// The name of a policy; `sample(1/10)` has a number.
#[derive(Clone, Copy, Debug)]
struct PolicyName(Policy);

impl<'de> Deserialize<'de> for PolicyName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PolicyName, D::Error> {
        let text = String::deserialize(deserializer)?;
        if let Some(number) = text.strip_prefix("sample") {
            let number = number.strip_prefix("(1/").and_then(|number| number.strip_suffix(')'));
            let every = number.and_then(|number| number.parse().ok());
            return every.map(|every| PolicyName(Policy::Sample(every))).ok_or_else(|| {
                D::Error::custom(format!(
                    "invalid policy `{text}`: expected a sample of one message in a number, such \
                     as `sample(1/10)`"
                ))
            });
        }
        let policy = Policy::all().find(|policy| policy.name() == text).ok_or_else(|| {
            let names: Vec<_> = Policy::all()
                .map(|policy| match policy {
                    Policy::Sample(_) => "sample(1/10)",
                    other => other.name(),
                })
                .collect();
            let expected = expected_instead_of(&text, &names);
            D::Error::custom(format!("invalid policy `{text}`: {expected}"))
        })?;
        Ok(PolicyName(policy))
    }
}

#[derive(Clone, Copy, Debug)]
struct StartName(Start);

impl<'de> Deserialize<'de> for StartName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StartName, D::Error> {
        let name = String::deserialize(deserializer)?;
        let start = Start::all().find(|start| start.name() == name).ok_or_else(|| {
            let names: Vec<_> = Start::all().map(Start::name).collect();
            let expected = expected_instead_of(&name, &names);
            D::Error::custom(format!("invalid start `{name}`: {expected}"))
        })?;
        Ok(StartName(start))
    }
}

#[derive(Clone, Copy, Debug)]
struct Keys(NonZeroU32);

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
