//! Types of the values in a topology file, with the errors of invalid ones.

use std::time::Duration;

use mycelium_core::wait::WaitStrategy;
use mycelium_executor::{Class, PlacementFallback};
use mycelium_transports::local::Threshold;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::topic::check_topic;
use crate::execution::{self, Run};
use crate::names::expected_instead_of;
use crate::supervision::{Lifetime, Strategy};

/// The longest duration.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// The largest capacity.
const LARGEST: usize = 1 << 30;

/// A duration: `"250ms"`, `"10s"`, `"2m"`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Number(i64),
            Text(String),
        }
        let text = match Raw::deserialize(deserializer) {
            Ok(Raw::Text(text)) => text,
            Ok(Raw::Number(number)) => {
                return Err(D::Error::custom(format!(
                    "invalid duration {number}: expected a text with a unit, such as \"{number}s\""
                )));
            }
            Err(_) => {
                return Err(D::Error::custom(
                    "invalid duration: expected a text with a unit, such as \"250ms\"",
                ));
            }
        };
        // The library takes a zero without a unit; the file has a unit in each duration.
        let span = humantime::parse_duration(&text).ok().filter(|_| text != "0");
        let span = span.ok_or_else(|| {
            D::Error::custom(format!(
                "invalid duration `{text}`: expected a number and a unit, such as `250ms`"
            ))
        })?;
        if span > LONGEST {
            return Err(D::Error::custom(format!(
                "invalid duration `{text}`: expected at most a year"
            )));
        }
        Ok(Span(span))
    }
}

/// The topic of a port.
#[derive(Clone, Debug)]
pub(super) struct TopicName(pub(super) String);

impl<'de> Deserialize<'de> for TopicName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TopicName, D::Error> {
        let topic = String::deserialize(deserializer)?;
        check_topic(&topic).map_err(D::Error::custom)?;
        Ok(TopicName(topic))
    }
}

/// The promise of a topic when a reader's process dies: `"at-least-once"` or `"at-most-once"`.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeliveryName {
    pub(super) is_at_most_once: bool,
}

impl<'de> Deserialize<'de> for DeliveryName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DeliveryName, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "at-least-once" => Ok(DeliveryName { is_at_most_once: false }),
            "at-most-once" => Ok(DeliveryName { is_at_most_once: true }),
            other => Err(D::Error::custom(format!(
                "invalid delivery `{other}`: {}",
                expected_instead_of(other, &["at-least-once", "at-most-once"])
            ))),
        }
    }
}

/// The number of deaths of its reader's processes after which a message becomes a dead letter, or
/// `"never"`.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeathLimit(pub(super) u32);

impl<'de> Deserialize<'de> for DeathLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DeathLimit, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Number(u32),
            Text(String),
        }
        match Raw::deserialize(deserializer) {
            // After two deaths it is known which messages were in flight at both. The third death
            // decides.
            Ok(Raw::Number(deaths @ 3..)) => Ok(DeathLimit(deaths)),
            Ok(Raw::Text(text)) if text == "never" => Ok(DeathLimit(0)),
            _ => {
                Err(D::Error::custom("invalid number of deaths: expected 3 or more, or \"never\""))
            }
        }
    }
}

/// A number of bytes: `"256 MiB"`, `"64 KiB"`, or a plain number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes(pub(super) usize);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Number(i64),
            Text(String),
        }
        const EXPECTED: &str = "expected a number and a unit (B, KiB, MiB, GiB), such as `64 KiB`";
        let text = match Raw::deserialize(deserializer) {
            Ok(Raw::Number(number)) => number.to_string(),
            Ok(Raw::Text(text)) => text,
            Err(_) => return Err(D::Error::custom(format!("invalid size: {EXPECTED}"))),
        };
        let (number, unit) =
            text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let shift = match unit.trim() {
            "" | "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => usize::BITS,
        };
        let is_number = !number.is_empty() && shift < usize::BITS;
        let bytes = number.parse::<usize>().ok();
        let bytes = bytes.and_then(|number| number.checked_mul(1usize.checked_shl(shift)?));
        bytes.map(Bytes).ok_or_else(|| {
            let expected = match is_number {
                true => format!("expected at most {} bytes", usize::MAX),
                false => EXPECTED.to_owned(),
            };
            D::Error::custom(format!("invalid size `{text}`: {expected}"))
        })
    }
}

