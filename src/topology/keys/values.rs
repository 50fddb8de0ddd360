//! Types of the values in a topology file, with the errors of invalid ones.

use std::time::Duration;

use mycelium_core::wait::WaitStrategy;
use mycelium_executor::{Class, PlacementFallback};
use mycelium_transports::local::Threshold;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny};

use crate::supervise::execution::{self, Run};
use crate::supervise::{Lifetime, NameError, Strategy};
use crate::support::names::expected_instead_of;
use crate::topology::keys::topic::check_topic;

/// The longest duration.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// The largest capacity.
const LARGEST: usize = 1 << 30;

/// A value that is written as a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<T>(pub(crate) T);

/// Parses a value from a text. The error text is for the author of the file.
pub(crate) trait FromText: Sized {
    fn from_text(text: &str) -> Result<Self, String>;
}

impl<'de, T: FromText> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<T>, D::Error> {
        let text = String::deserialize(deserializer)?;
        T::from_text(&text).map(Text).map_err(D::Error::custom)
    }
}

/// Returns the value whose name is `text`.
pub(crate) fn choice<T: Copy>(kind: &str, text: &str, all: &[(&str, T)]) -> Result<T, String> {
    let found = all.iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|(name, _)| name).collect();
        let text = text.escape_debug();
        format!("invalid {kind} `{text}`: {}", expected_instead_of(&text.to_string(), &names))
    })
}

/// A duration: `"250ms"`, `"10s"`, `"2m"`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span(pub(crate) Duration);

/// A duration as it is written in the file.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Written {
    Number(i64),
    Text(String),
    Other(IgnoredAny),
}

impl Span {
    /// Parses a duration. The error text is for the author of the file.
    pub(crate) fn of(written: Written) -> Result<Span, String> {
        let text = match written {
            Written::Text(text) => text,
            Written::Number(number) => {
                return Err(format!(
                    "invalid duration {number}: expected a text with a unit, such as \"{number}s\""
                ));
            }
            Written::Other(_) => {
                return Err(
                    "invalid duration: expected a text with a unit, such as \"250ms\"".to_owned()
                );
            }
        };
        // The parser accepts `0` without a unit, but in a file each duration has a unit.
        let span = humantime::parse_duration(&text).ok().filter(|_| text != "0");
        match span {
            Some(span) if span <= LONGEST => Ok(Span(span)),
            Some(_) => Err(format!("invalid duration `{text}`: expected at most a year")),
            None => Err(format!(
                "invalid duration `{text}`: expected a number and a unit, such as `250ms`"
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        let written = Written::deserialize(deserializer);
        Span::of(written.unwrap_or(Written::Other(IgnoredAny))).map_err(D::Error::custom)
    }
}

/// The name of the topic of a port.
#[derive(Clone, Debug)]
pub(crate) struct TopicName(pub(crate) String);

impl<'de> Deserialize<'de> for TopicName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TopicName, D::Error> {
        let topic = String::deserialize(deserializer)?;
        check_topic(&topic).map_err(|problem| D::Error::custom(problem.text))?;
        Ok(TopicName(topic))
    }
}

/// How often a topic delivers a message if a reader's process dies: `"at-least-once"` or
/// `"at-most-once"`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    pub(crate) is_at_most_once: bool,
}

impl FromText for Delivery {
    fn from_text(text: &str) -> Result<Delivery, String> {
        let is_at_most_once =
            choice("delivery", text, &[("at-least-once", false), ("at-most-once", true)])?;
        Ok(Delivery { is_at_most_once })
    }
}

/// The number of deaths of a reader's processes after which a message in flight becomes a dead
/// letter; 0 for `"never"`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeathLimit(pub(crate) u32);

impl<'de> Deserialize<'de> for DeathLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DeathLimit, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Number(u32),
            Text(String),
        }
        match Raw::deserialize(deserializer) {
            // At least 3: after two deaths it is known which messages were in flight at both, and
            // the third death decides.
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
pub(crate) struct Bytes(pub(crate) usize);

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

/// A size of memory that is allocated at once: at most 1 GiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffer(pub(crate) usize);

impl<'de> Deserialize<'de> for Buffer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Buffer, D::Error> {
        let Bytes(bytes) = Bytes::deserialize(deserializer)?;
        if bytes > 1 << 30 {
            let text = format!("invalid size of {bytes} bytes: expected at most 1 GiB");
            return Err(D::Error::custom(text));
        }
        Ok(Buffer(bytes))
    }
}

