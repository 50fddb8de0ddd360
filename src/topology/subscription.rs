//! The options of subscriptions, from their sections: the policy, the key of `latest`, and the
//! start.

use mycelium_core::Code;
use mycelium_transports::local::{LatestByKey, Policy, Schema, SubscribeOptions};
use serde_spanned::Spanned;

use super::Topology;
use super::error::{Problem, TopologyError};
use crate::topology::keys::policies::KEYS;
use crate::topology::keys::sections::SubscriptionSection;

impl Topology {
    /// Returns the options of a subscription: `key` is the name of its port, or its topic. The file
    /// takes precedence over the program, key by key.
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
        let policy = section.policy.as_ref().map_or(coded.policy, |policy| policy.as_ref().0);
        Ok(SubscribeOptions::new(self.by_key(section, policy, coded.policy, schema)?, start))
    }

    /// Adds the key to the policy, if the section has one.
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
            return Err(self.file.error(place, without_key("key", policy, "")));
        }
        if let Some(place) = keys.map(Spanned::span)
            && section.key.is_none()
            && coded.is_none()
        {
            return Err(self.file.error(place, without_key("keys", policy, " and a `key`")));
        }
        let number = keys.map(|keys| keys.as_ref().0);
        match (&section.key, coded) {
            (Some(key), coded) => {
                let number = number.or(coded.map(|coded| coded.keys())).unwrap_or(KEYS);
                let by_key = LatestByKey::in_schema(schema, key.as_ref(), number);
                by_key.map(Policy::LatestByKey).map_err(|error| {
                    let problem = Problem::new(Code::KEY_FIELD, error.to_string());
                    self.file.error(key.span(), problem)
                })
            }
            (None, Some(coded)) => {
                Ok(Policy::LatestByKey(coded.with_keys(number.unwrap_or(coded.keys()))))
            }
            (None, None) => Ok(policy),
        }
    }
}

/// Returns the problem of a subscription with `key` or `keys` whose policy has no key.
fn without_key(key: &str, policy: Policy, more: &str) -> Problem {
    let text = format!(
        "`{key}` has no meaning with the policy `{policy}`: it needs `policy = \"latest\"`{more}"
    );
    Problem::new(Code::KEY_OF_POLICY, text)
}