/// The number of slots of a ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capacity(pub(super) usize);

impl<'de> Deserialize<'de> for Capacity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Capacity, D::Error> {
        let number = i64::deserialize(deserializer)?;
        let capacity = usize::try_from(number)
            .ok()
            .filter(|number| number.is_power_of_two() && (2..=LARGEST).contains(number));
        capacity.map(Capacity).ok_or_else(|| {
            D::Error::custom(format!(
                "invalid capacity {number}: expected a power of two from 2 to {LARGEST}"
            ))
        })
    }
}

/// The share of a ring at which its publisher is under backpressure: `"80%"`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Percentage(pub(super) Threshold);

impl<'de> Deserialize<'de> for Percentage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Percentage, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Text(String),
            Whole(i64),
            Fraction(f64),
        }
        let expected = "expected a text from \"1%\" to \"100%\"";
        let text = match Raw::deserialize(deserializer) {
            Ok(Raw::Text(text)) => text,
            Ok(Raw::Whole(number)) => {
                return Err(D::Error::custom(format!("invalid threshold {number}: {expected}")));
            }
            Ok(Raw::Fraction(number)) => {
                return Err(D::Error::custom(format!("invalid threshold {number}: {expected}")));
            }
            Err(_) => return Err(D::Error::custom(format!("invalid threshold: {expected}"))),
        };
        let number = text.strip_suffix('%').and_then(|number| number.trim_end().parse().ok());
        let threshold = number.and_then(Threshold::percent);
        threshold
            .map(Percentage)
            .ok_or_else(|| D::Error::custom(format!("invalid threshold `{text}`: {expected}")))
    }
}

/// The permissions of a socket: `"0660"`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mode(pub(super) u32);

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Mode, D::Error> {
        let text = String::deserialize(deserializer)?;
        // Connecting needs write permission; execute permission has no meaning.
        let mode = u32::from_str_radix(&text, 8).ok();
        let mode = mode.filter(|mode| mode & !0o666 == 0 && mode & 0o600 == 0o600);
        mode.map(Mode).ok_or_else(|| {
            D::Error::custom(format!(
                "invalid mode `{text}`: expected the permissions of a socket in octal, such as \"0660\""
            ))
        })
    }
}

/// `"shared"`, `"dedicated"`, `"pinned(1)"`, `"pinned(1, 3)"`.
#[derive(Clone, Debug)]
pub(super) struct RunName(pub(super) Run);

/// `"park"`, `"spin"`, `"spin-then-park(1000)"`.
#[derive(Clone, Copy, Debug)]
pub(super) struct WaitName(pub(super) WaitStrategy);

/// The name of a thread.
#[derive(Clone, Debug)]
pub(super) struct ThreadName(pub(super) String);

/// `"normal"`, `"fifo(10)"`.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClassName(pub(super) Class);

/// `"fail"`, `"warn"`.
#[derive(Clone, Copy, Debug)]
pub(super) struct FallbackName(pub(super) PlacementFallback);

/// The weight of a task queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares(pub(super) u32);

/// The latency of a task queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latency(pub(super) Duration);

/// `"one-for-one"`, `"one-for-all"`, `"rest-for-one"`.
#[derive(Clone, Copy, Debug)]
pub(super) struct StrategyName(pub(super) Strategy);

/// `"permanent"`, `"transient"`, `"temporary"`.
#[derive(Clone, Copy, Debug)]
pub(super) struct LifetimeName(pub(super) Lifetime);

/// A number of messages, at least 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget(pub(super) u32);

