//! Values of a topology file that are more than a number or a text.

use std::time::Duration;

use mycelium_transports::local::Policy;
use serde::de::{Deserialize, Deserializer, Error};

/// A duration: `"250ms"`, `"10s"`, `"2m"`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map(Span).map_err(|error| {
            D::Error::custom(format!(
                "`{text}` is no duration ({error}); expected one like \"250ms\" or \"10s\""
            ))
        })
    }
}

/// A number of bytes: `"256 MiB"`, `"64 KiB"`, or a plain number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes(pub(super) usize);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (number, unit) =
            text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let shift = match unit.trim() {
            "" | "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => usize::BITS,
        };
        let bytes = number
            .parse::<usize>()
            .ok()
            .and_then(|number| number.checked_mul(1usize.checked_shl(shift)?));
        bytes.map(Bytes).ok_or_else(|| {
            D::Error::custom(format!(
                "`{text}` is no size; expected one like \"64 KiB\" or \"256 MiB\""
            ))
        })
    }
}

/// A number of messages that a ring can hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capacity(pub(super) usize);

impl<'de> Deserialize<'de> for Capacity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Capacity, D::Error> {
        let number = i64::deserialize(deserializer)?;
        let capacity =
            usize::try_from(number).ok().filter(|number| number.is_power_of_two() && *number > 1);
        capacity.map(Capacity).ok_or_else(|| {
            D::Error::custom(format!("capacity {number} is not a power of two of at least 2"))
        })
    }
}

/// The name of a policy.
#[derive(Clone, Copy, Debug)]
pub(super) struct PolicyName(pub(super) Policy);

impl<'de> Deserialize<'de> for PolicyName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PolicyName, D::Error> {
        let name = String::deserialize(deserializer)?;
        let policy = match name.as_str() {
            "block" => Policy::Block,
            "reject" => Policy::Reject,
            "drop-oldest" => Policy::DropOldest,
            "latest" => Policy::Latest,
            _ => {
                return Err(D::Error::custom(format!(
                    "there is no policy `{name}`; expected one of: block, reject, drop-oldest, latest"
                )));
            }
        };
        Ok(PolicyName(policy))
    }
}
