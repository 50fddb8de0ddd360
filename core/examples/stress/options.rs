//! The command line.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) struct Options {
    pub(crate) command: Command,
    /// Empty: all.
    pub(crate) ring: String,
    pub(crate) seed: u64,
    pub(crate) time: Duration,
    pub(crate) count: u64,
    pub(crate) wait: WaitStrategy,
}

#[derive(Clone, Copy)]
pub(crate) enum Command {
    Chaos,
    TwoByTwo,
}

#[derive(Clone, Copy)]
pub(crate) enum WaitStrategy {
    Spin,
    Yield,
}

impl WaitStrategy {
    #[inline]
    pub(crate) fn wait(self) {
        match self {
            WaitStrategy::Spin => std::hint::spin_loop(),
            WaitStrategy::Yield => std::thread::yield_now(),
        }
    }
}

impl Options {
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let since =
            SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?;
        let mut options = Options {
            command: Command::Chaos,
            ring: String::new(),
            seed: u64::from(since.subsec_nanos()) ^ since.as_secs() << 32,
            time: Duration::from_secs(10),
            count: 1_000_000_000,
            wait: WaitStrategy::Yield,
        };
        let mut arguments = arguments.peekable();
        if arguments.next_if_eq("two-by-two").is_some() {
            options.command = Command::TwoByTwo;
        }
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            let number = || value.parse().map_err(|_| format!("{name} {value}: not a number"));
            match name.as_str() {
                "--ring" => options.ring = value,
                "--seed" => options.seed = number()?,
                "--seconds" => options.time = Duration::from_secs(number()?),
                "--count" => options.count = number()?,
                "--wait" if value == "spin" => options.wait = WaitStrategy::Spin,
                "--wait" if value == "yield" => options.wait = WaitStrategy::Yield,
                _ => {
                    return Err(format!(
                        "unknown {name} `{value}`: see core/examples/stress/main.rs"
                    ));
                }
            }
        }
        Ok(options)
    }
}
