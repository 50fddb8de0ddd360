//! Times on the command line.

use std::time::Duration;

/// A time such as `250ms` or `5s`, more than 0 and less than 30 years.
///
/// # Errors
/// If the text is not one.
pub fn duration(text: &str) -> Result<Duration, String> {
    let times = Duration::from_nanos(1)..Duration::from_secs(1 << 30);
    let time = humantime::parse_duration(text).ok().filter(|time| times.contains(time));
    time.ok_or_else(|| "expected a number and a unit, such as `250ms` or `5s`".to_owned())
}
