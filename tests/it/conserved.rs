//! Conservation: each message that was sent is counted once at each reader.

use mycelium::counters::{Kind, Reading};

/// For each publisher and subscription: all messages that were sent since it joined were taken or
/// dropped. This holds when the node has ended and all rings are empty.
pub(crate) fn conserved(counters: &[Reading]) {
    for feed in counters.iter().filter(|line| line.kind == Kind::Edge) {
        assert_eq!(sent_to(counters, feed), accounted(feed), "{}", feed.label);
    }
}

/// Returns how many messages were sent to a reader, at its line for a publisher, since it joined.
pub(crate) fn sent_to(counters: &[Reading], feed: &Reading) -> u64 {
    let mut publishers = counters.iter().filter(|line| line.kind == Kind::Publisher);
    let same = |line: &&Reading| {
        ["topic", "publisher", "epoch"].iter().all(|key| line.label(key) == feed.label(key))
    };
    publishers.find(same).unwrap().value("sent") - feed.value("joined_at")
}

/// Returns how many messages a reader, at its line for a publisher, has taken or lost.
pub(crate) fn accounted(feed: &Reading) -> u64 {
    ["taken", "overwritten", "skipped", "dropped", "sampled", "dead_lettered", "left"]
        .map(|value| feed.value(value))
        .iter()
        .sum()
}

/// Each request has one outcome, and so has each that was taken.
#[cfg(feature = "signals")]
pub(crate) fn requests(counters: &[Reading]) {
    let outcomes = [
        "replied",
        "gone",
        "refused",
        "deadline",
        "handler_failed",
        "unreachable",
        "shutting_down",
        "cancelled",
    ];
    for line in counters.iter().filter(|line| line.kind == Kind::Requester) {
        let sum: u64 = outcomes.iter().map(|name| line.value(name)).sum();
        assert_eq!(line.value("requested"), sum, "{line:?}");
    }
    for line in counters.iter().filter(|line| line.kind == Kind::Responder) {
        assert_eq!(line.value("taken"), line.value("replied") + line.value("failed"), "{line:?}");
    }
}
