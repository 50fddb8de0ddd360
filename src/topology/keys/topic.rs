//! The rule for names of topics.

use mycelium_core::Code;

use crate::topology::error::Problem;

/// The maximum length of a topic's name, in bytes; links carry no longer names.
const LONGEST_TOPIC: usize = 62;

/// Checks the name of a topic to which a port is bound.
///
/// # Errors
/// [`Problem`]: the mistake in the name, and what was expected.
pub(crate) fn check_topic(topic: &str) -> Result<(), Problem> {
    let invalid = |text| Err(Problem::new(Code::TOPIC_NAME, text));
    let is_bad = |c: char| c.is_whitespace() || c.is_control() || c == '=';
    if topic.is_empty() || topic.len() > LONGEST_TOPIC || topic.contains(is_bad) {
        return invalid(format!(
            "invalid topic `{}`: expected 1 to {LONGEST_TOPIC} bytes without white space, `=` and \
             control characters",
            topic.escape_debug()
        ));
    }
    if topic.starts_with("mycelium.") {
        return invalid(format!(
            "invalid topic `{topic}`: names that start with `mycelium.` are reserved"
        ));
    }
    Ok(())
}
