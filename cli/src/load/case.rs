//! What is measured: the cases of the built-in system, and the messages that are offered.

use std::fmt::{self, Display};
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::shared::clock::duration;

/// What carries the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Carrier {
    /// A ring of one process.
    Local,
    /// Shared memory of two processes.
    Shm,
    /// A Unix socket between two processes.
    Unix,
    /// TCP on the loopback interface.
    Tcp,
    /// TLS over TCP on the loopback interface.
    Tls,
}

impl Carrier {
    pub(super) const ALL: [Carrier; 5] =
        [Carrier::Local, Carrier::Shm, Carrier::Unix, Carrier::Tcp, Carrier::Tls];
}

/// The executor of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Runtime {
    /// tokio, a thread for each core.
    Tokio,
    /// smol, two threads.
    Smol,
    /// glommio, one thread.
    Glommio,
}

/// The batches and buffers of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Preset {
    /// Each message is sent at once.
    LowLatency,
    /// The default.
    Balanced,
    /// Messages wait for others.
    HighThroughput,
}

/// Shows the value as it is written on the command line and in a topology.
macro_rules! shown {
    ($($kind:ty)*) => {$(
        impl Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let value = self.to_possible_value();
                f.write_str(value.as_ref().map_or("", |value| value.get_name()))
            }
        }
    )*};
}
shown!(Carrier Runtime Preset);

/// One case of the built-in system.
#[derive(Clone, Debug, Args)]
pub(super) struct Case {
    /// The carrier.
    #[arg(long, value_enum)]
    pub carrier: Carrier,
    /// The executor.
    #[arg(long, value_enum)]
    pub executor: Runtime,
    /// How the sink waits.
    #[arg(long, value_parser = wait)]
    pub wait: String,
    /// The preset of the link.
    #[arg(long, value_enum)]
    pub preset: Preset,
}

impl Case {
    /// Returns the arguments that make this case.
    pub(super) fn arguments(&self) -> [String; 8] {
        let Case { carrier, executor, wait, preset } = self;
        let names = ["--carrier", "--executor", "--wait", "--preset"].map(str::to_owned);
        let [carrier, executor, preset] =
            [carrier.to_string(), executor.to_string(), preset.to_string()];
        let [one, two, three, four] = names;
        [one, carrier, two, executor, three, wait.clone(), four, preset]
    }
}

impl Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Case { carrier, executor, wait, preset } = self;
        write!(f, "{carrier}, {executor}, {wait}")?;
        // Nothing is batched in memory.
        if matches!(carrier, Carrier::Local | Carrier::Shm) {
            Ok(())
        } else {
            write!(f, ", {preset}")
        }
    }
}

/// Checks how a service waits, as the key `wait` of a topology has it.
pub(super) fn wait(text: &str) -> Result<String, String> {
    let spins = text.strip_prefix("spin-then-park(").and_then(|rest| rest.strip_suffix(')'));
    match spins.is_some_and(|spins| spins.parse::<u32>().is_ok())
        || ["park", "spin"].contains(&text)
    {
        true => Ok(text.to_owned()),
        false => Err("expected `park`, `spin` or `spin-then-park(1000)`".to_owned()),
    }
}

/// Messages a second; without a number, as many as the system takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Rate(pub Option<u64>);

/// The greatest rate that can be offered.
const MOST: u64 = 100_000_000;

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        if text == "max" {
            return Ok(Rate(None));
        }
        let (digits, unit) = match text.strip_suffix(['k', 'M']) {
            Some(digits) if text.ends_with('k') => (digits, 1_000),
            Some(digits) => (digits, 1_000_000),
            None => (text, 1),
        };
        let rate = digits.parse::<u64>().ok().and_then(|rate| rate.checked_mul(unit));
        let rate = rate.filter(|rate| (1..=MOST).contains(rate));
        let expected = || "expected messages a second, such as `500`, `10k` or `2M`, or `max`";
        rate.map(|rate| Rate(Some(rate))).ok_or_else(|| expected().to_owned())
    }
}

impl Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("max"),
            Some(rate) if rate % 1_000_000 == 0 => write!(f, "{}M", rate / 1_000_000),
            Some(rate) if rate % 1_000 == 0 => write!(f, "{}k", rate / 1_000),
            Some(rate) => write!(f, "{rate}"),
        }
    }
}

/// What is offered in one run.
#[derive(Clone, Debug, Args)]
pub(super) struct Offer {
    /// Messages a second, or `max`.
    #[arg(long)]
    pub rate: Rate,
    /// How long messages are sent before they count.
    #[arg(long, value_parser = warm_up)]
    pub warm_up: Duration,
    /// How long messages are sent that count.
    #[arg(long, value_parser = duration)]
    pub seconds: Duration,
}

/// Reads a time that may be zero.
pub(super) fn warm_up(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Ok(Duration::ZERO),
        _ => duration(text),
    }
}

impl Offer {
    /// Returns the arguments that are given to the program.
    pub(super) fn arguments(&self) -> [String; 6] {
        let time = |time| humantime::format_duration(time).to_string().replace(' ', "");
        [
            "--rate".to_owned(),
            self.rate.0.map_or_else(|| "max".to_owned(), |rate| rate.to_string()),
            "--seconds".to_owned(),
            time(self.seconds),
            "--warm-up".to_owned(),
            time(self.warm_up),
        ]
    }
}
