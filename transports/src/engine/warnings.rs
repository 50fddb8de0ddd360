//! Warns of each other process once for each topic.

use std::collections::HashSet;

use super::incoming::LONGEST_NAME;
use crate::local::Topic;

/// How many warnings a node gets. Hostile processes may have any number of names.
const WARNINGS: usize = 64;

/// The other processes with which a node had problems.
#[derive(Debug, Default)]
pub struct Warnings {
    /// Each with the topic.
    senders: HashSet<(String, String)>,
}

impl Warnings {
    /// Returns the text of a problem with a process on a topic, for
    /// [`Ends::warn`](crate::seam::Ends::warn). Returns `None` if there was one before, or too many
    /// with others.
    #[must_use]
    pub fn of(&mut self, topic: &Topic, sender: &str, problem: &str) -> Option<String> {
        let is_new = self.senders.len() < WARNINGS
            && sender.len() <= LONGEST_NAME
            && self.senders.insert((topic.name().to_owned(), sender.to_owned()));
        is_new.then(|| {
            format!("topic `{}`, process `{}`: {problem}", topic.name(), sender.escape_debug())
        })
    }

    /// Returns the text for a process that publishes a topic with another layout.
    #[must_use]
    pub fn of_layout(&mut self, topic: &Topic, sender: &str, found: &str) -> Option<String> {
        let (found, expected) = (found.escape_debug(), topic.schema().digest);
        let problem = format!(
            "it has another layout of the topic (digest {found}, expected {expected}): its \
             messages are not read"
        );
        self.of(topic, sender, &problem)
    }
}