/// The number of slots of a ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity(pub(crate) usize);

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

/// The fill level of a ring at which its publisher is under backpressure: `"80%"`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Percentage(pub(crate) Threshold);

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
pub(crate) struct Mode(pub(crate) u32);

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Mode, D::Error> {
        let text = String::deserialize(deserializer)?;
        // Write permission is needed to connect; execute permission has no meaning.
        let mode = u32::from_str_radix(&text, 8).ok();
        let mode = mode.filter(|mode| mode & !0o666 == 0 && mode & 0o600 == 0o600);
        mode.map(Mode).ok_or_else(|| {
            D::Error::custom(format!(
                "invalid mode `{text}`: expected the permissions of a socket in octal, such as \"0660\""
            ))
        })
    }
}

/// The name of a thread.
#[derive(Clone, Debug)]
pub(crate) struct ThreadName(pub(crate) String);

/// The weight of a task queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares(pub(crate) u32);

/// The latency of a task queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency(pub(crate) Duration);

/// A number of messages, at least 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget(pub(crate) u32);

/// Reads `"shared"`, `"dedicated"`, `"pinned(1)"` or `"pinned(1, 3)"`.
impl FromText for Run {
    fn from_text(text: &str) -> Result<Run, String> {
        match call(text) {
            ("shared", None) => Ok(Run::Shared),
            ("dedicated", None) => Ok(Run::Dedicated),
            ("pinned", Some(cores)) => cores_of(cores).map(Run::Pinned),
            _ => Err(format!(
                "invalid run `{text}`: expected one of: shared, dedicated, pinned(1), pinned(1, 3)"
            )),
        }
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

/// Reads `"park"`, `"spin"` or `"spin-then-park(1000)"`.
impl FromText for WaitStrategy {
    fn from_text(text: &str) -> Result<WaitStrategy, String> {
        let wait = match call(text) {
            ("park", None) => Some(WaitStrategy::Park),
            ("spin", None) => Some(WaitStrategy::Spin),
            ("spin-then-park", Some(spins)) => {
                spins.trim().parse().ok().map(WaitStrategy::SpinThenPark)
            }
            _ => None,
        };
        wait.ok_or_else(|| {
            format!(
                "invalid wait `{text}`: expected one of: park, spin, spin-then-park(1000), where 1000 is a number of spins"
            )
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

/// Reads `"normal"` or `"fifo(10)"`.
impl FromText for Class {
    fn from_text(text: &str) -> Result<Class, String> {
        let class = match call(text) {
            ("normal", None) => Some(Class::Normal),
            ("fifo", Some(priority)) => {
                let priority = priority.trim().parse().ok();
                priority.filter(|given| execution::PRIORITIES.contains(given)).map(Class::Fifo)
            }
            _ => None,
        };
        class.ok_or_else(|| {
            format!("invalid class `{text}`: expected one of: normal, fifo(1) to fifo(99)")
        })
    }
}

impl FromText for Strategy {
    fn from_text(text: &str) -> Result<Strategy, String> {
        text.parse().map_err(|error: NameError| error.to_string())
    }
}

impl FromText for Lifetime {
    fn from_text(text: &str) -> Result<Lifetime, String> {
        text.parse().map_err(|error: NameError| error.to_string())
    }
}

impl FromText for PlacementFallback {
    fn from_text(text: &str) -> Result<PlacementFallback, String> {
        choice(
            "if_refused",
            text,
            &[("fail", PlacementFallback::Fail), ("warn", PlacementFallback::Warn)],
        )
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

/// Splits `name(arguments)`; a name without arguments has `None`.
fn call(text: &str) -> (&str, Option<&str>) {
    match text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        Some((name, arguments)) => (name, Some(arguments)),
        None => (text, None),
    }
}