impl<'de> Deserialize<'de> for RunName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RunName, D::Error> {
        let text = String::deserialize(deserializer)?;
        let run = match call(&text) {
            ("shared", None) => Run::Shared,
            ("dedicated", None) => Run::Dedicated,
            ("pinned", Some(cores)) => Run::Pinned(cores_of(cores).map_err(D::Error::custom)?),
            _ => {
                return Err(D::Error::custom(format!(
                    "invalid run `{text}`: expected one of: shared, dedicated, pinned(1), pinned(1, 3)"
                )));
            }
        };
        Ok(RunName(run))
    }
}

fn cores_of(list: &str) -> Result<Vec<usize>, String> {
    let parts = list.split(',').map(str::trim).filter(|_| !list.trim().is_empty());
    let cores = parts.map(|core| {
        core.parse()
            .map_err(|_| format!("invalid core `{core}`: expected a number, such as pinned(1, 3)"))
    });
    let cores: Vec<usize> = cores.collect::<Result<_, String>>()?;
    execution::check_cores(&cores)?;
    Ok(cores)
}

impl<'de> Deserialize<'de> for WaitName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<WaitName, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wait = match call(&text) {
            ("park", None) => Some(WaitStrategy::Park),
            ("spin", None) => Some(WaitStrategy::Spin),
            ("spin-then-park", Some(spins)) => {
                spins.trim().parse().ok().map(WaitStrategy::SpinThenPark)
            }
            _ => None,
        };
        wait.map(WaitName).ok_or_else(|| {
            D::Error::custom(format!(
                "invalid wait `{text}`: expected one of: park, spin, spin-then-park(1000), where 1000 is a number of spins"
            ))
        })
    }
}

impl<'de> Deserialize<'de> for ThreadName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ThreadName, D::Error> {
        let name = String::deserialize(deserializer)?;
        execution::check_thread_name(&name).map_err(D::Error::custom)?;
        Ok(ThreadName(name))
    }
}

impl<'de> Deserialize<'de> for ClassName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ClassName, D::Error> {
        let text = String::deserialize(deserializer)?;
        let class = match call(&text) {
            ("normal", None) => Some(Class::Normal),
            ("fifo", Some(priority)) => {
                let priority = priority.trim().parse().ok();
                priority.filter(|given| execution::PRIORITIES.contains(given)).map(Class::Fifo)
            }
            _ => None,
        };
        class.map(ClassName).ok_or_else(|| {
            D::Error::custom(format!(
                "invalid class `{text}`: expected one of: normal, fifo(1) to fifo(99)"
            ))
        })
    }
}

impl<'de> Deserialize<'de> for StrategyName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StrategyName, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(StrategyName).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for LifetimeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LifetimeName, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(LifetimeName).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for FallbackName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FallbackName, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "fail" => Ok(FallbackName(PlacementFallback::Fail)),
            "warn" => Ok(FallbackName(PlacementFallback::Warn)),
            other => Err(D::Error::custom(format!(
                "invalid if_refused `{other}`: expected one of: fail, warn"
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for Budget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Budget, D::Error> {
        match u32::deserialize(deserializer)? {
            0 => Err(D::Error::custom(execution::BUDGET)),
            budget => Ok(Budget(budget)),
        }
    }
}

impl<'de> Deserialize<'de> for Shares {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Shares, D::Error> {
        let shares = u32::deserialize(deserializer)?;
        execution::check_shares(shares).map_err(D::Error::custom)?;
        Ok(Shares(shares))
    }
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Latency, D::Error> {
        match Span::deserialize(deserializer)? {
            Span(Duration::ZERO) => Err(D::Error::custom(execution::LATENCY)),
            Span(latency) => Ok(Latency(latency)),
        }
    }
}

/// `name`, or `name(arguments)`.
fn call(text: &str) -> (&str, Option<&str>) {
    match text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        Some((name, arguments)) => (name, Some(arguments)),
        None => (text, None),
    }
}
